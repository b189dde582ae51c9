"""What a pushed visit costs: server CPU, statements, and the ratio to bare inserts of the same rows in the same run.

    python3 dev.py bench push [-- --batches 20]

A visit is 5 operations (create with 15 answers, patch with 15, two photo records, submit with its snapshot): 30
answers, 2 findings, 2 photos. A batch is 50 visits of one inspector, pushed without HTTP through `sync.push.push`.
Both engines are durable (SQLite `synchronous=FULL`, PostgreSQL with fsync).

How to read it: `cpu` is user + system time of this process a visit (the median batch); `backend` is PostgreSQL's own.
The floor writes the rows that one batch left once more, to twins of the same tables with their indexes, by the
driver's fastest way (COPY, executemany), in one durable transaction. Statements are counted where they reach the
engine: SQLite's trace call-back, PostgreSQL's wire (Query and Execute messages), at 10 and at 50 visits a batch.
Absolute figures belong to the machine and the hour; the ratios hold.
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
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        if wanted.engine != "postgresql":
            run(words, SAFETY_VAR=f"{folder}/sqlite")
        if wanted.engine != "sqlite":
            with engines.postgresql(durable=True) as server:
                run(words, SAFETY_VAR=f"{folder}/postgresql", SAFETY_DATABASE_URL=server.url)


def run(words: list[str], **environment: str) -> None:
    """One engine, in a process of its own."""
    child = os.environ | environment | {"DJANGO_SETTINGS_MODULE": "tests.settings", "SAFETY_LOG_LEVEL": "WARNING"}
    subprocess.run([sys.executable, "-m", "bench.pushing.measure", *words], env=child, check=True)


if __name__ == "__main__":
    main()
