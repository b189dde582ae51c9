"""What a phone says of itself at each contact: what still waits in its outbox, how its clock goes, which app it runs.

It steers nothing in the protocol and must never stop it: what cannot be read is logged and ignored.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import OperationalError

from safety import rows
from sync.models import Contact

log = logging.getLogger(__name__)

NOTE_EVERY = timedelta(minutes=1)
SKEW_JITTER_MS = 5_000  # the way takes time as well: less than this is no other clock
OUTBOX = re.compile(r"ops=(\d{1,9});blobs=(\d{1,9})(?:;oldest=(\S{1,40}))?", re.ASCII)
APP_VERSION = re.compile(r"[\w.+-]{1,40}", re.ASCII)
YEARS = range(2000, 2101)  # a phone's clock may stand anywhere; beyond these no database takes it


@dataclass(frozen=True, slots=True)
class Heard:
    """One contact's own words; None or empty for what was not said, or not readable."""

    outbox_ops: int | None = None
    outbox_blobs: int | None = None
    outbox_oldest_at: datetime | None = None
    skew_ms: int | None = None  # the phone's clock minus ours
    app_version: str = ""


def hear(headers: Mapping[str, str], *, now: datetime) -> Heard:
    """Reads `Sync-Outbox`, `Sync-Sent-At` and `Sync-App`; never raises."""
    ops, blobs, oldest = _outbox(headers.get("Sync-Outbox"))
    return Heard(ops, blobs, oldest, _skew_ms(headers.get("Sync-Sent-At"), now), _app(headers.get("Sync-App")))


def note_contact(device_id: UUID, heard: Heard, *, now: datetime, pulled_seq: int | None = None) -> None:
    """Keeps the contact of a device: one read, and one write when something changed or a minute has passed."""
    before = next(iter(rows.find(Contact, device_id=device_id)), None)
    if before is not None and now - before.at < NOTE_EVERY and not _is_news(before, heard):
        return
    contact = _merged(before or Contact(device_id=device_id, at=now), heard, now=now, pulled_seq=pulled_seq)
    fields = [field.name for field in Contact._meta.concrete_fields if not field.primary_key]
    try:
        Contact.objects.bulk_create([contact], update_conflicts=True, unique_fields=["device_id"], update_fields=fields)
    except OperationalError as busy:
        log.warning("contact.lost device=%s error=%s", device_id, type(busy).__name__)


def _is_news(before: Contact, heard: Heard) -> bool:
    if heard.outbox_ops is not None and (before.outbox_ops, before.outbox_blobs, before.outbox_oldest_at) != (
        heard.outbox_ops,
        heard.outbox_blobs,
        heard.outbox_oldest_at,
    ):
        return True
    if heard.app_version and heard.app_version != before.app_version:
        return True
    return heard.skew_ms is not None and (
        before.skew_ms is None or abs(heard.skew_ms - before.skew_ms) > SKEW_JITTER_MS
    )


def _merged(contact: Contact, heard: Heard, *, now: datetime, pulled_seq: int | None) -> Contact:
    contact.at = now
    if heard.skew_ms is not None:
        contact.skew_ms = heard.skew_ms
    if heard.outbox_ops is not None:
        contact.outbox_ops, contact.outbox_blobs = heard.outbox_ops, heard.outbox_blobs
        contact.outbox_oldest_at = heard.outbox_oldest_at
        contact.unsent_since = _unsent_since(contact, now)
    contact.app_version = heard.app_version or contact.app_version
    if pulled_seq is not None:
        contact.pulled_seq = pulled_seq
    return contact


def _unsent_since(contact: Contact, now: datetime) -> datetime | None:
    """When the oldest thing in the outbox was made, by our clock: as the phone says, else since it first said so."""
    if not contact.outbox_ops and not contact.outbox_blobs:
        return None
    if contact.outbox_oldest_at is None:
        return contact.unsent_since or now
    return min(contact.outbox_oldest_at - timedelta(milliseconds=contact.skew_ms or 0), now)


def _outbox(said: str | None) -> tuple[int | None, int | None, datetime | None]:
    if said is None:
        return None, None, None
    match = OUTBOX.fullmatch(said.strip())
    oldest = _moment(match[3]) if match and match[3] else None
    if match is None or (match[3] and oldest is None):
        log.info("contact.unreadable header=Sync-Outbox")
        return None, None, None
    return int(match[1]), int(match[2]), oldest


def _skew_ms(said: str | None, now: datetime) -> int | None:
    if said is None:
        return None
    sent_at = _moment(said.strip())
    if sent_at is None:
        log.info("contact.unreadable header=Sync-Sent-At")
        return None
    return round((sent_at - now) / timedelta(milliseconds=1))


def _app(said: str | None) -> str:
    if said is None:
        return ""
    if not APP_VERSION.fullmatch(said.strip()):
        log.info("contact.unreadable header=Sync-App")
        return ""
    return said.strip()


def _moment(said: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None and moment.year in YEARS else None
