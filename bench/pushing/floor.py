"""The floor: the rows that one batch left, written once more to twins of their tables, as fast as the driver can."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

from bench.metering.cpu import backend_seconds
from inspections.models import Finding, Inspection, Photo, RectificationItem
from safety.models import Body, Change, Index
from safety.rows import plan_for
from sync.models import Operation, Verdict

MODELS = [Body, Operation, Inspection, RectificationItem, Finding, Photo, Change, Index, Verdict]
TIMES = 5


@dataclass(frozen=True)
class Floor:
    """The cheapest of a few tries: seconds of CPU here and in PostgreSQL's backend, of wall, and how many rows."""

    cpu: float
    backend: float
    wall: float
    rows: int

    @property
    def total(self) -> float:
        return self.cpu + self.backend

    @classmethod
    def of(cls, leave_rows: Callable[[], None]) -> "Floor":
        before = {model: set(_keys(model)) for model in MODELS}
        leave_rows()
        left = [(model, *_rows_beyond(model, before[model])) for model in MODELS]
        tries = []
        for _ in range(TIMES):
            for model, _, _ in left:
                _make_twin(model._meta.db_table)
            cpu, backend, wall = time.process_time(), backend_seconds(), time.perf_counter()
            _write(left)
            tries.append((time.process_time() - cpu, backend_seconds() - backend, time.perf_counter() - wall))
        cpu, backend, wall = (min(column) for column in zip(*tries, strict=True))
        return cls(cpu, backend, wall, sum(len(rows) for *_, rows in left))


def _key_columns(model) -> list[str]:
    return [field.column for field in model._meta.pk_fields]


def _keys(model) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(_key_columns(model))} FROM {model._meta.db_table}")
        return cursor.fetchall()


def _rows_beyond(model, before: set) -> tuple[list[str], list[tuple]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {model._meta.db_table}")
        columns = [column[0] for column in cursor.description]
        places = [columns.index(key) for key in _key_columns(model)]
        return columns, [row for row in cursor.fetchall() if tuple(row[place] for place in places) not in before]


def _make_twin(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS bare_{table}")
        if connection.vendor == "postgresql":
            cursor.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING INDEXES)")
            return
        cursor.execute("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = %s AND sql IS NOT NULL", [table])
        for kind, name, sql in sorted(cursor.fetchall(), reverse=True):
            twin = sql.replace(f'"{table}"', f'"bare_{table}"', 1)
            cursor.execute(twin if kind == "table" else twin.replace(f'"{name}"', f'"bare_{name}"', 1))


def _write(left: list[tuple]) -> None:
    raw = connection.connection
    if connection.vendor == "sqlite":
        raw.execute("BEGIN IMMEDIATE")
        for model, columns, rows in left:
            raw.executemany(f"INSERT INTO bare_{model._meta.db_table} VALUES ({', '.join('?' * len(columns))})", rows)
        raw.execute("COMMIT")
        return
    with raw.transaction(), raw.cursor() as cursor:
        for model, columns, rows in left:
            plan = plan_for(model, "postgresql")
            types = dict(zip(plan.columns.values(), plan.types, strict=True))
            names = ", ".join(f'"{column}"' for column in columns)
            with cursor.copy(f"COPY bare_{model._meta.db_table} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types([types[column] for column in columns])
                for row in rows:
                    copy.write_row(row)
