"""Pull: what a phone has not seen yet, within today's scope, page by page.

First snapshot, regained access, a change of scope and a new schema are one mechanism, the transition: what is lost is
removed, what is gained is added, then the ordinary delta goes on **from the old number** for all pairs. A change up to
that number was committed before the pages of the transition were read (numbers appear in commit order), later ones
come in the delta. Everything here reads inside one snapshot, and serves Index rows as they are: the row that passes
the test of audience is the row whose bytes are sent.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from safety.backups import kept_of
from safety.changes import ClockState, clock_state, snapshot
from safety.errors import Busy
from safety.scopes import TRIES, Pair, Scope, pairs_of, scope_of, tell_scope
from sync import feed
from sync.cursor import (
    RESNAPSHOT,
    VERSION,
    Cursor,
    CursorAhead,
    CursorExpired,
    CursorFilterMismatch,
    EpochChanged,
    Transition,
    encode_cursor,
    filter_hash,
)
from sync.schemas import SCHEMAS, Schemas

PROTOCOL = 1
DEFAULT_ENTRIES, MAX_ENTRIES = 200, 1000
MAX_BYTES = 512 * 1024
FRAME_BYTES = 4096  # everything of an answer but its entries
NOTHING = feed.Walk((), cut=False)
EVERYTHING = math.inf

# a document as it stands: apply it unless yours has a higher rev
PUT = b'{"collection":"%b","id":"%b","op":"put","rev":%d,"seq":%d,"doc":%b}'
# a document that is no more, for anybody
DELETED = b'{"collection":"%b","id":"%b","op":"del","rev":%d,"seq":%d,"reason":"deleted"}'
# a document that this reader sees no more
DEPARTED = b'{"collection":"%b","id":"%b","op":"del","seq":%d,"reason":"scope"}'


class Answer(msgspec.Struct, frozen=True):
    """One page. With `has_more` false the mirror equals the server's view at `seq`, in this scope and filter."""

    protocol: int
    epoch: str
    cursor: str
    seq: int
    has_more: bool
    phase: str  # snapshot | transition | delta, by where the page began
    server_time: datetime
    durable_seq: int | None
    changes: msgspec.Raw
    digest: dict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request wants beside its cursor."""

    now: datetime
    limit: int = DEFAULT_ENTRIES
    collections: tuple[str, ...] = ()
    digest: bool = False
    schema: int | None = None  # the newest one that the client knows; None: it did not say


def pull(person_id: UUID, *, cursor: Cursor | None, asked: Asked, schemas: Schemas = SCHEMAS) -> bytes:
    """The answer's JSON. Writes the person's scope down first if the log does not say it yet.

    A mirror in another schema moves the scope document as well: what the cursor says of it changes, and then its
    number must grow. Raises EpochChanged, CursorAhead, CursorExpired, CursorFilterMismatch, ClientTooOld, Busy.
    """
    schema = schemas.served(asked.schema)
    renewed = cursor is not None and cursor.transition is None and cursor.schema != schema
    for _ in range(TRIES):
        with snapshot():
            scope = scope_of(person_id, now=asked.now)
            if scope.told and not renewed:
                return _answer(scope, cursor, asked, schema, schemas)
            if renewed:
                _start(scope, cursor, asked, schema, clock_state())  # what is refused writes nothing
        if tell_scope(scope, now=asked.now):
            renewed = False
    raise Busy


class Page:
    """The entries of one answer, within both caps; a document that is told twice is one entry, the later."""

    def __init__(self, limit: int):
        self.limit, self.bytes = limit, FRAME_BYTES
        self.entries: dict[tuple[str, str], bytes] = {}

    @property
    def room(self) -> int:
        return self.limit - len(self.entries)

    @property
    def room_bytes(self) -> int:
        return max(1, MAX_BYTES - self.bytes)

    def take(self, *walks: feed.Walk, encode: Callable[[Any], bytes]) -> tuple[int | None, bool]:
        """Takes what walks gave, in order of number.

        Gives the last number taken (None: nothing was) and whether all there is was taken.
        """
        cut = [walk.rows[-1].seq if walk.rows else 0 for walk in walks if walk.cut]
        horizon = min(cut, default=EVERYTHING)  # beyond it a cut walk may have more
        last = None
        for row in _merged([walk.rows for walk in walks if walk.rows]):
            number, collection, doc_id = row[:3]
            if number > horizon:
                break
            if not self._add((collection, doc_id), encode(row)):
                return last, False
            last = number
        return last, horizon is EVERYTHING

    def _add(self, key: tuple[str, str], entry: bytes) -> bool:
        entries, size = self.entries, len(entry) + 1
        if key in entries:
            size -= len(entries[key]) + 1
        elif len(entries) >= self.limit:
            return False
        if self.bytes + size > MAX_BYTES and entries:
            return False
        entries.pop(key, None)  # its place is that of the later number
        entries[key] = entry
        self.bytes += size
        return True


def _merged(found: list[Sequence]) -> Iterable:
    return found[0] if len(found) == 1 else heapq.merge(*found, key=feed.by_number)


class _Pull:
    """One page in the making: where the mirror stands, what was gathered, and the scope that is served."""

    def __init__(self, scope: Scope, cursor: Cursor, asked: Asked, *, clock: int, schemas: Schemas):
        self.new, self.hash, self.reader = scope.sight.pairs, scope.hash, scope.sight.person_id
        self.cursor, self.clock, self.collections = cursor, clock, asked.collections
        self.schemas, self.page = schemas, Page(asked.limit)

    def run(self) -> bool:
        """Whether there is more. Stages follow each other within a page, so that a page is short only at the end."""
        return not (self._transition() and self._delta())

    def _transition(self) -> bool:
        if self.cursor.transition is None:
            return True
        before = self._kept(self.cursor.scope)
        return self._remove(before) and self._add(before)

    def _remove(self, before: frozenset[Pair]) -> bool:
        """Tells what of the old scope the new one does not show: rows made by `seq`, and exits since."""
        cursor, way = self.cursor, self.cursor.transition
        if way.stage != "remove":
            return True
        held = before | self._kept(way.left)
        asked, known = self.page.room + 1, cursor.seq
        common = {"shown": self.new, "known": known, "reader": self.reader, "limit": asked}
        common["collections"] = self.collections
        rows = feed.lost(held - self.new, after=way.at, **common)
        left = feed.exits(held, after=max(way.at, cursor.seq, cursor.exits_told), **common)
        # the number of a lost document's last change is no longer the reader's affair: the entry says where it stood
        last, done = self.page.take(rows, left, encode=lambda gone: _departed(gone, seq=known))
        if done:
            # told as far as when it began: what was shown by a gained pair then may have left it while we paged
            self.cursor = replace(
                cursor,
                transition=replace(way, stage="add", at=0, left=""),
                exits_told=max(way.since, cursor.exits_told),
            )
        elif last is not None:
            self.cursor = replace(cursor, transition=replace(way, at=last))
        return done

    def _add(self, before: frozenset[Pair]) -> bool:
        """Gives what the new scope shows beyond the old one, as far as `seq`; what moved later is the delta's."""
        way = self.cursor.transition
        gained = self.new if way.whole else self.new - before
        last, done = self._give(gained, after=way.at, upto=self.cursor.seq, live=True)
        if done:
            self.cursor = replace(self.cursor, scope=self.hash, transition=None)
        elif last is not None:
            self.cursor = replace(self.cursor, transition=replace(way, at=last))
        return done

    def _delta(self) -> bool:
        """Gives what moved after `seq`, and tells what left a pair of this scope and is shown by no other."""
        seq = self.cursor.seq
        asked = self.page.room + 1
        left = feed.exits(
            self.new,
            shown=self.new,
            after=max(seq, self.cursor.exits_told),
            known=seq,
            reader=self.reader,
            limit=asked,
            collections=self.collections,
        )
        last, done = self._give(self.new, after=seq, upto=self.clock, beside=left)
        if done:
            last = self.clock
        if last is not None:
            told = self.cursor.exits_told
            self.cursor = replace(self.cursor, seq=last, exits_told=told if told > last else 0)
        return done

    def _give(
        self, pairs: Iterable[Pair], *, after: int, upto: int, live: bool = False, beside: feed.Walk = NOTHING
    ) -> tuple[int | None, bool]:
        rows = feed.moved(
            pairs,
            after=after,
            upto=upto,
            limit=self.page.room + 1,
            room=self.page.room_bytes,
            collections=self.collections,
            live=live,
        )
        return self.page.take(rows, beside, encode=self._entry)

    def _entry(self, row: feed.Moved | feed.Gone) -> bytes:
        if isinstance(row, feed.Gone):
            return _departed(row, seq=row.seq)
        seq, collection, doc_id, rev, deleted, schema, wire = row
        if deleted:
            return DELETED % (collection.encode(), doc_id.encode(), rev, seq)
        if schema != self.cursor.schema:
            wire = self.schemas.cast(collection, wire, rendered=schema, to=self.cursor.schema)
        return PUT % (collection.encode(), doc_id.encode(), rev, seq, wire)

    def _kept(self, set_hash: str) -> frozenset[Pair]:
        """The pairs of a set that was once served. Raises CursorExpired when it is not kept any more."""
        if not set_hash:
            return frozenset()
        pairs = pairs_of(set_hash)
        if pairs is None:
            raise CursorExpired(**RESNAPSHOT)
        return pairs


