"""What an upload costs: bytes sent twice on a bad link, memory under a crowd, CPU a photo; through HTTP, at a real uvicorn.

    python3 dev.py bench uploads [-- --crowd 1000 --photos 200 --engine sqlite]

1. **Link.** A photo of 3 MB crosses a link of 8 Mbit/s that is torn every 200 kB (a relay that resets both sides). The
   client knows only its upload's address: where does it stand, PATCH the rest, again. Goal: at most 10 % is sent twice.
2. **CPU.** Photos of 300 kB one after the other, each with its rows: in one request (creation-with-upload), in two (POST,
   PATCH), and by the simple door. Beside it the floor, in the same run: a file written and fsynced, and its SHA-256.
   Goal: at most 4 ms and 4 times the floor.
3. **Crowd.** So many uploads of 3 MB at once, by phones that send 64 kB and pause for `--pause` seconds (0: as fast as the
   server takes it): all stand in the middle of their body before any may end. RSS of the server, sampled: before, amid
   all, at its highest; for a tenth of them first. Goal: what an upload takes is its connection's buffers, at most
   250 kB also where the server is behind, however large the photo; and none is refused.

How to read it: CPU is user + system time of the server's process, with PostgreSQL's backends beside it. Both engines
are durable. The folder needs as much space as the crowd brings (3 GB) and is removed at the end. Exit status 1 when a goal
of 1 or 3 is missed; 2 depends on the machine, its ratio less so.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from tests import engines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--crowd", type=int, default=1000)
    options.add_argument("--photos", type=int, default=200)
    options.add_argument("--pause", type=float, default=2.0)
    options.add_argument("--engine", choices=["sqlite", "postgresql"])
    wanted = options.parse_args()
    words = [f"--crowd={wanted.crowd}", f"--photos={wanted.photos}", f"--pause={wanted.pause}"]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="bench-uploads-") as folder:
        if wanted.engine != "postgresql":
            missed |= run(words, SAFETY_VAR=f"{folder}/sqlite", SAFETY_DATABASE_URL=f"sqlite:///{folder}/sqlite/db")
        if wanted.engine != "sqlite":
            with engines.postgresql(durable=True) as server:
                missed |= run(words, SAFETY_VAR=f"{folder}/postgresql", SAFETY_DATABASE_URL=server.url)
    sys.exit(missed)


def run(words: list[str], **environment: str) -> int:
    """One engine, in a process of its own."""
    child = os.environ | environment | {"DJANGO_SETTINGS_MODULE": "safety.settings", "SAFETY_LOG_LEVEL": "WARNING"}
    return subprocess.run([sys.executable, "-m", "bench.uploading.measure", *words], env=child).returncode


if __name__ == "__main__":
    main()
