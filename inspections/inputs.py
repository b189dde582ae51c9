"""The shapes of what may be said: one struct a verb, decoded by msgspec at both doors. Shapes only, no rights, no rules."""

from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(max_length=500)]
Sentence = Annotated[str, Meta(min_length=1, max_length=500)]
Place = Annotated[str, Meta(max_length=80)]
Code = Annotated[str, Meta(max_length=12)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Moment = Annotated[datetime, Meta(tz=True)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
FindingKind = Literal["issue", "hazard", "incident"]
SaidGrade = Literal["none", "general", "serious", "major_candidate"]
JudgedGrade = Literal["none", "general", "serious", "major_candidate", "major"]
ResultValue = Literal["ok", "fail", "fixed", "na", "unchecked"]


class Shape(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is not named here is not understood, and is refused by name."""


class Result(Shape, kw_only=True, omit_defaults=True):
    """The result group of an answer; its members only make sense together. One at its default is left out of the record
    and of the wire: thirty answers say 符合 in 17 bytes each."""

    value: ResultValue
    measures: dict[Annotated[str, Meta(max_length=40)], list[float] | float] = {}
    grade: SaidGrade | None = None
    place: Place = ""
    reason: Text = ""
    responsible: Annotated[str, Meta(max_length=80)] = ""


class AnswerPatch(Shape, kw_only=True):
    """What a phone touched of one answer: the result group, the note, or both.

    A flat client sends an answer back whole, as the wire shows it: no result is null there, and who said what stands
    beside. That is understood, and says nothing.
    """

    result: Result | None | UnsetType = UNSET
    note: Text | UnsetType = UNSET
    by: UUID | None | UnsetType = UNSET
    note_by: UUID | None | UnsetType = UNSET
    late: bool | UnsetType = UNSET

    def spoken(self) -> "AnswerPatch":
        """Without what only the server says."""
        if self.result is not None and self.by is self.note_by is self.late is UNSET:
            return self
        result = UNSET if self.result is None else self.result
        return AnswerPatch(result=result, note=self.note)


class Header(Shape, kw_only=True):
    """Carried for the record, judged by nobody."""

    weather: Place | UnsetType = UNSET
    accompanied_by: Place | UnsetType = UNSET
    summary: Text | UnsetType = UNSET


class CreateInspection(Shape, kw_only=True):
    site_id: UUID
    template_version_id: UUID
    started_at: Moment
    task_id: UUID | None = None
    participants: list[UUID] = []
    join_sha256: Sha256 | Literal[""] = ""
    header: Header = Header()
    answers: dict[Code, AnswerPatch] = {}


class PatchInspection(Shape, kw_only=True):
    header: Header = Header()
    answers: dict[Code, AnswerPatch] = {}


class SubmitInspection(Shape, kw_only=True):
    """`snapshot` is a JSON string, kept verbatim: signatures hold the SHA-256 of its UTF-8 bytes."""

    snapshot: Annotated[str, Meta(min_length=2, max_length=400_000)]
    participants: list[UUID]
    finished_at: Moment


class Snapshot(Struct, kw_only=True):
    """What must be found inside a snapshot; whatever else the phone showed may stand beside it."""

    answers: dict[Code, AnswerPatch]
    photos: list[dict[str, Any]] = []


@lru_cache(maxsize=1024)
def snapshot_in(text: str) -> Snapshot | None:
    """What a snapshot shows; None where it cannot be read."""
    try:
        return msgspec.json.decode(text, type=Snapshot)
    except msgspec.DecodeError:
        return None


class JoinInspection(Shape, kw_only=True):
    secret: Annotated[str, Meta(min_length=8, max_length=100)]


class DeleteInspection(Shape, kw_only=True):
    """A draft that its maker no longer wants."""


class VoidInspection(Shape, kw_only=True):
    cause: Literal["closed", "refused", "wrong_school", "duplicate", "other"]
    reason: Text = ""


class CreateSubmission(Shape, kw_only=True):
    inspection_id: UUID
    kind: Literal["alternative", "amendment"]
    content: Annotated[str, Meta(min_length=2, max_length=400_000)]
    reason: Text = ""


class CreatePhoto(Shape, kw_only=True):
    subject_collection: Literal["inspections", "quick_hazards", "reports", "revisits", "notices", "signatures"]
    subject_id: UUID
    sha256: Sha256
    size_bytes: Annotated[int, Meta(gt=0, le=100_000_000)]
    rendition: Literal["original", "transport", "annotated"] = "original"
    original_id: UUID | None = None
    item_code: Code = ""
    mode: Literal["camera", "gallery"] = "camera"
    moment: Literal["", "before", "after"] = ""
    taken_at: Moment | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    accuracy_m: Annotated[float, Meta(ge=0)] | None = None
    datum: Literal["", "WGS84", "CGCS2000", "GCJ02", "BD09"] = ""


class CreateQuickHazard(Shape, kw_only=True):
    site_id: UUID
    text: Sentence
    kind: FindingKind = "hazard"
    grade: SaidGrade = "general"
    place: Place = ""
    inspection_id: UUID | None = None
    item_code: Code = ""
    fixed: bool = False


class PhotoRef(Shape, kw_only=True):
    """A photo that is listed as evidence: by id and by the SHA-256 of its bytes, so that the hash needs no look-up."""

    id: UUID
    sha256: Sha256


class OnItem(Shape, kw_only=True):
    """What is said about an item. `seen` is the item's `last_ordinal` as the author had it before them, if known."""

    rectification_id: UUID
    seen: Annotated[int, Meta(ge=0)] | None = None


class CreateNotice(OnItem, kw_only=True):
    text: Text = ""
    kind: Literal["rectify", "list", "delist"] = "rectify"
    due_on: date | None = None
    suspend_use: bool | None = None
    measures: Text = ""  # interim protection: isolate, suspend, watch


class CreateReceipt(OnItem, kw_only=True):
    text: Text = ""


class CreateReport(OnItem, kw_only=True):
    """What was done in a round; room for each honest reason why something is not (design §5)."""

    round: Annotated[int, Meta(ge=1)]
    text: Sentence
    photos: list[PhotoRef] = []
    partial: bool = False
    cause: Literal["", "funds", "other_party"] = ""
    other_party: Place = ""
    done_on: date | None = None
    person: Place = ""
    funds: Annotated[float, Meta(ge=0)] | None = None
    plan: Text = ""
    prevention: Text = ""


class CreateRevisit(OnItem, kw_only=True):
    round: Annotated[int, Meta(ge=1)]
    evidence_hash: Sha256
    passed: bool
    reason: Text = ""
    photos: list[PhotoRef] = []


class CreateExtension(OnItem, kw_only=True):
    until: date
    reason: Sentence
    measures: Text = ""


class CreateJudgement(OnItem, kw_only=True):
    grade: JudgedGrade
    clauses: list[Place] = []
    reason: Sentence


class CreateClosure(OnItem, kw_only=True):
    round: Annotated[int, Meta(ge=1)]
    evidence_hash: Sha256
    granted: bool
    reason: Text = ""


class CreateWithdrawal(OnItem, kw_only=True):
    reason: Sentence


class CreateTransfer(OnItem, kw_only=True):
    departments: Annotated[list[Place], Meta(min_length=1)]
    text: Sentence
    reply_by: date | None = None


class CreateTransferReply(OnItem, kw_only=True):
    done: bool
    department: Place = ""
    text: Sentence


class CreateDecision(OnItem, kw_only=True):
    target: UUID
    granted: bool
    until: date | None = None
    reason: Text = ""


class CreateSignature(Shape, kw_only=True):
    """A hand under a visit or an item: an inspector's, the school's, or that it was refused and who saw it."""

    inspection_id: UUID | None = None
    rectification_id: UUID | None = None
    capacity: Literal["inspector", "unit"]
    opinion: Literal["", "true", "objection", "refused"] = ""
    text: Text = ""
    signer: Place = ""
    witness: Place = ""
    snapshot_sha256: Sha256 | Literal[""] = ""
    strokes_sha256: Sha256 | Literal[""] = ""


class CreateComment(Shape, kw_only=True):
    inspection_id: UUID | None = None
    rectification_id: UUID | None = None
    text: Sentence
    audience: Literal["shared", "bureau"] = "shared"


class ResolveConflict(Shape, kw_only=True):
    pick: Literal["kept", "lost"]
