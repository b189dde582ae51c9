"""Scopes: the set of reader pairs that a person is served, under the hash of its content, and when it was served.

Which pairs a day's posts give is decided in `safety/access.py`. Here it is written down *before* anything is read for
the person: the first pull of a day (school's local date) or after a change of posts moves the person's own `scope`
document, so that the clock, and with it the cursor, grows whenever the scope does; a second pull writes nothing.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import IntegrityError, connection

from safety.access import Sight, sight_of, today
from safety.changes import unit
from safety.errors import Busy
from safety.models import Audience, ScopeDocument, ScopeServed, ScopeSet

Pair = tuple[str, UUID]
STANDING = """
    SELECT s.id, s.set_hash, s.day, i.rev, i.wire FROM (SELECT 1 AS one) one
    LEFT JOIN safety_scopeserved s ON s.person_id = %(person)s AND s.to_at IS NULL
    LEFT JOIN safety_index i ON i.collection = %(collection)s AND i.doc_id = %(person)s
"""
TRIES = 5  # each try lost to another pull of the same person that wrote the same; a second one all but always finds it


class _Outrun(Exception):
    """Another pull of the same person wrote the interval first."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one person is to be served on a day, beside what the log says that they are served."""

    sight: Sight
    hash: str
    day: date
    document: ScopeDocument
    standing: int | None  # the interval that is open
    told: bool  # the log says so already: nothing is to be written


def scope_hash(pairs: Iterable[Pair]) -> str:
    """SHA-256 over the sorted pairs, 43 URL-safe letters: a set has one hash, whatever posts it came from."""
    digest = hashlib.sha256("\n".join(_members(pairs)).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def pairs_of(set_hash: str) -> frozenset[Pair] | None:
    """The pairs of a set that was once served; None for an unknown hash."""
    members = ScopeSet.objects.filter(hash=set_hash).values_list("members", flat=True).first()
    return None if members is None else frozenset(_pair(member) for member in members)


def scope_of(person_id: UUID, *, now: datetime) -> Scope:
    """The scope of this moment; reads only, three statements. Serve it when `told`, else `tell_scope` first."""
    day = today(now)
    sight = sight_of(person_id, on=day)
    set_hash = scope_hash(sight.pairs)
    with connection.cursor() as cursor:
        person = person_id if connection.vendor == "postgresql" else person_id.hex
        cursor.execute(STANDING, {"person": person, "collection": ScopeDocument.collection})
        standing, standing_hash, standing_day, rev, wire = cursor.fetchone()
    document = ScopeDocument(person_id=person_id, rev=rev or 0, posts=list(sight.posts))
    told = (
        (standing_hash, str(standing_day)) == (set_hash, day.isoformat())
        and wire is not None
        and bytes(wire) == document.wire()
    )
    return Scope(sight, set_hash, day, document, standing, told)


def tell_scope(scope: Scope, *, now: datetime) -> bool:
    """Closes the standing interval, opens the new one and moves the scope document, all or nothing.

    Of several at once exactly one writes; the others get False and should look again.
    """
    try:
        with unit(actor=None, source="scope", now=now) as work:
            _succeed(scope, at=now)
            kept = ScopeSet(hash=scope.hash, members=_members(scope.sight.pairs))
            ScopeSet.objects.bulk_create([kept], ignore_conflicts=True)
            work.say(scope.document, "scope.moved", body=None, urgency=None)
    except (_Outrun, IntegrityError):
        return False
    return True


def serve_scope(person_id: UUID, *, now: datetime) -> Scope:
    """The scope of this moment, written down if it was not. Raises Busy when it moves faster than it can be told."""
    for _ in range(TRIES):
        scope = scope_of(person_id, now=now)
        if scope.told:
            return scope
        tell_scope(scope, now=now)
    raise Busy


def past_sight(person_id: UUID, moment: datetime) -> Sight | None:
    """The sight that a person was demonstrably served at a moment; None if nothing had been served by then."""
    return PastSights(person_id)(moment)


class PastSights:
    """The past sights of one person, by moment. Asked many times (a batch), it loads each of them once.

    Pairs are those of the set that was last served by then, so what has moved away since is still in it. Roles are
    those of the posts in force on the moment's date: who had lost a post when they said a thing sees it, no more.
    """

    def __init__(self, person_id: UUID):
        self.person_id = person_id
        self._served: list[tuple[datetime, datetime | None, str]] | None = None
        self._sights: dict[tuple[str, date], Sight] = {}

    def __call__(self, moment: datetime) -> Sight | None:
        if self._served is None:
            rows = ScopeServed.objects.filter(person_id=self.person_id).order_by("-from_at", "-id")
            self._served = list(rows.values_list("from_at", "to_at", "set_hash"))
        for from_at, to_at, set_hash in self._served:
            if from_at <= moment and (to_at is None or moment < to_at):
                return self._sight(set_hash, today(moment))
        return None

    def _sight(self, set_hash: str, day: date) -> Sight:
        if (set_hash, day) not in self._sights:
            self._sights[set_hash, day] = _sight_then(self.person_id, pairs_of(set_hash) or frozenset(), day)
        return self._sights[set_hash, day]


def _sight_then(person_id: UUID, pairs: frozenset[Pair], day: date) -> Sight:
    sight = sight_of(person_id, on=day)
    # what stands under none of these nodes any more stood under one: only a bureau's node can lose a unit
    over_a_bureau = frozenset(post.role for post in sight.posts if post.side == "bureau" and post.node.is_bureau)
    roles = {}
    for audience, key in pairs:
        if audience == Audience.SHARED and key in sight.roles:
            roles[key] = sight.roles[key]
        elif audience == Audience.BUREAU and key not in sight.roles:
            roles[key] = over_a_bureau
    return Sight(person_id, sight.posts, pairs, roles)


def _succeed(scope: Scope, *, at: datetime) -> None:
    """Closes the interval that was read, if it still stands, and opens the next. Raises _Outrun, IntegrityError."""
    if scope.standing is not None:
        standing = ScopeServed.objects.filter(pk=scope.standing)
        at = max(at, *standing.values_list("from_at", flat=True))
        if not standing.filter(to_at__isnull=True).update(to_at=at):
            raise _Outrun
    # the constraint that a person is served one scope at a time decides between two first pulls
    ScopeServed.objects.create(
        person_id=scope.sight.person_id, set_hash=scope.hash, from_at=at, to_at=None, day=scope.day
    )


def _members(pairs: Iterable[Pair]) -> list[str]:
    return sorted(f"{audience}:{key.hex}" for audience, key in pairs)


def _pair(member: str) -> Pair:
    audience, _, key = member.partition(":")
    return audience, UUID(key)
