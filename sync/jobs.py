"""What the road does by itself: operations that waited are heard once they can be, or have waited long enough."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from safety.access import sight_of, today
from safety.changes import unit
from safety.models import Alert, Change, Device, Index
from safety.models.document import readable
from sync import uploads
from sync.models import Operation, Review, Verdict, Waiting, Why
from sync.push import Heard, hear_batch, recall
from sync.waiting import FAULTS, OPERATIONS, free, overdue, put_off, wait_after_fault

log = logging.getLogger(__name__)

AT_ONCE = 500
LEASE = timedelta(minutes=1)
UNANSWERED = timedelta(hours=1)  # for how long after the end of a phone we look for what it never heard about
SETTLED = timedelta(minutes=1)


def drain_deferred(now: datetime, *, at_once: int = AT_ONCE) -> int:
    """Hears again what has become hearable or overdue. Each author's operations in one unit, in order of receiving."""
    persons = Waiting.objects.filter(free(now), _there(now)).values_list("person_id", flat=True).distinct()
    return sum(_drain(person, hearable(person, now=now)[:at_once], now=now) for person in list(persons))


def take_up_unanswered(now: datetime) -> int:
    """Operations of revoked phones that were stored and never heard (a crash in between) wait from now on, as faults.

    Any other phone sends again what was not answered.
    """
    phones = Device.objects.filter(revoked_at__gt=now - UNANSWERED, revoked_at__lte=now - SETTLED)
    ids = list(phones.values_list("id", flat=True))
    if not ids:
        return 0
    left = Operation.objects.filter(device_id__in=ids, received_at__lte=now - SETTLED).filter(
        ~Exists(Verdict.objects.filter(op_id=OuterRef("op_id"))),
        ~Exists(Waiting.objects.filter(op_id=OuterRef("op_id"))),
    )
    taken = list(left.values_list("op_id", "doc_id", "person_id")[:AT_ONCE])
    for op_id, doc_id, person in taken:
        wait_after_fault(op_id, doc_id or op_id, person=person, now=now)
    return len(taken)


def operations_waiting() -> int:
    """How many operations of phones wait for what is not there yet, for the page that shows the server's state."""
    return Waiting.objects.count()


def hearable(person: UUID, *, now: datetime) -> QuerySet[Waiting]:
    """A person's operations that waited for what that person reads today, or for an operation with a verdict by now;
    those whose time has come; and those that have a verdict which their author was not told.

    Oldest first. Asked of the tables: what may wait for ever (a stranger's, on what is not theirs) must not stand in
    the way of what is ripe.
    """
    sight = sight_of(person, on=today(now))
    there = Index.objects.filter(collection=OuterRef("kind"), doc_id=OuterRef("doc_id"))
    alerts = Alert.objects.visible_to(sight).filter(pk=OuterRef("doc_id"))  # alerts have no row in the Index
    # a join is sighted by its secret: the visit need only exist
    joins = Operation.objects.filter(op_id=OuterRef("op_id"), verb="inspections.join")
    ripe = Exists(there.filter(readable(sight))) | (Q(kind=Alert.collection) & Exists(alerts))
    # so is what its author made: under a post that has ended since, it is heard by the sight of that time
    made = Change.objects.filter(collection=OuterRef("kind"), doc_id=OuterRef("doc_id"), actor_id=person)
    ripe |= (Exists(joins) | Exists(made)) & Exists(there)
    ended = ExpressionWrapper(overdue(now), output_field=BooleanField())
    waiting = Waiting.objects.filter(free(now), ripe | _due(now), person_id=person)
    return waiting.annotate(is_overdue=ended).order_by("since", "op_id")


def _there(now: datetime) -> Q:
    """What may be ripe, whoever waits: one question a turn, so that nobody is asked about what has not come at all."""
    there = Index.objects.filter(collection=OuterRef("kind"), doc_id=OuterRef("doc_id"))
    alerts = Alert.objects.filter(pk=OuterRef("doc_id"))
    return Exists(there) | (Q(kind=Alert.collection) & Exists(alerts)) | _due(now)


def _due(now: datetime) -> Q:
    needed = Verdict.objects.filter(op_id=OuterRef("doc_id"))
    own = Verdict.objects.filter(op_id=OuterRef("op_id"))
    return (Q(kind=OPERATIONS) & Exists(needed)) | Exists(own) | Q(kind=FAULTS) | overdue(now)


