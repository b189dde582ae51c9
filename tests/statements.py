"""The statements that reach the engine, those past Django's cursor as well (`safety.rows`): its own counters miss these."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def statements(*, exactly: int | None = None, at_most: int | None = None) -> Iterator[list[str]]:
    """Their texts, as they are sent; at the end there must be so many."""
    sent: list[str] = []

    def note(execute: Callable, sql: str, parameters: Any, many: bool, context: dict) -> Any:
        sent.append(str(sql))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(note):
        yield sent
    assert exactly is None or len(sent) == exactly, sent
    assert at_most is None or len(sent) <= at_most, sent
