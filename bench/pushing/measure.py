"""Measures the engine that the settings choose and prints what bench/push.py promises."""

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import django

django.setup()

from django.core.management import call_command  # noqa: E402  (models need the set-up above)
from django.db import connection  # noqa: E402

from bench.metering.cpu import backend_seconds  # noqa: E402
from bench.pushing.district import District  # noqa: E402
from bench.pushing.floor import Floor  # noqa: E402
from bench.pushing.http import Cost, Costs, measure, median_cost  # noqa: E402
from safety import heap  # noqa: E402
from safety.rows import CHUNK  # noqa: E402

VISITS = 50
BATCH_MS, GOAL_MS = 1.4, 0.8  # of the task: a visit in batches of 50, and the goal after that
SINGLE_MS = {"postgresql": 5.5, "sqlite": 3.0}
MOST_BARE = 3.0  # times bare inserts


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
    floors = {n: Floor.of(lambda n=n: district.send(n)) for n in (VISITS, 1)}
    report(district, spent, counted, floors[VISITS])
    holds = report_http(measure(district, batches=wanted.batches, visits=VISITS), floors)
    if wanted.profile:
        profile = cProfile.Profile()
        profile.runcall(district.push, district.batch(VISITS))
        pstats.Stats(profile).sort_stats("tottime").print_stats(50)
    sys.exit(0 if holds else 1)


def cost(district: District, body: bytes) -> tuple[float, float, float]:
    """(cpu, wall, backend cpu) seconds of one batch."""
    cpu, wall, backend = time.process_time(), time.perf_counter(), backend_seconds()
    district.push(body)
    return time.process_time() - cpu, time.perf_counter() - wall, backend_seconds() - backend


def report(district: District, spent: list[tuple[float, float, float]], counted: dict[int, int], floor: Floor) -> None:
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


def report_http(costs: Costs, floors: dict[int, Floor]) -> bool:
    """Prints what the server's processes used a visit; whether all limits hold."""
    batch, again, single = map(median_cost, (costs.batches, costs.replays, costs.singles))
    bare, fastest = floors[VISITS].total, min(cost.total for cost in costs.batches)
    print("  over HTTP              cpu of the server and of PostgreSQL's backends a visit, all in ms")
    print(f"    warm-up, not counted {_parts(costs.warm_up, 1)} together; at rest {_parts(costs.at_rest, 1)} a second")
    print(
        f"    bare inserts         {bare / VISITS * 1000:7.2f} in batches of {VISITS}, {floors[1].total * 1000:.2f} alone"
    )
    many, least = batch.total / VISITS * 1000, fastest / VISITS * 1000
    return all(
        [
            _line(f"batches of {VISITS}", _parts(batch, VISITS), many <= BATCH_MS, f"{BATCH_MS}; goal {GOAL_MS}"),
            _line("  the fastest batch", f"{least:7.2f}", True, "none"),
            _line(
                "  to bare inserts",
                f"{batch.total / bare:7.1f} ×",
                batch.total <= MOST_BARE * bare,
                f"{MOST_BARE:.0f} ×",
            ),
            _line("a batch replayed", _parts(again, VISITS), again.total <= batch.total, "as the first"),
            _line("  to bare inserts", f"{again.total / bare:7.1f} ×", True, "none"),
            _line(
                "  it wrote", ", ".join(costs.written_by_replays) or "nothing", not costs.written_by_replays, "nothing"
            ),
            _line(
                "one a request",
                _parts(single, 1),
                single.total * 1000 <= SINGLE_MS[connection.vendor],
                f"{SINGLE_MS[connection.vendor]}",
            ),
            _line("  to bare inserts", f"{single.total / floors[1].total:7.1f} ×", True, "none"),
        ]
    )


def _parts(cost: Cost, visits: int) -> str:
    whole = f"{cost.total / visits * 1000:7.2f}"
    if connection.vendor == "sqlite":
        return whole
    return f"{whole} (server {cost.web / visits * 1000:.2f}, PostgreSQL {cost.database / visits * 1000:.2f})"


def _line(name: str, found: str, holds: bool, limit: str) -> bool:
    print(f"    {name:20s} {found}   limit {limit}{'' if holds else '  ✗'}")
    return holds


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
