"""More seeds of the strangers than a run of the tests has time for.

    python3 dev.py bench strangers [-- --seeds 300]

RxDB and WatermelonDB, unmodified, against a real server over a bad network (tests/strangers), each seed in its own school.
Nothing is measured: a seed either converges with nothing lost, or is printed with what was wrong, and the run ends with 1.
The same seed types the same words, and the n-th request of its line meets the same fault. `--first` begins at another
seed, `--cast` plays one cast alone, `--parallel` says how many at a time.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from dev import install_clients
from tests import engines


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=60)
    options.add_argument("--first", type=int, default=1)
    options.add_argument("--cast", choices=["rxdb", "watermelondb", "together"])
    options.add_argument("--parallel", type=int, default=4)
    options.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    wanted = options.parse_args()
    install_clients()
    words = [f"--seeds={wanted.seeds}", f"--first={wanted.first}", f"--parallel={wanted.parallel}"]
    words += [f"--cast={wanted.cast}"] if wanted.cast else []
    with tempfile.TemporaryDirectory(prefix="bench-strangers-") as var:
        if wanted.engine == "sqlite":
            return run(words, SAFETY_VAR=var, SAFETY_DATABASE_URL=f"sqlite:///{var}/safety.sqlite3")
        with engines.postgresql() as server:
            return run(words, SAFETY_VAR=var, SAFETY_DATABASE_URL=server.url)


def run(words: list[str], **environment: str) -> int:
    """One engine, in a process of its own; its exit status."""
    child = os.environ | environment | {"DJANGO_SETTINGS_MODULE": "tests.settings", "SAFETY_LOG_LEVEL": "WARNING"}
    return subprocess.run([sys.executable, "-m", "bench.visiting.play", *words], env=child).returncode


if __name__ == "__main__":
    sys.exit(main())
