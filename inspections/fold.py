"""What becomes of a rectification item: one pure fold over what was said about it, in order of ordinal.

The table comes first; the step works from it and `docs/rectification.md` is drawn from it. What a person says is always
a new document of that person; a document that no longer fits is kept and marked, never dropped and never an error here.
No database, no clock, no models. Who may say a thing stands at the end (`require_…`), where a finding goes likewise.

Source: design §5; regulations §2.2, §2.4.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from itertools import combinations
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from inspections.rules import FindingKind, Grade, higher
from safety.errors import NotAllowed, Problem, Stale

# ---------------------------------------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Where an item stands. None in its place means: no item yet."""

    REGISTERED = "registered"
    NOTIFIED = "notified"
    RECTIFYING = "rectifying"
    AWAITING_REVISIT = "awaiting_revisit"
    AWAITING_CLOSURE = "awaiting_closure"
    CLOSED = "closed"
    TRANSFERRED = "transferred"
    WITHDRAWN = "withdrawn"


STATE_WORDS = {
    State.REGISTERED: "已登记",
    State.NOTIFIED: "已通知",
    State.RECTIFYING: "整改中",
    State.AWAITING_REVISIT: "待复查",
    State.AWAITING_CLOSURE: "待销号",
    State.CLOSED: "已销号",
    State.TRANSFERRED: "已移送",
    State.WITHDRAWN: "撤销",
}
ENDED = frozenset({State.CLOSED, State.WITHDRAWN})


class Input(StrEnum):
    """What may move an item. Everything else that is said stands beside the state."""

    FINDING = "finding"
    FIXED = "fixed"
    NOTICE = "notice"
    RECEIPT = "receipt"
    REPORT = "report"
    PASSED = "passed"
    FAILED = "failed"
    CLOSURE_GRANTED = "closure_granted"
    CLOSURE_REFUSED = "closure_refused"
    TRANSFER = "transfer"
    REPLY_DONE = "reply_done"
    REPLY_RETURNED = "reply_returned"
    WITHDRAWAL_GRANTED = "withdrawal_granted"


class Does(StrEnum):
    """The five things that a cell can say."""

    MOVE = "move"  # to another state, or to the next round
    ADD = "add"  # counts, moves nothing
    KEEP = "keep"  # stored and shown, moves nothing
    REFUSE = "refuse"  # the web answers 422, a phone's is superseded and kept
    NEW = "new"  # this item stays as it ended; the finding opens another


BY_GRADE = "¹"  # a major or a candidate goes to awaiting_closure instead; a major's pass needs a second person
UNLESS_ANOTHER_IS_OPEN = "²"  # then the failed revisit becomes a finding of that one


class Cell(Struct, frozen=True):
    """One outcome. `to` is None when the state stays; `mark` is the footnote; `words` is what the page adds."""

    does: Does
    to: State | None = None
    rounds: int = 0
    mark: str = ""
    words: str = ""

    @property
    def text(self) -> str:
        arrow = f"→ {self.to}" if self.to else ""
        rounds = f"round + {self.rounds}" if self.rounds else ""
        if self.does is Does.MOVE:
            said = ", ".join(filter(None, [arrow, rounds])) + (f" ({self.words})" if self.words else "")
        elif self.does is Does.NEW:
            said = " ".join(filter(None, ["new item", arrow])) + (f", {self.words}" if self.words else "")
        else:
            said = self.words
        return f"{said} {self.mark}" if self.mark else said


def _to(state: State, *, rounds: int = 0, mark: str = "", words: str = "") -> Cell:
    return Cell(Does.MOVE, to=state, rounds=rounds, mark=mark, words=words)


def _row(**cells: Cell) -> dict[Input, Cell]:
    return {word: cells[word] for word in Input}


BLANK = Cell(Does.REFUSE)
NO = Cell(Does.REFUSE, words="–")
KEPT = Cell(Does.KEEP, words="kept")
ADDS = Cell(Does.ADD, words="adds")
MORE = Cell(Does.ADD, words="more evidence")
MORE_AND_STAYS = Cell(Does.ADD, words="more evidence, stays")
NEXT_ROUND = Cell(Does.MOVE, rounds=1)
CLOSES = _to(State.CLOSED, mark=BY_GRADE)
BACK_A_ROUND = _to(State.RECTIFYING, rounds=1)
WITHDRAWN = _to(State.WITHDRAWN)
TRANSFERRED = _to(State.TRANSFERRED)
REPORTED = _to(State.AWAITING_REVISIT)
NEW = Cell(Does.NEW)
NEW_REPEAT = Cell(Does.NEW, words="marked repeat")
NEW_CLOSED = Cell(Does.NEW, to=State.CLOSED, mark=BY_GRADE)

