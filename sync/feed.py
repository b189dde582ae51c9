"""What the Index and the exits hold for a set of reader pairs, in order of number: the SQL of pull on both engines.

A walk asks pair by pair for the first few rows after a number, through the reader's own index: PostgreSQL by a lateral
limit, SQLite by `rowid in (select … limit)`. Asked plainly, PostgreSQL walks the whole log after a long silence. Few
rows a pair are asked at first, since a page is one limit and a district has 120 pairs: what is sure then ends at the
horizon, the number at which the first pair that gave all it was asked for stopped; from there the walk goes on with
more a pair. It is merged here, in thin rows: windows and groupings in the engines cost more than the reading.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter, itemgetter
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from safety.rows import fetch
from safety.scopes import Pair

FEWEST, MOST = 16, 1024  # rows a pair that the first step asks for at least, and any at most
EVERYTHING = math.inf
LIKELY_BYTES = 1280  # of an entry, to guess how many a page will take
LEAST_BYTES = 100  # of an entry, beside the document


class Moved(NamedTuple):
    """An Index row: a document as it stands now."""

    seq: int
    collection: str
    id: str
    rev: int
    deleted: bool
    schema: int  # in which its bytes were rendered
    wire: bytes | None  # None when deleted


class Gone(NamedTuple):
    """A document that a reader had and has no more."""

    seq: int
    collection: str
    id: str


by_number = attrgetter("seq")


class Walk(NamedTuple):
    """What a walk gave, in order of number; when it was cut, there may be more after its last row."""

    rows: Sequence[Moved] | Sequence[Gone]
    cut: bool


POSTGRES_PAIRS = (
    "{name}(audience, key, n) AS MATERIALIZED"
    " (SELECT * FROM unnest(%({name}_audiences)s::text::text[], %({name}_keys)s::text::uuid[]) WITH ORDINALITY)"
)
SQLITE_PAIRS = (
    "{name}(audience, key, n) AS MATERIALIZED"
    " (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), key FROM json_each(%({name})s))"
)

# the first rows of each pair, the pair's number before them
POSTGRES_FOUND = """
    WITH {pairs} SELECT w.* FROM pairs p CROSS JOIN LATERAL (
        SELECT p.n, {columns} FROM {table} i
        WHERE i.audience = p.audience AND i.key = p.key AND {where}
        ORDER BY i.seq LIMIT %(each)s
    ) w
"""
SQLITE_FOUND = """
    WITH {pairs} SELECT p.n, {columns} FROM pairs p CROSS JOIN {table} i ON i.rowid IN (
        SELECT i.rowid FROM {table} i
        WHERE i.audience = p.audience AND i.key = p.key AND {where}
        ORDER BY i.seq LIMIT %(each)s
    )
"""

# the limit keeps the planner from reading the whole Index where a page is much of it
POSTGRES_ROWS = """
    SELECT i.* FROM unnest(%(places)s::text::tid[]) AS p(place) CROSS JOIN LATERAL (
        SELECT seq, collection, doc_id::text, rev, deleted, schema, CASE WHEN deleted THEN NULL ELSE wire END
        FROM safety_index WHERE ctid = p.place LIMIT 1
    ) i
"""
SQLITE_ROWS = """
    SELECT seq, collection, doc_id, rev, deleted, schema, CASE WHEN deleted THEN NULL ELSE wire END
    FROM safety_index WHERE rowid IN (SELECT value FROM json_each(%(places)s))
"""

NOT_SHOWN = (
    "NOT EXISTS (SELECT 1 FROM safety_index k WHERE k.collection = i.collection AND k.doc_id = i.doc_id"
    " AND (k.audience, k.key) IN (SELECT audience, key FROM shown))"
)
# what the reader moved by a push was shown in its answer, ahead of the cursor; asked document by document, for as an
# EXISTS the planner would hash the whole log
KNOWN = (
    "(SELECT 1 FROM safety_change c WHERE c.collection = i.collection AND c.doc_id = i.doc_id"
    " AND (c.seq <= %(known)s OR c.actor_id = %(reader)s) LIMIT 1) IS NOT NULL"
)

# 52 bits of a hash as a number: 13 hex digits, which is what a bit string of 52 takes
POSTGRES_DIGEST = """
    WITH {pairs}, held AS (
        SELECT DISTINCT i.collection, i.doc_id, i.rev FROM pairs p
        JOIN safety_index i ON i.audience = p.audience AND i.key = p.key WHERE {where}
    )
    SELECT collection, count(*), sum(
        ('x' || left(encode(sha256(convert_to(doc_id::text || '|' || rev, 'UTF8')), 'hex'), 13))::bit(52)::bigint
    ) FROM held GROUP BY collection
