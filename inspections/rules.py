"""Judgements on what was found: grades, places, measures, answers and how two phones' answers become one.

Plain functions, values in and value or Problem out; no database, no clock. What becomes of an item that must be cured
stands in `inspections.fold`.
"""

from enum import StrEnum
from typing import TypeVar


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
