"""The road between hot rows and the engine, in bulk and over `_meta`: COPY in binary and unnest on PostgreSQL,
many-rowed VALUES on SQLite; and plain SELECTs by ids.

Django's own bulk calls and query sets cost three to five times as much CPU a row, and a third of a millisecond a
query; what they do beyond this (signals, defaults from the database, returning keys, joins) nothing here needs. Rows
carry their own primary keys.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from itertools import chain
from operator import attrgetter, itemgetter
from sqlite3 import Cursor
from typing import Any, TypeVar

import msgspec
from django.db import connection
from django.db.models import Field, Model
from django.db.models.base import ModelState
from psycopg import Cursor as PostgresCursor
from psycopg.types.json import Jsonb

from safety.ids import parsed

CHUNK = 200  # rows a statement on SQLite; PostgreSQL takes all of a table in one
POSTGRES_TYPES = {
    "UUIDField": "uuid",
    "CharField": "text",
    "TextField": "text",
    "DateTimeField": "timestamptz",
    "DateField": "date",
    "BooleanField": "bool",
    "JSONField": "jsonb",
    "BinaryField": "bytea",
    "FloatField": "float8",
    "BigIntegerField": "int8",
    "IntegerField": "int4",
    "SmallIntegerField": "int2",
    "PositiveSmallIntegerField": "int2",
}
Row = TypeVar("Row", bound=Model)
Convert = Callable[[Any], Any]


class Plan:
    """How the rows of one model travel on one engine: columns, types, and a converter for each value, both ways."""

    def __init__(self, model: type[Model], vendor: str):
        fields = [field for field in model._meta.concrete_fields if _kind(field) in POSTGRES_TYPES]
        left_out = set(model._meta.concrete_fields) - set(fields)
        if any(not field.primary_key for field in left_out):
            raise TypeError(f"{model.__name__}: {left_out} cannot be written in bulk")
        self.table = model._meta.db_table
        self.attributes = [field.attname for field in fields]
        self.columns = {field.attname: field.column for field in fields}
        self.quoted = _quoted(self.columns.values())
        self.insertion = f'INSERT INTO "{self.table}" ({self.quoted})'
        self.types_of = {field.attname: POSTGRES_TYPES[_kind(field)] for field in fields}
        self.types = [*self.types_of.values()]
        self.writers = {field.attname: _writer(field, vendor) for field in fields}
        self.column_writers = {field.attname: _column_writer(field, vendor) for field in fields}
        self.readers = {field.attname: _reader(field, vendor) for field in fields}
        self.key = [field.column for field in model._meta.pk_fields]
        self._of_instance = _taking(self.attributes)
        self._writers = _placed(self.column_writers[name] for name in self.attributes)
        # COPY in binary takes the bytes of these as they are; the driver makes them in Python, value by value
        self.copied_types = ["bytea" if kind in COPIED else kind for kind in self.types]
        self._copiers = [(place, COPIED[kind]) for place, kind in enumerate(self.types) if kind in COPIED]
        self._copiers += [(place, convert) for place, convert in self._writers if self.types[place] not in COPIED]

    def values(self, rows: Iterable[Model | tuple]) -> list[tuple]:
        """The rows' values in column order, as the driver takes them. A tuple must already be in column order."""
        return self._converted(rows, self._writers)

    def copied(self, rows: Iterable[Model | tuple]) -> list[tuple]:
        """The same for COPY, of the types `copied_types`."""
        return self._converted(rows, self._copiers)

    def _converted(self, rows: Iterable[Model | tuple], converters: list[tuple[int, Convert]]) -> list[tuple]:
        take = self._of_instance
        # turned on its side: one converter a column, not one a value
        columns = [*zip(*[row if isinstance(row, tuple) else take(row.__dict__) for row in rows], strict=True)]
        for place, convert in converters:
            columns[place] = convert(columns[place])
        return [*zip(*columns, strict=True)]


