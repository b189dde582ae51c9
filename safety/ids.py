"""Identifiers: UUIDv7 for what is made here (near in time, near in the index), UUIDv5 for what two sides must agree on."""

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from uuid import UUID

from uuid_utils.compat import uuid5, uuid7

REF = UUID(int=0)  # the reader key of what everybody may read
SEEDS = UUID("6f2d5b0a-53a1-5c0e-9a57-1c9d3f0b7e21")  # namespace of what seeds and rules name by a code
VISITS = UUID("b7a1f6de-7a56-5b1f-8a0e-2f41c9d5a0c3")  # namespace of the one visit that a task asks for

parsed = lru_cache(maxsize=65536)(UUID)  # the same few hundred keys at every push


def in_order(ids: Iterable[UUID]) -> list[UUID]:
    """Ids as both engines order them; for locks. (UUIDs compare in Python, integers in C.)"""
    return sorted(ids, key=attrgetter("int"))


def new_id() -> UUID:
    """A UUIDv7 of this moment; an id, never an order."""
    return uuid7()


def seeded_id(code: str) -> UUID:
    """The id of a seeded thing, the same on every installation."""
    return uuid5(SEEDS, code)


def visit_id(task_id: UUID) -> UUID:
    """The id of the visit that answers a task: two phones that start it off-line mean the same document."""
    return uuid5(VISITS, str(task_id))


def following_id(source: UUID | None, what: str) -> UUID:
    """The id of what follows from a document or an operation: the same whenever that is said again.

    After a backup was restored phones offer again what they had said, and what others had said of its consequences
    must find them. What follows from nothing that can be said again (`source` None) has an id of its own.
    """
    return new_id() if source is None else uuid5(source, what)
