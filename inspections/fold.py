"""What becomes of a rectification item: one pure fold over what was said about it, in order of ordinal.

The table comes first; the step works from it and `docs/rectification.md` is drawn from it. What a person says is always
a new document of that person; a document that no longer fits is kept and marked, never dropped and never an error here.
No database, no clock, no models. Who may say a thing stands at the end (`require_…`), where a finding goes likewise.

Source: design §5; regulations §2.2, §2.4.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from inspections.rules import FindingKind, Grade

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
CLOSES = _to(State.CLOSED, mark="¹")
BACK_A_ROUND = _to(State.RECTIFYING, rounds=1)
WITHDRAWN = _to(State.WITHDRAWN)
TRANSFERRED = _to(State.TRANSFERRED)
REPORTED = _to(State.AWAITING_REVISIT)
NEW = Cell(Does.NEW)
NEW_REPEAT = Cell(Does.NEW, words="marked repeat")
NEW_CLOSED = Cell(Does.NEW, to=State.CLOSED, mark="¹")

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
        failed=_to(State.RECTIFYING, rounds=1, words="反弹", mark="²"),
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
        failed=_to(State.REGISTERED, mark="²"),
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


def evidence_hash(findings: Collection[UUID], reports: Sequence[Evidence]) -> str:
    """SHA-256 over the attached findings and, of this round, (ordinal, report, its photos' ids and SHA-256).

    Canonical: compact JSON in UTF-8, findings and photos in order of id, reports in order of ordinal.
    """
    canonical = [
        sorted(str(finding) for finding in findings),
        [
            [report.ordinal, str(report.report), sorted([str(photo.id), photo.sha256] for photo in report.photos)]
            for report in sorted(reports, key=lambda report: report.ordinal)
        ],
    ]
    return hashlib.sha256(msgspec.json.encode(canonical)).hexdigest()


class ItemState(Struct, frozen=True, kw_only=True):
    """All that the next step needs; nothing else is read. Facts beside the state are fields of their own.

    `decided_by` is the last document that moved the state or the round, `evidence_by` the last that changed the round
    or its evidence, `graded_by` the last that changed the grade, `alarm` the last finding or counted fail.
    """

    state: State | None = None
    grade: Grade = Grade.NONE
    kind: FindingKind = FindingKind.ISSUE
    round: int = 1
    due_on: date | None = None
    due_round: int = 0  # the round whose notice set due_on
    extended_to: date | None = None
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
    ordinal: int = 0
    decided_by: Mark | None = None
    evidence_by: UUID | None = None
    graded_by: UUID | None = None
    alarm: Mark | None = None

    @property
    def due(self) -> date | None:
        """The last day, inclusive: a granted extension's, else the notice's."""
        return self.extended_to or self.due_on

    @property
    def extended(self) -> bool:
        return self.extended_to is not None

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
