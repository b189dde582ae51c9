"""What the road does by itself: operations that waited for a document are heard once it is in their author's sight."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db.models import Q

from safety.access import sight_of, today
from safety.changes import unit
from safety.models import Index
from sync.models import Operation, Verdict, Waiting
from sync.push import Heard, hear_batch, recall

log = logging.getLogger(__name__)

AT_ONCE = 500
LEASE = timedelta(minutes=1)


def drain_deferred(now: datetime) -> int:
    """Hears again what has become hearable. Each author's operations in one unit, in order of receiving."""
    ripe = defaultdict(list)
    for waiting in Waiting.objects.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now)).order_by("since")[
        :AT_ONCE
    ]:
        ripe[waiting.person_id].append(waiting)
    heard = 0
    for person, waitings in ripe.items():
        heard += _drain(person, visible_now(person, waitings, now=now), now=now)
    return heard


def visible_now(person: UUID, waitings: Sequence[Waiting], *, now: datetime) -> list[Waiting]:
    """Those whose document their author reads today, or that waited for an operation which has its verdict."""
    pairs = sight_of(person, on=today(now)).pairs
    wanted = [waiting.doc_id for waiting in waitings]
    rows = Index.objects.filter(doc_id__in=wanted).values_list("doc_id", "audience", "key")
    seen = {doc_id for doc_id, audience, key in rows if (audience, key) in pairs}
    # a join is sighted by its secret: the visit need only exist
    exists = set(Index.objects.filter(doc_id__in=wanted, collection="inspections").values_list("doc_id", flat=True))
    joins = set(
        Operation.objects.filter(op_id__in=[each.op_id for each in waitings], verb="inspections.join").values_list(
            "op_id", flat=True
        )
    )
    decided = set(Verdict.objects.filter(op_id__in=wanted).values_list("op_id", flat=True))
    return [
        each
        for each in waitings
        if each.doc_id in seen or each.doc_id in decided or (each.op_id in joins and each.doc_id in exists)
    ]


def _drain(person: UUID, waitings: Sequence[Waiting], *, now: datetime) -> int:
    ids = [waiting.op_id for waiting in waitings]
    Waiting.objects.filter(op_id__in=ids).update(lease_until=now + LEASE)
    by_device = defaultdict(list)
    for operation in Operation.objects.filter(op_id__in=ids).order_by("received_at", "said_at"):
        by_device[operation.device_id].append(operation)
    heard = 0
    for device, operations in by_device.items():
        batch = [each for each in map(recall, operations) if each is not None]
        hear_batch(batch, person=person, device=device, now=now, source="drain")
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
