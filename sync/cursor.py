"""The cursor: how far a phone has read, opaque to it and good for its person alone; nothing in it grants anything.

It says what the mirror holds: every document of scope `scope` as it stood at `seq`. While a transition runs it also
says to which scope, and how far that has come. It is sealed: a higher `seq` under an old scope would name documents
that were made after the loss of access. Tampering, another's cursor or a new secret key cost a snapshot, no more.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from django.utils.crypto import salted_hmac

from safety.errors import Malformed, Problem

MAX_BYTES = 512
VERSION = 1
SEAL_BYTES = 16
RESNAPSHOT = {"action": "resnapshot"}

Seq = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Hash = Annotated[str, msgspec.Meta(pattern=r"\A([A-Za-z0-9_-]{43})?\Z")]


class CursorExpired(Problem):
    code, status, message = "cursor-expired", 410, "本机的数据太旧,需要重新下载一遍;未上传的内容不受影响。"


class EpochChanged(Problem):
    code, status, message = "epoch-changed", 410, "服务器的数据已从备份恢复,手机将重新下载,并把已上传的内容再报一遍。"


class CursorAhead(Problem):
    code, status, message = "cursor-ahead", 409, "手机上的数据比服务器还新,已报告管理员;手机将重新下载。"


class CursorFilterMismatch(Problem):
    code, status, message = "cursor-filter-mismatch", 400, "续传位置与所选的数据类别不符,请用同样的类别继续。"


class Transition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The way from the cursor's scope to another one: first what is lost goes, then what is gained comes."""

    to: Annotated[Hash, msgspec.Meta(min_length=1)] = msgspec.field(name="n")
    stage: Literal["remove", "add"] = msgspec.field(name="w", default="remove")
    since: Seq = msgspec.field(name="b")  # the clock when it began
    at: Seq = msgspec.field(name="p", default=0)  # the last number told in this stage
    whole: bool = msgspec.field(name="a", default=False)  # the mirror may have holes: all of `to` is added
    left: Hash = msgspec.field(name="l", default="")  # a scope of which some came before it was given up half-way


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where one mirror stands. `scope` is empty before the first snapshot is complete."""

    version: int = msgspec.field(name="v")
    epoch: Annotated[str, msgspec.Meta(max_length=40)] = msgspec.field(name="e")
    seq: Seq = msgspec.field(name="s")
    exits_told: Seq = msgspec.field(name="x", default=0)  # so far a transition has told exits ahead of `seq`
    scope: Hash = msgspec.field(name="sc", default="")
    filter: Annotated[str, msgspec.Meta(max_length=16)] = msgspec.field(name="f", default="")
    schema: Annotated[int, msgspec.Meta(ge=1, le=32767)] = msgspec.field(name="sv")
    transition: Transition | None = msgspec.field(name="t", default=None)


class _Versioned(msgspec.Struct):
    version: int = msgspec.field(name="v")


def encode_cursor(cursor: Cursor, person_id: UUID) -> str:
    """URL-safe text of at most 512 bytes."""
    content = msgspec.json.encode(cursor)
    return base64.urlsafe_b64encode(_seal(content, person_id) + content).rstrip(b"=").decode()


def decode_cursor(text: str, person_id: UUID) -> Cursor:
    """Raises Malformed; CursorExpired for one that was not made here for this person, or by another version."""
    if len(text) > MAX_BYTES:
        raise Malformed(reason="续传位置太长")
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        seal, content = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION or not hmac.compare_digest(seal, _seal(content, person_id)):
            raise CursorExpired(**RESNAPSHOT)
        return msgspec.json.decode(content, type=Cursor)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as broken:
        raise Malformed(reason="续传位置已损坏") from broken


def filter_hash(collections: Sequence[str]) -> str:
    """What a cursor remembers of the collections asked for, in any order; empty for all of them."""
    if not collections:
        return ""
    return hashlib.sha256(",".join(sorted(set(collections))).encode()).hexdigest()[:16]


def _seal(content: bytes, person_id: UUID) -> bytes:
    return salted_hmac("sync.cursor", person_id.bytes + content, algorithm="sha256").digest()[:SEAL_BYTES]
