"""The product's server as `dev.py up` starts it, in a process of its own beside the one that measures."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dev import stop
from tests.engines import free_port

START_SECONDS = 60
COMMAND = ["-m", "uvicorn", "safety.asgi:application", "--host", "127.0.0.1", "--ws", "websockets-sansio"]
COMMAND += ["--ws-per-message-deflate", "false", "--lifespan", "on", "--timeout-graceful-shutdown", "5"]
AS_SERVED = {"DJANGO_SETTINGS_MODULE": "safety.settings", "SAFETY_GUARD": "0", "SAFETY_LOG_LEVEL": "INFO"}


@contextlib.contextmanager
def serving(log: Path, **environment: str) -> Iterator[tuple[int, int]]:
    """(port, process id) of a server that is ready; the product's own settings and log level, whatever ours are.

    It takes database and folder from this process's environment. Its log goes to a file.
    """
    port = free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *COMMAND, "--port", str(port)],
            env=os.environ | AS_SERVED | environment,
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while "Uvicorn running" not in log.read_text(errors="replace"):
            if time.monotonic() > until or server.poll() is not None:
                raise SystemExit(f"the server did not start\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield port, server.pid
    finally:
        stop(server)
