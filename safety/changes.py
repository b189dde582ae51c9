"""The unit of work: the only way to write a synced row.

    with unit(actor=person, device=None, source="web") as work:
        work.lock({school.id})                 # one writer a school, before anything of it is loaded
        …load, decide…
        work.say(item, "rectification.notified", body=body, urgency=None)

A unit is one durable transaction and never nested; only doors open it (a view, a push, a job, an admin form, a
command). On leaving it writes bodies and rows, bumps the clock by the number of changes, and then only inserts:
nothing locks a row or hashes after the bump, so numbers appear in commit order at the price of a short queue.
"""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.db.models import Model
from msgspec import Struct

from safety import alerts, guard, ring, rows
from safety.ids import new_id
from safety.models import Body, ChainHead, Change, Clock, Exit, Index

CURRENT: ContextVar["Work | None"] = ContextVar("current_unit", default=None)
SCHEMA = 1  # of the wire forms below; older phones are served by down-casts in `sync`


class Said(Protocol):
    """A document that can be said: a model row, or an object without a table (a person's scope)."""

    collection: str
    id: UUID
    rev: int
    chain_id: UUID | None

    def wire(self) -> bytes: ...
    def readers(self) -> Set[tuple[str, UUID]]: ...


class BodyRef(Struct, frozen=True):
    """What was said: where its bytes lie, and the hash that outlives them."""

    id: UUID
    hash: bytes


class Spoken(Struct):
    """A document that a unit said something of, and how it will stand on leaving."""

    doc: Any
    is_new: bool
    last_place: int = 0  # of its newest change in this unit
    is_gone: bool = False


class Entry(Struct, kw_only=True):
    """One change to be logged."""

    doc: Any
    collection: str
    doc_id: UUID
    kind: str
    said_at: datetime
    body: BodyRef | None
    operation: UUID | None
    device: UUID | None
    chain_id: UUID | None
    head: ChainHead | None  # of that chain
    place: int  # how many changes of this unit come before it: its number is the first one plus this
    n: int | None = None
    prev: bytes | None = None
    hash: bytes | None = None


@dataclass(slots=True)
class Work:
    """What one unit has locked, said and will write."""

    actor: UUID | None
    device: UUID | None
    source: str
    now: datetime
    heads: dict[UUID, ChainHead] = field(default_factory=dict)
    bodies: list[tuple] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    spoken: dict[tuple[str, UUID], Spoken] = field(default_factory=dict)
    inserts: dict[type[Model], dict[Any, Model]] = field(default_factory=lambda: defaultdict(dict))
    updates: dict[type[Model], dict[Any, Model]] = field(default_factory=lambda: defaultdict(dict))
    after: list[Callable[[int], Iterable[tuple[type[Model], list]]]] = field(default_factory=list)
    urgencies: list[alerts.Urgency] = field(default_factory=list)

    def lock(self, organisations: Iterable[UUID]) -> None:
        """Locks the chain heads of organisations in order of id; call it once, before their documents are loaded."""
        wanted = sorted(set(organisations) - set(self.heads))
        if not wanted:
            return
        found = {head.organisation_id: head for head in rows.find(ChainHead, organisation_id=wanted, lock=True)}
        missing = [organisation for organisation in wanted if organisation not in found]
        if missing:
            ChainHead.objects.bulk_create([ChainHead(organisation_id=each) for each in missing], ignore_conflicts=True)
            found |= {head.organisation_id: head for head in rows.find(ChainHead, organisation_id=missing, lock=True)}
        self.heads |= found

    def body(self, said: bytes) -> BodyRef:
        """Keeps what was said, with salt, in a row of its own; several changes may point to it."""
        row_id, salt = new_id(), secrets.token_bytes(16)
        digest = hashlib.sha256(salt + said).digest()
        self.bodies.append((row_id, salt, said, digest, None))
        return BodyRef(row_id, digest)

    def insert(self, row: Model) -> None:
        """A new row without a change of its own (side rows: answers of a provider, leases, acknowledgements)."""
        self.inserts[type(row)][row.pk] = row

    def update(self, row: Model) -> None:
        """A row written over as it stands on leaving."""
        if row.pk not in self.inserts[type(row)]:
            self.updates[type(row)][row.pk] = row

    def say(
        self,
        doc: Said,
        kind: str,
        *,
        body: BodyRef | None,
        urgency: "alerts.Urgency | None",
        said_at: datetime | None = None,
        operation: UUID | None = None,
        device: UUID | None = None,
        deleted: bool = False,
    ) -> Entry:
        """Logs that `doc` moved and will stand as it does on leaving. Raises its rev; saves its row if it has one.

        `urgency` has no default: whoever says a thing decides whether somebody must know at once.
        """
        doc.rev += 1
        spoken = self._spoken(doc)
        spoken.last_place, spoken.is_gone = len(self.entries), spoken.is_gone or deleted
        chain_id = doc.chain_id if body is not None else None
        head = self.heads.get(chain_id)
        if chain_id is not None and head is None:
            raise RuntimeError(f"{kind}: the chain of {chain_id} is not locked")
        entry = Entry(
            doc=doc,
            collection=doc.collection,
            doc_id=doc.id,
            kind=kind,
            said_at=said_at or self.now,
            body=body,
            operation=operation,
            device=device or self.device,
            chain_id=chain_id,
            head=head,
            place=len(self.entries),
        )
        self.entries.append(entry)
        if urgency is not None:
            self.urgencies.append(urgency)
        return entry

    def _spoken(self, doc: Said) -> Spoken:
        """The document among those said; the first time its row, if it has one, joins those that are written."""
        key = (doc.collection, doc.id)
        spoken = self.spoken.get(key)
        if spoken is None or spoken.doc is not doc:
            is_row = isinstance(doc, Model)
            spoken = self.spoken[key] = Spoken(doc, is_new=is_row and doc._state.adding)
            if is_row:
                self.insert(doc) if spoken.is_new else self.update(doc)
        return spoken

    def at_hand(self, row: Said) -> Said:
        """The row as this unit has changed it, or as it was read."""
        spoken = self.spoken.get((row.collection, row.id))
        return row if spoken is None else spoken.doc

    def has_made(self, doc: Said) -> bool:
        """Whether the document is this unit's own, not written yet."""
        spoken = self.spoken.get((doc.collection, doc.id))
        return spoken is not None and spoken.is_new

    def also(self, make_rows: Callable[[int], Iterable[tuple[type[Model], list]]]) -> None:
        """Rows that need the numbers: called with the first number after the bump, gives (model, new rows)."""
        self.after.append(make_rows)


