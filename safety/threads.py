"""From the loop to the database: it is asked in threads, never on the loop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(
    function: Callable[P, T], *, executor: ThreadPoolExecutor | None = None
) -> Callable[P, Coroutine[None, None, T]]:
    """Runs a function that asks the database in a thread, with a connection of its own that it gives back.

    Without an executor it queues with everybody's in the loop's own.
    """

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return sync_to_async(asked, thread_sensitive=False, executor=executor)


class DatabaseThreads:
    """A few threads of a door's own, which keep their connections while the server runs.

    To open one costs SQLite 2 ms of CPU, as much as the rest of a short request. One on which anything failed is closed.
    Where no server runs (`kept` was not entered) each is given back at once, as everywhere.
    """

    def __init__(self, number: int, *, name: str):
        self.pool, self.keeps = ThreadPoolExecutor(number, thread_name_prefix=name), False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, partial(self._asked, function, args, kwargs))

    def _asked(self, function: Callable, args: tuple, kwargs: dict) -> object:
        if not self.keeps:
            close_old_connections()
        try:
            return function(*args, **kwargs)
        except DatabaseError:
            connections.close_all()
            raise
        finally:
            if not self.keeps:
                close_old_connections()

    @contextmanager
    def kept(self) -> Iterator[None]:
        self.keeps = True
        try:
            yield
        finally:
            self.keeps = False
