"""What the Index and the exits hold for a set of reader pairs, in order of number: the SQL of pull on both engines.

A walk asks pair by pair for the first few rows after a number, through the reader's own index, and merges them:
PostgreSQL by a lateral limit, SQLite by `seq in (select … limit)`. Asked plainly, PostgreSQL walks the whole log after
a long silence. Few rows a pair are asked at first, since a page is one limit and a district has 120 pairs: what is
sure then ends at the horizon, the number at which the first pair that gave all it was asked for stopped; from there
the walk goes on with more a pair. Measured with 300,000 documents and 83 pairs, a page of 200: docs/pull.md.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from safety.scopes import Pair

FEWEST = 16  # rows a pair that the first step asks for: most deltas are done in one


class Moved(NamedTuple):
    """An Index row: a document as it stands now. Its bytes are fetched apart, see `wires`."""

    seq: int
    collection: str
    id: UUID
    audience: str
    key: UUID
    rev: int
    deleted: bool
    size: int  # of the wire bytes; 0 when deleted


class Gone(NamedTuple):
    """A document that a reader had and has no more."""

    seq: int
    collection: str
    id: UUID


POSTGRES_PAIRS = (
    "{name}(audience, key) AS (SELECT * FROM unnest(%({name}_audiences)s::text[], %({name}_keys)s::uuid[]) AS p)"
)
SQLITE_PAIRS = (
    "{name}(audience, key) AS MATERIALIZED"
    " (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(%({name})s))"
)

POSTGRES_FOUND = """
    SELECT w.* FROM pairs p CROSS JOIN LATERAL (
        SELECT i.audience, i.key, {columns} FROM {table} i
        WHERE i.audience = p.audience AND i.key = p.key AND {where}
        ORDER BY i.seq LIMIT %(each)s
    ) w
"""
SQLITE_FOUND = """
    SELECT i.audience, i.key, {columns} FROM pairs p
    CROSS JOIN {table} i ON i.audience = p.audience AND i.key = p.key AND i.seq IN (
        SELECT i.seq FROM {table} i
        WHERE i.audience = p.audience AND i.key = p.key AND {where}
        ORDER BY i.seq LIMIT %(each)s
    )
"""
POSTGRES_ONCE = "SELECT DISTINCT ON (seq) {names}, horizon FROM sure ORDER BY seq LIMIT %(limit)s"
SQLITE_ONCE = "SELECT {names}, horizon FROM sure GROUP BY seq ORDER BY seq LIMIT %(limit)s"

STEP = """
    WITH {pairs}, found AS MATERIALIZED ({found}),
    ends AS (SELECT max(seq) AS seq FROM found GROUP BY audience, key HAVING count(*) >= %(each)s),
    edge AS (SELECT min(seq) AS horizon FROM ends),
    sure AS (SELECT found.*, horizon FROM found CROSS JOIN edge WHERE horizon IS NULL OR seq <= horizon)
    {once}
"""

NOT_SHOWN = (
    "NOT EXISTS (SELECT 1 FROM safety_index k WHERE k.collection = i.collection AND k.doc_id = i.doc_id"
    " AND (k.audience, k.key) IN (SELECT audience, key FROM shown))"
)
KNOWN = (
    "EXISTS (SELECT 1 FROM safety_change c"
    " WHERE c.collection = i.collection AND c.doc_id = i.doc_id AND c.seq <= %(known)s)"
)

# the limit keeps the planner from hashing the whole Index where a page is much of it
POSTGRES_WIRES = """
    SELECT w.collection, w.doc_id, i.wire
    FROM unnest(%(collections)s::text[], %(ids)s::uuid[], %(audiences)s::text[], %(keys)s::uuid[])
      AS w(collection, doc_id, audience, key)
    CROSS JOIN LATERAL (
        SELECT i.wire FROM safety_index i
        WHERE i.collection = w.collection AND i.doc_id = w.doc_id AND i.audience = w.audience AND i.key = w.key
        LIMIT 1
    ) i
"""
SQLITE_WIRES = """
    SELECT i.collection, i.doc_id, i.wire FROM json_each(%(rows)s) w CROSS JOIN safety_index i
      ON i.collection = json_extract(w.value, '$[0]') AND i.doc_id = json_extract(w.value, '$[1]')
     AND i.audience = json_extract(w.value, '$[2]') AND i.key = json_extract(w.value, '$[3]')
