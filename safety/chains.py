"""Chains looked at again: whether what the log says of one organisation still hangs together, from the first row on."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from safety.changes import chain_hash
from safety.models import Body, ChainHead, Change

BATCH = 1000

INTACT = "全部连续,内容与哈希一致。"
MISSING = "缺少这一环:记录被删除,或顺序被改动。"
BROKEN = "这一环与前一环接不上:前面的记录被换过,或顺序被改动。"
CHANGED = "这一环的内容与它的哈希不符:记录被改动。"
BODY_CHANGED = "这一环所说的内容与它的哈希不符:原文被改动。"
CUT = "链尾与登记的不符:最后的记录被删除。"


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a chain holds. `first_bad` is the number of the first link that does not."""

    count: int
    first_bad: int | None
    detail: str


def verify_chain(chain_id: UUID) -> Verified:
    """Recomputes one chain against its head. An erased body is no fault: its hash stays and is what the chain holds.

    Reads every row of the chain once; about 20 µs a row.
    """
    prev, n = bytes(32), 0
    for change, body in _links(chain_id):
        fault = _fault(change, body, n=n + 1, prev=prev)
        if fault:
            return Verified(n, n + 1, fault)
        prev, n = bytes(change.hash), n + 1
    head = ChainHead.objects.filter(pk=chain_id).first()
    if (n, prev) != ((head.n, bytes(head.hash)) if head else (0, bytes(32))):
        return Verified(n, n + 1, CUT)
    return Verified(n, None, INTACT)


def _links(chain_id: UUID) -> Iterator[tuple[Change, Body | None]]:
    changes = Change.objects.filter(chain_id=chain_id).order_by("n", "seq").iterator(chunk_size=BATCH)
    while batch := list(islice(changes, BATCH)):
        bodies = Body.objects.in_bulk({change.body_id for change in batch if change.body_id})
        yield from ((change, bodies.get(change.body_id)) for change in batch)


def _fault(change: Change, body: Body | None, *, n: int, prev: bytes) -> str | None:
    if change.n != n:
        return MISSING
    if change.prev is None or bytes(change.prev) != prev:
        return BROKEN
    if change.body_hash is None or change.hash is None or bytes(change.hash) != _hash_of(change, prev):
        return CHANGED
    if body is not None and not _body_holds(body, bytes(change.body_hash)):
        return BODY_CHANGED
    return None


def _hash_of(change: Change, prev: bytes) -> bytes:
    return chain_hash(
        prev=prev,
        chain_id=change.chain_id,
        n=change.n,
        collection=change.collection,
        doc_id=change.doc_id,
        kind=change.kind,
        actor_id=change.actor_id,
        device_id=change.device_id,
        said_at=change.said_at,
        received_at=change.received_at,
        body_hash=bytes(change.body_hash),
    )


def _body_holds(body: Body, said: bytes) -> bool:
    if body.bytes is None and body.salt is None:
        return bytes(body.hash) == said
    parts: Iterable[bytes] = (bytes(body.salt or b""), bytes(body.bytes or b""))
    return hashlib.sha256(b"".join(parts)).digest() == said == bytes(body.hash)