def _kind(field: Field) -> str:
    """The kind of what a column holds: that of the key it points to, for a foreign key."""
    return _kind(field.target_field) if field.is_relation else field.get_internal_type()


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _taking(names: Sequence[str]) -> Callable[[dict], tuple]:
    take = itemgetter(*names)
    return take if len(names) > 1 else lambda values: (take(values),)


def _placed(converters: Iterable[Convert | None]) -> list[tuple[int, Convert]]:
    return [(place, convert) for place, convert in enumerate(converters) if convert is not None]


def _writer(field: Field, vendor: str) -> Convert | None:
    kind = _kind(field)
    if kind == "JSONField":
        return _json_text if vendor == "sqlite" else lambda value: Jsonb(value, dumps=_json_text)
    if vendor == "sqlite":
        return {
            "UUIDField": _hex,
            "DateTimeField": _utc_text,
            "DateField": date.isoformat,
        }.get(kind)
    return {"CharField": str, "TextField": str, "BinaryField": bytes}.get(kind)


def _reader(field: Field, vendor: str) -> Convert | None:
    kind = _kind(field)
    if kind == "JSONField":
        return msgspec.json.decode  # Django has PostgreSQL's driver hand jsonb over as text
    if vendor == "postgresql":
        return None
    # days and truth values come as such: Django has told SQLite's driver their columns
    return {"UUIDField": parsed, "DateTimeField": _moment}.get(kind)


_hex = attrgetter("hex")


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@lru_cache(maxsize=4096)  # the moment of a unit stands in most of its rows
def _utc_text(value: datetime) -> str:
    return str(value.astimezone(UTC).replace(tzinfo=None))


def _column_writer(field: Field, vendor: str) -> Callable[[Sequence], Sequence] | None:
    """What converts a whole column."""
    convert = _writer(field, vendor)
    if convert is None:
        return None
    if convert is _hex:
        return _hexes
    return lambda column: [value if value is None else convert(value) for value in column]


class Hexes(dict):
    """UUIDs as SQLite keeps them, by their integers: an id stands in some ten values of a push, and Python's own way
    from one to the other takes seven times a look-up."""

    LIMIT = 100_000

    def __missing__(self, number: int) -> str:
        if len(self) >= self.LIMIT:
            self.clear()
        text = self[number] = number.to_bytes(16).hex()
        return text


HEXES = Hexes()


def _hexes(column: Sequence) -> list:
    return [value if value is None else HEXES[value.int] for value in column]


def _uuid_bytes(column: Sequence) -> list:
    return [value if value is None else value.int.to_bytes(16) for value in column]


def _jsonb_bytes(column: Sequence) -> list:
    encode = msgspec.json.encode
    return [value if value is None else b"\x01" + encode(value) for value in column]  # 1: the version of that format


COPIED = {"uuid": _uuid_bytes, "jsonb": _jsonb_bytes}


