"""Phones coming back at once after a day without a network: is everything in, and does the office notice?

    python3 dev.py bench returning [-- --engine sqlite --phones 200 --visits 10 --photos 40 --kilobytes 200-400]

Two hundred phones, ten visits each (thirty answers, two findings; the first visit of each has something that wakes the
desk) and forty photos, over HTTP against a live server on loopback: SQLite embedded, one process with its worker; and
grown, PostgreSQL (durable) with Redis, two processes and the worker beside them. Meanwhile a desk waits at its
socket and a browser opens `/` and a list four times a second.

Every photo has bytes of its own, nothing is de-duplicated: 200 phones bring 2.4 GB, which the folder of the run holds on
disk until it ends. Where that much is not free it does not begin.

It stops by itself: when all is in, or after --seconds an engine. What must hold (exit status 1 where it does not): everything
in and every verdict `applied`; no answer but success or 429/503 with Retry-After; each alert at the desk within 2 s of
its push being answered; p99 of a page under 1 s. Phones, desk, browser and server share the machine: its cores are in
the table.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dev import stop
from tests import engines

START_SECONDS = 60
SPARE_BYTES = 2_000_000_000
ALERT_SECONDS, PAGE_SECONDS = 2.0, 1.0
SERVER = ["-m", "uvicorn", "safety.asgi:application", "--ws", "websockets-sansio", "--lifespan", "on"]
SERVER += ["--timeout-graceful-shutdown", "5"]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--engine", choices=["sqlite", "postgresql"])
    options.add_argument("--phones", type=int, default=200)
    options.add_argument("--visits", type=int, default=10)
    options.add_argument("--photos", type=int, default=40)
    options.add_argument("--kilobytes", default="200-400")
    options.add_argument("--seconds", type=float, default=1800)
    wanted = options.parse_args()
    require_space(wanted)
    missed = []
    if wanted.engine != "postgresql":
        with tempfile.TemporaryDirectory(prefix="bench-returning-") as folder:
            missed += one_engine(wanted, "SQLite, embedded", Path(folder), workers=1)
    if wanted.engine != "sqlite":
        with (
            tempfile.TemporaryDirectory(prefix="bench-returning-") as folder,
            engines.postgresql(durable=True) as database,
            engines.redis() as redis,
        ):
            grown = {"SAFETY_DATABASE_URL": database.url, "SAFETY_REDIS_URL": redis.url, "SAFETY_WORK_IN_SERVER": "0"}
            missed += one_engine(wanted, f"{database} + {redis}", Path(folder), workers=2, **grown)
    return 1 if missed else 0


def one_engine(wanted, name: str, folder: Path, *, workers: int, **environment: str) -> list[str]:
    """Sets up, lets them come back, prints the table; gives what was missed."""
    env = os.environ | {"SAFETY_VAR": str(folder), "SAFETY_LOG_LEVEL": "WARNING", **environment}
    cast, port = folder / "cast.json", engines.free_port()
    set_up = [sys.executable, "-m", "bench.coming_back.district", str(cast), f"--phones={wanted.phones}"]
    subprocess.run(set_up, env=env | {"DJANGO_SETTINGS_MODULE": "tests.settings"}, check=True)
    more = [f"--visits={wanted.visits}", f"--photos={wanted.photos}", f"--kilobytes={wanted.kilobytes}"]
    with serving(port, env, folder, workers=workers):
        watching = start("bench.coming_back.watching", [str(cast), f"--port={port}"], stdin=subprocess.PIPE)
        phones = start("bench.coming_back.phones", [str(cast), f"--port={port}", *more, f"--seconds={wanted.seconds}"])
        came_back = json.loads(phones.communicate()[0])
        time.sleep(ALERT_SECONDS)  # for the alert of the very last push
        watched = json.loads(watching.communicate()[0])
    return report(wanted, name, came_back, watched)


def require_space(wanted) -> None:
    """Ends the run where the disk has no room for all photos, their shown copies and the database."""
    most = wanted.phones * wanted.photos * int(wanted.kilobytes.partition("-")[2]) * 1000
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < most * 2 + SPARE_BYTES:
        raise SystemExit(f"{(most * 2 + SPARE_BYTES) / 1e9:.1f} GB of disk are needed, {free / 1e9:.1f} are free")


def start(module: str, words: list[str], **more) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True, **more)


@contextlib.contextmanager
def serving(port: int, env: dict, folder: Path, *, workers: int) -> Iterator[None]:
    """The server, and where it is grown the worker beside it; stopped however the body ends."""
    commands = [[*SERVER, "--port", str(port), "--workers", str(workers)]]
    if env.get("SAFETY_WORK_IN_SERVER") == "0":
        commands.append(["manage.py", "work"])
    settings = env | {"DJANGO_SETTINGS_MODULE": "safety.settings"}
    log = folder / "server.log"
    with log.open("wb") as output:
        started = [
            subprocess.Popen([sys.executable, *each], env=settings, stdout=output, stderr=output) for each in commands
        ]
    try:
        until = time.monotonic() + START_SECONDS
        while "Uvicorn running" not in log.read_text() or "startup complete" not in log.read_text():
            if time.monotonic() > until or started[0].poll() is not None:
                raise SystemExit(f"the server did not start\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        time.sleep(1.0)
        yield
    finally:
        for each in started:
            each.terminate()
        for each in started:
            stop(each)
        told = [line for line in log.read_text().splitlines() if " ERROR " in line]
        if told:
            print(f"the server logged {len(told)} errors, the first: {told[0]}")


def report(wanted, name: str, came_back: dict, watched: dict) -> list[str]:
    """Prints the table of one engine; gives what it missed, in words."""
    began = came_back["began"]
    late = sorted(
        max(0.0, watched["alerts"].get(place, came_back["ended"] + 99) - at)
        for place, at in came_back["majors"].items()
    )
    pages = {path: sorted(s for each, s in watched["pages"] if each == path) for path, _ in watched["pages"]}
    every_page = sorted(seconds for _, seconds in watched["pages"])
    gone_wrong = {**came_back["errors"], **{each: 1 for each in watched["failed"]}}
    other = {status: n for status, n in came_back["verdicts"].items() if status != "applied"}
    took = (came_back["done"] or [began])[-1] - began
    print(
        f"\n{name}: {wanted.phones} phones, {wanted.visits} visits and {wanted.photos} photos each, {os.cpu_count()} cores"
    )
    print(f"  everything said is in after    {(came_back['synced'] or [began])[-1] - began:8.1f} s")
    print(f"  every photo is in after        {took:8.1f} s")
    print(f"  verdicts                       {came_back['verdicts']}")
    print(f"  told to wait                   {came_back['told to wait'] or 'nobody'}")
    for kind, seconds in came_back["seconds"].items():
        print(f"  {kind:5} asked until taken        {line(sorted(seconds))}")
    print(f"  alert after its push's answer  {line(late)}, desk connected {watched['desk connected']} times")
    for path, seconds in pages.items():
        print(f"  page {path.partition('?')[0]:25} {line(seconds)}")
    missed = {
        "not all in": not came_back["all done"] or len(came_back["done"]) < wanted.phones,
        f"verdicts {other}": bool(other),
        f"errors {gone_wrong}": bool(gone_wrong),
        f"an alert later than {ALERT_SECONDS} s": not late or late[-1] > ALERT_SECONDS,
        f"a page's p99 above {PAGE_SECONDS} s": not every_page or at(every_page, 0.99) > PAGE_SECONDS,
    }
    found = [words for words, is_so in missed.items() if is_so]
    print("  " + ("all targets met" if not found else "MISSED: " + "; ".join(found)[:1500]))
    return found


def line(seconds: list[float]) -> str:
    if not seconds:
        return "–"
    return (
        f"p50 {statistics.median(seconds):6.2f}  p95 {at(seconds, 0.95):6.2f}  p99 {at(seconds, 0.99):6.2f}"
        f"  max {seconds[-1]:6.2f} s  ({len(seconds)})"
    )


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    sys.exit(main())