def _answer(scope: Scope, cursor: Cursor | None, asked: Asked, schema: int, schemas: Schemas) -> bytes:
    clock = clock_state()
    start = _start(scope, cursor, asked, schema, clock)
    work = _Pull(scope, start, asked, clock=clock.seq, schemas=schemas)
    has_more = work.run()
    digest = asked.digest and not has_more
    return msgspec.json.encode(
        Answer(
            protocol=PROTOCOL,
            epoch=clock.epoch,
            cursor=encode_cursor(work.cursor, scope.sight.person_id),
            seq=work.cursor.seq,
            has_more=has_more,
            phase=_phase(start),
            server_time=asked.now,
            durable_seq=clock.durable_seq,
            changes=msgspec.Raw(b"[" + b",".join(work.page.entries.values()) + b"]"),
            digest=feed.digest(work.new, collections=asked.collections) if digest else None,
        )
    )


def _start(scope: Scope, cursor: Cursor | None, asked: Asked, schema: int, clock: ClockState) -> Cursor:
    """The cursor from which this page goes on: checked, and turned towards the scope and the schema of today."""
    filter = filter_hash(asked.collections)
    if cursor is None:
        way = Transition(to=scope.hash, since=clock.seq)
        return Cursor(version=VERSION, epoch=clock.epoch, seq=clock.seq, filter=filter, schema=schema, transition=way)
    if cursor.epoch != clock.epoch:
        raise EpochChanged(replay_after_seq=kept_of(cursor.epoch), **RESNAPSHOT)
    if max(cursor.seq, cursor.exits_told) > clock.seq:
        raise CursorAhead(replay_after_seq=0, **RESNAPSHOT)  # where the two parted is not known
    if cursor.seq < clock.kept_after:
        raise CursorExpired(**RESNAPSHOT)
    if cursor.filter != filter:
        raise CursorFilterMismatch
    return _towards(scope, cursor, schema, clock=clock.seq)


def _towards(scope: Scope, cursor: Cursor, schema: int, *, clock: int) -> Cursor:
    way, renewed = cursor.transition, cursor.schema != schema
    if way is None:
        if cursor.scope == scope.hash and not renewed:
            return cursor
        return replace(cursor, schema=schema, transition=Transition(to=scope.hash, since=clock, whole=renewed))
    if way.to == scope.hash and not renewed:
        return cursor
    # given up half-way: some of `way.to` may have come, some of the old scope may have gone
    left = way.to if way.stage == "add" else way.left
    return replace(cursor, schema=schema, transition=Transition(to=scope.hash, since=clock, whole=True, left=left))


def _phase(cursor: Cursor) -> str:
    if cursor.transition is None:
        return "delta"
    return "transition" if cursor.scope else "snapshot"


def _departed(row: feed.Gone, *, seq: int) -> bytes:
    return DEPARTED % (row.collection.encode(), row.id.encode(), seq)