"""
SQLITE_DIGEST = """
    WITH {pairs}
    SELECT DISTINCT i.collection, i.doc_id, i.rev FROM pairs p
    CROSS JOIN safety_index i ON i.audience = p.audience AND i.key = p.key WHERE {where}
"""


def digest(pairs: Iterable[Pair], *, collections: Sequence[str] = ()) -> dict[str, dict[str, int]]:
    """Per collection that these pairs show: how many live documents, and the sum of 52-bit hashes over id and rev.

    Modulo 2^53, so that any client adds it up in its own numbers (sync.md §1.3). No wire form is read.
    """
    postgres, shown = _is_postgres(), list(pairs)
    where = ["NOT i.deleted", *_one_of(collections)]
    sql = (POSTGRES_DIGEST if postgres else SQLITE_DIGEST).format(
        pairs=(POSTGRES_PAIRS if postgres else SQLITE_PAIRS).format(name="pairs"), where=" AND ".join(where)
    )
    rows = _ask(sql, _pairs_given("pairs", shown) | _collections_given(collections))
    if postgres:
        return {collection: {"count": count, "sum": int(total) % 2**53} for collection, count, total in rows}
    found = defaultdict(lambda: {"count": 0, "sum": 0})
    for collection, doc_id, rev in rows:
        of = found[collection]
        of["count"] += 1
        of["sum"] = (of["sum"] + hash_of(_hyphened(doc_id), rev)) % 2**53
    return dict(found)


def hash_of(doc_id: UUID | str, rev: int) -> int:
    """The first 52 bits of SHA-256 over `id|rev`: 13 hex digits."""
    return int(hashlib.sha256(f"{doc_id}|{rev}".encode()).hexdigest()[:13], 16)


def moved(
    pairs: Iterable[Pair],
    *,
    after: int,
    upto: int,
    limit: int,
    room: int,
    collections: Sequence[str] = (),
    live: bool = False,
) -> Walk:
    """The first `limit` documents of these pairs whose last change is in (after, upto]; `live`: not the deleted ones.

    They end with the first that does not fit into `room` bytes; one comes always. A document that several rows show
    comes once.
    """
    # where a row lies: in one snapshot it stays there, and is fetched without walking its key a second time
    place, length = ("ctid", "octet_length") if _is_postgres() else ("rowid", "length")
    rows = _walk(
        "safety_index",
        columns=f"i.seq, i.{place}, CASE WHEN i.deleted THEN 0 ELSE {length}(i.wire) END",
        where=["i.seq > %(after)s", "i.seq <= %(upto)s", *(["NOT i.deleted"] if live else [])],
        pairs=list(pairs),
        collections=collections,
        after=after,
        likely=min(limit, room // LIKELY_BYTES),
        upto=upto,
    )
    places, cut = [], False
    for _, _, at, size in rows:
        if len(places) >= limit or (room <= 0 and places):
            cut = True
            break
        places.append(at)
        room -= LEAST_BYTES + size
    return Walk(_rows_at(places), cut)


def _rows_at(places: list) -> list[Moved]:
    if not places:
        return []
    if _is_postgres():
        return sorted(map(Moved._make, fetch(POSTGRES_ROWS, {"places": _array(places)}, binary=True)), key=by_number)
    found = _ask(SQLITE_ROWS, {"places": json.dumps(places)})
    return sorted([Moved(row[0], row[1], _hyphened(row[2]), *row[3:]) for row in found], key=by_number)


def lost(
    pairs: Iterable[Pair],
    *,
    shown: Iterable[Pair],
    after: int,
    known: int,
    reader: UUID,
    limit: int,
    collections: Sequence[str] = (),
) -> Walk:
    """Documents of these pairs after a number that no row shows to `shown`; none that was made after `known` by others.

    The bound keeps ids of what came after the loss of access from leaking (sync.md §1.3).
    """
    made = f"(i.created_seq <= %(known)s OR {KNOWN})"
    where = ["i.seq > %(after)s", made, "(NOT i.deleted OR i.seq > %(known)s)", NOT_SHOWN]
    return _gone("safety_index", where, pairs, shown, collections, after=after, known=known, reader=reader, limit=limit)


def exits(
    pairs: Iterable[Pair],
    *,
    shown: Iterable[Pair],
    after: int,
    known: int,
    reader: UUID,
    limit: int,
    collections: Sequence[str] = (),
) -> Walk:
    """Documents that left one of these pairs after a number and that no row shows to `shown` now.

    What did not exist at `known`, and was not said by the reader, was never given to them: of that nothing is said.
    """
    where = ["i.seq > %(after)s", KNOWN, NOT_SHOWN]
    return _gone("safety_exit", where, pairs, shown, collections, after=after, known=known, reader=reader, limit=limit)


def _gone(
    table: str, where: list[str], pairs, shown, collections, *, after: int, known: int, reader: UUID, limit: int
) -> Walk:
    rows = _walk(
        table,
        columns="i.seq, i.collection, i.doc_id",
        where=where,
        pairs=list(pairs),
        shown=list(shown),
        collections=collections,
        after=after,
        likely=limit,
        known=known,
        reader=reader if _is_postgres() else reader.hex,
    )
    first = [Gone(seq, collection, _hyphened(doc_id)) for _, seq, collection, doc_id in islice(rows, limit)]
    return Walk(first, cut=next(rows, None) is not None)


def _walk(
    table: str,
    *,
    columns: str,
    where: list[str],
    pairs: list[Pair],
    shown: list[Pair] | None = None,
    collections: Sequence[str],
    after: int,
    likely: int,
    **numbers: int | UUID | str,
) -> Iterator[tuple]:
    """Rows in order of number, one a number, as far as they are asked for; `likely` many of them, it is thought.

    Before its columns, a row has the place of the pair that shows it. One statement a step, mostly one step; the next
    one asks each pair for more, by what this one gave.
    """
    if not pairs:
        return
    sql = _found_sql(table, columns=columns, where=[*where, *_one_of(collections)], shown=shown is not None)
    parameters = numbers | _pairs_given("pairs", pairs) | _pairs_given("shown", shown or [])
    parameters |= _collections_given(collections)
    each = max(FEWEST, 2 * likely // len(pairs))
    while True:
        found = _ask(sql, parameters | {"after": after, "each": each})
        horizon = _horizon(found, each)
        sure = {row[1]: row for row in found if row[1] <= horizon}
        for number in sorted(sure):
            yield sure[number]
        if horizon is EVERYTHING:
            return
        likely -= len(sure)
        after, each = horizon, min(MOST, each * min(8, max(2, likely // len(sure))))


def _horizon(found: list[tuple], each: int) -> float:
    """The number up to which no pair can have more rows than were found."""
    full = {n for n, count in Counter(map(itemgetter(0), found)).items() if count >= each}
    if not full:
        return EVERYTHING
    ends: dict[int, int] = {}
    for row in found:
        if row[0] in full and row[1] > ends.get(row[0], 0):
            ends[row[0]] = row[1]
    return min(ends.values())


def _found_sql(table: str, *, columns: str, where: list[str], shown: bool) -> str:
    found, pairs = (POSTGRES_FOUND, POSTGRES_PAIRS) if _is_postgres() else (SQLITE_FOUND, SQLITE_PAIRS)
    return found.format(
        pairs=", ".join(pairs.format(name=name) for name in (["pairs", "shown"] if shown else ["pairs"])),
        table=table,
        columns=columns,
        where=" AND ".join(where),
    )


def _one_of(collections: Sequence[str]) -> list[str]:
    if not collections:
        return []
    one_of = "= ANY(%(collections)s)" if _is_postgres() else "IN (SELECT value FROM json_each(%(collections)s))"
    return [f"i.collection {one_of}"]


def _collections_given(collections: Sequence[str]) -> dict:
    return {"collections": list(collections) if _is_postgres() else json.dumps(list(collections))}


def _pairs_given(name: str, pairs: list[Pair]) -> dict:
    if _is_postgres():
        audiences, keys = [audience for audience, _ in pairs], [key.hex for _, key in pairs]
        return {f"{name}_audiences": _array(audiences), f"{name}_keys": _array(keys)}
    return {name: json.dumps([[audience, key.hex] for audience, key in pairs])}


def _array(parts: Sequence[str]) -> str:
    """An array as PostgreSQL writes it: the driver would look through each part of a list, longer than the walk takes."""
    return '{"' + '","'.join(parts) + '"}' if parts else "{}"


def _ask(sql: str, parameters: dict) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _is_postgres() -> bool:
    return connection.vendor == "postgresql"


def _hyphened(value: UUID | str) -> str:
    """An id as it stands on the wire; SQLite keeps 32 hex digits."""
    if isinstance(value, UUID):
        return str(value)
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"
