"""Photo bytes: kept as taken under their SHA-256, shown only as copies. Slow work before the transaction, none inside."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.utils import timezone
from django.utils.module_loading import import_string

from inspections.actions.photos import store
from inspections.loading import meet_bytes
from inspections.models import Blob, BlobHolder, Photo, PhotoState
from inspections.photo_problems import PhotoProblem, PhotoTooLarge
from inspections.pictures import look
from safety import rows
from safety.access import sight_of, today
from safety.changes import Work, unit
from safety.errors import Busy, Problem
from safety.ids import new_id
from safety.verbs import MoreToLock, with_locks

CHUNK = 1 << 20


class HashDiffers(Problem):
    code, status = "sha256-differs", 422
    message = "收到的内容与照片的指纹不一致,可能在路上损坏了。照片仍在手机上,请重新上传。"


class BlobDestroyed(Problem):
    code, status = "photo-destroyed", 410
    message = "这张照片按规定已经销毁,不再接收。"


class StorageFull(Problem):
    code, status, retryable = "storage-full", 507, True
    message = "服务器的存储空间不足,照片暂时收不下。照片仍在手机上,请稍后再传,并告诉管理员。"


REFUSALS = (PhotoProblem, BlobDestroyed)
"What `keep` raises of bytes that will never be taken, however often they come."

MEASURES = ("size_bytes", "media_type", "width", "height")


def path_of(sha256: str) -> Path:
    """Where the bytes lie: blobs/ab/cd/<sha256>."""
    return Path(settings.BLOBS) / sha256[:2] / sha256[2:4] / sha256


def copy_path(photo_id: UUID, name: str) -> Path:
    """Where a shown copy lies; it can be made again at any time."""
    hexed = photo_id.hex
    return Path(settings.BLOBS) / "shown" / hexed[-2:] / f"{hexed}-{name}.jpg"


class RemoteAway(Exception):
    """The remote store cannot be reached, or will not do it now; to be tried again."""


class RemoteStore(Protocol):
    """Where originals go besides this disk, under their SHA-256. Every method may raise RemoteAway."""

    def put(self, sha256: str, path: Path) -> None: ...
    def read(self, sha256: str) -> bytes:
        """Raises FileNotFoundError."""

    def remove(self, sha256: str) -> None:
        """What is not there is removed."""


def remote_store() -> RemoteStore | None:
    """The store that settings name, or None: then originals stay on this disk."""
    if not settings.REMOTE_BUCKET:
        return None
    wanted = (settings.REMOTE_BUCKET, settings.REMOTE_URL, settings.REMOTE_REGION)
    return _store_at(*wanted, settings.REMOTE_KEY, settings.REMOTE_SECRET)


@lru_cache(maxsize=4)
def _store_at(*where: str) -> RemoteStore:
    return import_string(settings.REMOTE_STORE)(*where)


def read_original(sha256: str) -> bytes:
    """The bytes as taken, from this disk or from the remote store. Raises FileNotFoundError and RemoteAway."""
    try:
        return path_of(sha256).read_bytes()
    except FileNotFoundError:
        remote = remote_store()
        if remote is None:
            raise
    data = remote.read(sha256)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RemoteAway(f"{sha256}: the remote store gave other bytes")
    return data


def receive(stream: BinaryIO, *, sha256: str, claimed: str | None, person: UUID, device: UUID | None) -> bool:
    """Keeps the bytes of a photo that come in one piece; True when they are new to the person who brought them.

    Sending them again is harmless. Raises what `require_wanted` and `keep` raise, PhotoTooLarge and StorageFull; then
    nothing of them is left behind.
    """
    require_wanted(sha256, person)
    with _incoming() as (path, file):
        _copy(stream, file)
        return keep(path, sha256=sha256, claimed=claimed, person=person, device=device)


def require_size(size_bytes: int) -> None:
    """Raises PhotoTooLarge for what is announced as larger than any photo may be."""
    if size_bytes > settings.PHOTO_MAX_BYTES:
        raise PhotoTooLarge(size_mb=size_bytes // 1_000_000, max_mb=settings.PHOTO_MAX_BYTES // 1_000_000)


def require_wanted(sha256: str, person: UUID) -> Blob | None:
    """The blob of these bytes, if they are here. Raises BlobDestroyed for what went under a ban: it comes back only for a
    photo that the checklist allows."""
    blob = next(iter(rows.find(Blob, sha256=sha256)), None)
    if blob is None or blob.destroyed_at is None:
        return blob
    if blob.sealed_at is not None and not Photo.objects.filter(sha256=sha256, author_id=person).exists():
        raise BlobDestroyed()
    return None


def keep(
    path: Path,
    *,
    sha256: str,
    claimed: str | None,
    person: UUID,
    device: UUID | None,
    also: Callable[[Work], None] = lambda work: None,
) -> bool:
    """Takes a whole file, flushed to disk, into the store; True when its bytes are new to the person who brought them.

    The file stays where it is, under a second name: whoever holds it removes it once this has returned, so that a crash
    in between leaves it to be kept again. `also` writes rows of the door's own in the same unit. Raises HashDiffers,
    Busy and REFUSALS; then no row tells of the bytes.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise HashDiffers()
    facts = look(data, max_bytes=settings.PHOTO_MAX_BYTES, max_pixels=settings.PHOTO_MAX_PIXELS, claimed=claimed)
    measured = {"size_bytes": len(data), "media_type": facts.media_type, "width": facts.width, "height": facts.height}
    del data
    make_durable(path, path_of(sha256))
    return _link(sha256, measured, person=person, device=device, also=also)


