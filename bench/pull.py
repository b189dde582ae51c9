"""What a pull costs, through its whole door (middleware, sign-in, answer compressed as a phone asks for it).

    python3 dev.py bench pull [-- --rows 1000000 --visits 10000 --engine sqlite]

Three readers, on both engines, both durable:

- an officer of a district with 40 schools (83 reader pairs) pulls 200 changes that lie among 4,000 of other districts,
  once in an index of 10,000 documents, once in one of `--rows`: milliseconds of wall a pull, p50 and p95;
- an inspector with 60 schools, a post at each, and 2,000 documents syncs for the first time: seconds, kilobytes;
- an inspector syncs for the first time in a district with `--visits` visits, each really pushed and submitted: 30
  answers, 2 photo records, 2 rectification items, so five documents a visit.

How to read it: `server` is CPU of this process (user + system) and, on PostgreSQL, of the backend of its connection.
The limits are those of the task; a line beyond one ends with ✗ and the run ends non-zero. CPU seconds grow by half and more
where other work shares the cores: then the ratios hold, to 10,000 documents and to a bare reading of the same bytes.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from tests import engines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--visits", type=int, default=10_000)
    options.add_argument("--engine", choices=["sqlite", "postgresql"])
    options.add_argument("--profile", action="store_true", help="print where the time of the large first sync goes")
    wanted = options.parse_args()
    words = [f"--rows={wanted.rows}", f"--visits={wanted.visits}"] + (["--profile"] if wanted.profile else [])
    codes = []
    with tempfile.TemporaryDirectory(prefix="bench-pull-") as folder:
        if wanted.engine != "postgresql":
            codes.append(run(words, SAFETY_VAR=f"{folder}/sqlite"))
        if wanted.engine != "sqlite":
            with engines.postgresql(durable=True) as server:
                codes.append(run(words, SAFETY_VAR=f"{folder}/postgresql", SAFETY_DATABASE_URL=server.url))
    sys.exit(max(codes))


def run(words: list[str], **environment: str) -> int:
    """One engine, in a process of its own; its exit code. The product's own settings: those of the tests would have
    each answer unpacked and searched for what is not its reader's, which takes more time than the answer."""
    child = os.environ | environment | {"DJANGO_SETTINGS_MODULE": "safety.settings", "SAFETY_LOG_LEVEL": "WARNING"}
    return subprocess.run([sys.executable, "-m", "bench.pulling.measure", *words], env=child, check=False).returncode


if __name__ == "__main__":
    main()
