"""Measures the engine that the settings choose and prints what bench/push.py promises."""

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402  (models need the set-up above)
from django.db import connection  # noqa: E402

from bench.pushing.district import District  # noqa: E402
from bench.pushing.floor import Floor  # noqa: E402
from safety import heap  # noqa: E402
from safety.rows import CHUNK  # noqa: E402

VISITS = 50


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--batches", type=int, required=True)
    options.add_argument("--profile", action="store_true")
    wanted = options.parse_args()
    call_command("migrate", verbosity=0)
    district = District()
    district.send(VISITS)  # warms plans, caches and imports, and shows that a batch is applied
    heap.settle()  # as the server does
    spent = [cost(district, district.batch(VISITS)) for _ in range(wanted.batches)]
    counted = {n: statements(district.push, district.batch(n)) for n in (10, VISITS)}
    report(district, spent, counted)
    if wanted.profile:
        profile = cProfile.Profile()
        profile.runcall(district.push, district.batch(VISITS))
        pstats.Stats(profile).sort_stats("tottime").print_stats(50)


def cost(district: District, body: bytes) -> tuple[float, float, float]:
    """(cpu, wall, backend cpu) seconds of one batch."""
    cpu, wall, backend = time.process_time(), time.perf_counter(), backend_seconds()
    district.push(body)
    return time.process_time() - cpu, time.perf_counter() - wall, backend_seconds() - backend


def report(district: District, spent: list[tuple[float, float, float]], counted: dict[int, int]) -> None:
    floor = Floor.of(lambda: district.send(VISITS))
    cpu, wall, backend = (statistics.median(column) / VISITS for column in zip(*spent, strict=True))
    fastest = min(column[0] for column in spent) / VISITS
    kilobytes = len(district.batch(VISITS)) // 1000
    print(
        f"{connection.vendor}: {VISITS} visits a batch, {kilobytes} kB of JSON, {floor.rows / VISITS:.0f} rows a visit"
    )
    print(f"  visits a second        {1 / wall:7.0f}")
    print(f"  cpu a visit            {cpu * 1000:7.2f} ms (fastest batch {fastest * 1000:.2f} ms)")
    if connection.vendor == "postgresql":
        print(f"  backend cpu a visit    {backend * 1000:7.2f} ms")
    print(
        f"  bare inserts a visit   {floor.cpu / VISITS * 1000:7.2f} ms cpu, {VISITS / floor.wall:.0f} visits a second"
    )
    print(f"  ratio to bare inserts  {cpu * VISITS / floor.cpu:7.1f} × cpu, {wall * VISITS / floor.wall:.1f} × wall")
    more = counted[VISITS] / counted[10]
    chunk = f"chunk {CHUNK} rows" if connection.vendor == "sqlite" else "chunk: all rows of a table"
    print(
        f"  statements a batch     {counted[VISITS]:7d} for {VISITS} visits, {counted[10]} for 10: {more:.2f} × ({chunk})"
    )


def backend_seconds() -> float:
    """CPU seconds that PostgreSQL's process for our connection has used; 0 elsewhere."""
    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    # in nanoseconds; /proc/…/stat counts ticks of ten milliseconds, which is more than a pull takes
    return int(Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def statements(push: Callable[[bytes], object], body: bytes) -> int:
    """How many statements reach the engine while `body` is pushed."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        seen: list[str] = []
        connection.connection.set_trace_callback(seen.append)
        push(body)
        connection.connection.set_trace_callback(None)
        return len(seen)
    with tempfile.TemporaryFile() as trace:
        connection.connection.pgconn.trace(trace.fileno())
        push(body)
        connection.connection.pgconn.untrace()
        trace.seek(0)
        return sum(1 for line in trace if {b"F"} < set(line.split()) and {b"Query", b"Execute"} & set(line.split()))


if __name__ == "__main__":
    main()
