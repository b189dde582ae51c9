"""The bulk writer of hot rows: COPY in binary on PostgreSQL, many-rowed VALUES on SQLite, both over `_meta`.

Django's own bulk calls cost three to five times as much CPU a row; what they do beyond this (signals, defaults
from the database, returning keys) nothing here needs. Rows carry their own primary keys.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Field, Model
from psycopg.types.json import Jsonb

CHUNK = 200  # rows a statement on SQLite; PostgreSQL takes all of a table in one
POSTGRES_TYPES = {
    "UUIDField": "uuid",
    "ForeignKey": "uuid",
    "OneToOneField": "uuid",
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


class Plan:
    """How the rows of one model travel on one engine: columns, types, and a converter for each value."""

    def __init__(self, model: type[Model], vendor: str):
        fields = [field for field in model._meta.concrete_fields if field.get_internal_type() in POSTGRES_TYPES]
        left_out = set(model._meta.concrete_fields) - set(fields)
        if any(not field.primary_key for field in left_out):
            raise TypeError(f"{model.__name__}: {left_out} cannot be written in bulk")
        self.table = model._meta.db_table
        self.attributes = [field.attname for field in fields]
        self.columns = [field.column for field in fields]
        self.quoted = ", ".join(f'"{column}"' for column in self.columns)
        self.types = [POSTGRES_TYPES[field.get_internal_type()] for field in fields]
        self.length_limits = [
            (place, field.max_length) for place, field in enumerate(fields) if field.get_internal_type() == "CharField"
        ]
        self.converters = [
            (place, convert)
            for place, convert in enumerate(_converter(field, vendor) for field in fields)
            if convert is not None
        ]
        self.key = [field.column for field in model._meta.pk_fields]

    def values(self, row: Model | Sequence[Any]) -> list[Any]:
        """The row's values in column order, as the driver takes them. A tuple must already be in column order."""
        values = list(row) if isinstance(row, tuple) else [getattr(row, name) for name in self.attributes]
        for place, convert in self.converters:
            if values[place] is not None:
                values[place] = convert(values[place])
        return values


def _converter(field: Field, vendor: str) -> Callable[[Any], Any] | None:
    kind = field.get_internal_type()
    if kind == "JSONField":
        return _json_text if vendor == "sqlite" else lambda value: Jsonb(value, dumps=_json_text)
    if vendor == "sqlite":
        return {
            "UUIDField": _hex,
            "ForeignKey": _hex,
            "OneToOneField": _hex,
            "DateTimeField": _utc_text,
            "DateField": date.isoformat,
        }.get(kind)
    return {"CharField": str, "TextField": str, "BinaryField": bytes}.get(kind)


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _hex(value: UUID) -> str:
    return value.hex


def _utc_text(value: datetime) -> str:
    return str(value.astimezone(UTC).replace(tzinfo=None))


@lru_cache(maxsize=256)
def plan_for(model: type[Model], vendor: str) -> Plan:
    return Plan(model, vendor)


@lru_cache(maxsize=256)
def depth(model: type[Model]) -> int:
    """How many models must be written before this one: along its foreign keys, itself aside."""
    targets = {field.related_model for field in model._meta.concrete_fields if field.is_relation} - {model}
    return 1 + max(map(depth, targets), default=0)


def insert(model: type[Model], rows: Iterable[Model | tuple]) -> None:
    """Writes new rows. Raises Django's IntegrityError and OperationalError as the ORM would."""
    plan = plan_for(model, connection.vendor)
    values = [plan.values(row) for row in rows]
    if not values:
        return
    with connection.wrap_database_errors, connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _copy(cursor, plan, values)
        else:
            _in_chunks(cursor, plan, values, tail="")
    _mark_stored(rows)


def upsert(model: type[Model], rows: Iterable[Model | tuple], *, keep: frozenset[str] = frozenset()) -> None:
    """Writes rows whole, over those with the same primary key; columns in `keep` stay as they are there."""
    plan = plan_for(model, connection.vendor)
    values = [plan.values(row) for row in rows]
    if not values:
        return
    changing = [column for column in plan.columns if column not in plan.key and column not in keep]
    tail = f" ON CONFLICT ({', '.join(plan.key)}) DO UPDATE SET " + ", ".join(
        f'"{c}" = excluded."{c}"' for c in changing
    )
    with connection.wrap_database_errors, connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _from_arrays(cursor, plan, values, tail)
        else:
            _in_chunks(cursor, plan, values, tail=tail)
    _mark_stored(rows)


def _copy(cursor, plan: Plan, values: list[list]) -> None:
    def run(sql: str, params: Any, many: bool, context: dict) -> None:
        with cursor.copy(sql) as copy:
            copy.set_types(plan.types)  # COPY checks the length of varchar itself, but its types are those of the wire
            for row in values:
                copy.write_row(row)

    # Django shows its execute wrappers (the guard, counters of tests) no COPY: it is shown to them here
    for wrapper in connection.execute_wrappers:
        run = partial(wrapper, run)
    statement = f'COPY "{plan.table}" ({plan.quoted}) FROM STDIN (FORMAT BINARY)'
    run(statement, None, False, {"connection": connection, "cursor": cursor})


def _from_arrays(cursor, plan: Plan, values: list[list], tail: str) -> None:
    columns = list(zip(*values, strict=True))
    # an array of jsonb has no adapter of its own: it travels as text
    sent = ["text" if kind == "jsonb" else kind for kind in plan.types]
    arrays = ", ".join(f"%s::{kind}[]" for kind in sent)
    taken = ", ".join(
        f'v."{c}"::jsonb' if kind == "jsonb" else f'v."{c}"' for c, kind in zip(plan.columns, plan.types, strict=True)
    )
    parameters = [
        [value if value is None else _json_text(value.obj) for value in column] if kind == "jsonb" else list(column)
        for column, kind in zip(columns, plan.types, strict=True)
    ]
    cursor.execute(
        f'INSERT INTO "{plan.table}" ({plan.quoted}) SELECT {taken} FROM unnest({arrays}) AS v({plan.quoted}){tail}',
        parameters,
    )


def _in_chunks(cursor, plan: Plan, values: list[list], *, tail: str) -> None:
    one = f"({', '.join(['%s'] * len(plan.columns))})"
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        cursor.execute(
            f'INSERT INTO "{plan.table}" ({plan.quoted}) VALUES {", ".join([one] * len(chunk))}{tail}',
            [value for row in chunk for value in row],
        )


def _mark_stored(rows: Iterable[Model | tuple]) -> None:
    for row in rows:
        if isinstance(row, Model):
            row._state.adding = False
            row._state.db = "default"
