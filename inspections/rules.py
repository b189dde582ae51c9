"""Judgements on what was found: grades, places, readings, answers and how two phones' answers become one.

Plain functions, values in and value or Problem out; no database, no clock. What becomes of an item that must be cured
stands in `inspections.fold`.
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct, ValidationError, convert
from msgspec.structs import replace

from inspections.catalogue import BanMode, Bound, Effect, Measure, Photo
from inspections.frozen import FrozenItem


class Grade(StrEnum):
    """How grave a thing is, in rising order. Two scales in one axis, told apart by who may say them.

    `serious` 较大 and `major_candidate` 重大(待判定) are ours, for triage; `major` 重大 is the statutory grade and is only
    ever said by a judgement. Source: regulations §2.1, §2.2.
    """

    NONE = "none"
    GENERAL = "general"
    SERIOUS = "serious"
    MAJOR_CANDIDATE = "major_candidate"
    MAJOR = "major"

    @property
    def rank(self) -> int:
        return GRADE_RANK[self]


GRADE_RANK = {grade: rank for rank, grade in enumerate(Grade)}


class FindingKind(StrEnum):
    """What a finding is: a rule not kept, a danger, or an event that has already happened."""

    ISSUE = "issue"  # 问题
    HAZARD = "hazard"  # 隐患
    INCIDENT = "incident"  # 事件

    @property
    def rank(self) -> int:
        return KIND_RANK[self]


KIND_RANK = {kind: rank for rank, kind in enumerate(FindingKind)}

T = TypeVar("T", Grade, FindingKind)


def higher(one: T, other: T) -> T:
    """The graver of two grades, or of two kinds."""
    return other if other.rank > one.rank else one


# Places

PLACE_KEY_LENGTH = 80


@lru_cache(maxsize=4096)  # a place is asked for whenever its item is said, looked for and found
def normalise_place(text: str) -> str:
    """The key under which a place is the same place: NFKC, lower case, without spaces, marks and signs.

    Between two digits any mark is one hyphen, so that room 1-2 is not room 12. Blank, or nothing but marks, is blank.
    """
    key: list[str] = []
    gap = False
    for letter in unicodedata.normalize("NFKC", text).casefold():
        if not letter.isalnum():
            gap = True
            continue
        if gap and key and key[-1].isdigit() and letter.isdigit():
            key.append("-")
        key.append(letter)
        gap = False
    return "".join(key)[:PLACE_KEY_LENGTH]


# Readings


class Reading(StrEnum):
    """What a reading says, from nothing to worst. Only FAIL is a verdict, and only a person says 不符合."""

    OK = "ok"
    HINT = "hint"
    FAIL = "fail"


READING_RANK = {reading: rank for rank, reading in enumerate(Reading)}
Readings = Mapping[str, float | Sequence[float]]


def judge_measure(measure: Measure, readings: Readings) -> Reading | None:
    """A measure's reading against its bounds; of a repeatable one the worst counts; an absent one says nothing (None).

    Out of bounds is FAIL if the measure judges and HINT if it hints; a located one (a distance) is never more than a
    hint. A bound that hangs on another reading binds only where that one was taken. Source: design §4.
    """
    values = _values(readings, measure.key)
    if not values:
        return None
    low, high = _end(measure.low, readings), _end(measure.high, readings)
    if all(_within(value, low, high) for value in values):
        return Reading.OK
    return Reading.FAIL if measure.effect is Effect.JUDGE and not measure.located else Reading.HINT


def judge_measures(measures: Iterable[Measure], readings: Readings) -> Reading | None:
    """The worst of an item's readings, None if there are none. Of alternatives (`either`) one within bounds is enough."""
    told: dict[str, list[Reading]] = {}
    for measure in measures:
        reading = judge_measure(measure, readings)
        if reading is not None:
            told.setdefault(measure.either or f"alone:{measure.key}", []).append(reading)
    settled = [Reading.OK if Reading.OK in each else _worst(each) for each in told.values()]
    return _worst(settled) if settled else None


def _worst(readings: Iterable[Reading]) -> Reading:
    return max(readings, key=READING_RANK.__getitem__)


def _values(readings: Readings, key: str) -> list[Decimal]:
    said = readings.get(key)
    if said is None:
        return []
    # By way of their shortest text: two thirds of 2.1 are 1.4 to a person, and not to a float.
    return [Decimal(str(value)) for value in (said if isinstance(said, Sequence) else [said])]


