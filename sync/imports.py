"""Brings in the outbox of a phone from a file, for a phone that cannot send it any more (docs/devices.md).

    outbox.zip
      manifest.json    {"format": "campus-outbox", "version": 1, "files": {name: {"sha256": hex, "bytes": n}}}
      outbox.json      the envelope of a push, `device_id` required, of any number of operations
      photos/<sha256>  bytes as taken

The whole file is read and checked before anything of it is kept. Then its operations are pushed as their phone would
have pushed them, so that everything that holds for a push holds here: an operation is heard once, whichever way it comes.
"""

import hashlib
import logging
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Literal
from uuid import UUID

import msgspec
from django.conf import settings
from msgspec import Raw, Struct

from inspections.photos import receive
from safety.access import Sight, sight_of, today
from safety.changes import unit
from safety.devices import COLLECTION, devices_under, home_of
from safety.errors import NotAllowed, NotFound, Problem, TooLarge
from safety.models import Device, Person, Role
from safety.unit_admin import Noted
from sync.models import Contact, OutboxImport
from sync.push import MAX_BYTES, MAX_OPERATIONS, push
from sync.words import STATUSES, explained, said

log = logging.getLogger(__name__)

MANIFEST, OUTBOX = "manifest.json", "outbox.json"
PHOTO = re.compile(r"photos/([0-9a-f]{64})")
MOST_FILES = 2_000
MOST_OUTBOX_BYTES = 20_000_000
MOST_MANIFEST_BYTES = 1_000_000
BATCH_BYTES = MAX_BYTES - 1_000  # what the envelope adds
CHUNK = 1 << 20
IN_MEMORY = 8_000_000  # a larger file lies on disk while it is read


class BadOutboxFile(Problem):
    """The file is not what a phone exports, or was damaged on its way; nothing of it was kept."""

    code, status = "bad-outbox-file", 422
    message = "这个文件不能导入:{reason}。没有导入任何内容。"


class NotYourPhone(NotFound):
    message = "这个文件来自的手机不存在,或不在您管理的范围内。没有导入任何内容。"


class NotAnAdministrator(NotAllowed):
    message = "导入手机的待传内容要由系统管理员办理。"


class Listed(Struct):
    sha256: str
    bytes: int


class Manifest(Struct):
    format: Literal["campus-outbox"]
    version: Literal[1]
    files: dict[str, Listed]


