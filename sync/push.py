"""The push: what a phone says is stored before it is understood, heard once, and answered as often as it asks.

One transaction stores the operations, one unit hears the batch. Only when the database itself refuses is the batch
rolled back and tried once more whole, then operation by operation.
"""

import hashlib
import logging
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import msgspec
from django.db import IntegrityError, OperationalError, transaction
from msgspec import Raw, Struct

from inspections.verbs import VERBS, hear, ready
from safety import rows
from safety.access import Sight, sight_of, today
from safety.backups import revs_at_end
from safety.changes import BodyRef, Work, clock_state, unit
from safety.errors import Busy, Malformed, Problem, ServerError, TooLarge
from safety.ids import SEEDS, in_order, new_id
from safety.models import Body, Index
from safety.scopes import PastSights
from safety.verbs import Outcome, Saying, World, decide, with_locks
from sync.models import Operation, Verdict, Waiting
from sync.waiting import NeverCame, wait_after_fault

log = logging.getLogger(__name__)

MAX_OPERATIONS = 500
MAX_BYTES = 1_000_000
RECEIVE_TRIES = 5
TRAVEL = timedelta(seconds=30)  # a smaller difference between two clocks may be the way
FINAL = ("applied", "merged", "superseded", "rejected")


class Envelope(Struct):
    """One batch. Anything else in it is for later versions."""

    ops: list[Raw]
    protocol: Literal[1] = 1
    schema: int = 1
    device_id: UUID | None = None
    epoch: str = ""
    sent_at: datetime | None = None


class Op(Struct):
    """One operation as a phone writes it."""

    op_id: UUID
    collection: str
    id: UUID
    kind: Literal["create", "patch", "delete", "action"]
    at: datetime
    action: str = ""
    after: list[UUID] = []
    base_rev: int | None = None
    set: Raw = Raw(b"{}")
    base: dict[str, Any] | None = None
    args: Raw = Raw(b"{}")
    n: int | None = None
    hlc: str = ""

    @property
    def verb(self) -> str:
        return f"{self.collection}.{self.action if self.kind == 'action' else self.kind}"

    @property
    def said(self) -> Raw:
        return self.args if self.kind == "action" else self.set


class Heard(Struct):
    """One operation of a batch on its way: its bytes, its shape if it has one, and what became of it."""

    op_id: UUID
    raw: bytes
    op: Op | None
    fault: Problem | None = None  # why it cannot be heard at all, found on reading it
    problem: Problem | None = None
    body: BodyRef | None = None
    status: str = ""
    seq: int | None = None
    replayed: bool = False
    conflicts: Sequence = ()
    waiting_for: Sequence = ()
    said_at: datetime | None = None
    skew: timedelta = timedelta()
    overdue: bool = False  # it has waited long enough: heard as things stand, whatever it waited for
    out_of_order: bool = False  # it was, and a step that it names in `after` has not come


def push(body: bytes, *, person: UUID, device: UUID, now: datetime) -> dict:
    """Hears a batch (JSON bytes) and gives the answer's members; `results` in the order of the operations.

    Raises Malformed for a broken envelope, TooLarge beyond 500 operations or 1 MB; nothing else of a batch is an error.
    """
    envelope = decode_envelope(body, device=device)
    skew = skew_of(envelope.sent_at, now)
    batch = [_read(bytes(raw), now=now, skew=skew) for raw in envelope.ops]
    receive(batch, person=person, device=device, schema=envelope.schema, now=now)
    again = envelope.epoch != "" and envelope.epoch != clock_state().epoch
    if again:
        _bound_what_was_seen(batch, envelope.epoch)
    sight = sight_of(person, on=today(now))
    hear_batch(batch, sight=sight, device=device, now=now, together=not again)
    clock = clock_state()
    return {
        "protocol": 1,
        "epoch": clock.epoch,
        "seq": clock.seq,
        "durable_seq": clock.durable_seq,
        "server_time": now,
        "results": answers(batch, sight=sight),
    }


def _bound_what_was_seen(batch: list[Heard], epoch: str) -> None:
    """A revision of an ended epoch says what its author had seen only as far as the backup goes: the same number may
    have other content by now, and what nobody saw must not be taken as overwritten knowingly."""
    ops = [heard.op for heard in batch if heard.op is not None and heard.op.base_rev]
    kept = revs_at_end(epoch, {(op.collection, op.id) for op in ops})
    for op in ops:
        op.base_rev = min(op.base_rev, kept[op.collection, op.id])