@contextmanager
def unit(*, actor: UUID | None, device: UUID | None = None, source: str, now: datetime | None = None) -> Iterator[Work]:
    """Opens a unit of work for a person (or a job: None). Raises RuntimeError when one is open already."""
    if CURRENT.get() is not None:
        raise RuntimeError("a unit of work is never nested")
    work = Work(actor=actor, device=device, source=source, now=now or datetime.now(UTC))
    token = CURRENT.set(work)
    try:
        with guard.lifted(), transaction.atomic(durable=True):
            yield work
            _leave(work)
    finally:
        CURRENT.reset(token)


@contextmanager
def snapshot() -> Iterator[None]:
    """One read snapshot for all queries inside; nothing may be written. Both engines read beside the writers."""
    if any(block._from_testcase for block in connection.atomic_blocks):
        yield  # a test's own transaction is one already
    elif connection.vendor == "postgresql":
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    else:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")


def clock_now() -> tuple[int, str]:
    """(last number given, epoch). Raises Clock.DoesNotExist before the database is migrated."""
    return _clock("seq", "epoch")


class ClockState(NamedTuple):
    """What a phone is told of the clock at each contact."""

    seq: int
    epoch: str
    durable_seq: int | None  # of this epoch, safe in a verified backup; None until the first one
    kept_after: int  # a mirror that stands below may have missed a deletion that is swept away


def clock_state() -> ClockState:
    """The clock's row, in one statement."""
    return ClockState(*_clock(*ClockState._fields))


def _clock(*names: str) -> tuple:
    clocks = rows.pick(Clock, *names, id=1)
    if not clocks:
        raise Clock.DoesNotExist
    return clocks[0]


def _leave(work: Work) -> None:
    if work.urgencies:
        alerts.raise_for(work, work.urgencies)
    alerts.follow(work)
    _link_chains(work)
    standing = _standing_index(work)
    used = {entry.body.id for entry in work.entries if entry.body is not None}
    rows.insert(Body, [body for body in work.bodies if body[0] in used])
    for model in sorted(work.inserts, key=rows.depth):  # what is pointed to comes first
        rows.insert(model, list(work.inserts[model].values()))
    for model, changed in work.updates.items():
        rows.upsert(model, list(changed.values()))
    moved = {id(entry.head): entry.head for entry in work.entries if entry.head is not None}
    rows.upsert(ChainHead, sorted(moved.values(), key=attrgetter("organisation_id")))
    if not work.entries:
        for make_rows in work.after:
            _insert_all(make_rows(0))
        return
    rendered = [
        (spoken, spoken.doc.wire(), spoken.doc.readers())
        for spoken in work.spoken.values()
        if hasattr(spoken.doc, "readers")
    ]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # deferred foreign keys are checked now: at commit they would lock parents while we hold the clock
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    first = _bump(len(work.entries))
    rows.insert(Change, [_change_row(work, entry, first + entry.place) for entry in work.entries])
    _write_index(rendered, standing, first)
    for make_rows in work.after:
        _insert_all(make_rows(first))
    transaction.on_commit(ring.ring)


