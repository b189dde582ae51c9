"""The one loop over settings.JOBS: in a thread of the server by default, as `manage.py work` when grown.

A job is a function `job(now) -> int`: it does what is due, in short units of its own, and gives how many rows it did.
What is due stands in rows (a lease, a time to try), so a worker that is killed loses nothing: its lease runs out and
the next one takes the row. No transaction is open between two jobs, and none while a job does slow work.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone
from django.utils.module_loading import import_string

log = logging.getLogger(__name__)

Job = Callable[[datetime], int]

PAUSE = 1.0  # seconds between turns that found nothing to do
LEASE = timedelta(seconds=60)  # how long a row that was taken is left to the one who took it
STOP_SECONDS = 10.0  # how long the server waits for the job under way; what it leaves is taken again by its lease
LONGEST_WAIT = timedelta(minutes=10)


def backoff(attempts: int) -> timedelta:
    """How long to wait after this many tries: 10 s, 20 s, 40 s … at most ten minutes. Our default."""
    return min(timedelta(seconds=5) * 2 ** min(attempts, 10), LONGEST_WAIT)


def beat() -> None:
    """That the worker turns: a file beside the photos, which server and worker share, touched at every turn."""
    (settings.VAR / "worker.beat").touch()


def last_beat() -> datetime | None:
    """When a worker last turned, or None."""
    try:
        return datetime.fromtimestamp((settings.VAR / "worker.beat").stat().st_mtime, tz=UTC)
    except FileNotFoundError:
        return None


def jobs_of_settings() -> dict[str, Job]:
    """The jobs that settings name; a system check has seen that they are there."""
    return {name: import_string(name) for name in settings.JOBS}


class Worker:
    """Turns over the jobs. A job that fails rests for a while; the others go on."""

    def __init__(self, jobs: Mapping[str, Job], *, pause: float = PAUSE, clock: Callable[[], datetime] = timezone.now):
        self.jobs, self.pause, self.clock = dict(jobs), pause, clock
        self.failures: dict[str, int] = {}
        self.resting: dict[str, datetime] = {}
        self.under_way = ""

    def turn(self) -> int:
        """Each job that does not rest, once; gives how many rows they did."""
        done = 0
        for name, job in self.jobs.items():
            now = self.clock()
            if now < self.resting.get(name, now):
                continue
            self.under_way = name
            try:
                done += job(now)
            except DatabaseError as away:
                self._rest(f"{type(away).__name__}: {away}".strip())
            else:
                self.failures.pop(name, None)
        return done

    def run(self, stop: threading.Event) -> None:
        """Turns until told to stop.

        A fault in a job ends the thread of its turns, loudly, as Python does with any thread; the next thread goes on
        with that job at rest.
        """
        while not stop.is_set():
            turns = threading.Thread(target=self._turns, args=(stop,), name="worker.turns", daemon=True)
            turns.start()
            turns.join()
            if not stop.is_set():
                self._rest("fault")

    def _turns(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                close_old_connections()
                beat()
                if not self.turn():
                    close_old_connections()
                    stop.wait(self.pause)
        finally:
            connections.close_all()

    def _rest(self, reason: str) -> None:
        name = self.under_way
        self.failures[name] = self.failures.get(name, 0) + 1
        wait = backoff(self.failures[name])
        self.resting[name] = self.clock() + wait
        log.error("job.failed job=%s failures=%d again_in=%s error=%s", name, self.failures[name], wait, reason)


@asynccontextmanager
async def in_server() -> AsyncIterator[None]:
    """Runs the worker beside the server's loop; a member of its lifespan."""
    if not settings.WORK_IN_SERVER:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=Worker(jobs_of_settings()).run, args=(stop,), name="worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, STOP_SECONDS)
