"""From the loop to the database: it is asked in threads, never on the loop."""

from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

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