def decode_envelope(body: bytes, *, device: UUID) -> Envelope:
    if len(body) > MAX_BYTES:
        raise TooLarge(code="batch-too-large", max_bytes=MAX_BYTES, max_ops=MAX_OPERATIONS)
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except msgspec.DecodeError as wrong:
        raise Malformed(reason=str(wrong)) from wrong
    if len(envelope.ops) > MAX_OPERATIONS:
        raise TooLarge(code="batch-too-large", max_bytes=MAX_BYTES, max_ops=MAX_OPERATIONS)
    if envelope.device_id is not None and envelope.device_id != device:
        raise Malformed("other-device", "这批内容来自另一台终端,请在那台终端上登录后发送。")
    return envelope


def skew_of(sent_at: datetime | None, now: datetime) -> timedelta:
    """What to add to the phone's times: by how much its clock was behind when it sent; small differences are travel."""
    if sent_at is None or sent_at.tzinfo is None or abs(now - sent_at) < TRAVEL:
        return timedelta()
    return now - sent_at


def _read(raw: bytes, *, now: datetime, skew: timedelta) -> Heard:
    try:
        op = msgspec.json.decode(raw, type=Op)
    except msgspec.DecodeError as wrong:
        return Heard(_op_id_in(raw), raw, None, fault=Malformed(reason=str(wrong)), said_at=now)
    heard = Heard(op.op_id, raw, op, skew=skew)
    if op.at.tzinfo is None:
        heard.fault, heard.said_at = Malformed(reason="at 须带时区"), now
        return heard
    heard.said_at = min(op.at + skew, now)
    if op.verb not in VERBS:
        heard.fault = _unknown(op)
    return heard


def _unknown(op: Op) -> Problem:
    if op.kind == "delete" and f"{op.collection}.create" in VERBS:
        return Problem("not-deletable", "这份材料是记录的一部分,只增不减,不能删除。有误的请补充说明或申请撤销。")
    return Malformed("unknown-verb", "服务器不认识“{verb}”,请更新手机上的应用。", verb=op.verb)


def _op_id_in(raw: bytes) -> UUID:
    """The operation's own id if that much can be read; else one made from the bytes, so that it is kept all the same."""

    class OnlyId(Struct):
        op_id: UUID

    try:
        return msgspec.json.decode(raw, type=OnlyId).op_id
    except msgspec.DecodeError:
        return uuid5(SEEDS, hashlib.sha256(raw).hexdigest())


class Kept(NamedTuple):
    """A new row of Operation, in the order of its columns."""

    op_id: UUID
    person_id: UUID
    device_id: UUID
    collection: str
    doc_id: UUID | None
    verb: str
    payload_sha256: bytes
    body_id: UUID
    schema: int
    said_at: datetime
    received_at: datetime


def receive(batch: list[Heard], *, person: UUID, device: UUID, schema: int, now: datetime) -> None:
    """Stores every unknown operation with its bytes; from here on nothing can be lost to a fault of ours."""
    for _ in range(RECEIVE_TRIES):
        try:
            _receive(batch, person=person, device=device, schema=schema, now=now)
            return
        except IntegrityError:  # others send some of the same at this moment: by now those are known
            log.info("push.met ops=%d person=%s", len(batch), person)
    raise Busy()


def _receive(batch: list[Heard], *, person: UUID, device: UUID, schema: int, now: datetime) -> None:
    known = {each.op_id: each for each in rows.find(Operation, op_id=[heard.op_id for heard in batch])}
    bodies, operations, salts = [], {}, secrets.token_bytes(16 * len(batch))
    for place, heard in enumerate(batch):
        digest = hashlib.sha256(heard.raw).digest()
        stored = known.get(heard.op_id) or operations.get(heard.op_id)
        if stored is not None:
            _recognise(heard, stored, digest, person=person)
            continue
        salt, body_id = salts[16 * place : 16 * place + 16], new_id()
        body_hash = hashlib.sha256(salt + heard.raw).digest()
        heard.body = BodyRef(body_id, body_hash)
        bodies.append((body_id, salt, heard.raw, body_hash, None))
        operations[heard.op_id] = Kept(
            op_id=heard.op_id,
            person_id=person,
            device_id=device,
            collection=heard.op.collection[:24] if heard.op else "",
            doc_id=heard.op.id if heard.op else None,
            verb=heard.op.verb[:40] if heard.op else "",
            payload_sha256=digest,
            body_id=body_id,
            schema=schema,
            said_at=heard.said_at,
            received_at=now,
        )
    if not operations:
        return
    with transaction.atomic(durable=True):
        rows.insert(Body, bodies)
        # in order of id: two senders of the same, one backwards, would lock each other out
        rows.insert(Operation, [operations[each] for each in in_order(operations)])


