"""The product in a process of its own, on a free port of loopback, beside the test that speaks to it."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import stop
from tests.engines import free_port

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60


class DidNotStart(Exception):
    """The server did not come up; the text is the end of what it said."""


@contextmanager
def live_server(database_url: str, *, var: Path, **settings: str) -> Iterator[str]:
    """The address (http://127.0.0.1:port) of a server on this database, its files in `var`; `settings` join its
    environment. Its log lies in `var/server.log`. Raises DidNotStart."""
    port, log = free_port(), var / "server.log"
    words = ["-m", "uvicorn", "safety.asgi:application", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SAFETY_DATABASE_URL": database_url,
        "SAFETY_VAR": str(var),
        "SAFETY_LOG_LEVEL": "WARNING",
        **settings,
    }
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_ready(child, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(child)


def _wait_until_ready(child: subprocess.Popen, port: int, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while child.poll() is None and time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
        try:
            connection.request("GET", "/api/v1/auth/me")
            connection.getresponse().read()
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    raise DidNotStart(log.read_text(errors="replace")[-4000:])
