"""Judgements on what was found: grades, places, measures, answers and how two phones' answers become one.

Plain functions, values in and value or Problem out; no database, no clock. What becomes of an item that must be cured
stands in `inspections.fold`.
"""

import unicodedata
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct, to_builtins
from msgspec.structs import replace

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
        return GRADES_RISING.index(self)


GRADES_RISING = tuple(Grade)


class FindingKind(StrEnum):
    """What a finding is: a rule not kept, a danger, or an event that has already happened."""

    ISSUE = "issue"  # 问题
    HAZARD = "hazard"  # 隐患
    INCIDENT = "incident"  # 事件

    @property
    def rank(self) -> int:
        return KINDS_RISING.index(self)


KINDS_RISING = tuple(FindingKind)


T = TypeVar("T", Grade, FindingKind)


def higher(one: T, other: T) -> T:
    """The graver of two grades, or of two kinds."""
    return max(one, other, key=lambda value: value.rank)


# Places and measures


def normalise_place(text: str) -> str:
    """The key under which a place is the same place: NFKC, no spaces or common marks, lower case. Blank stays blank."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum())[:80]


# Grades, urgency, dates

DAYS_TO_RECTIFY = {Grade.NONE: 7, Grade.GENERAL: 7, Grade.SERIOUS: 15, Grade.MAJOR_CANDIDATE: 30, Grade.MAJOR: 30}


def due_on(grade: Grade, found_on: date) -> date:
    """Last calendar day (school's local date, inclusive) for rectification.

    Source: our default; the founding text asks for rectification and revisit (items 7, 12) but names no days.
    """
    return found_on + timedelta(days=DAYS_TO_RECTIFY[grade])


def wakes_the_desk(kind: FindingKind, grade: Grade) -> bool:
    """Whether the duty desk must know at once: a candidate for major, or an incident (regulations §2.2 no. 2)."""
    return kind is FindingKind.INCIDENT or grade.rank >= Grade.MAJOR_CANDIDATE.rank


def kind_and_grade(item: FrozenItem, said: str | None) -> tuple[FindingKind, Grade]:
    """What a failed item is. The inspector may raise its grade; an item listed in the guide is not lowered by one alone."""
    kind = FindingKind(item.finding)
    default = Grade.NONE if item.grade == "incident" else Grade(item.grade)
    if said is None or kind is FindingKind.INCIDENT:
        return kind, default
    own = Grade(said)
    if item.listed:
        own = higher(own, default)
    return (FindingKind.HAZARD if own.rank > 0 else kind), own


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
    """The value that stands with its source (None: as it was), and the one that lost, if one did."""

    value: Any
    meta: GroupMeta | None
    lost: Lost | None = None


WEIGHT = {"fail": 4, "fixed": 3, "ok": 2, "na": 1, "unchecked": 0}


def merge_group(
    name: str, *, current: Any, meta: GroupMeta | None, incoming: Any, mine: GroupMeta, base_rev: int | None
) -> Merged:
    """Three-way merge of one group. Concurrent iff the group moved after `base_rev` by another phone; equal never is.

    Same author on two phones: the later hybrid clock. Two authors: the safer result stands. Source: design §4, sync §3.
    """
    if meta is None or current == incoming:
        return Merged(incoming, mine if meta is None else meta)
    concurrent = meta.rev > (base_rev or 0) and meta.device != mine.device
    if not concurrent:
        return Merged(incoming, mine)
    if _wins(name, incoming, mine, current, meta):
        return Merged(incoming, mine, Lost(current, meta))
    return Merged(current, meta, Lost(incoming, mine))


def _wins(name: str, incoming: Any, mine: GroupMeta, current: Any, meta: GroupMeta) -> bool:
    if mine.by == meta.by or name != "result":
        return mine.hlc > meta.hlc
    return _gravity(incoming) > _gravity(current)


def _gravity(result: dict) -> tuple[int, int]:
    grade = result.get("grade")
    return WEIGHT[result["value"]], Grade(grade).rank if grade else -1


def take_apart(answers: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Of a whole `answers` field, the groups that differ from what the phone last saw."""
    changed = {}
    for code, answer in answers.items():
        before = base.get(code) or {}
        result = (
            answer.result if answer.result is UNSET or to_builtins(answer.result) != before.get("result") else UNSET
        )
        note = answer.note if answer.note is UNSET or answer.note != before.get("note", "") else UNSET
        if result is not UNSET or note is not UNSET:
            changed[code] = replace(answer, result=result, note=note)
    return changed


def record_flags(
    items: dict, answers: dict, *, photos: set[str], participants: list, signatures: list[dict]
) -> list[str]:
    """What a submitted record lacks: shown in it, refused by nobody (design §4)."""
    flags = []
    for code, item in items.items():
        result = (answers.get(code) or {}).get("result")
        value = result["value"] if result else "unchecked"
        wanted = (
            item.photo == "always"
            and value in ("ok", "fail", "fixed")
            or item.photo == "on_fail"
            and value in ("fail", "fixed")
        )
        if wanted and code not in photos:
            flags.append(f"missing-photo:{code}")
        if value in ("na", "unchecked") and not (result and result.get("reason")):
            flags.append(f"missing-reason:{code}")
    if len(participants) < 2:
        flags.append("missing-second-inspector")
    if not any(signature["capacity"] == "unit" for signature in signatures):
        flags.append("missing-unit-signature")
    return flags
