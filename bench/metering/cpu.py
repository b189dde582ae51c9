"""CPU time of other processes, in nanoseconds' resolution; /proc/…/stat counts ticks of ten milliseconds."""

import time
from pathlib import Path

from django.db import connection

CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the clock of a process is ~pid and the kind, as clock_getcpuclockid gives it


def process_seconds(pid: int) -> float:
    """User and system time of a process, of its threads that have ended too. Raises OSError when it is gone."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def backend_seconds() -> float:
    """User and system time of PostgreSQL's process for our own connection; 0 elsewhere."""
    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    return process_seconds(connection.connection.info.backend_pid)


class Backends:
    """PostgreSQL's processes of everybody's connections to this database but ours; nobody elsewhere."""

    def __init__(self):
        self.seen: dict[int, float] = {}

    def seconds(self) -> float:
        """What they have used since they began; one that has ended counts as last seen, so look before it may."""
        for pid in self._pids():
            self.seen[pid] = process_seconds(pid)
        return sum(self.seen.values())

    def _pids(self) -> list[int]:
        if connection.vendor != "postgresql":
            return []
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return [pid for (pid,) in cursor.fetchall() if Path(f"/proc/{pid}").exists()]