def keep_known(
    sha256: str, *, size_bytes: int, person: UUID, device: UUID | None, also: Callable[[Work], None]
) -> bool:
    """Whether these bytes are here and this person brought them or may read a photo that shows them; then they count as
    brought, and `also` is written.

    Of what others brought nothing is told: knowing a hash would else be a right to read. Raises BlobDestroyed and Busy.
    """
    blob = require_wanted(sha256, person)
    if blob is None or blob.size_bytes != size_bytes:
        return False
    if not (known_to(person, sha256) or _is_read_by(person, sha256)):
        return False
    measured = {name: getattr(blob, name) for name in MEASURES}
    _link(sha256, measured, person=person, device=device, also=also)
    return True


def _is_read_by(person: UUID, sha256: str) -> bool:
    shown = list(Photo.objects.filter(sha256=sha256, state=PhotoState.STORED))
    sight = sight_of(person, on=today(timezone.now())) if shown else None
    return any(sight.sees(photo.readers()) for photo in shown)


@contextmanager
def _incoming() -> Iterator[tuple[Path, BinaryIO]]:
    folder = Path(settings.BLOBS) / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / new_id().hex
    try:
        with path.open("xb") as file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _copy(stream: BinaryIO, file: BinaryIO) -> None:
    size = 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        require_size(size)
        with disk_room():
            file.write(chunk)
    with disk_room():
        file.flush()
        os.fsync(file.fileno())


def left_behind(folder: Path, *, until: datetime) -> list[Path]:
    """Files in a folder of uploads that nobody has written to since; one that goes while we look is not among them."""
    old = []
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime <= until.timestamp():
                old.append(path)
    return old


@contextmanager
def disk_room() -> Iterator[None]:
    """A disk that runs full while bytes are written is a refusal. Raises StorageFull."""
    try:
        yield
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull() from fault
        raise


def make_durable(path: Path, final: Path) -> None:
    """Gives a flushed file its place in the store so that a power cut leaves it whole there or not there at all.

    A link, not a copy: store and staging lie on one filesystem. What is there already is the same.
    """
    _make_folder(final.parent)
    with suppress(FileExistsError):
        os.link(path, final)
    sync_folder(final.parent)


def _make_folder(folder: Path) -> None:
    """With its parents; a name of a folder must outlast a power cut as well."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """What was named or removed in a folder outlasts a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _link(
    sha256: str, measured: dict[str, Any], *, person: UUID, device: UUID | None, also: Callable[[Work], None]
) -> bool:
    """One unit: the blob, its holder, and the person's photos that waited for it (`photo.stored`)."""
    waiting = {"sha256": sha256, "author_id": person, "state": PhotoState.DECLARED}

    def door(more: frozenset[UUID]) -> bool:
        with unit(actor=person, device=device, source="blob") as work:
            work.lock(rows.pick_one(Photo, "unit_id", **waiting) | more)
            meet_bytes(person)
            new = _hold(work, sha256, measured, person=person)
            arrived = sorted(rows.find(Photo, **waiting), key=lambda photo: photo.id)
            if unlocked := {photo.unit_id for photo in arrived} - set(work.heads):
                raise MoreToLock(unlocked)
            body = work.body(b'{"stored":"' + sha256.encode() + b'"}')
            for photo in arrived:
                store(work, photo)
                work.say(photo, "photo.stored", body=body, urgency=None)
            also(work)
        return new

    return with_locks(door)


def _hold(work: Work, sha256: str, measured: dict[str, Any], *, person: UUID) -> bool:
    """Notes the blob and who brought it; True when it is new to that person. Raises Busy.

    What had been swept is kept again from now on.
    """
    blob = Blob(sha256=sha256, stored_at=work.now, **measured)
    if not _insert_missing(blob):
        blob = Blob.objects.select_for_update().get(sha256=sha256)
    is_here = path_of(sha256).exists()
    is_there = blob.remote_at is not None and blob.destroyed_at is None
    if not is_here and not is_there:
        raise Busy()  # swept in this very moment: the same bytes may be sent again
    if blob.destroyed_at is not None:
        blob.stored_at, blob.sealed_at, blob.destroyed_at = work.now, None, None
        blob.remote_at = blob.local_dropped_at = None  # to be carried anew: what lies there is being removed
        work.update(blob)
    elif is_here and blob.local_dropped_at is not None:
        blob.local_dropped_at = None  # brought once more
        work.update(blob)
    return _insert_missing(BlobHolder(blob_id=sha256, person_id=person, at=work.now))


def _insert_missing(row: Model) -> bool:
    """Writes a row unless it is there; True when it was not. One statement, where `get_or_create` takes four."""
    fields = [field for field in row._meta.concrete_fields if field.attname != "id"]
    names, places = ", ".join(f'"{field.column}"' for field in fields), ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{row._meta.db_table}" ({names}) VALUES ({places}) ON CONFLICT DO NOTHING',
            [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields],
        )
        return cursor.rowcount == 1


def known_to(person: UUID, sha256: str) -> bool:
    """Whether a person has brought these bytes; nobody else is told that they are here."""
    return BlobHolder.objects.filter(blob=sha256, person_id=person, blob__destroyed_at__isnull=True).exists()


def size_known_to(person: UUID, sha256: str) -> int | None:
    """How many bytes that are, to a person who brought them; None to everybody else."""
    held = BlobHolder.objects.filter(blob=sha256, person_id=person, blob__destroyed_at__isnull=True)
    return held.values_list("blob__size_bytes", flat=True).first()