def _end(bound: Bound | None, readings: Readings) -> tuple[Decimal, int, bool] | None:
    """(limit, what a value is multiplied by before it is compared, inclusive)."""
    if bound is None:
        return None
    if not bound.of:
        return (Decimal(str(bound.value)), 1, bound.inclusive)
    other = _values(readings, bound.of)
    numerator, denominator = bound.times
    return (other[0] * numerator, denominator, bound.inclusive) if len(other) == 1 else None


def _within(value: Decimal, low: tuple[Decimal, int, bool] | None, high: tuple[Decimal, int, bool] | None) -> bool:
    return _at_least(value, low) and (high is None or _at_least(-value, (-high[0], high[1], high[2])))


def _at_least(value: Decimal, end: tuple[Decimal, int, bool] | None) -> bool:
    if end is None:
        return True
    limit, times, inclusive = end
    return value * times >= limit if inclusive else value * times > limit


# Grades, urgency, dates

DAYS_TO_RECTIFY = {Grade.NONE: 7, Grade.GENERAL: 7, Grade.SERIOUS: 15, Grade.MAJOR_CANDIDATE: 30, Grade.MAJOR: 30}


def due_on(grade: Grade, found_on: date) -> date:
    """Last calendar day (school's local date, inclusive) for rectification.

    Source: our default, to be set by the bureau (regulations §2.4, 期限默认值); the founding text asks for rectification
    and revisit (items 7, 12) but names no days.
    """
    return found_on + timedelta(days=DAYS_TO_RECTIFY[grade])


def wakes_the_desk(kind: FindingKind, grade: Grade) -> bool:
    """Whether the duty desk must know at once: a candidate for major, or an incident (regulations §2.2 no. 2)."""
    return kind is FindingKind.INCIDENT or grade.rank >= Grade.MAJOR_CANDIDATE.rank


def default_grade(item: FrozenItem) -> Grade:
    """The grade of an item that fails, as the checklist has it. An incident has none: it is no hazard of the ledger."""
    return Grade.NONE if item.grade == "incident" else Grade(item.grade)


def kind_and_grade(item: FrozenItem, said: str | None) -> tuple[FindingKind, Grade]:
    """What a failed item is, by the grade that the inspector said, if any.

    An inspector raises, at most to a candidate, and lowers; not what is listed in the guide (◎), which one alone cannot
    lower (regulations §2.2 no. 2). `none` is 问题: a rule not kept, no hazard. An incident stays one.
    """
    kind, grade = FindingKind(item.finding), default_grade(item)
    if kind is FindingKind.INCIDENT or said is None:
        return kind, grade
    own = Grade.MAJOR_CANDIDATE if said == Grade.MAJOR else Grade(said)
    if item.listed:
        own = higher(own, grade)
    return (FindingKind.ISSUE if own is Grade.NONE else FindingKind.HAZARD), own


# Answers: two phones, one visit


class GroupMeta(Struct, frozen=True, array_like=True):
    """Who said a group last: the visit's revision it made, person, phone, operation, hybrid clock."""

    rev: int
    by: UUID
    device: UUID | None
    op_id: UUID | None
    hlc: str


class Lost(Struct, frozen=True):
    value: Any
    meta: GroupMeta


class Merged(Struct, frozen=True):
    """The value that stands with its source, and the one that lost, if one did.

    `meta` is the one handed in as current or mine, whichever said what stands; a third one where what stands was said
    by one and took the other's higher grade.
    """

    value: Any
    meta: GroupMeta | None
    lost: Lost | None = None


WEIGHT = {"fail": 4, "fixed": 3, "ok": 2, "na": 1, "unchecked": 0}
FOUND = ("fail", "fixed")