def _drain(person: UUID, waitings: QuerySet[Waiting], *, now: datetime) -> int:
    waiting = {each.op_id: each for each in waitings}
    if not waiting:
        return 0
    Waiting.objects.filter(op_id__in=waiting).update(lease_until=now + LEASE)
    by_device = defaultdict(list)
    for operation in Operation.objects.filter(op_id__in=waiting).order_by("received_at", "said_at"):
        by_device[operation.device_id].append(operation)
    heard = 0
    for device, operations in by_device.items():
        batch = [each for each in map(recall, operations) if each is not None]
        for each in batch:
            each.overdue = waiting[each.op_id].is_overdue
        hear_batch(batch, sight=sight_of(person, on=today(now)), device=device, now=now, source="drain")
        final = [each for each in batch if each.status not in ("deferred", "retry")]
        _tell(person, device, final, waiting, now=now)
        _put_off([each.op_id for each in batch if each.status == "deferred"], waiting, now=now)
        heard += len(final)
    return heard


def _put_off(op_ids: Sequence[UUID], before: Mapping[UUID, Waiting], *, now: datetime) -> None:
    """What was heard in vain rests for a while; what waits for another thing by now is asked when that comes."""
    rows = list(Waiting.objects.filter(op_id__in=op_ids))
    for row in rows:
        same = (row.kind, row.doc_id) == (before[row.op_id].kind, before[row.op_id].doc_id)
        row.attempts = row.attempts + 1 if same or row.kind == FAULTS else 0
        row.try_at = now + put_off(row.attempts) if row.attempts else None
        row.lease_until = None
    Waiting.objects.bulk_update(rows, ["attempts", "try_at", "lease_until"])


class SyncResult:
    """The verdict of an operation that had waited, as the author's own document; its row is the Verdict."""

    collection = "sync_results"
    chain_id = None

    def __init__(self, verdict: Verdict, *, person: UUID, rev: int = 0, out_of_order: bool = False):
        self.id, self.rev, self.verdict, self.person = verdict.op_id, rev, verdict, person
        self.out_of_order = out_of_order

    def wire(self) -> bytes:
        members = {"id": self.id, "rev": self.rev, "op_id": self.id, "status": self.verdict.status}
        members |= {"change_seq": self.verdict.seq, "problem": self.verdict.problem, "out_of_order": self.out_of_order}
        return msgspec.json.encode(members)

    def readers(self) -> set[tuple[str, UUID]]:
        return {("person", self.person)}


def _tell(
    person: UUID, device: UUID, final: Sequence[Heard], waiting: Mapping[UUID, Waiting], *, now: datetime
) -> None:
    """Tells the author in one unit with the end of the wait: whoever is killed before it tells again."""
    if not final:
        return
    ids = [heard.op_id for heard in final]
    with unit(actor=person, device=device, source="drain", now=now) as work:
        verdicts = list(Verdict.objects.filter(op_id__in=ids).order_by("at", "seq"))
        skipped = _out_of_order(final, waiting)
        for verdict in verdicts:
            result = SyncResult(verdict, person=person, out_of_order=verdict.op_id in skipped)
            work.say(result, "operation.decided", body=None, urgency=None)
        flags = [Review(about_id=each, why=Why.OUT_OF_ORDER, raised_at=now) for each in sorted(skipped)]
        Review.objects.bulk_create(flags, ignore_conflicts=True)
        Waiting.objects.filter(op_id__in=ids).delete()
    log.info("drain.heard ops=%d out_of_order=%d person=%s", len(final), len(skipped), person)


def _out_of_order(final: Sequence[Heard], waiting: Mapping[UUID, Waiting]) -> set[UUID]:
    """Those that took effect before a step that they name in `after`; a person must look at them (sync.md §1.4)."""
    took_effect = [heard for heard in final if heard.status != "rejected"]
    needed = {waiting[each.op_id].doc_id for each in took_effect if waiting[each.op_id].kind == OPERATIONS}
    came = set(Verdict.objects.filter(op_id__in=needed).values_list("op_id", flat=True))
    missing = needed - came
    return {each.op_id for each in took_effect if each.out_of_order or waiting[each.op_id].doc_id in missing}


def sweep_uploads(now: datetime) -> int:
    """Uploads that brought no byte for fourteen days go."""
    return uploads.sweep(now)