"""


def moved(
    pairs: Iterable[Pair], *, after: int, upto: int, limit: int, collections: Sequence[str] = (), live: bool = False
) -> list[Moved]:
    """The first `limit` documents of these pairs whose last change is in (after, upto]; `live`: not the deleted ones.

    A document that several rows show comes once.
    """
    size = f"CASE WHEN i.deleted THEN 0 ELSE {'octet_length' if _is_postgres() else 'length'}(i.wire) END AS size"
    rows = _walk(
        "safety_index",
        ["seq", "collection", "doc_id", "audience", "key", "rev", "deleted", "size"],
        columns=f"i.seq, i.collection, i.doc_id, i.rev, i.deleted, {size}",
        where=["i.seq > %(after)s", "i.seq <= %(upto)s", *(["NOT i.deleted"] if live else [])],
        pairs=list(pairs),
        collections=collections,
        after=after,
        limit=limit,
        upto=upto,
    )
    return [
        Moved(seq, collection, _uuid(doc_id), audience, _uuid(key), rev, bool(deleted), size)
        for seq, collection, doc_id, audience, key, rev, deleted, size in rows
    ]


def wires(rows: Sequence[Moved]) -> dict[tuple[str, UUID], bytes]:
    """The finished wire forms of these very rows, by (collection, id). One statement."""
    if not rows:
        return {}
    if _is_postgres():
        names = ("collections", "ids", "audiences", "keys")
        columns = zip(*((row.collection, row.id, row.audience, row.key) for row in rows), strict=True)
        found = _ask(POSTGRES_WIRES, dict(zip(names, map(list, columns), strict=True)))
    else:
        wanted = [[row.collection, row.id.hex, row.audience, row.key.hex] for row in rows]
        found = _ask(SQLITE_WIRES, {"rows": json.dumps(wanted)})
    return {(collection, _uuid(doc_id)): bytes(wire) for collection, doc_id, wire in found}


def lost(
    pairs: Iterable[Pair],
    *,
    shown: Iterable[Pair],
    after: int,
    known: int,
    limit: int,
    collections: Sequence[str] = (),
) -> list[Gone]:
    """Documents of these pairs after a number that no row shows to `shown`; none that was made after `known`.

    The bound keeps ids of what came after the loss of access from leaking (sync.md §1.3).
    """
    where = ["i.seq > %(after)s", "i.created_seq <= %(known)s", "(NOT i.deleted OR i.seq > %(known)s)", NOT_SHOWN]
    return _gone("safety_index", where, pairs, shown, collections, after=after, known=known, limit=limit)


def exits(
    pairs: Iterable[Pair],
    *,
    shown: Iterable[Pair],
    after: int,
    known: int,
    limit: int,
    collections: Sequence[str] = (),
) -> list[Gone]:
    """Documents that left one of these pairs after a number and that no row shows to `shown` now.

    What did not exist at `known` was never given to the reader: of that nothing is said.
    """
    where = ["i.seq > %(after)s", KNOWN, NOT_SHOWN]
    return _gone("safety_exit", where, pairs, shown, collections, after=after, known=known, limit=limit)


def _gone(table: str, where: list[str], pairs, shown, collections, *, after: int, known: int, limit: int) -> list[Gone]:
    rows = _walk(
        table,
        ["seq", "collection", "doc_id"],
        columns="i.seq, i.collection, i.doc_id",
        where=where,
        pairs=list(pairs),
        shown=list(shown),
        collections=collections,
        after=after,
        limit=limit,
        known=known,
    )
    return [Gone(seq, collection, _uuid(doc_id)) for seq, collection, doc_id in rows]


def _walk(
    table: str,
    names: list[str],
    *,
    columns: str,
    where: list[str],
    pairs: list[Pair],
    shown: list[Pair] | None = None,
    collections: Sequence[str],
    after: int,
    limit: int,
    **numbers: int,
) -> list[tuple]:
    """Up to `limit` rows in order of number, one a number. Mostly one or two statements, at most six."""
    if not pairs:
        return []
    sql = _step_sql(table, names, columns=columns, where=where, shown=shown is not None, filtered=bool(collections))
    parameters = numbers | _pairs_given("pairs", pairs) | _pairs_given("shown", shown or [])
    parameters["collections"] = list(collections) if _is_postgres() else json.dumps(list(collections))
    rows, each = [], min(limit, max(FEWEST, 3 * limit // len(pairs)))
    while True:
        step = _ask(sql, parameters | {"after": after, "limit": limit - len(rows), "each": each})
        rows += [row[:-1] for row in step]
        horizon = step[0][-1] if step else None
        if horizon is None or len(rows) >= limit:
            return rows
        after, each = horizon, min(limit, each * 4)


def _step_sql(table: str, names: list[str], *, columns: str, where: list[str], shown: bool, filtered: bool) -> str:
    postgres = _is_postgres()
    if filtered:
        one_of = "= ANY(%(collections)s)" if postgres else "IN (SELECT value FROM json_each(%(collections)s))"
        where = [*where, f"i.collection {one_of}"]
    found = POSTGRES_FOUND if postgres else SQLITE_FOUND
    once = POSTGRES_ONCE if postgres else SQLITE_ONCE
    pairs = POSTGRES_PAIRS if postgres else SQLITE_PAIRS
    return STEP.format(
        pairs=", ".join(pairs.format(name=name) for name in (["pairs", "shown"] if shown else ["pairs"])),
        found=found.format(table=table, columns=columns, where=" AND ".join(where)),
        once=once.format(names=", ".join(names)),
    )


def _pairs_given(name: str, pairs: list[Pair]) -> dict:
    if _is_postgres():
        return {f"{name}_audiences": [audience for audience, _ in pairs], f"{name}_keys": [key for _, key in pairs]}
    return {name: json.dumps([[audience, key.hex] for audience, key in pairs])}


def _ask(sql: str, parameters: dict) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _is_postgres() -> bool:
    return connection.vendor == "postgresql"


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