def _moment(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


@lru_cache(maxsize=256)
def plan_for(model: type[Model], vendor: str) -> Plan:
    return Plan(model, vendor)


@lru_cache(maxsize=256)
def depth(model: type[Model]) -> int:
    """How many models must be written before this one: along its foreign keys, itself aside."""
    targets = {field.related_model for field in model._meta.concrete_fields if field.is_relation} - {model}
    return 1 + max(map(depth, targets), default=0)


# Reading


def find(model: type[Row], *, lock: bool = False, **conditions: Any) -> list[Row]:
    """Whole rows, in no order. A condition is a column by its attribute name: a set or list of values (any of them),
    None, or one value. `lock` locks the rows in order of their primary key."""
    plan = plan_for(model, connection.vendor)
    return [_instance(model, plan.attributes, values) for values in _read(model, plan.attributes, conditions, lock)]


def lock(model: type[Model], **conditions: Any) -> None:
    """Locks rows in order of their primary key; conditions as in `find`. On SQLite whoever writes has all of them."""
    if connection.vendor == "postgresql":
        _read(model, [model._meta.pk.attname], conditions, True)


def pick(model: type[Model], *names: str, **conditions: Any) -> list[tuple]:
    """The named attributes of rows, as tuples; conditions as in `find`."""
    return _read(model, names, conditions, False)


def pick_one(model: type[Model], name: str, **conditions: Any) -> set:
    """One attribute of rows, each value once."""
    return {value for (value,) in _read(model, (name,), conditions, False)}


def pick_at(model: type[Model], *names: str, at: tuple[str, ...], keys: Collection[tuple]) -> list[tuple]:
    """The named attributes of the rows whose attributes `at` together are one of these keys (ids and text).

    A condition each would have the engine try every value of one with every value of the others.
    """
    if not keys:
        return []
    select = _select_at(model, connection.vendor, names, at)
    return [select.converted(values) for values in fetch(select.sql, select.bound(keys))]


def _read(model: type[Model], names: Sequence[str], conditions: dict[str, Any], lock: bool) -> list[tuple]:
    shape = tuple((name, _is_many(value), value is None) for name, value in conditions.items())
    select = _select(model, connection.vendor, tuple(names), shape, lock)
    if any(many and not conditions[name] for name, many, _ in shape):
        return []
    found = fetch(select.sql, [bind(conditions[name]) for name, bind in select.binders])
    return [select.converted(values) for values in found] if select.readers else found


def fetch(sql: str, parameters: Any, *, binary: bool = False) -> list[tuple]:
    """What a SELECT finds, asked of the driver itself, with its own placeholders (`%s`; `?` on SQLite).

    Django's cursor would look through the text for them, and on PostgreSQL write every value into it, so that no plan
    could be kept, and turn bytes into twice as many digits and back; `binary` has its answer without that.
    """

    def run(sql: str, parameters: Any, many: bool, context: dict) -> list[tuple]:
        if connection.vendor == "postgresql":
            with PostgresCursor(connection.connection) as cursor:
                return cursor.execute(sql, parameters, binary=binary).fetchall()
        return connection.connection.execute(sql, parameters).fetchall()

    connection.ensure_connection()
    with connection.wrap_database_errors:
        return _past_wrappers(run, sql, parameters)


def _is_many(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes)


class Reader:
    """What converts each value read."""

    def __init__(self, plan: Plan, names: Sequence[str]):
        self.readers = _placed(plan.readers[name] for name in names)

    def converted(self, values: tuple) -> tuple:
        values = list(values)
        for place, convert in self.readers:
            if values[place] is not None:
                values[place] = convert(values[place])
        return tuple(values)


class Select(Reader):
    """One SELECT: its text, and what binds each condition."""

    def __init__(self, model: type[Model], vendor: str, names: tuple[str, ...], shape: tuple, lock: bool):
        plan = plan_for(model, vendor)
        super().__init__(plan, names)
        where = [_condition(plan.columns[name], many, empty, vendor) for name, many, empty in shape]
        self.sql = f'SELECT {_quoted(plan.columns[name] for name in names)} FROM "{plan.table}"'
        self.sql += f" WHERE {' AND '.join(where)}" if where else ""
        if lock and vendor == "postgresql":
            self.sql += f" ORDER BY {_quoted(plan.key)} FOR NO KEY UPDATE"
        self.binders = [(name, _binder(plan, name, many, vendor)) for name, many, empty in shape if not empty]


class SelectAt(Reader):
    """One SELECT by keys of several columns: they are a table of their own, walked first."""

    def __init__(self, model: type[Model], vendor: str, names: tuple[str, ...], at: tuple[str, ...]):
        plan = plan_for(model, vendor)
        super().__init__(plan, names)
        self.vendor, self.writers = vendor, [plan.writers[name] or str for name in at]
        columns = [plan.columns[name] for name in at]
        if vendor == "postgresql":
            told = ", ".join(f"%s::{plan.types_of[name]}[]" for name in at)
            keys, parts = f"unnest({told}) AS k({_quoted(columns)})", [f'k."{column}"' for column in columns]
        else:
            keys, parts = "json_each(?) AS k", [f"json_extract(k.value, '$[{n}]')" for n in range(len(at))]
        met = " AND ".join(f't."{column}" = {part}' for column, part in zip(columns, parts, strict=True))
        wanted = ", ".join(f't."{plan.columns[name]}"' for name in names)
        self.sql = f'SELECT {wanted} FROM {keys} CROSS JOIN "{plan.table}" AS t WHERE {met}'

    def bound(self, keys: Collection[tuple]) -> list:
        if self.vendor == "postgresql":
            return [list(column) for column in zip(*keys, strict=True)]
        told = [[convert(part) for convert, part in zip(self.writers, key, strict=True)] for key in keys]
        return [_json_text(told)]


@lru_cache(maxsize=512)
def _select(model: type[Model], vendor: str, names: tuple[str, ...], shape: tuple, lock: bool) -> Select:
    return Select(model, vendor, names, shape, lock)


@lru_cache(maxsize=64)
def _select_at(model: type[Model], vendor: str, names: tuple[str, ...], at: tuple[str, ...]) -> SelectAt:
    return SelectAt(model, vendor, names, at)


def _condition(column: str, many: bool, empty: bool, vendor: str) -> str:
    if empty:
        return f'"{column}" IS NULL'
    if not many:
        return f'"{column}" = %s' if vendor == "postgresql" else f'"{column}" = ?'
    # one parameter whatever the number of values: the text stays the same, and its plan with it
    return f'"{column}" = ANY(%s)' if vendor == "postgresql" else f'"{column}" IN (SELECT value FROM json_each(?))'


def _binder(plan: Plan, name: str, many: bool, vendor: str) -> Convert:
    convert, kind = plan.writers[name], plan.types_of[name]
    one = convert or (lambda value: value)
    if not many:
        return one
    if vendor == "postgresql" and kind == "uuid":
        # an array as PostgreSQL writes it: the driver would take as long for each value as for all of these
        return lambda values: "{" + ",".join([HEXES[value.int] for value in values]) + "}"
    if vendor == "postgresql":
        return lambda values: [one(value) for value in values]
    return lambda values: _json_text([one(value) for value in values])


def _instance(model: type[Row], attributes: Sequence[str], values: Sequence[Any]) -> Row:
    row = _bare(model)
    row.__dict__.update(zip(attributes, values, strict=True))
    row._state.adding, row._state.db = False, "default"
    return row


def _bare(model: type[Row]) -> Row:
    """A row as Django would make it, without asking each of its fields: nothing listens to a model's making here."""
    row = model.__new__(model)
    row._state = ModelState()
    return row


# Writing


def new(model: type[Row], **values: Any) -> Row:
    """A row to be written, by attribute names (`site_id`, never `site`); what is not named has its default.

    Raises TypeError for a name that the model has not.
    """
    defaults, makers = _defaults(model)
    row = _bare(model)
    row.__dict__.update(defaults)
    row.__dict__.update(values)
    for name, make in makers:
        if row.__dict__[name] is None:
            row.__dict__[name] = make()
    if len(row.__dict__) > len(defaults) + 1:
        raise TypeError(f"{model.__name__} has no {sorted(values.keys() - defaults.keys())}")
    return row


@lru_cache(maxsize=256)
def _defaults(model: type[Model]) -> tuple[dict[str, Any], list[tuple[str, Callable]]]:
    """Values by attribute name, and what makes those that are made anew for each row; these are None in the former."""
    fields = [field for field in model._meta.concrete_fields if field.concrete and field.column]
    makers = {field.attname: field.default for field in fields if field.has_default() and callable(field.default)}
    plain = {field.attname: None if field.attname in makers else field.get_default() for field in fields}
    return plain, [*makers.items()]


def insert(model: type[Model], rows: Collection[Model | tuple]) -> None:
    """Writes new rows. Raises Django's IntegrityError and OperationalError as the ORM would."""
    if not rows:
        return
    plan = plan_for(model, connection.vendor)
    with connection.wrap_database_errors, connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _copy(cursor, plan, plan.copied(rows))
        else:
            _in_chunks(cursor, plan, plan.values(rows), tail="")
    _mark_stored(rows)


def upsert(model: type[Model], rows: Collection[Model | tuple], *, keep: frozenset[str] = frozenset()) -> None:
    """Writes rows whole, over those with the same primary key; columns in `keep` stay as they are there."""
    if not rows:
        return
    plan = plan_for(model, connection.vendor)
    values = plan.values(rows)
    changing = [column for column in plan.columns.values() if column not in plan.key and column not in keep]
    tail = f" ON CONFLICT ({', '.join(plan.key)}) DO UPDATE SET " + ", ".join(
        f'"{c}" = excluded."{c}"' for c in changing
    )
    with connection.wrap_database_errors, connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _from_arrays(cursor, plan, values, tail)
        else:
            _in_chunks(cursor, plan, values, tail=tail)
    _mark_stored(rows)


def _copy(cursor, plan: Plan, values: list[tuple]) -> None:
    def run(sql: str, parameters: None, many: bool, context: dict) -> None:
        with cursor.copy(sql) as copy:
            # those of the wire: COPY checks the length of varchar itself
            copy.set_types(plan.copied_types)
            for row in values:
                copy.write_row(row)

    _past_wrappers(run, f'COPY "{plan.table}" ({plan.quoted}) FROM STDIN (FORMAT BINARY)')


def _past_wrappers(run: Callable, sql: str, parameters: Any = None) -> Any:
    """Django shows its execute wrappers (the guard, counters of tests) only what goes through its own cursor: what goes
    straight to the driver is shown to them here; many rows by the head of their statement."""
    for wrapper in connection.execute_wrappers:
        run = partial(wrapper, run)
    return run(sql, parameters, False, {"connection": connection})


def _from_arrays(cursor, plan: Plan, values: list[tuple], tail: str) -> None:
    columns = list(zip(*values, strict=True))
    # an array of jsonb has no adapter of its own: it travels as text
    sent = ["text" if kind == "jsonb" else kind for kind in plan.types]
    arrays = ", ".join(f"%s::{kind}[]" for kind in sent)
    taken = ", ".join(
        f'v."{c}"::jsonb' if kind == "jsonb" else f'v."{c}"'
        for c, kind in zip(plan.columns.values(), plan.types, strict=True)
    )
    parameters = [
        [value if value is None else _json_text(value.obj) for value in column] if kind == "jsonb" else list(column)
        for column, kind in zip(columns, plan.types, strict=True)
    ]
    cursor.execute(
        f"{plan.insertion} SELECT {taken} FROM unnest({arrays}) AS v({plan.quoted}){tail}",
        parameters,
    )


def _in_chunks(cursor, plan: Plan, values: list[tuple], *, tail: str) -> None:
    def run(head: str, parameters: None, many: bool, context: dict) -> None:
        # Django's cursor would look through the text for its own placeholders: 20 kB of question marks a chunk
        Cursor.execute(cursor.cursor, _many_rows(plan, len(chunk)) + tail, list(chain.from_iterable(chunk)))

    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        _past_wrappers(run, plan.insertion)


@lru_cache(maxsize=1024)
def _many_rows(plan: Plan, rows: int) -> str:
    one = f"({', '.join('?' * len(plan.columns))})"
    return f"{plan.insertion} VALUES {', '.join([one] * rows)}"


def _mark_stored(rows: Iterable[Model | tuple]) -> None:
    for row in rows:
        if isinstance(row, Model):
            row._state.adding = False
            row._state.db = "default"
