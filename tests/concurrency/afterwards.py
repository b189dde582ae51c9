"""The histories judged afterwards, against each other and against the tables. Each check gives its complaints in words.

A history is what one phone wrote down (tests/concurrency/actor.py); a fault in the server cannot hide in it, for the
server never saw it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from safety.chains import every_chain, log_faults, verify_chain
from safety.changes import clock_now, snapshot
from safety.models import Body, Change, Exit, Index
from sync.models import Operation, Verdict, Waiting
from sync.push import FINAL

EFFECT = ("applied", "merged")


@dataclass
class History:
    """What one phone sent, heard and read, in order."""

    name: str
    sent: dict[UUID, bytes] = field(default_factory=dict)  # operation → its bytes
    batches: dict[str, list[UUID]] = field(default_factory=dict)
    answers: list[tuple[UUID, str, int | None, int | None]] = field(default_factory=list)  # op, verdict, seq, rev
    pages: list[dict] = field(default_factory=list)
    lost: int = 0
    cursor: str = ""
    docs: dict[tuple[str, str], dict] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "History":
        history = cls(path.stem)
        for line in path.read_text().splitlines():
            history._take(json.loads(line))
        return history

    def _take(self, line: dict) -> None:
        if line["e"] == "sent":
            told = {UUID(json.loads(raw)["op_id"]): raw.encode() for raw in line["ops"]}
            self.batches[line["batch"]] = list(told)
            self.sent |= told
        elif line["e"] == "answered":
            self.answers += [(UUID(op_id), *verdict) for op_id, *verdict in line["results"]]
        elif line["e"] == "page":
            self.pages.append(line)
        elif line["e"] == "lost":
            self.lost += 1
        elif line["e"] == "mirror":
            self.cursor = line["cursor"]
            self.docs = {(collection, doc_id): doc for collection, doc_id, doc in line["docs"]}


def faults(histories: list[History]) -> list[str]:
    """Everything that is wrong, by check; an empty list is what the product promises."""
    with snapshot():
        return complaints(histories)


def complaints(histories: list[History]) -> list[str]:
    """The same within a transaction that is open already."""
    return [f"{check.__name__}: {complaint}" for check in CHECKS for complaint in check(histories)]


def everything_sent_is_stored_as_it_was_sent(histories: list[History]) -> Iterable[str]:
    for history in histories:
        stored = {each.op_id: each for each in _some(Operation, "op_id", history.sent)}
        bodies = {each.id: each for each in _some(Body, "id", [each.body_id for each in stored.values()])}
        for op_id, raw in history.sent.items():
            if op_id not in stored:
                yield f"{history.name}: operation {op_id} is not stored"
            elif bytes(stored[op_id].payload_sha256) != sha256(raw).digest():
                yield f"{history.name}: operation {op_id} is stored with another hash"
            elif stored[op_id].body_id not in bodies or bytes(bodies[stored[op_id].body_id].bytes) != raw:
                yield f"{history.name}: operation {op_id} is stored without its bytes"


def everything_is_answered_with_the_verdict_that_stands(histories: list[History]) -> Iterable[str]:
    for history in histories:
        verdicts = {each.op_id: each for each in _some(Verdict, "op_id", history.sent)}
        waiting = {each.op_id for each in _some(Waiting, "op_id", history.sent)}
        answered = set()
        for op_id, status, seq, _ in history.answers:
            answered.add(op_id)
            stands = verdicts.get(op_id)
            if status in FINAL and (stands is None or (stands.status, stands.seq) != (status, seq)):
                yield f"{history.name}: operation {op_id} was answered {status} {seq}, there stands {stands and stands.status}"
            if status not in FINAL and stands is None and op_id not in waiting:
                yield f"{history.name}: operation {op_id} was answered {status} and waits for nothing"
        for op_id in history.sent.keys() - answered:
            yield f"{history.name}: operation {op_id} was never answered"


def every_effect_happened_once(histories: list[History]) -> Iterable[str]:
    """An operation that had its effect moved its document once, by the change whose number it was answered with."""
    for history in histories:
        own = defaultdict(list)
        for change in _some(Change, "operation_id", history.sent):
            own[change.operation_id, change.doc_id].append(change.seq)
        for op_id, status, seq, _ in dict.fromkeys(history.answers):
            doc_id = UUID(json.loads(history.sent[op_id])["id"])
            moved = own.get((op_id, doc_id), [])
            if status in EFFECT and moved != [seq] and not (seq is None and not moved):
                yield f"{history.name}: operation {op_id} was answered {seq} and moved its document at {moved}"
            if status == "rejected" and moved:
                yield f"{history.name}: operation {op_id} was rejected and moved its document at {moved}"


def revisions_count_the_changes(histories: list[History]) -> Iterable[str]:
    """A document's revision is the number of its changes: none is lost under another, none is written twice."""
    told = Counter(Change.objects.values_list("collection", "doc_id"))
    for collection, doc_id, rev in Index.objects.values_list("collection", "doc_id", "rev").distinct():
        if told[collection, doc_id] != rev:
            yield f"{collection} {doc_id} has revision {rev} after {told[collection, doc_id]} changes"