def merge_group(
    name: str,
    *,
    current: Any,
    meta: GroupMeta | None,
    incoming: Any,
    mine: GroupMeta,
    base_rev: int | None,
    default: Grade = Grade.NONE,
) -> Merged:
    """Three-way merge of one group, `result` or `note`. `default` is the checklist's grade where an answer says none.

    Concurrent iff the group moved after `base_rev` by another phone; equal values never conflict. Same author on two
    phones: the later hybrid clock. Two authors, a result: fail > fixed > ok > na > unchecked, then the higher grade,
    which stands in any case if both speak of the same place; what is equal in weight stays as it was heard first, and
    so does a note. Source: design §4, sync.md §1.4 and §3.
    """
    if meta is None:
        return Merged(incoming, mine)
    if current == incoming:
        return Merged(current, meta)
    if meta.rev <= (base_rev or 0) or _same_phone(meta, mine):
        return Merged(incoming, mine)
    if meta.by == mine.by:
        mine_stands = mine.hlc > meta.hlc
    else:
        mine_stands = _gravity(name, incoming, default) > _gravity(name, current, default)
    stands, lost = (incoming, Lost(current, meta)) if mine_stands else (current, Lost(incoming, mine))
    source = mine if mine_stands else meta
    if meta.by == mine.by or not _takes_the_grade(name, stands, lost.value, default):
        return Merged(stands, source, lost)
    # A revision of its own, and no phone's: whoever has not seen the raised grade is concurrent with it.
    raised = GroupMeta(rev=mine.rev, by=source.by, device=None, op_id=mine.op_id, hlc=source.hlc)
    return Merged({**stands, "grade": lost.value["grade"]}, raised, lost)


def _same_phone(meta: GroupMeta, mine: GroupMeta) -> bool:
    """Browsers have no device: there, a person is told apart by name."""
    return meta.device == mine.device and (mine.device is not None or meta.by == mine.by)


def _gravity(name: str, value: Any, default: Grade) -> tuple[int, int]:
    if name != "result":
        return (int(bool(value and value.strip())), 0)
    if value is None:
        return (-1, 0)
    return (WEIGHT[value["value"]], _grade_said(value, default).rank)


def _grade_said(result: Mapping[str, Any], default: Grade) -> Grade:
    if result["value"] not in FOUND:
        return Grade.NONE
    return Grade(result["grade"]) if result.get("grade") else default


def _takes_the_grade(name: str, stands: Any, lost: Any, default: Grade) -> bool:
    if name != "result" or not stands or not lost or not lost.get("grade"):
        return False
    same_place = normalise_place(stands.get("place", "")) == normalise_place(lost.get("place", ""))
    higher_lost = _grade_said(lost, default).rank > _grade_said(stands, default).rank
    return same_place and higher_lost and stands["value"] in FOUND


MAX_AHEAD = timedelta(minutes=5)


def effective_hlc(hlc: str, *, said_at: datetime, received_at: datetime) -> str:
    """A phone's hybrid clock `time/counter/device` in one comparable form, no later than five minutes from now.

    One that cannot be read, or none, stands at `said_at` (aware). Used for one thing only: two phones of the same
    author. Source: sync.md §1.4.
    """
    at, tail = _told(hlc) or (said_at, "")
    at = min(at, received_at + MAX_AHEAD).astimezone(UTC).replace(tzinfo=None)
    return f"{at.isoformat(timespec='milliseconds')}Z/{tail}"


def _told(hlc: str) -> tuple[datetime, str] | None:
    told, _, tail = hlc.partition("/")
    try:
        at = datetime.fromisoformat(told) if told else None
    except ValueError:
        return None
    return (at, tail) if at is not None and at.tzinfo is not None else None