class OpIdReused(Problem):
    code, status = "op-id-reused", 409
    message = "这个操作编号已经用于另一条内容。请让手机换一个编号再发,内容仍在手机上。"


def _recognise(heard: Heard, stored: Operation | Kept, digest: bytes, *, person: UUID) -> None:
    """The same thing said again by the same person; anything else under that id is refused, and not answered."""
    body = Body.objects.filter(id=stored.body_id).first() if bytes(stored.payload_sha256) != digest else None
    same = bytes(stored.payload_sha256) == digest or (
        body is not None and body.bytes is not None and _canonical(bytes(body.bytes)) == _canonical(heard.raw)
    )
    if stored.person_id != person or not (same or _erased(stored)):
        heard.problem, heard.status = OpIdReused(), "rejected"
        return
    heard.replayed = True
    heard.body = BodyRef(stored.body_id, b"")  # not the one of a lost try to store it: that row is not there


def _canonical(raw: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(raw), order="sorted")


def _erased(stored: Operation | Kept) -> bool:
    return Body.objects.filter(id=stored.body_id, erased_at__isnull=False).exists()


def hear_batch(
    batch: list[Heard], *, sight: Sight, device: UUID, now: datetime, source: str = "push", together: bool = True
) -> None:
    """Gives each operation its verdict: those that have one keep it, the others are heard in one unit.

    `sight` is the author's of today. Not `together`: each in its own unit, as for what is offered again after a
    restore. It came in several pushes then, and somebody may have been told between two of them: judged on its end
    state, what they were told of would vanish, and what they said of it would find nothing.
    """
    _recall(batch)
    fresh = [heard for heard in batch if not heard.status]
    if not fresh:
        return
    stuck: set[UUID] = set()
    for attempt in (*([fresh, fresh] if together else []), *([heard] for heard in fresh)):
        todo = [heard for heard in attempt if not heard.status]
        for heard in todo:
            if _aggregate(heard) in stuck:
                heard.status = "retry"
        todo = [heard for heard in todo if not heard.status]
        if not todo:
            continue
        try:
            _hear_together(todo, sight=sight, device=device, now=now, source=source)
        except Exception as fault:  # ours is the fault, theirs the work: it is stored, and blocks no other
            _give_way(todo, fault, alone=attempt is not fresh, person=sight.person_id, now=now)
            stuck |= {_aggregate(heard) for heard in todo if heard.status}


def _aggregate(heard: Heard) -> UUID:
    """What must be heard in order: the document."""
    return heard.op.id if heard.op is not None else heard.op_id


def _give_way(todo: list[Heard], fault: Exception, *, alone: bool, person: UUID, now: datetime) -> None:
    """A batch that failed is heard again; a lone operation that the database refuses is `retry`, one that we cannot hear waits."""
    for heard in todo:
        heard.status, heard.seq, heard.problem = "", None, None
    if not alone:
        log.info("push.again ops=%d error=%s", len(todo), type(fault).__name__)
    elif isinstance(fault, OperationalError):
        todo[0].status = "retry"
    else:
        log.error("push.failed op=%s person=%s", todo[0].op_id, person, exc_info=fault)
        todo[0].status, todo[0].problem = "deferred", ServerError()
        wait_after_fault(todo[0].op_id, _aggregate(todo[0]), person=person, now=now)


def recall(operation: Operation) -> Heard | None:
    """A stored operation as it was received, to be heard again; None once its body is erased."""
    body = Body.objects.filter(id=operation.body_id, erased_at__isnull=True).first()
    if body is None:
        return None
    heard = _read(bytes(body.bytes), now=operation.received_at, skew=timedelta())
    heard.said_at, heard.body, heard.replayed = operation.said_at, BodyRef(body.id, bytes(body.hash)), True
    if heard.fault is None:
        by = operation.said_at - heard.op.at  # what its phone's clock was set right by when it was received
        heard.skew = by if abs(by) >= TRAVEL else timedelta()
    return heard


def _recall(batch: list[Heard]) -> None:
    replayed = [heard.op_id for heard in batch if heard.replayed]
    if not replayed:
        return
    verdicts = {verdict.op_id: verdict for verdict in rows.find(Verdict, op_id=replayed)}
    for heard in batch:
        if heard.replayed and heard.op_id in verdicts:
            _take(heard, verdicts[heard.op_id])


