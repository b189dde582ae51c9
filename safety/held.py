"""What may still lie on somebody's phone and nowhere else, as those tell it who know: named in settings, HOLDINGS.

Each is a function (persons, sight, now) → [Held] of what that sight reads; what it does not read is not counted either.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from safety.access import Sight


@dataclass(frozen=True, slots=True)
class Held:
    """One thing: whose, what it belongs to, since when."""

    person_id: UUID
    collection: str
    id: UUID
    unit: str
    site: str
    what: str
    since: datetime | None = None
    due_on: date | None = None


def held_by(persons: Collection[UUID], name: str, *, sight: Sight, now: datetime) -> list[Held]:
    """What HOLDINGS[name] knows of these persons, oldest first."""
    found: Iterator[Held] = import_string(settings.HOLDINGS[name])(persons, sight, now)
    return sorted(found, key=lambda held: (held.since is None, held.since or now, str(held.id)))
