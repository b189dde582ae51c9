"""What a pushed visit costs: server CPU, statements, and the ratio to bare inserts of the same rows in the same run.

    python3 dev.py bench push [-- --batches 20 --engine sqlite --profile]

A visit is 5 operations (create with 15 answers, patch with 15, two photo records, submit with its snapshot): 30 answers,
2 findings, 2 photos; ids are UUIDv7, as the protocol asks of a phone. A batch is 50 visits of one inspector. Both engines
are durable (SQLite `synchronous=FULL`, PostgreSQL with fsync). It is pushed twice over:

**In process**, through `sync.push.push` without HTTP: `cpu` is user + system time of this process a visit (the median
batch), `backend` PostgreSQL's own. Statements are counted where they reach the engine: SQLite's trace call-back,
PostgreSQL's wire (Query and Execute messages), at 10 and at 50 visits a batch. `--profile` tells where the time of one
more batch goes.

**Over HTTP** on loopback, to a server in a process of its own, started as `dev.py up` starts it (one uvicorn, its worker, its
access log). The phone says with each request what docs/protocol.md asks for (clock, outbox, version), so that
its contact is noted. Counted are the server's process, user + system of all its threads, and PostgreSQL's backends of all
its connections; not the phone, which is this process. Each figure is the median request:

- batches of 50;
- each of these batches once more, whole, at once: every verdict must come back `replayed`, and all rows of all tables,
  clock and count of changes are compared before and after (all but the notes of contact: `Contact`, `DeviceToken`);
- one visit a request, 200 times.

The first requests load plans, statements and caches; they are the line `warm-up`. `at rest` is what the server takes while
nobody calls, a second: it is in the figures for as long as they took.

How to read it: a line beyond its limit, those of the task, ends with ✗, and the run ends non-zero. The floor, `bare
inserts`, writes the rows that one push left once more, to twins of the same tables with their indexes, by the driver's
fastest way (COPY, executemany), in one durable transaction; over HTTP the ratio is of server and backends to writer and
backend. Absolute figures belong to the machine and the hour, and grow by half where other work shares the cores; the
ratios hold, and the fastest batch is nearest to a machine of one's own.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from tests import engines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--batches", type=int, default=12)
    options.add_argument("--engine", choices=["sqlite", "postgresql"])
    options.add_argument("--profile", action="store_true", help="print where the time of one more batch goes")
    wanted = options.parse_args()
    words = [f"--batches={wanted.batches}"] + (["--profile"] if wanted.profile else [])
    codes = []
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        if wanted.engine != "postgresql":
            codes.append(run(words, SAFETY_VAR=f"{folder}/sqlite"))
        if wanted.engine != "sqlite":
            with engines.postgresql(durable=True) as server:
                codes.append(run(words, SAFETY_VAR=f"{folder}/postgresql", SAFETY_DATABASE_URL=server.url))
    sys.exit(max(codes))


def run(words: list[str], **environment: str) -> int:
    """One engine, in a process of its own; its exit code."""
    child = os.environ | environment | {"DJANGO_SETTINGS_MODULE": "safety.settings", "SAFETY_LOG_LEVEL": "WARNING"}
    return subprocess.run([sys.executable, "-m", "bench.pushing.measure", *words], env=child, check=False).returncode


if __name__ == "__main__":
    main()