TABLE: dict[State | None, dict[Input, Cell]] = {
    None: _row(
        finding=_to(State.REGISTERED),
        fixed=CLOSES,
        notice=BLANK,
        receipt=BLANK,
        report=BLANK,
        passed=BLANK,
        failed=BLANK,
        closure_granted=BLANK,
        closure_refused=BLANK,
        transfer=BLANK,
        reply_done=BLANK,
        reply_returned=BLANK,
        withdrawal_granted=BLANK,
    ),
    State.REGISTERED: _row(
        finding=ADDS,
        fixed=ADDS,
        notice=_to(State.NOTIFIED),
        receipt=_to(State.RECTIFYING),
        report=REPORTED,
        passed=CLOSES,
        failed=_to(State.RECTIFYING),
        closure_granted=NO,
        closure_refused=NO,
        transfer=TRANSFERRED,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=WITHDRAWN,
    ),
    State.NOTIFIED: _row(
        finding=ADDS,
        fixed=ADDS,
        notice=KEPT,
        receipt=_to(State.RECTIFYING),
        report=_to(State.AWAITING_REVISIT, words="is a receipt too"),
        passed=CLOSES,
        failed=_to(State.RECTIFYING),
        closure_granted=NO,
        closure_refused=NO,
        transfer=TRANSFERRED,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=WITHDRAWN,
    ),
    State.RECTIFYING: _row(
        finding=ADDS,
        fixed=ADDS,
        notice=KEPT,
        receipt=KEPT,
        report=REPORTED,
        passed=CLOSES,
        failed=NEXT_ROUND,
        closure_granted=NO,
        closure_refused=NO,
        transfer=TRANSFERRED,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=WITHDRAWN,
    ),
    State.AWAITING_REVISIT: _row(
        finding=BACK_A_ROUND,
        fixed=ADDS,
        notice=KEPT,
        receipt=KEPT,
        report=MORE,
        passed=CLOSES,
        failed=BACK_A_ROUND,
        closure_granted=NO,
        closure_refused=NO,
        transfer=TRANSFERRED,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=WITHDRAWN,
    ),
    State.AWAITING_CLOSURE: _row(
        finding=BACK_A_ROUND,
        fixed=ADDS,
        notice=KEPT,
        receipt=KEPT,
        report=MORE_AND_STAYS,
        passed=KEPT,
        failed=BACK_A_ROUND,
        closure_granted=_to(State.CLOSED),
        closure_refused=BACK_A_ROUND,
        transfer=NO,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=WITHDRAWN,
    ),
    State.CLOSED: _row(
        finding=NEW_REPEAT,
        fixed=NEW_CLOSED,
        notice=KEPT,
        receipt=KEPT,
        report=KEPT,
        passed=KEPT,
        failed=_to(State.RECTIFYING, rounds=1, words="反弹", mark=UNLESS_ANOTHER_IS_OPEN),
        closure_granted=NO,
        closure_refused=NO,
        transfer=NO,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=NO,
    ),
    State.TRANSFERRED: _row(
        finding=ADDS,
        fixed=ADDS,
        notice=KEPT,
        receipt=KEPT,
        report=KEPT,
        passed=KEPT,
        failed=KEPT,
        closure_granted=NO,
        closure_refused=NO,
        transfer=NO,
        reply_done=CLOSES,
        reply_returned=_to(State.REGISTERED),
        withdrawal_granted=WITHDRAWN,
    ),
    State.WITHDRAWN: _row(
        finding=NEW,
        fixed=NEW_CLOSED,
        notice=KEPT,
        receipt=KEPT,
        report=KEPT,
        passed=KEPT,
        failed=_to(State.REGISTERED, mark=UNLESS_ANOTHER_IS_OPEN),
        closure_granted=NO,
        closure_refused=NO,
        transfer=NO,
        reply_done=NO,
        reply_returned=NO,
        withdrawal_granted=NO,
    ),
}

# A column of the page, and the inputs that share it with the word that tells them apart.
COLUMNS: dict[str, tuple[tuple[str, Input], ...]] = {
    "finding attached": (("", Input.FINDING),),
    "finding fixed on the spot": (("", Input.FIXED),),
    "notice": (("", Input.NOTICE),),
    "receipt": (("", Input.RECEIPT),),
    "report": (("", Input.REPORT),),
    "revisit passed": (("", Input.PASSED),),
    "revisit failed": (("", Input.FAILED),),
    "closure": (("", Input.CLOSURE_GRANTED), ("refused ", Input.CLOSURE_REFUSED)),
    "transfer / reply": (("", Input.TRANSFER), ("done ", Input.REPLY_DONE), ("returned ", Input.REPLY_RETURNED)),
    "withdrawal granted": (("", Input.WITHDRAWAL_GRANTED),),
}


