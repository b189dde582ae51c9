"""Originals on their way to the remote store: put there, read back, and only then dropped from this disk.

A job of the worker, each photo in short steps: `here alone` → put, read back and compared → `here and there` → a day
later, read back once more, the local file goes → `there alone`. What is killed between two steps is taken again by its lease; every step may be
done twice. Without a remote store in the settings nothing is done.
"""

import hashlib
import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from inspections import photos
from inspections.models import Blob
from inspections.photos import RemoteAway, RemoteStore
from safety.worker import backoff

log = logging.getLogger(__name__)

AT_ONCE = 4
LEASE = timedelta(minutes=5)
KEPT_HERE = timedelta(days=1)  # after it was confirmed: shown copies are made from it, and a mistake is seen meanwhile


def carry(now: datetime) -> int:
    """Does a few of each step; gives how many."""
    remote = photos.remote_store()
    if remote is None:
        return 0
    carried = [_carry(remote, blob, now) for blob in lease(now)]
    return sum(carried) + _drop(remote, now) + _remove(remote, now)


def blobs_waiting() -> int:
    """How many originals lie on this disk alone though a remote store is named, for the page of the server's state."""
    if photos.remote_store() is None:
        return 0
    return Blob.objects.filter(remote_at__isnull=True, destroyed_at__isnull=True).count()


def lease(now: datetime) -> list[Blob]:
    """Takes a few originals that are here alone; what a killed worker had taken is taken again."""
    free = Q(remote_try_at__isnull=True) | Q(remote_try_at__lte=now)
    with transaction.atomic():
        wanted = Blob.objects.select_for_update(skip_locked=True).filter(
            free, remote_at__isnull=True, destroyed_at__isnull=True
        )
        taken = list(wanted.order_by("stored_at")[:AT_ONCE])
        Blob.objects.filter(pk__in=[blob.pk for blob in taken]).update(
            remote_try_at=now + LEASE, remote_attempts=F("remote_attempts") + 1
        )
    return taken


def _carry(remote: RemoteStore, blob: Blob, now: datetime) -> int:
    try:
        remote.put(blob.sha256, photos.path_of(blob.sha256))
        _require_there(remote, blob.sha256)
    except (RemoteAway, FileNotFoundError) as failed:
        again_at = now + backoff(blob.remote_attempts + 1)
        log.error("blob.not_carried sha256=%s again_at=%s error=%r", blob.sha256, again_at, failed)
        Blob.objects.filter(pk=blob.pk).update(remote_try_at=again_at)
        return 0
    # destroyed meanwhile or not: it lies there, and `_remove` looks for what was destroyed and lies there
    Blob.objects.filter(pk=blob.pk).update(remote_at=now, remote_try_at=None, remote_attempts=0)
    log.info("blob.carried sha256=%s bytes=%d", blob.sha256, blob.size_bytes)
    return 1


def _require_there(remote: RemoteStore, sha256: str) -> None:
    """Raises RemoteAway unless the very bytes come back; not every compatible store looks at a checksum."""
    there = hashlib.sha256(remote.read(sha256)).hexdigest()
    if there != sha256:
        raise RemoteAway(f"read back {there}")


def _drop(remote: RemoteStore, now: datetime) -> int:
    """Files on this disk that were confirmed there a day ago, were not brought anew since, and are there still."""
    until = now - KEPT_HERE
    due = Blob.objects.filter(
        remote_at__lte=until, stored_at__lte=until, local_dropped_at__isnull=True, destroyed_at__isnull=True
    )
    dropped = 0
    for sha256 in list(due.order_by("remote_at").values_list("pk", flat=True)[:AT_ONCE]):
        try:
            _require_there(remote, sha256)
        except RemoteAway as away:
            log.error("blob.not_dropped sha256=%s error=%r", sha256, away)
            return dropped
        except FileNotFoundError:
            log.error("blob.gone_there sha256=%s", sha256)
            Blob.objects.filter(pk=sha256).update(remote_at=None)  # it is carried once more
            continue
        with transaction.atomic():
            # under its lock, as whoever brings the same bytes takes it: they look for the file or for `remote_at`
            if due.select_for_update().filter(pk=sha256).exists():
                photos.path_of(sha256).unlink(missing_ok=True)
                dropped += Blob.objects.filter(pk=sha256).update(local_dropped_at=now)
    return dropped


def _remove(remote: RemoteStore, now: datetime) -> int:
    """What was destroyed here goes there as well. Brought anew meanwhile, it is carried anew: the local file is kept a day
    from then."""
    free = Q(remote_try_at__isnull=True) | Q(remote_try_at__lte=now)
    due = Blob.objects.filter(free, destroyed_at__isnull=False, remote_at__isnull=False).order_by("destroyed_at")
    removed = 0
    for blob in list(due[:AT_ONCE]):
        try:
            remote.remove(blob.sha256)
        except RemoteAway as away:
            log.error("blob.not_removed sha256=%s error=%r", blob.sha256, away)
            Blob.objects.filter(pk=blob.pk).update(remote_try_at=now + backoff(1))
            continue
        removed += Blob.objects.filter(pk=blob.pk).update(remote_at=None, remote_try_at=None)
        log.info("blob.removed sha256=%s", blob.sha256)
    return removed