def _take(heard: Heard, verdict: Verdict) -> None:
    heard.status, heard.seq, heard.conflicts, heard.replayed = verdict.status, verdict.seq, verdict.conflicts, True
    heard.problem = Recalled(verdict.problem) if verdict.problem else None


class Recalled(Problem):
    """A problem as it was answered the first time."""

    def __init__(self, members: dict):
        super().__init__(members["code"], members["detail"].replace("{", "{{").replace("}", "}}"))
        self.members = members

    def as_json(self) -> dict:
        return self.members


def _hear_together(batch: list[Heard], *, sight: Sight, device: UUID, now: datetime, source: str) -> None:
    def door(organisations: frozenset[UUID]) -> None:
        with unit(actor=sight.person_id, device=device, source=source, now=now) as work:
            todo = _lock_operations(batch)
            world = World(work, sight, past=PastSights(sight.person_id))
            sayings = [saying for heard in todo if (saying := _saying(heard, device)) is not None]
            ready(world, sayings, organisations=organisations)
            stored = _dependencies(todo)
            spoken = iter(sayings)
            outcomes = [(heard, _hear(world, heard, spoken, stored)) for heard in todo]
            hear(world)
            _write_verdicts(work, outcomes, person=sight.person_id)

    with_locks(door)


def _lock_operations(batch: list[Heard]) -> list[Heard]:
    """Locks the operations by id, then reads their verdicts: of eight equal senders one goes on, seven are answered."""
    ids = in_order({heard.op_id for heard in batch})
    rows.lock(Operation, op_id=ids)
    verdicts = {verdict.op_id: verdict for verdict in rows.find(Verdict, op_id=ids)}
    todo, seen = [], set()
    for heard in batch:
        if heard.op_id in verdicts:
            _take(heard, verdicts[heard.op_id])
        elif heard.op_id not in seen:
            seen.add(heard.op_id)
            todo.append(heard)
    missing = {heard.body.id for heard in todo if not heard.body.hash}
    hashes = dict(rows.pick(Body, "id", "hash", id=missing))
    for heard in todo:
        if heard.body.id in hashes:
            heard.body = BodyRef(heard.body.id, bytes(hashes[heard.body.id]))
    return todo


def _saying(heard: Heard, device: UUID) -> Saying | None:
    """The operation as the verbs take it; None, with its problem noted, where the content has not the shape."""
    if heard.fault is not None:
        return None
    op = heard.op
    try:
        content = msgspec.json.decode(op.said, type=VERBS[op.verb].struct)
    except msgspec.ValidationError as wrong:
        heard.fault = Problem("validation", "内容不符合要求:{reason}", reason=str(wrong))
        return None
    return Saying(
        verb=op.verb,
        doc_id=op.id,
        input=content,
        body=heard.body,
        said_at=heard.said_at,
        skew=heard.skew,
        source="phone",
        op_id=op.op_id,
        device=device,
        base_rev=op.base_rev,
        base=op.base,
        hlc=op.hlc,
    )


def _dependencies(batch: list[Heard]) -> dict[UUID, str]:
    """The verdicts of operations that these name in `after`."""
    named = {each for heard in batch if heard.op for each in heard.op.after}
    return dict(rows.pick(Verdict, "op_id", "status", op_id=named))


def _hear(world: World, heard: Heard, spoken, statuses: dict[UUID, str]) -> Outcome:
    if heard.fault is not None:
        outcome = Outcome("rejected", problem=heard.fault)
    else:
        saying = next(spoken)
        outcome = _after(heard, statuses) or decide(world, VERBS, saying)
        if heard.overdue and outcome.status == "deferred":
            outcome = Outcome("rejected", problem=NeverCame())
    statuses[heard.op_id] = outcome.status
    return outcome


def _after(heard: Heard, statuses: dict[UUID, str]) -> Outcome | None:
    """What its `after` forbids: it waits for what is not there, though not for ever, and falls with what was rejected."""
    for needed in heard.op.after:
        status = statuses.get(needed)
        if status == "rejected":
            return Outcome("rejected", problem=DependencyFailed(op_id=str(needed)))
        if status not in FINAL and not heard.overdue:
            return Outcome("deferred", waiting_for=[("operations", needed)])
        heard.out_of_order |= status not in FINAL
    return None


class DependencyFailed(Problem):
    code, status = "dependency-failed", 422
    message = "它所依赖的上一步没有被接受,所以这一步也没有办。请先处理上一步。"


