"""Photo bytes: kept as taken under their SHA-256, shown only as copies. Slow work before the transaction, none inside."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from inspections.actions.photos import store
from inspections.loading import meet_bytes
from inspections.models import Blob, BlobHolder, Photo, PhotoState
from inspections.photo_problems import PhotoTooLarge
from inspections.pictures import look
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


def path_of(sha256: str) -> Path:
    """Where the bytes lie: blobs/ab/cd/<sha256>."""
    return Path(settings.BLOBS) / sha256[:2] / sha256[2:4] / sha256


def copy_path(photo_id: UUID, name: str) -> Path:
    """Where a shown copy lies; it can be made again at any time."""
    hexed = photo_id.hex
    return Path(settings.BLOBS) / "shown" / hexed[-2:] / f"{hexed}-{name}.jpg"


def receive(stream: BinaryIO, *, sha256: str, claimed: str | None, person: UUID, device: UUID | None) -> bool:
    """Keeps the bytes of a photo for the person who brought them; True when they are new to that person.

    Sending them again is harmless. Raises HashDiffers, BlobDestroyed, Busy and the problems of
    `inspections.photo_problems`; then nothing of them is left behind.
    """
    _require_wanted(sha256, person)
    with _incoming() as (path, file):
        _copy(stream, file, sha256)
        with path.open("rb") as written:
            facts = look(
                written, max_bytes=settings.PHOTO_MAX_BYTES, max_pixels=settings.PHOTO_MAX_PIXELS, claimed=claimed
            )
        final = path_of(sha256)
        if not final.exists():
            make_durable(path, final)
    return _link(sha256, facts, final.stat().st_size, person=person, device=device)


def _require_wanted(sha256: str, person: UUID) -> None:
    """Bytes that were destroyed under a ban come back only for a photo that the checklist allows."""
    banned = Blob.objects.filter(pk=sha256, sealed_at__isnull=False, destroyed_at__isnull=False).exists()
    if banned and not Photo.objects.filter(sha256=sha256, author_id=person).exists():
        raise BlobDestroyed()


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


def _copy(stream: BinaryIO, file: BinaryIO, sha256: str) -> None:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        if size > settings.PHOTO_MAX_BYTES:
            raise PhotoTooLarge(size_mb=size // 1_000_000, max_mb=settings.PHOTO_MAX_BYTES // 1_000_000)
        digest.update(chunk)
        file.write(chunk)
    if digest.hexdigest() != sha256:
        raise HashDiffers()
    file.flush()
    os.fsync(file.fileno())


def make_durable(path: Path, final: Path) -> None:
    """Moves a flushed file to its place so that a power cut leaves it whole or not there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    path.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(sha256: str, facts, size: int, *, person: UUID, device: UUID | None) -> bool:
    """One unit: the blob, its holder, and the person's photos that waited for it (`photo.stored`)."""
    waiting = Photo.objects.filter(sha256=sha256, author_id=person, state=PhotoState.DECLARED).order_by("id")

    def door(more: frozenset[UUID]) -> bool:
        with unit(actor=person, device=device, source="blob") as work:
            work.lock({*waiting.values_list("unit_id", flat=True), *more})
            meet_bytes(person)
            new = _hold(work, sha256, facts, size, person=person)
            arrived = list(waiting.all())
            if unlocked := {photo.unit_id for photo in arrived} - set(work.heads):
                raise MoreToLock(unlocked)
            body = work.body(b'{"stored":"' + sha256.encode() + b'"}')
            for photo in arrived:
                store(work, photo)
                work.say(photo, "photo.stored", body=body, urgency=None)
        return new

    return with_locks(door)


def _hold(work: Work, sha256: str, facts, size: int, *, person: UUID) -> bool:
    """Notes the blob and who brought it; True when it is new to that person. Raises Busy.

    What had been swept is kept again from now on.
    """
    blob, _ = Blob.objects.select_for_update().get_or_create(
        sha256=sha256,
        defaults={
            "size_bytes": size,
            "media_type": facts.media_type,
            "width": facts.width,
            "height": facts.height,
            "stored_at": work.now,
        },
    )
    if not path_of(sha256).exists():
        raise Busy()  # swept in this very moment: the same bytes may be sent again
    if blob.destroyed_at is not None:
        blob.stored_at, blob.sealed_at, blob.destroyed_at = work.now, None, None
        work.update(blob)
    return BlobHolder.objects.get_or_create(blob=blob, person_id=person, defaults={"at": work.now})[1]


def known_to(person: UUID, sha256: str) -> bool:
    """Whether a person has brought these bytes; nobody else is told that they are here."""
    return BlobHolder.objects.filter(blob=sha256, person_id=person, blob__destroyed_at__isnull=True).exists()
