"""A guard before the database: synced tables are written inside a unit of work, and nowhere else.

It looks at each statement of each connection and refuses INSERT, UPDATE, DELETE, COPY and TRUNCATE on a document's
table or on the log, unless a unit is open (safety/changes.py), or `migrate` or `flush` runs. It is meant for tests and
for development (SAFETY_GUARD): a write beside the log is then seen where it is written, not weeks later on a phone.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

LOG = ("Change", "Index", "Exit", "Body", "ChainHead")
WRITES = re.compile(
    r"\b(INSERT(?:\s+OR\s+\w+)?\s+INTO|UPDATE|DELETE\s+FROM|COPY|TRUNCATE)(?:\s+(?:ONLY|TABLE))?\s+\"?(\w+)",
    re.IGNORECASE,
)
LIFTED: ContextVar[bool] = ContextVar("guard_lifted", default=False)


class WriteOutsideUnit(RuntimeError):
    """A synced table was to be written without a unit of work: no change, no revision, no chain would tell of it."""


@contextmanager
def lifted() -> Iterator[None]:
    """Writes are let through inside: for units, migrations, flushing, and tests that tamper on purpose."""
    token = LIFTED.set(True)
    try:
        yield
    finally:
        LIFTED.reset(token)


@cache
def guarded_tables() -> frozenset[str]:
    """The tables of the log and of every model whose rows belong to a chain or a person (`chain_id`)."""
    log = [apps.get_model("safety", name) for name in LOG]
    documents = [model for model in apps.get_models() if hasattr(model, "chain_id")]
    return frozenset(model._meta.db_table for model in [*log, *documents])


def require_unit(sql: str) -> None:
    """Raises WriteOutsideUnit when this statement writes a guarded table and nothing has lifted the guard."""
    if LIFTED.get():
        return
    for verb, table in WRITES.findall(sql):
        # a push keeps what it received before anything is understood: a Body that no change names tells nothing
        kept = table == "safety_body" and verb.upper().startswith(("INSERT", "COPY"))
        if table in guarded_tables() and not kept:
            raise WriteOutsideUnit(f"{verb} {table}: open a unit of work and say it (safety/changes.py)")


def guard(execute: Callable, sql: str, params: Any, many: bool, context: dict) -> Any:
    """An execute wrapper as Django takes it."""
    require_unit(str(sql))
    return execute(sql, params, many, context)


def install() -> None:
    """Guards the connections of every thread, those that are open and those to come."""
    for connection in connections.all(initialized_only=True):
        _guard_connection(connection=connection)
    connection_created.connect(_guard_connection, dispatch_uid="safety.guard")


def _guard_connection(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if guard not in connection.execute_wrappers:
        connection.execute_wrappers.append(guard)
