"""The engine of settings.DATABASES for SQLite: Django's own, but a connection that is closed may be kept and taken again.

Django gives each request a thread and with it a connection, and closes it at the end. To open one, parse the schema anew
and compile every statement again costs a small push as much CPU as all else that it does (`bench push`, one visit a
request); the last one to close writes the log back into the file besides. PostgreSQL has its pool for that; this is SQLite's.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.sqlite3 import base

MOST_IDLE = 8  # more than ever work at once: lanes, uploads, worker and hub


class Pool:
    """Open connections that nobody uses, of this process, by what they were opened with; the last one goes first."""

    def __init__(self):
        self.lock, self.idle, self.keeps = threading.Lock(), {}, False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While the body runs what is closed is kept; a server's lifespan. Elsewhere each connection ends when it is told to."""
        self.keeps = True
        try:
            yield
        finally:
            with self.lock:
                self.keeps, idle, self.idle = False, self.idle, {}
            for each in (raw for kept in idle.values() for raw in kept):
                each.close()

    def take(self, opened_with: str) -> sqlite3.Connection | None:
        with self.lock:
            kept = self.idle.get(opened_with)
            return kept.pop() if kept else None

    def give(self, opened_with: str, raw: sqlite3.Connection) -> bool:
        """Whether it is kept."""
        with self.lock:
            if not self.keeps or len(self.idle.get(opened_with, ())) >= MOST_IDLE:
                return False
            self.idle.setdefault(opened_with, []).append(raw)
            return True


POOL = Pool()


class DatabaseWrapper(base.DatabaseWrapper):
    """One on which anything failed is not kept; one that was left within a transaction is rolled back."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        return POOL.take(repr(conn_params)) or super().get_new_connection(conn_params)

    def _close(self) -> None:
        if self.connection is None or self.errors_occurred:
            return super()._close()
        if self.connection.in_transaction:
            self.connection.rollback()
        if not POOL.give(repr(self.get_connection_params()), self.connection):
            super()._close()