class Outbox(Struct):
    """The envelope of a push, without its limits."""

    ops: list[Raw]
    device_id: UUID
    protocol: Literal[1] = 1
    schema: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one operation or photo, in plain words."""

    id: str
    what: str
    status: str
    words: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What an import came to."""

    id: UUID
    device: Device
    operations: list[Line]
    photos: list[Line]

    @property
    def counts(self) -> dict[str, int]:
        """How many operations came to what, in the order of the words."""
        found = Counter(line.status for line in self.operations)
        return {STATUSES[status]: found[status] for status in STATUSES if found[status]}


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The bytes of a request in a file that can be read to and fro. Raises TooLarge beyond IMPORT_MAX_BYTES."""
    size = 0
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > settings.IMPORT_MAX_BYTES:
                raise TooLarge(max_bytes=settings.IMPORT_MAX_BYTES)
            file.write(chunk)
        file.seek(0)
        yield file


def import_outbox(file: BinaryIO, *, by: Person, now: datetime) -> Result:
    """Hears the operations of an exported outbox in the name of their author, and keeps its photos.

    Raises NotAnAdministrator, BadOutboxFile, NotYourPhone: then nothing was kept. A second time answers the same
    verdicts and has no second effect.
    """
    sight = sight_of(by, on=today(now))
    if not sight.holds([Role.ADMINISTRATOR]):
        raise NotAnAdministrator()
    with _opened(file) as archive:
        outbox, names = _checked(archive)
        device = _device(outbox.device_id, sight, now)
        kept = _record(file, device, outbox, len(names), by=by, now=now)
        operations = [line for batch in _batches(outbox) for line in _push(batch, outbox, device, now=now)]
        photos = [_keep_photo(archive, name, device) for name in names]
    log.info("outbox.imported import=%s ops=%d photos=%d by=%s", kept.id, len(operations), len(photos), by.pk)
    return Result(kept.id, device, operations, photos)


def _opened(file: BinaryIO) -> zipfile.ZipFile:
    if file.seek(0, os.SEEK_END) > settings.IMPORT_MAX_BYTES:
        raise TooLarge(max_bytes=settings.IMPORT_MAX_BYTES)
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as broken:
        raise BadOutboxFile(reason="它不是完整的 zip 文件,可能没有下载完或在路上损坏") from broken


def _checked(archive: zipfile.ZipFile) -> tuple[Outbox, list[str]]:
    """The outbox and the names of the photos, every byte compared with the manifest. Raises BadOutboxFile."""
    entries = _entries(archive)
    manifest = _decoded(_read(archive, MANIFEST), Manifest, MANIFEST)
    if set(manifest.files) != set(entries) - {MANIFEST}:
        raise BadOutboxFile(reason="文件与清单(manifest.json)对不上,有缺少或多出的")
    for name, listed in manifest.files.items():
        _require_same(archive, entries[name], listed)
    outbox = _decoded(_read(archive, OUTBOX), Outbox, OUTBOX)
    if any(len(bytes(raw)) > BATCH_BYTES for raw in outbox.ops):
        raise BadOutboxFile(reason="其中有一条操作太大")
    return outbox, sorted(name for name in manifest.files if name != OUTBOX)


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """What the archive says that it holds; nothing is unpacked before this agrees."""
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise BadOutboxFile(reason=f"文件太多,最多 {MOST_FILES} 个")
    names = [info.filename for info in infos]
    strange = [name for name in names if name not in (MANIFEST, OUTBOX) and not PHOTO.fullmatch(name)]
    if strange or len(set(names)) != len(names) or not {MANIFEST, OUTBOX} <= set(names):
        raise BadOutboxFile(reason="里面应只有 manifest.json、outbox.json 和 photos/ 下以指纹命名的照片")
    for info in infos:
        most = {MANIFEST: MOST_MANIFEST_BYTES, OUTBOX: MOST_OUTBOX_BYTES}.get(info.filename, settings.PHOTO_MAX_BYTES)
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadOutboxFile(reason="它加了密码,或用了不支持的压缩方式")
        if info.file_size > most:
            raise BadOutboxFile(reason=f"{info.filename} 展开后超过 {most // 1_000_000} MB")
    if sum(info.file_size for info in infos) > settings.IMPORT_MAX_BYTES:
        raise BadOutboxFile(reason=f"展开后超过 {settings.IMPORT_MAX_BYTES // 1_000_000} MB")
    return {info.filename: info for info in infos}


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as broken:
        raise BadOutboxFile(reason=f"{name} 已损坏") from broken


def _decoded(raw: bytes, shape: type, name: str):
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.DecodeError as wrong:
        raise BadOutboxFile(reason=f"{name} 的内容读不懂({wrong})") from wrong


def _require_same(archive: zipfile.ZipFile, info: zipfile.ZipInfo, listed: Listed) -> None:
    """The bytes are those of the manifest, and a photo those of its name."""
    digest = hashlib.sha256()
    try:
        with archive.open(info) as part:
            while chunk := part.read(CHUNK):
                digest.update(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as broken:
        raise BadOutboxFile(reason=f"{info.filename} 已损坏") from broken
    photo = PHOTO.fullmatch(info.filename)
    same = (digest.hexdigest(), info.file_size) == (listed.sha256, listed.bytes)
    if not same or (photo and photo[1] != digest.hexdigest()):
        raise BadOutboxFile(reason=f"{info.filename} 与它的指纹不一致,可能被改动或在路上损坏")


def _device(device_id: UUID, sight: Sight, now: datetime) -> Device:
    theirs = devices_under(sight, (Role.ADMINISTRATOR.value,), on=today(now))
    device = theirs.filter(pk=device_id).select_related("person").first()
    if device is None:
        raise NotYourPhone()
    return device


def _record(file: BinaryIO, device: Device, outbox: Outbox, photos: int, *, by: Person, now: datetime) -> OutboxImport:
    """Who brought in which file, before any of it is heard: a row, and a change in the chain of the author's unit."""
    file.seek(0)
    kept = OutboxImport(
        file_sha256=hashlib.file_digest(file, "sha256").hexdigest(),
        device_id=device.pk,
        person_id=device.person_id,
        imported_by=by.pk,
        imported_at=now,
        operations=len(outbox.ops),
        photos=photos,
    )
    home = home_of(device.person_id, on=today(now))
    with unit(actor=by.pk, source="import", now=now) as work:
        work.lock({home} if home else set())
        work.insert(kept)
        # by their hashes it stays known which operations were said by a file, and not by the phone itself
        payloads = [hashlib.sha256(bytes(raw)).hexdigest() for raw in outbox.ops]
        told = {"import": kept.pk, "file_sha256": kept.file_sha256, "operations": payloads, "photos": photos}
        body = work.body(msgspec.json.encode(told, order="deterministic"))
        work.say(Noted(COLLECTION, device.pk, home), "device.outbox_imported", body=body, urgency=None)
    return kept


def _batches(outbox: Outbox) -> Iterator[list[bytes]]:
    batch, size = [], 0
    for raw in map(bytes, outbox.ops):
        if batch and (len(batch) == MAX_OPERATIONS or size + len(raw) + 1 > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(raw)
        size += len(raw) + 1
    if batch:
        yield batch


def _push(batch: list[bytes], outbox: Outbox, device: Device, *, now: datetime) -> Iterator[Line]:
    """Says it as the phone would have, by the clock that it last had."""
    skew_ms = Contact.objects.filter(device_id=device.pk).values_list("skew_ms", flat=True).first() or 0
    sent_at = (now + timedelta(milliseconds=skew_ms)).isoformat()
    head = f'{{"protocol":1,"schema":{outbox.schema},"device_id":"{device.pk}","sent_at":"{sent_at}","ops":['
    answer = push(head.encode() + b",".join(batch) + b"]}", person=device.person_id, device=device.pk, now=now)
    for raw, result in zip(batch, answer["results"], strict=True):
        problem = result.get("problem")
        words = STATUSES[result["status"]]
        if result.get("replayed"):
            words = f"以前已收到：{words}"
        yield Line(
            str(result["op_id"]), said(_verb(raw)), result["status"], words, explained(problem) if problem else ""
        )


class _Named(Struct):
    collection: str = ""
    kind: str = ""
    action: str = ""


def _verb(raw: bytes) -> str:
    try:
        named = msgspec.json.decode(raw, type=_Named)
    except msgspec.DecodeError:
        return ""
    return f"{named.collection}.{named.action if named.kind == 'action' else named.kind}"


def _keep_photo(archive: zipfile.ZipFile, name: str, device: Device) -> Line:
    """A photo that cannot be kept says why, and stops none of the others."""
    sha256 = PHOTO.fullmatch(name)[1]
    try:
        with archive.open(name) as stream:
            new = receive(stream, sha256=sha256, claimed=None, person=device.person_id, device=device.pk)
    except Problem as problem:
        return Line(sha256, "照片", "rejected", "没有收下", problem.detail)
    return Line(sha256, "照片", "applied", "已收下" if new else "以前已收到")