def take_apart(answers: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Of a whole `answers` field (code → AnswerPatch), the groups that differ from what the phone last saw.

    `base` is that field as it stood on the wire. What the field leaves out was not spoken of, and is not deleted.
    """
    changed = {}
    for code, answer in answers.items():
        seen = base.get(code)
        seen = seen if isinstance(seen, Mapping) else {}
        said = {name: getattr(answer, name) for name in ("result", "note")}
        said = {name: UNSET if _as_seen(value, seen.get(name)) else value for name, value in said.items()}
        if any(value is not UNSET for value in said.values()):
            changed[code] = replace(answer, **said)
    return changed


def _as_seen(value: Any, seen: Any) -> bool:
    if value is UNSET or value is None:
        return True
    if not isinstance(value, Struct):
        return value == (seen or "")
    if seen is None:
        return False
    try:
        return convert(seen, type(value)) == value
    except ValidationError:
        return False


# The record


def summary(items: Mapping[str, FrozenItem], answers: Mapping[str, Any]) -> dict[str, int]:
    """The 汇总 of a record: how many items, how many of each result; one without a result counts as unchecked."""
    counts = {"items": len(items), **dict.fromkeys(WEIGHT, 0)}
    for code in items:
        counts[_value(answers, code)] += 1
    return counts


def record_flags(
    items: Mapping[str, FrozenItem],
    answers: Mapping[str, Any],
    *,
    photos: Collection[str],
    participants: Collection[str],
    signatures: Collection[Mapping[str, Any]],
    snapshot_sha256: str = "",
) -> list[str]:
    """What a submitted record lacks, as `flag` or `flag:code`: shown in it, refused by nobody (design §4).

    `photos`: codes of the items that have one; `participants`: ids; `signatures`: contents with their `author`,
    `capacity`, and where they name them the `signer` and the `snapshot_sha256` that was signed. A photo that is wanted and missing is
    `missing-photo`, or `unphotographed` where a reason went into the record instead.
    """
    flags = [
        flag
        for code, item in items.items()
        if code in photos or not _is_plainly_ok(item, answers.get(code))
        for flag in _item_flags(code, item, answers, photos)
    ]
    hands = [each for each in signatures if each.get("snapshot_sha256", "") in ("", snapshot_sha256)]
    inspectors = {(each["author"], each.get("signer", "")) for each in hands if each["capacity"] == "inspector"}
    if len(set(participants)) < 2:
        flags.append("missing-second-inspector")
    if len(inspectors) < min(2, len(set(participants))):
        flags.append("missing-inspector-signature")
    if all(each["capacity"] != "unit" for each in hands):
        flags.append("missing-unit-signature")
    if len(hands) < len(signatures):
        flags.append("signature-of-another-snapshot")
    return flags


SAID_AT_SUBMIT = ("differs-from-snapshot", "phone-clock-wrong")  # flags that only the submit can tell
FLAG_WORDS = {
    "missing-photo": "应拍照片,没有照片",
    "unphotographed": "应拍照片,没有拍(原因已写入记录)",
    "banned-photo": "这一项不得拍照,却附有照片",
    "missing-reason": "没有写明不适用或未检查的原因",
    "reading-out-of-bounds": "读数超出标准,结果却填了符合",
    "differs-from-snapshot": "同事填写的结果更严,记录与签字时的内容不同",
    "phone-clock-wrong": "提交时手机的时间不准,记录里的时间已经校正",
    "missing-second-inspector": "检查人员不足两人",
    "missing-inspector-signature": "检查人员签字不全",
    "missing-unit-signature": "被检查单位没有签字",
    "signature-of-another-snapshot": "有签字针对的是另一份内容,没有计入",
    "missing-photo-before": "现场已整改,缺整改前的照片",
    "missing-photo-after": "现场已整改,缺整改后的照片",
}


def flag_words(flag: str) -> str:
    """A flag of a record or of an item (`flag` or `flag:code`) as people read it."""
    code, _, item = flag.partition(":")
    return f"{item} {FLAG_WORDS[code]}" if item else FLAG_WORDS[code]


def _item_flags(code: str, item: FrozenItem, answers: Mapping[str, Any], photos: Collection[str]) -> list[str]:
    value, result = _value(answers, code), (answers.get(code) or {}).get("result") or {}
    reason = (result.get("reason") or "").strip()
    flags = []
    if code not in photos and _wants_photo(item, value):
        flags.append(f"unphotographed:{code}" if reason else f"missing-photo:{code}")
    if code in photos and item.photo == Photo.BAN and item.ban_mode != BanMode.COVER_ONLY:
        flags.append(f"banned-photo:{code}")
    if value in ("na", "unchecked") and not reason:
        flags.append(f"missing-reason:{code}")
    if value == "ok" and judge_measures(item.measures, result.get("measures") or {}) is Reading.FAIL:
        flags.append(f"reading-out-of-bounds:{code}")
    return flags


def _is_plainly_ok(item: FrozenItem, answer: Mapping[str, Any] | None) -> bool:
    """Nearly all answers: in order, nothing measured, nothing that must be photographed."""
    return bool(answer and answer["result"] == {"value": "ok"}) and not item.measures and item.photo != Photo.ALWAYS


def _wants_photo(item: FrozenItem, value: str) -> bool:
    if item.photo == Photo.BAN:
        return False
    if value == "fixed":
        return True  # 现场已整改 is shown by its photos from before and after (regulations §2.4)
    return value in ("ok", "fail") and item.photo == Photo.ALWAYS or value == "fail" and item.photo == Photo.ON_FAIL


def _value(answers: Mapping[str, Any], code: str) -> str:
    result = (answers.get(code) or {}).get("result")
    return result["value"] if result else "unchecked"