def numbers_have_no_gap(histories: list[History]) -> Iterable[str]:
    yield from log_faults()
    clock, _ = clock_now()
    for model in (Index, Exit, Verdict):
        if model.objects.filter(seq__gt=clock).exists():
            yield f"{model.__name__} has numbers beyond the clock's {clock}"


def chains_hold(histories: list[History]) -> Iterable[str]:
    for chain in every_chain():
        found = verify_chain(chain)
        if found.first_bad is not None:
            yield f"chain {chain} breaks at {found.first_bad}: {found.detail}"


def readers_go_forward_alone(histories: list[History]) -> Iterable[str]:
    """Numbers of pages never fall; of each document every revision comes once, in order; a delta is sorted."""
    for history in histories:
        seq, held = 0, {}
        for page in history.pages:
            if page["seq"] < seq:
                yield f"{history.name}: the position fell from {seq} to {page['seq']}"
            numbers = [change[4] for change in page["changes"]]
            if page["phase"] == "delta" and (numbers != sorted(numbers) or any(each <= seq for each in numbers)):
                yield f"{history.name}: a delta after {seq} brought {numbers}"
            seq = page["seq"]
            for collection, doc_id, op, rev, _ in page["changes"]:
                key = (collection, doc_id)
                if op == "put" and rev <= held.get(key, 0):
                    yield f"{history.name}: {collection} {doc_id} came as {rev} after {held[key]}"
                held[key] = max(rev or 0, held.get(key, 0))


def readers_have_what_they_were_answered(histories: list[History]) -> Iterable[str]:
    """What a phone was told to have taken effect is in its mirror, at that revision or a later one."""
    for history in histories:
        for op_id, status, _, rev in history.answers:
            said = json.loads(history.sent[op_id])
            held = history.docs.get((said["collection"], said["id"]))
            if status in EFFECT and rev is not None and (held is None or held["rev"] < rev):
                yield f"{history.name}: {said['collection']} {said['id']} was answered as {rev}, the mirror has {held}"


CHECKS: list[Callable[[list[History]], Iterable[str]]] = [
    everything_sent_is_stored_as_it_was_sent,
    everything_is_answered_with_the_verdict_that_stands,
    every_effect_happened_once,
    revisions_count_the_changes,
    numbers_have_no_gap,
    chains_hold,
    readers_go_forward_alone,
    readers_have_what_they_were_answered,
]


def _some(model, name: str, values: Iterable) -> Iterable:
    """Rows by a column, some hundred at a time: SQLite takes no more."""
    wanted = list(values)
    for start in range(0, len(wanted), 500):
        yield from model.objects.filter(**{f"{name}__in": wanted[start : start + 500]})
