"""Slow work on photos, done by the worker: shown copies, and the sweeping of bytes that nobody may keep."""

import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inspections import photos
from inspections.checklist import items_in
from inspections.derivatives import Derivatives, derive
from inspections.models import Blob, Derivation, Inspection, Photo, PhotoState, ShownCopy
from inspections.photo_problems import PhotoProblem
from inspections.stamp import Stamp
from safety.changes import unit
from safety.ids import new_id
from safety.models import Site

log = logging.getLogger(__name__)

AT_ONCE = 2  # photos a turn: a HEIC may take a minute and a half
LEASE = timedelta(minutes=5)
MOST_ATTEMPTS = 5
UNLINKED = timedelta(days=14)  # bytes may come before their document, but not for ever
SEALED = timedelta(days=7)
GALLERY, DEMO = "相册导入", "演示"


def derive_photos(now: datetime) -> int:
    """Makes the shown copies of a few photos; one decode for all three. Gives how many were looked at."""
    leased = lease(now)
    for derivation in leased:
        _derive(derivation)
    return len(leased)


def copies_waiting() -> int:
    """How many photos still want their shown copies, for the page that shows the server's state."""
    return Derivation.objects.filter(done_at__isnull=True, failure="").count()


def lease(now: datetime) -> list[Derivation]:
    """Takes a few wanted derivations for the length of a lease; what a killed worker had taken is taken again.

    What has been taken often enough and never came to an end is given up: it may be what kills the workers.
    """
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    with transaction.atomic():
        wanted = (
            Derivation.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(free, done_at__isnull=True, failure="")
            .select_related("photo", "photo__unit", "photo__author")
            .order_by("wanted_at")[:AT_ONCE]
        )
        ripe = list(wanted)
        for each in ripe:
            if each.attempts >= MOST_ATTEMPTS:
                _end(each, "never-finished")
        taken = [each for each in ripe if each.attempts < MOST_ATTEMPTS]
        Derivation.objects.filter(photo__in=[each.photo_id for each in taken]).update(
            lease_until=now + LEASE, attempts=F("attempts") + 1
        )
    return taken


def _end(derivation: Derivation, failure: str) -> None:
    log.error("photo.not_derived photo=%s failure=%s", derivation.photo_id, failure)
    Derivation.objects.filter(pk=derivation.pk).update(failure=failure, lease_until=None)


def _derive(derivation: Derivation) -> None:
    photo = derivation.photo
    try:
        original = photos.read_original(photo.sha256)
        copies = derive(original, stamp=stamp_of(photo), max_pixels=settings.PHOTO_MAX_PIXELS)
    except PhotoProblem as problem:
        _give_up(photo, problem)
        return
    except FileNotFoundError:
        _end(derivation, "bytes-missing")
        return
    except photos.RemoteAway as away:
        log.warning("photo.not_derived photo=%s error=%s", photo.id, away)
        # no fault of the photo: the lease runs out, and the attempt does not count
        Derivation.objects.filter(pk=derivation.pk).update(attempts=F("attempts") - 1)
        return
    written = {name: _write(photo.id, name, jpeg) for name, jpeg in _named(copies)}
    with transaction.atomic():
        for name, (sha256, size) in written.items():
            ShownCopy.objects.update_or_create(photo=photo, name=name, defaults={"sha256": sha256, "size_bytes": size})
        Derivation.objects.filter(photo=photo).update(done_at=timezone.now(), lease_until=None)
    log.info("photo.derived photo=%s", photo.id)


def _named(copies: Derivatives) -> Iterable[tuple[str, bytes]]:
    yield "320", copies.thumb.jpeg
    yield "1600", copies.screen.jpeg
    if copies.stamped is not None:
        yield "stamped", copies.stamped.jpeg


def _write(photo_id: UUID, name: str, jpeg: bytes) -> tuple[str, int]:
    path = photos.copy_path(photo_id, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{new_id().hex}")
    fresh.write_bytes(jpeg)
    fresh.replace(path)
    return hashlib.sha256(jpeg).hexdigest(), len(jpeg)


def stamp_of(photo: Photo) -> Stamp | None:
    """What the watermark says (regulations §4.5); a photo without any time of taking has none."""
    taken_at = photo.corrected_at or photo.taken_at
    if taken_at is None:
        return None
    site = Site.objects.filter(pk=photo.site_id).first()
    marks = [mark for mark, is_so in ((GALLERY, photo.mode == "gallery"), (DEMO, photo.unit.demo)) if is_so]
    return Stamp(
        school=photo.unit.name,
        site=site.name if site else None,
        item_code=photo.item_code or None,
        item_text=_item_text(photo),
        taken_at=taken_at,
        latitude=photo.latitude,
        longitude=photo.longitude,
        datum=photo.datum or "WGS84",
        accuracy_m=photo.accuracy_m,
        inspector=photo.author.name,
        short_hash=photo.sha256[:12],
        marks=tuple(marks),
    )


def _item_text(photo: Photo) -> str | None:
    if photo.subject_collection != Inspection.collection or not photo.item_code:
        return None
    visit = Inspection.objects.select_related("version").filter(pk=photo.subject_id).first()
    item = items_in(visit.version).get(photo.item_code) if visit else None
    return item.text if item else None


def _give_up(photo: Photo, problem: PhotoProblem) -> None:
    """The bytes cannot be shown: the photo says so, and the original stays as evidence."""
    log.warning("photo.unreadable photo=%s code=%s", photo.id, problem.code)
    with unit(actor=None, source="derive") as work:
        work.lock({photo.unit_id})
        fresh = Photo.objects.get(pk=photo.pk)
        fresh.state = PhotoState.UNREADABLE
        body = work.body(f'{{"unreadable":"{problem.code}"}}'.encode())
        work.say(fresh, "photo.unreadable", body=body, urgency=None)
        Derivation.objects.filter(photo=photo).update(failure=problem.code, lease_until=None)


def sweep_blobs(now: datetime) -> int:
    """Destroys sealed bytes after seven days and bytes that no photo names after fourteen; the row and hash stay."""
    linked = Photo.objects.values("sha256")
    over = Q(sealed_at__lte=now - SEALED) | Q(sealed_at__isnull=True, stored_at__lte=now - UNLINKED)
    due = Blob.objects.filter(over, destroyed_at__isnull=True).exclude(sha256__in=linked)
    gone = sum(_destroy(due, sha256, now) for sha256 in list(due.values_list("pk", flat=True)[:100]))
    return gone + _sweep_incoming(now)


def _destroy(due: QuerySet[Blob], sha256: str, now: datetime) -> int:
    """Under the blob's lock, for whoever links or brings it in this moment takes it too; looked at again once it is held."""
    with transaction.atomic():
        blob = Blob.objects.select_for_update().get(pk=sha256)
        if not due.filter(pk=sha256).exists():
            return 0
        photos.path_of(sha256).unlink(missing_ok=True)
        Blob.objects.filter(pk=sha256).update(destroyed_at=now)
    log.info("blob.destroyed sha256=%s sealed=%s", sha256, blob.sealed_at is not None)
    return 1


def _sweep_incoming(now: datetime) -> int:
    """Files that an upload left when its process was killed."""
    folder = photos.path_of("0" * 64).parent.parent.parent / "incoming"
    old = photos.left_behind(folder, until=now - timedelta(days=1))
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