def _write_verdicts(work: Work, outcomes: list[tuple[Heard, Outcome]], *, person: UUID) -> None:
    waiting = [(heard, outcome) for heard, outcome in outcomes if outcome.status == "deferred"]
    decided = [(heard, outcome) for heard, outcome in outcomes if outcome.status != "deferred"]
    for heard, outcome in outcomes:
        heard.status, heard.problem = outcome.status, outcome.problem
        heard.conflicts = [_conflict(conflict) for conflict in outcome.conflicts]
        heard.waiting_for = outcome.waiting_for
    if waiting:
        held = [heard.op_id for heard, _ in waiting]
        Waiting.objects.bulk_create(
            [
                Waiting(
                    op_id=heard.op_id,
                    person_id=person,
                    kind=outcome.waiting_for[0][0],
                    doc_id=outcome.waiting_for[0][1],
                    since=work.now,
                )
                for heard, outcome in waiting
            ],
            update_conflicts=True,  # what it waits for may be another thing by now; since when does not change
            unique_fields=["op_id"],
            update_fields=["kind", "doc_id"],
        )
        log.info("push.deferred ops=%d person=%s", len(held), person)
    waited = [heard.op_id for heard, _ in decided if heard.replayed]
    # what was drained waits until its author is told, which a crash must not lose
    if waited and work.source != "drain":
        Waiting.objects.filter(op_id__in=waited).delete()

    def verdicts(first: int) -> list:
        new = []
        for heard, outcome in decided:
            heard.seq = first + outcome.entry.place if outcome.entry is not None else None
            problem = heard.problem.as_json() if heard.problem else None
            new.append((heard.op_id, heard.status, heard.seq, problem, heard.conflicts, work.now))
        return [(Verdict, new)]

    work.also(verdicts)


def _conflict(conflict: Any) -> dict:
    """What a phone must show at once of a value that lost; the whole stands in the `conflicts` document."""
    kept_by = str(conflict.kept_by) if conflict.kept_by else None
    return {
        "id": str(conflict.id),
        "field": conflict.group,
        "kept": conflict.kept,
        "lost": conflict.lost,
        "kept_by": kept_by,
    }


def answers(batch: list[Heard], *, sight: Sight) -> list[dict]:
    """One result an operation, with the document as it stands now, if today's scope reads it."""
    by_id: dict[UUID, Heard] = {}
    for heard in batch:
        by_id.setdefault(heard.op_id, heard)
        if not heard.status:  # the same operation twice in one batch
            first = by_id[heard.op_id]
            heard.status, heard.seq, heard.problem, heard.replayed = first.status, first.seq, first.problem, True
    documents = current_documents(
        {(heard.op.collection, heard.op.id) for heard in batch if heard.op and shows_document(heard)}, sight=sight
    )
    return [_answer(heard, documents) for heard in batch]


def shows_document(heard: Heard) -> bool:
    """A taken id and a foreign operation id are told nothing about."""
    return heard.problem is None or heard.problem.code not in ("id-taken", "op-id-reused")


def current_documents(wanted: set[tuple[str, UUID]], *, sight: Sight) -> dict[tuple[str, UUID], Raw]:
    """The newest wire form of documents that today's scope reads. One statement a collection."""
    found = {}
    for collection in {each for each, _ in wanted}:
        ids = [doc_id for each, doc_id in wanted if each == collection]
        columns = ("doc_id", "audience", "key", "wire")
        for doc_id, audience, key, wire in rows.pick(Index, *columns, collection=collection, doc_id=ids, deleted=False):
            if (audience, key) in sight.pairs:
                found[collection, doc_id] = Raw(bytes(wire))
    return found


def _answer(heard: Heard, documents: dict) -> dict:
    answer: dict[str, Any] = {"op_id": heard.op_id, "status": heard.status, "seq": heard.seq}
    answer["doc"] = documents.get((heard.op.collection, heard.op.id)) if heard.op and shows_document(heard) else None
    if heard.replayed:
        answer["replayed"] = True
    if heard.problem is not None:
        answer["problem"] = heard.problem.as_json()
    if heard.conflicts:
        # what has stood there since the loss of sight is not this author's to read
        unseen = {} if answer["doc"] is not None else {"kept": None, "kept_by": None}
        answer["conflicts"] = [conflict | unseen for conflict in heard.conflicts]
    if heard.status == "deferred":
        answer["waiting_for"] = _waiting(heard)
    return answer


def _waiting(heard: Heard) -> dict:
    operations = [each for kind, each in heard.waiting_for if kind == "operations"]
    return {"ops": operations, "docs": [each for kind, each in heard.waiting_for if kind != "operations"]}