def table_as_markdown() -> str:
    """The table as it stands in `docs/rectification.md`, one line a state, no line break at the end."""
    lines = [["state", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    for state, row in TABLE.items():
        name = f"`{state}` {STATE_WORDS[state]}" if state else "*none yet*"
        lines.append([name, *(_column(row, inputs) for inputs in COLUMNS.values())])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


PAGE_BEGIN = "<!-- drawn by inspections.fold.drawn_into -->"
PAGE_END = "<!-- end -->"


def drawn_into(page: str) -> str:
    """The text of `docs/rectification.md` with the table drawn anew between its two marks."""
    head, rest = page.split(PAGE_BEGIN)
    _, tail = rest.split(PAGE_END)
    return f"{head}{PAGE_BEGIN}\n\n{table_as_markdown()}\n\n{PAGE_END}{tail}"


def _column(row: dict[Input, Cell], inputs: tuple[tuple[str, Input], ...]) -> str:
    spoken = [word + row[name].text for word, name in inputs if row[name].does is not Does.REFUSE]
    return "; ".join(spoken) or row[inputs[0][1]].text


# ---------------------------------------------------------------------------------------------------------------------
# What is said
# ---------------------------------------------------------------------------------------------------------------------


class Photo(NamedTuple):
    """A photo that a document lists: its id and the SHA-256 (64 hex digits) of its bytes."""

    id: UUID
    sha256: str


class Said(Struct, frozen=True, kw_only=True, tag_field="said"):
    """One document about an item. `ordinal` is unique per item, given under the item's lock, and alone orders.

    `seen` is the ordinal of the newest document that its author had before them (a phone's `base_rev`), None where that
    is not known: then the author is taken to have seen everything. `said_at` and `source` are for people to read.
    """

    id: UUID
    ordinal: int
    by: UUID
    said_at: datetime
    source: str = "web"
    seen: int | None = None


class Finding(Said, frozen=True, kw_only=True, tag="finding"):
    """A finding attached to the item; the first one opens it. `repeat_of` is the ended item that it repeats.

    A finding fixed on the spot carries its photos from before and after the cure.
    """

    finding: UUID
    kind: FindingKind = FindingKind.HAZARD
    grade: Grade = Grade.GENERAL
    fixed_on_spot: bool = False
    before: tuple[Photo, ...] = ()
    after: tuple[Photo, ...] = ()
    repeat_of: UUID | None = None


class NoticeKind(StrEnum):
    RECTIFY = "rectify"  # 限期整改
    LIST = "list"  # 挂牌督办
    DELIST = "delist"  # 摘牌


class Notice(Said, frozen=True, kw_only=True, tag="notice"):
    """`suspend_use`: True orders the place out of use (停用), False lifts that, None says nothing of it."""

    kind: NoticeKind = NoticeKind.RECTIFY
    due_on: date | None = None
    suspend_use: bool | None = None


class Receipt(Said, frozen=True, kw_only=True, tag="receipt"):
    """The unit has the notice."""


class Report(Said, frozen=True, kw_only=True, tag="report"):
    """What the unit did in a round. Only the photos that it lists are evidence; `cause`: funds, another party."""

    round: int
    photos: tuple[Photo, ...] = ()
    partial: bool = False
    cause: str = ""


class Revisit(Said, frozen=True, kw_only=True, tag="revisit"):
    """`attached_to` is the item to which a failed one was diverted when it was heard (footnote 2): it is part of what
    happened, so that the fold says the same ever after."""

    round: int
    evidence_hash: str
    passed: bool
    reason: str = ""
    attached_to: UUID | None = None


class Extension(Said, frozen=True, kw_only=True, tag="extension"):
    """A request for a later date; only a decision grants it."""

    until: date
    reason: str = ""


class Judgement(Said, frozen=True, kw_only=True, tag="judgement"):
    """判定. The only thing that says `major`, or lowers. A `major` cites the clauses of the guide."""

    grade: Grade
    clauses: tuple[str, ...] = ()


class Closure(Said, frozen=True, kw_only=True, tag="closure"):
    round: int
    evidence_hash: str
    granted: bool
    reason: str = ""


class Withdrawal(Said, frozen=True, kw_only=True, tag="withdrawal"):
    """A proposal to withdraw the item as mistaken; only a decision grants it."""

    reason: str = ""


class Transfer(Said, frozen=True, kw_only=True, tag="transfer"):
    departments: tuple[str, ...] = ()


class TransferReply(Said, frozen=True, kw_only=True, tag="transfer_reply"):
    """What the department answered: True 办结, False 退回."""

    done: bool
    text: str = ""


class Decision(Said, frozen=True, kw_only=True, tag="decision"):
    """On an extension or a withdrawal. `until` may grant another date than was asked for."""

    target: UUID
    granted: bool
    until: date | None = None
    reason: str = ""


class Signature(Said, frozen=True, kw_only=True, tag="signature"):
    """Somebody's hand under the item."""


class Comment(Said, frozen=True, kw_only=True, tag="comment"):
    """Talk; counts for nothing."""


AnySaid = (
    Finding
    | Notice
    | Receipt
    | Report
    | Revisit
    | Extension
    | Judgement
    | Closure
    | Withdrawal
    | Transfer
    | TransferReply
    | Decision
    | Signature
    | Comment
)


# ---------------------------------------------------------------------------------------------------------------------
# What it comes to
# ---------------------------------------------------------------------------------------------------------------------


class Mark(Struct, frozen=True):
    """A document that something hangs on."""

    said: UUID
    ordinal: int
    by: UUID


class Evidence(Struct, frozen=True):
    """A report of the present round."""

    ordinal: int
    report: UUID
    photos: tuple[Photo, ...]


class Pass(Struct, frozen=True):
    """A pass that counts in the present round: who, and the evidence that was judged."""

    round: int
    evidence_hash: str
    by: UUID
    said: UUID


class Fail(Struct, frozen=True):
    """A fail that counted. `named` is the round that it judged; `ended` are the rounds for which it is the fail."""

    mark: Mark
    named: int
    ended: tuple[int, ...]


class Request(Struct, frozen=True):
    """An extension (`until`) or a withdrawal (no date) and what was decided on it."""

    id: UUID
    until: date | None
    granted: bool | None = None
    decided_by: UUID | None = None


def evidence_hash(findings: Collection[UUID], reports: Collection[Evidence]) -> str:
    """SHA-256 over the attached findings and, of this round, (ordinal, report, its photos' ids and SHA-256).

    Canonical: compact JSON, findings and photos in order of id, reports in order of ordinal.
    """
    told = [
        (report.ordinal, report.report, sorted(report.photos, key=_photo_order))
        for report in sorted(reports, key=lambda report: report.ordinal)
    ]
    canonical = msgspec.json.encode((sorted(findings, key=lambda finding: finding.int), told))
    return hashlib.sha256(canonical).hexdigest()


def _photo_order(photo: Photo) -> tuple[int, str]:
    return photo.id.int, photo.sha256


class ItemState(Struct, frozen=True, kw_only=True):
    """All that the next step needs; nothing else is read. Facts beside the state are fields of their own.

    `decided_by` is the last document that moved the state or the round, `evidence_by` the last that changed the round
    or its evidence, `graded_by` the last that changed the grade, `alarm` the last finding or counted fail.
    """

    state: State | None = None
    grade: Grade = Grade.NONE
    judged: bool = False  # the grade is a judgement's (判定等级), not yet raised by a later finding
    kind: FindingKind = FindingKind.ISSUE
    round: int = 1
    due_on: date | None = None
    due_round: int = 0  # the round whose notice set due_on
    extended: bool = False  # 延期, in whatever round
    extended_to: date | None = None  # in force; a next round's notice sets a date anew
    evidence_hash: str = evidence_hash((), ())
    findings: tuple[UUID, ...] = ()
    reports: tuple[Evidence, ...] = ()
    passes: tuple[Pass, ...] = ()
    fails: tuple[Fail, ...] = ()
    requests: tuple[Request, ...] = ()
    reporters: tuple[UUID, ...] = ()
    departments: tuple[str, ...] = ()
    linked: tuple[UUID, ...] = ()  # items to which failed revisits of this one were diverted
    suspended: bool = False  # 停用
    listed: bool = False  # 挂牌
    repeated: bool = False
    looked_back: bool = False  # 回头看
    rebound: bool = False  # 反弹
    fixed_on_spot: bool = False  # every finding so far was
    decided_by: Mark | None = None
    evidence_by: UUID | None = None
    graded_by: UUID | None = None
    alarm: Mark | None = None

    @property
    def due(self) -> date | None:
        """The last day, inclusive: a granted extension's, else the notice's."""
        return self.extended_to or self.due_on

    @property
    def is_open(self) -> bool:
        return self.state is not None and self.state not in ENDED

    @property
    def passed_by(self) -> tuple[UUID, ...]:
        """Those who passed the same round and evidence; where several sets were passed, of the one passed by most."""
        groups: dict[tuple[int, str], list[UUID]] = {}
        for each in self.passes:
            groups.setdefault((each.round, each.evidence_hash), []).append(each.by)
        return tuple(max(groups.values(), key=len, default=()))

    def is_overdue_on(self, day: date) -> bool:
        """`day` is the school's date. What is closed, transferred or withdrawn is not overdue."""
        return self.is_open and self.state is not State.TRANSFERRED and self.due is not None and day > self.due


NOTHING_YET = ItemState()


class Verdict(StrEnum):
    MOVED = "moved"  # another state, or the next round
    ADDED = "added"  # counts (evidence, grade, date, first pass of two), the state stays
    KEPT = "kept"  # stored and shown, moves nothing
    SUPERSEDED = "superseded"  # kept and marked: it no longer fitted, `code` says why
    CO_SIGNED = "co_signed"  # says again what `because` had said
    NEW_ITEM = "new_item"  # this one stays as it ended; the finding opens another
    ATTACHED_ELSEWHERE = "attached_elsewhere"  # becomes a finding of `attached_to`


class Effect(Struct, frozen=True, kw_only=True):
    """What one document did. `because` is the document that had already settled it, where one had."""

    said: UUID
    verdict: Verdict
    before: State | None
    after: State | None
    round_before: int
    round_after: int
    code: str = ""
    because: UUID | None = None
    attached_to: UUID | None = None
    repeat: bool = False
    flags: tuple[str, ...] = ()

    @property
    def rounds(self) -> int:
        return self.round_after - self.round_before


# ---------------------------------------------------------------------------------------------------------------------
# The step
# ---------------------------------------------------------------------------------------------------------------------


def step(item: ItemState | None, said: AnySaid, *, other_open: UUID | None = None) -> tuple[ItemState, Effect]:
    """What one document does to an item: the item after it (equal, if nothing changed), and what it did.

    Never raises a Problem, see `refusal`. `other_open` is another open item on the same key (site, checklist item,
    place), if there is one when a revisit is heard first; the caller keeps `Effect.attached_to` in the revisit's own
    `attached_to`, from which a later fold reads it.
    """
    item = item or NOTHING_YET
    after, effect = HEARD[type(said)](item, said, other_open)
    if (after.findings, after.reports, after.round) != (item.findings, item.reports, item.round):
        evidence = evidence_hash(after.findings, after.reports)
        after = replace(after, evidence_hash=evidence, evidence_by=said.id)
    return after, effect


def _finding(item: ItemState, said: Finding, _) -> tuple[ItemState, Effect]:
    cell = TABLE[item.state][Input.FIXED if said.fixed_on_spot else Input.FINDING]
    if cell.does is Does.NEW:
        return item, _effect(item, item, said, Verdict.NEW_ITEM, repeat=item.state is State.CLOSED)
    if said.finding in item.findings:
        return item, _effect(item, item, said, Verdict.KEPT)
    return _attached(item, said, cell)


def _attached(item: ItemState, said: Finding, cell: Cell) -> tuple[ItemState, Effect]:
    """An attached finding raises the grade to its own, at most to `major_candidate`; only a judgement says `major`."""
    own = Grade.MAJOR_CANDIDATE if said.grade is Grade.MAJOR else said.grade
    grade = higher(item.grade, own)
    raised = grade is not item.grade or not item.findings
    after = replace(
        item,
        findings=(*item.findings, said.finding),
        grade=grade,
        judged=item.judged and not raised,
        graded_by=said.id if raised else item.graded_by,
        kind=higher(item.kind, said.kind),
        fixed_on_spot=said.fixed_on_spot and (item.fixed_on_spot or not item.findings),
        repeated=item.repeated or said.repeat_of is not None,
        alarm=_mark(said),
    )
    after = _moved(after, cell, said)
    return after, _effect(item, after, said, Verdict.ADDED, flags=_photo_flags(said))


def _photo_flags(said: Finding) -> tuple[str, ...]:
    if not said.fixed_on_spot:
        return ()
    missing = (("missing-photo-before", said.before), ("missing-photo-after", said.after))
    return tuple(flag for flag, photos in missing if not photos)


def _notice(item: ItemState, said: Notice, _) -> tuple[ItemState, Effect]:
    """The first notice of a round sets the date, a later one of that round does not: only a granted extension does.
    Being listed brings a date of its own (督办时限). Listed and suspended follow the last notice that speaks of them."""
    cell = TABLE[item.state][Input.NOTICE]
    if cell.does is Does.REFUSE:
        return _refused(item, said, "not-in-this-state")
    facts: dict[str, Any] = {}
    if said.kind is not NoticeKind.RECTIFY:
        facts["listed"] = said.kind is NoticeKind.LIST
    if said.suspend_use is not None:
        facts["suspended"] = said.suspend_use
    if _brings_a_date(item, said):
        facts |= {"due_on": said.due_on, "due_round": item.round, "extended_to": None}
    after = _moved(replace(item, **facts), cell, said)
    return after, _effect(item, after, said, Verdict.KEPT)


def _brings_a_date(item: ItemState, said: Notice) -> bool:
    if said.due_on is None or not item.is_open or said.kind is NoticeKind.DELIST:
        return False
    return said.kind is NoticeKind.LIST or item.due_round < item.round


def _receipt(item: ItemState, said: Receipt, _) -> tuple[ItemState, Effect]:
    return _by_the_table(item, said, Input.RECEIPT)


def _report(item: ItemState, said: Report, _) -> tuple[ItemState, Effect]:
    """A report of an ended round is kept there and moves nothing. Whoever reported may not revisit, ever."""
    cell = TABLE[item.state][Input.REPORT]
    if cell.does is Does.REFUSE:
        return _refused(item, said, "not-in-this-state")
    if said.round > item.round:
        return _refused(item, said, "unknown-round")
    reporters = item.reporters if said.by in item.reporters else (*item.reporters, said.by)
    if said.round < item.round:
        after = replace(item, reporters=reporters)
        return after, _effect(item, after, said, Verdict.KEPT, because=item.evidence_by)
    evidence = Evidence(ordinal=said.ordinal, report=said.id, photos=said.photos)
    after = _moved(replace(item, reporters=reporters, reports=(*item.reports, evidence)), cell, said)
    return after, _effect(item, after, said, Verdict.ADDED if cell.does is Does.ADD else Verdict.KEPT)


def _revisit(item: ItemState, said: Revisit, other_open: UUID | None) -> tuple[ItemState, Effect]:
    return _passed(item, said) if said.passed else _failed(item, said, said.attached_to or other_open)


def _passed(item: ItemState, said: Revisit) -> tuple[ItemState, Effect]:
    """A pass counts for the round and evidence that it judged, and only if its author had seen the last alarm."""
    cell = TABLE[item.state][Input.PASSED]
    if cell.does is Does.REFUSE:
        return _refused(item, said, "not-in-this-state")
    if (said.round, said.evidence_hash) != (item.round, item.evidence_hash):
        return _refused(item, said, "stale", because=item.evidence_by)
    if alarm := _unseen_alarm(item, said):
        return _refused(item, said, "stale", because=alarm.said)
    earlier = [each for each in item.passes if each.evidence_hash == said.evidence_hash]
    if cell.does is Does.KEEP:
        return _passed_again(item, said, earlier)
    after = _with_pass(item, said)
    if after.grade is Grade.MAJOR and len(after.passed_by) < 2:
        return after, _effect(item, after, said, Verdict.KEPT if after is item else Verdict.ADDED)
    after = _moved(after, cell, said)
    return after, _effect(item, after, said, Verdict.ADDED)


def _passed_again(item: ItemState, said: Revisit, earlier: list[Pass]) -> tuple[ItemState, Effect]:
    """A pass where the state no longer moves: a second person's signature, or 回头看 by one who knew of the closing."""
    if item.state is State.CLOSED and not _unseen(item.decided_by, said):
        after = replace(item, looked_back=True)
        return after, _effect(item, after, said, Verdict.KEPT)
    after = _with_pass(item, said)
    if not earlier or after is item:
        return after, _effect(item, after, said, Verdict.KEPT)
    return after, _effect(item, after, said, Verdict.CO_SIGNED, because=earlier[0].said)


def _with_pass(item: ItemState, said: Revisit) -> ItemState:
    if any(each.by == said.by and each.evidence_hash == said.evidence_hash for each in item.passes):
        return item
    mine = Pass(round=said.round, evidence_hash=said.evidence_hash, by=said.by, said=said.id)
    return replace(item, passes=(*item.passes, mine))


def _failed(item: ItemState, said: Revisit, other: UUID | None) -> tuple[ItemState, Effect]:
    """A fail always counts, whatever it saw, but once a round."""
    cell = TABLE[item.state][Input.FAILED]
    if cell.does is Does.REFUSE:
        return _refused(item, said, "not-in-this-state")
    if first := _same_fail(item, said):
        return item, _effect(item, item, said, Verdict.CO_SIGNED, because=first.mark.said)
    if cell.does is Does.KEEP:
        return item, _effect(item, item, said, Verdict.KEPT)
    if cell.mark == UNLESS_ANOTHER_IS_OPEN and other:
        after = replace(item, linked=item.linked if other in item.linked else (*item.linked, other))
        return after, _effect(item, after, said, Verdict.ATTACHED_ELSEWHERE, attached_to=other)
    ended = tuple({said.round, item.round}) if cell.rounds else ()
    fail = Fail(mark=_mark(said), named=said.round, ended=ended)
    rebound = item.rebound or item.state is State.CLOSED
    after = replace(item, fails=(*item.fails, fail), alarm=fail.mark, passes=(), rebound=rebound)
    after = _moved(after, cell, said)
    return after, _effect(item, after, said, Verdict.ADDED)


def _same_fail(item: ItemState, said: Revisit) -> Fail | None:
    """The fail that this one co-signs: it named a round that this one ended, or it judged the same round unaware of it."""
    for fail in item.fails:
        if said.round in fail.ended or (said.round == fail.named and _unseen(fail.mark, said)):
            return fail
    return None


def _closure(item: ItemState, said: Closure, _) -> tuple[ItemState, Effect]:
    """A candidate must be judged before it closes; a major needs two persons' passes of one round and evidence."""
    if item.state is not None and (said.round, said.evidence_hash) != (item.round, item.evidence_hash):
        return _refused(item, said, "stale", because=item.evidence_by)
    if not said.granted:
        return _by_the_table(item, said, Input.CLOSURE_REFUSED)
    if item.state is State.AWAITING_CLOSURE and item.grade is Grade.MAJOR_CANDIDATE:
        return _refused(item, said, "needs-judgement", because=item.graded_by)
    if item.state is State.AWAITING_CLOSURE and item.grade is Grade.MAJOR and len(item.passed_by) < 2:
        return _refused(item, said, "needs-second-pass", because=item.graded_by)
    return _by_the_table(item, said, Input.CLOSURE_GRANTED)


def _transfer(item: ItemState, said: Transfer, _) -> tuple[ItemState, Effect]:
    after, effect = _by_the_table(item, said, Input.TRANSFER)
    return (replace(after, departments=said.departments) if effect.verdict is Verdict.MOVED else after), effect


def _transfer_reply(item: ItemState, said: TransferReply, _) -> tuple[ItemState, Effect]:
    return _by_the_table(item, said, Input.REPLY_DONE if said.done else Input.REPLY_RETURNED)


def _by_the_table(item: ItemState, said: AnySaid, word: Input) -> tuple[ItemState, Effect]:
    cell = TABLE[item.state][word]
    if cell.does is Does.REFUSE:
        return _refused(item, said, "not-in-this-state")
    after = _moved(item, cell, said)
    return after, _effect(item, after, said, Verdict.KEPT)


# Beside the state: an item that has ended, or is not there, takes no more of these.


def _judgement(item: ItemState, said: Judgement, _) -> tuple[ItemState, Effect]:
    """Alone says `major`, citing the clause (regulations §2.2 no. 3), alone lowers; who lowers must have seen the alarm."""
    if not item.is_open:
        return _refused(item, said, "not-in-this-state")
    if said.grade is Grade.MAJOR_CANDIDATE:
        return _refused(item, said, "judges-nothing")
    if said.grade is Grade.MAJOR and not any(clause.strip() for clause in said.clauses):
        return _refused(item, said, "needs-clause")
    if said.grade is item.grade and item.judged:
        return item, _effect(item, item, said, Verdict.CO_SIGNED, because=item.graded_by)
    if said.grade.rank < item.grade.rank and (alarm := _unseen_alarm(item, said)):
        return _refused(item, said, "stale", because=alarm.said)
    after = replace(item, grade=said.grade, judged=True, graded_by=said.id)
    return after, _effect(item, after, said, Verdict.ADDED)


def _request(item: ItemState, said: Extension | Withdrawal, _) -> tuple[ItemState, Effect]:
    if not item.is_open:
        return _refused(item, said, "not-in-this-state")
    until = said.until if isinstance(said, Extension) else None
    after = replace(item, requests=(*item.requests, Request(id=said.id, until=until)))
    return after, _effect(item, after, said, Verdict.KEPT)


def _decision(item: ItemState, said: Decision, _) -> tuple[ItemState, Effect]:
    """The first decision on a request stands; only a granted one moves anything."""
    request = next((each for each in item.requests if each.id == said.target), None)
    if request is None:
        return _refused(item, said, "unknown-request")
    until = request.until and (said.until or request.until)
    withdraws = said.granted and until is None
    if withdraws and TABLE[item.state][Input.WITHDRAWAL_GRANTED].does is Does.REFUSE:
        return _refused(item, said, "not-in-this-state")
    if request.granted is not None:
        if (said.granted, until) == (request.granted, request.until):
            return item, _effect(item, item, said, Verdict.CO_SIGNED, because=request.decided_by)
        return _refused(item, said, "already-decided", because=request.decided_by)
    if not item.is_open:
        return _refused(item, said, "not-in-this-state")
    decided = replace(request, granted=said.granted, until=until, decided_by=said.id)
    after = replace(item, requests=tuple(decided if each is request else each for each in item.requests))
    if not said.granted:
        return after, _effect(item, after, said, Verdict.KEPT)
    if until:
        after = replace(after, extended=True, extended_to=until)
        return after, _effect(item, after, said, Verdict.ADDED)
    if alarm := _unseen_alarm(item, said):
        return _refused(item, said, "stale", because=alarm.said)
    after = _moved(after, TABLE[item.state][Input.WITHDRAWAL_GRANTED], said)
    return after, _effect(item, after, said, Verdict.ADDED)


def _talk(item: ItemState, said: Signature | Comment, _) -> tuple[ItemState, Effect]:
    return item, _effect(item, item, said, Verdict.KEPT)


HEARD: dict[type, Callable[[ItemState, Any, UUID | None], tuple[ItemState, Effect]]] = {
    Finding: _finding,
    Notice: _notice,
    Receipt: _receipt,
    Report: _report,
    Revisit: _revisit,
    Extension: _request,
    Judgement: _judgement,
    Closure: _closure,
    Withdrawal: _request,
    Transfer: _transfer,
    TransferReply: _transfer_reply,
    Decision: _decision,
    Signature: _talk,
    Comment: _talk,
}


def _moved(item: ItemState, cell: Cell, said: AnySaid) -> ItemState:
    """The item where the cell sends it; a new round begins without reports and passes."""
    if cell.does is not Does.MOVE:
        return item
    state = cell.to or item.state
    if cell.mark == BY_GRADE and item.grade.rank >= Grade.MAJOR_CANDIDATE.rank:
        state = State.AWAITING_CLOSURE
    fresh = {"reports": (), "passes": ()} if cell.rounds else {}
    return replace(item, state=state, round=item.round + cell.rounds, decided_by=_mark(said), **fresh)


def _mark(said: AnySaid) -> Mark:
    return Mark(said=said.id, ordinal=said.ordinal, by=said.by)


def _unseen(mark: Mark | None, said: AnySaid) -> bool:
    """Whether the author is known not to have seen it; one's own words one knows."""
    return said.seen is not None and mark is not None and mark.ordinal > said.seen and mark.by != said.by


def _unseen_alarm(item: ItemState, said: AnySaid) -> Mark | None:
    """What eases (a pass, a lower grade, a withdrawal) does not count over a finding or fail that its author had not seen.

    Source: sync.md §3, principle (b): nothing becomes safe because two things happened off-line.
    """
    return item.alarm if _unseen(item.alarm, said) else None


def _effect(item: ItemState, after: ItemState, said: AnySaid, verdict: Verdict, **more) -> Effect:
    moved = (item.state, item.round) != (after.state, after.round)
    return Effect(
        said=said.id,
        verdict=Verdict.MOVED if moved else verdict,
        before=item.state,
        after=after.state,
        round_before=item.round,
        round_after=after.round,
        **more,
    )


def _refused(item: ItemState, said: AnySaid, code: str, because: UUID | None = None) -> tuple[ItemState, Effect]:
    if because is None and item.decided_by:
        because = item.decided_by.said
    return item, _effect(item, item, said, Verdict.SUPERSEDED, code=code, because=because)


# ---------------------------------------------------------------------------------------------------------------------
# The fold, and which document decided
# ---------------------------------------------------------------------------------------------------------------------


def standing(item: ItemState) -> tuple[State | None, int]:
    return item.state, item.round


class Folded(Struct, frozen=True):
    """An item as everything said about it leaves it, with one effect a document, both in order of ordinal."""

    item: ItemState
    effects: tuple[Effect, ...]
    said: tuple[AnySaid, ...]

    @property
    def decided_by(self) -> tuple[UUID, ...]:
        """The documents that decided where the item stands, see `deciders`."""
        return self.deciders(standing)

    def deciders(self, of: Callable[[ItemState], Any]) -> tuple[UUID, ...]:
        """The latest smallest set of documents without which `of` the item would be another; in order of ordinal.

        Nearly always one: the last that moved it. Two passes of the same evidence are two ("either would have done"),
        and so is a finding that moved nothing and yet made a later pass stale: without it the pass had closed the item.
        """
        before = _states(self.said)
        now = of(self.item)
        for first in reversed(range(len(self.said))):
            if before[first + 1] == before[first]:
                continue
            rest = self.said[first + 1 :]
            for size in range(min(len(rest), 2) + 1):
                for others in combinations(rest, size):
                    if of(_without(before[first], rest, others)) != now:
                        return (self.said[first].id, *(each.id for each in others))
            if of(before[first]) != now:
                return (self.said[first].id, *_needed(before[first], rest, of, now))
        return ()

    def too_early(self, of: Callable[[ItemState], Any] = standing) -> tuple[UUID, ...]:
        """Documents that did nothing to `of` where they came, and would have made it another had they come later.

        A closure said before the judgement that it needed; one person's pass of a major that is then judged no major.
        """
        before, rest = _states(self.said), self.said
        return tuple(one.id for n, one in enumerate(rest) if _waits(before[n], one, rest[n + 1 :], of, of(self.item)))

    def too_late(self, of: Callable[[ItemState], Any] = standing) -> tuple[UUID, ...]:
        """Documents that did nothing to `of` where they came, and would have made it another had they come earlier."""
        before = _states(self.said)
        return tuple(one.id for n, one in enumerate(self.said) if _lags(before, n, self.said, of, of(self.item)))


def fold(said: Iterable[AnySaid]) -> Folded:
    """Everything said about one item, in any order; the order of ordinal is the one that counts."""
    ordered = tuple(sorted(said, key=lambda each: each.ordinal))
    item, effects = NOTHING_YET, []
    for each in ordered:
        item, effect = step(item, each)
        effects.append(effect)
    return Folded(item=item, effects=tuple(effects), said=ordered)


def _states(said: Sequence[AnySaid]) -> list[ItemState]:
    states = [NOTHING_YET]
    for each in said:
        states.append(step(states[-1], each)[0])
    return states


def _after(item: ItemState, said: Iterable[AnySaid]) -> ItemState:
    for each in said:
        item, _ = step(item, each)
    return item


def _without(item: ItemState, rest: Sequence[AnySaid], gone: Collection[AnySaid]) -> ItemState:
    return _after(item, (each for each in rest if each not in gone))


def _needed(item: ItemState, rest: Sequence[AnySaid], of: Callable[[ItemState], Any], now: Any) -> list[UUID]:
    """Of the documents after a move, those that would have made up for it; the others may stay."""
    gone = list(rest)
    for each in rest:
        fewer = [other for other in gone if other is not each]
        if of(_without(item, rest, fewer)) != now:
            gone = fewer
    return [each.id for each in gone]


def _waits(item: ItemState, one: AnySaid, rest: Sequence[AnySaid], of: Callable[[ItemState], Any], now: Any) -> bool:
    there, effect = step(item, one)
    if of(there) != of(item):
        return False
    for place, other in enumerate(rest, start=1):
        item, _ = step(item, other)
        there, again = step(item, one)
        heard = effect.verdict is Verdict.SUPERSEDED and again.verdict is not Verdict.SUPERSEDED
        if (heard or of(there) != of(item)) and of(_after(there, rest[place:])) != now:
            return True
    return False


def _lags(
    before: Sequence[ItemState], n: int, said: Sequence[AnySaid], of: Callable[[ItemState], Any], now: Any
) -> bool:
    if of(before[n + 1]) != of(before[n]):
        return False
    rest = said[n + 1 :]
    return any(of(_after(before[place], [said[n], *said[place:n], *rest])) != now for place in range(1, n))


# ---------------------------------------------------------------------------------------------------------------------
# One rule for both doors
# ---------------------------------------------------------------------------------------------------------------------

REFUSALS = {
    "stale": "整改项已更新到第 {current} 版,您看到的材料不是最新的。请看过最新材料再定。",
    "not-in-this-state": "整改项现在是“{word}”,这一步办不了。请刷新后按现在的状态办理。",
    "unknown-round": "报告写的轮次还没有开始,现在是第 {round} 轮。请刷新后按现在的轮次提交。",
    "needs-judgement": "这是待判定的重大隐患,判定之后才能销号。请先办理判定。",
    "needs-second-pass": "重大隐患须有两人对同一轮、同一份材料复查合格,现在还差一人。请另一位复查人复查后再销号。",
    "needs-clause": "判定为重大隐患须写明依据的判定条款。请补上条款再提交。",
    "judges-nothing": "判定要给出结论:重大,或一般、较大、仅为问题。请选定等级再提交。",
    "unknown-request": "没有找到要审批的延期或撤销申请。请刷新后重试。",
    "already-decided": "这份申请已经有了另一种审批结果,以先作出的为准。如需更改,请重新申请。",
}


def refusal(effect: Effect, current_rev: int) -> Problem | None:
    """What the web answers where a phone's document is kept as superseded: 409 `stale`, else 422; None if it was heard."""
    if effect.verdict is not Verdict.SUPERSEDED:
        return None
    message = REFUSALS[effect.code]
    if effect.code == "stale":
        return Stale(message=message, current=current_rev)
    word = STATE_WORDS[effect.before] if effect.before else "尚未登记"
    said = message.format(word=word, round=effect.round_before)
    return Problem(effect.code, said, state=effect.before, round=effect.round_before)


# ---------------------------------------------------------------------------------------------------------------------
# Who may say it
# ---------------------------------------------------------------------------------------------------------------------


def require_revisit(item: ItemState, *, by: UUID, units: Collection[UUID], unit_side_posts: Collection[UUID]) -> None:
    """A revisit is by nobody who reported and nobody with a unit-side post there. Raises NotAllowed.

    `units`: the unit responsible and those that its site serves; `unit_side_posts`: the units where the person has a
    post on the unit's side. Source: design §5; regulations §2.4 (复查人与整改责任人回避).
    """
    if by in item.reporters:
        raise NotAllowed("revisit-by-reporter", "您报告过这项整改,复查须由别人来做。请转给另一位检查人员。")
    if set(units) & set(unit_side_posts):
        raise NotAllowed("revisit-by-own-side", "您在这个单位任职,不能复查本单位的整改。请转给另一位检查人员。")


def require_closure(*, is_approver: bool) -> None:
    """A closure, granted or refused, is an approver's. Raises NotAllowed. That two persons passed a major is the fold's
    to say (`needs-second-pass`): majors by two persons, then an approver (design §5)."""
    if not is_approver:
        raise NotAllowed("closure-needs-approver", "重大隐患的销号由审批人办理。请转给分管领导或安全科负责人。")


def require_judgement(*, is_approver: bool) -> None:
    """A judgement is an approver's. Raises NotAllowed. Source: regulations §2.2 no. 3 (分管领导或安全科长)."""
    if not is_approver:
        raise NotAllowed("judgement-needs-approver", "等级判定由审批人办理。请转给分管领导或安全科负责人。")


def require_decision(*, is_approver: bool) -> None:
    """A decision on an extension or a withdrawal is an approver's. Raises NotAllowed. Source: design §4, §5."""
    if not is_approver:
        raise NotAllowed("decision-needs-approver", "延期和撤销由审批人决定。请转给分管领导或安全科负责人。")


# ---------------------------------------------------------------------------------------------------------------------
# Where a finding goes
# ---------------------------------------------------------------------------------------------------------------------


class Neighbour(Struct, frozen=True):
    """An item of the same site and checklist item."""

    id: UUID
    place_key: str
    state: State

    @property
    def is_open(self) -> bool:
        return self.state not in ENDED


class Attachment(Struct, frozen=True):
    """`to`: the item that takes the finding, None for a new one; `repeat_of`: the closed one that a new one repeats;
    `suggests`: an open one that a person may mean, where the finding names no place."""

    to: UUID | None = None
    repeat_of: UUID | None = None
    suggests: UUID | None = None


def where_to_attach(place_key: str, neighbours: Sequence[Neighbour]) -> Attachment:
    """Where a finding at a place goes. `neighbours`, oldest first, are the items of its site and checklist item.

    One open item a site, checklist item and place. What was closed there comes back as a new item, marked repeat; what
    was withdrawn there says nothing. A blank place never attaches by itself: its item stands alone and suggests the
    older one. Source: design §4, §5.
    """
    if not place_key:
        return Attachment(suggests=_newest(each for each in neighbours if each.is_open))
    if to := open_on_key(place_key, neighbours):
        return Attachment(to=to)
    closed = [each for each in neighbours if each.place_key == place_key and each.state is State.CLOSED]
    return Attachment(repeat_of=closed[-1].id if closed else None)


def open_on_key(place_key: str, neighbours: Iterable[Neighbour], *, but: UUID | None = None) -> UUID | None:
    """The open item on the key, other than `but`: the `other_open` of a failed revisit. A blank place is no key."""
    if not place_key:
        return None
    return _newest(each for each in neighbours if each.is_open and each.place_key == place_key and each.id != but)


def _newest(neighbours: Iterable[Neighbour]) -> UUID | None:
    ids = [each.id for each in neighbours]
    return ids[-1] if ids else None
