"""What the road does by itself: operations that waited for a document are heard once it is in their author's sight."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db.models import Exists, OuterRef, Q, QuerySet

from safety.access import sight_of, today
from safety.changes import unit
from safety.models import Index
from safety.models.document import readable
from sync import uploads
from sync.models import Operation, Verdict, Waiting
from sync.push import Heard, hear_batch, recall

log = logging.getLogger(__name__)

AT_ONCE = 500
LEASE = timedelta(minutes=1)


def drain_deferred(now: datetime, *, at_once: int = AT_ONCE) -> int:
    """Hears again what has become hearable. Each author's operations in one unit, in order of receiving."""
    persons = Waiting.objects.filter(_unleased(now)).values_list("person_id", flat=True).distinct()
    return sum(_drain(person, hearable(person, now=now)[:at_once], now=now) for person in list(persons))


def operations_waiting() -> int:
    """How many operations of phones wait for what is not there yet, for the page that shows the server's state."""
    return Waiting.objects.count()


def hearable(person: UUID, *, now: datetime) -> QuerySet[Waiting]:
    """A person's operations that waited for what that person reads today, or for an operation with a verdict by now.

    Oldest first. Asked of the tables: what may wait for ever (a stranger's, on what is not theirs) must not stand in
    the way of what is ripe.
    """
    there = Index.objects.filter(collection=OuterRef("kind"), doc_id=OuterRef("doc_id"))
    read = there.filter(readable(sight_of(person, on=today(now))))
    decided = Verdict.objects.filter(op_id=OuterRef("doc_id"))
    # a join is sighted by its secret: the visit need only exist
    joins = Operation.objects.filter(op_id=OuterRef("op_id"), verb="inspections.join")
    ripe = Exists(read) | Exists(decided) | (Exists(joins) & Exists(there))
    return Waiting.objects.filter(_unleased(now), ripe, person_id=person).order_by("since", "op_id")


def _unleased(now: datetime) -> Q:
    return Q(lease_until__isnull=True) | Q(lease_until__lte=now)


def _drain(person: UUID, waitings: QuerySet[Waiting], *, now: datetime) -> int:
    ids = list(waitings.values_list("op_id", flat=True))
    if not ids:
        return 0
    Waiting.objects.filter(op_id__in=ids).update(lease_until=now + LEASE)
    by_device = defaultdict(list)
    for operation in Operation.objects.filter(op_id__in=ids).order_by("received_at", "said_at"):
        by_device[operation.device_id].append(operation)
    heard = 0
    for device, operations in by_device.items():
        batch = [each for each in map(recall, operations) if each is not None]
        hear_batch(batch, sight=sight_of(person, on=today(now)), device=device, now=now, source="drain")
        final = [each for each in batch if each.status not in ("deferred", "retry")]
        _tell(person, device, final, now=now)
        heard += len(final)
    return heard


class SyncResult:
    """The verdict of an operation that had waited, as the author's own document; its row is the Verdict."""

    collection = "sync_results"
    chain_id = None

    def __init__(self, verdict: Verdict, *, person: UUID, rev: int = 0):
        self.id, self.rev, self.verdict, self.person = verdict.op_id, rev, verdict, person

    def wire(self) -> bytes:
        members = {"id": self.id, "rev": self.rev, "op_id": self.id, "status": self.verdict.status}
        return msgspec.json.encode({**members, "change_seq": self.verdict.seq, "problem": self.verdict.problem})

    def readers(self) -> set[tuple[str, UUID]]:
        return {("person", self.person)}


def _tell(person: UUID, device: UUID, final: Sequence[Heard], *, now: datetime) -> None:
    if not final:
        return
    with unit(actor=person, device=device, source="drain", now=now) as work:
        for verdict in Verdict.objects.filter(op_id__in=[heard.op_id for heard in final]).order_by("at", "seq"):
            work.say(SyncResult(verdict, person=person), "operation.decided", body=None, urgency=None)
    log.info("drain.heard ops=%d person=%s", len(final), person)


def sweep_uploads(now: datetime) -> int:
    """Uploads that brought no byte for fourteen days go."""
    return uploads.sweep(now)
