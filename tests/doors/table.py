"""Tables of literals: read as they are written, compared as they were tried."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import transaction

from tests.doors.people import COLUMNS, Caller, Town


def read(text: str) -> dict[str, dict[str, str]]:
    """Rows by name; the first line names the columns, a cell is a word, names of rows may have several."""
    head, *lines = [line for line in text.strip().splitlines() if line.strip()]
    columns = head.split()
    assert columns == COLUMNS, columns
    rows = {}
    for line in lines:
        words = line.split()
        name = " ".join(words[: -len(columns)])
        assert name and name not in rows, line
        rows[name] = dict(zip(columns, words[-len(columns) :], strict=True))
    return rows


def granted(table: dict[str, dict[str, str]]) -> int:
    """How many doors stand open in a table, columns with several callers counted once."""
    return sum(cell == "✓" for row in table.values() for cell in row.values())


def tried(town: Town, attempt: Callable[[Caller], str]) -> dict[str, str]:
    """What each column got; callers of one column that differ are told apart."""
    got: dict[str, dict[str, list[str]]] = {column: {} for column in COLUMNS}
    for caller in town.callers:
        with undone():
            got[caller.column].setdefault(attempt(caller), []).append(str(caller.person))
    return {column: next(iter(cells)) if len(cells) == 1 else str(cells) for column, cells in got.items()}


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is written inside is taken back, so that each caller finds the same state."""
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


def status(code: int) -> str:
    return "✓" if code < 300 else str(code)