def _insert_all(batches: Iterable[tuple[type[Model], list]]) -> None:
    for model, new in batches:
        rows.insert(model, new)


def _link_chains(work: Work) -> None:
    for entry in work.entries:
        head = entry.head
        if head is None:
            continue
        entry.prev, entry.n = bytes(head.hash), head.n + 1
        entry.hash = chain_hash(
            prev=entry.prev,
            chain_id=entry.chain_id,
            n=entry.n,
            collection=entry.collection,
            doc_id=entry.doc_id,
            kind=entry.kind,
            actor_id=work.actor,
            device_id=entry.device,
            said_at=entry.said_at,
            received_at=work.now,
            body_hash=entry.body.hash,
        )
        head.n, head.hash = entry.n, entry.hash


def chain_hash(
    *, prev: bytes, chain_id, n, collection, doc_id, kind, actor_id, device_id, said_at, received_at, body_hash
) -> bytes:
    """SHA-256 over the previous hash and the canonical bytes of a change; never over its number in the log."""
    said = [
        chain_id,
        n,
        collection,
        doc_id,
        kind,
        actor_id,
        device_id,
        _utc(said_at),
        _utc(received_at),
        body_hash.hex(),
    ]
    return hashlib.sha256(prev + msgspec.json.encode(said)).digest()


@lru_cache(maxsize=4096)  # the moments of a batch stand in all of its changes
def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _standing_index(work: Work) -> dict[tuple[str, UUID], list[tuple]]:
    """Index rows of the documents that existed before: (audience, key, created_seq) by (collection, id)."""
    wanted = defaultdict(list)
    for (collection, doc_id), spoken in work.spoken.items():
        if not spoken.is_new:
            wanted[collection].append(doc_id)
    standing = defaultdict(list)
    for collection, ids in wanted.items():
        columns = ("doc_id", "audience", "key", "created_seq")
        for doc_id, *row in rows.pick(Index, *columns, collection=collection, doc_id=ids):
            standing[collection, doc_id].append(tuple(row))
    return standing


def _bump(n: int) -> int:
    """The first of n numbers. Nothing may lock a row after this."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE safety_clock SET seq = seq + %s WHERE id = 1 RETURNING seq", [n])
        return cursor.fetchone()[0] - n + 1


def _change_row(work: Work, entry: Entry, seq: int) -> tuple:
    return (
        seq,
        entry.collection,
        entry.doc_id,
        entry.kind,
        work.actor,
        entry.device,
        entry.operation,
        entry.said_at,
        work.now,
        entry.body.id if entry.body else None,
        entry.body.hash if entry.body else None,
        entry.chain_id,
        entry.n,
        entry.prev,
        entry.hash,
    )


def _write_index(rendered: list[tuple[Spoken, bytes, Set]], standing: dict, first: int) -> None:
    new, over, exits = [], [], []
    for spoken, wire, readers in rendered:
        collection, doc_id, seq = spoken.doc.collection, spoken.doc.id, first + spoken.last_place
        rows_before = () if spoken.is_new else standing.get((collection, doc_id), ())
        created_seq = min((row[2] for row in rows_before), default=seq)
        before = {row[:2] for row in rows_before}
        for audience, reader in sorted(readers, key=str) if len(readers) > 1 else readers:
            row = (
                collection,
                doc_id,
                audience,
                reader,
                seq,
                created_seq,
                spoken.doc.rev,
                spoken.is_gone,
                SCHEMA,
                wire,
            )
            (over if (audience, reader) in before else new).append(row)
        exits += [(None, seq, collection, doc_id, audience, reader) for audience, reader in before - readers]
    rows.insert(Index, new)
    rows.upsert(Index, over)
    _write_exits(exits)


def _write_exits(exits: list[tuple]) -> None:
    if not exits:
        return
    Exit.objects.bulk_create(
        Exit(seq=seq, collection=collection, doc_id=doc_id, audience=audience, key=key)
        for _, seq, collection, doc_id, audience, key in exits
    )
    for _, _, collection, doc_id, audience, key in exits:
        Index.objects.filter(collection=collection, doc_id=doc_id, audience=audience, key=key).delete()
