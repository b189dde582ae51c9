"""Real threads, each with a connection of its own, let go at one moment."""

import threading
from collections.abc import Callable

from django.db import connection


def at_once(*acts: Callable[[], object]) -> list:
    """What each act gave, in their order; the first failure of any is raised here."""
    gate = threading.Barrier(len(acts))
    given: list = [None] * len(acts)
    failures: list[BaseException] = []

    def run(n: int, act: Callable[[], object]) -> None:
        try:
            gate.wait(30)
            given[n] = act()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]
    return given
