"""A live server of the tests: a process that has imported everything and forks a uvicorn for each life.

    with serving(database_url, tmp_path, workers=2, SAFETY_REDIS_URL=…) as server: …

A server that is killed is replaced at once by a new fork on the same listening socket, so that fifty deaths cost
seconds, not fifty imports of Django. `application` is the product inside `Mortal`: it writes down with what settings
each of its connections was opened, and kills its own process where a request asks for it:

    X-Die: answer         after the product has committed and begun its answer, before a byte of it is sent
    X-Die: statement 7    before the seventh statement that this request sends to the database
"""

import argparse
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import uvicorn
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import Client

from safety.asgi import application as PRODUCT
from tests.engines import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
GRACE_SECONDS = 5
STATEMENTS: ContextVar[list[int] | None] = ContextVar("statements_to_live", default=None)

DURABLE = {"sqlite": {"synchronous": "2", "journal_mode": "wal"}, "postgresql": {"synchronous_commit": "on"}}


# --- outside: what a test holds ---------------------------------------------------------------------------------------


class Serving:
    """A running server: where it is, and what it wrote down."""

    def __init__(self, process: subprocess.Popen, port: int, folder: Path):
        self.process, self.port, self.folder = process, port, folder

    def witnessed(self, kind: str) -> list[dict]:
        """What the server's lives wrote down of one kind: `born`, `serves`, `died`, `killed`, `connection`."""
        lines = (self.folder / "witness.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["e"] == kind]

    def kill(self) -> None:
        """SIGKILL from outside, whatever the server does at this moment."""
        alive = {line["pid"] for line in self.witnessed("born")} - {line["pid"] for line in self.witnessed("died")}
        for pid in sorted(alive):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it died between reading and killing

    def said(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")


@contextmanager
def serving(database_url: str, folder: Path, *, workers: int = 1, **environment: str) -> Iterator[Serving]:
    """Starts it and waits until it has been born; stops every process of it however the body ends."""
    port = free_port()
    (folder / "witness.jsonl").touch()
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SAFETY_")}
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SAFETY_DATABASE_URL": database_url,
        "SAFETY_VAR": str(folder),
        "SAFETY_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "tests.serving", "--port", str(port), "--workers", str(workers)]
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=outside | settings | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Serving(process, port, folder)
    try:
        _wait_until_born(server, workers)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS * 2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_born(server: Serving, workers: int) -> None:
    until = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < until:
        if len(server.witnessed("serves")) >= workers:
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{server.said()[-4000:]}")


# --- inside: the process that forks, and the lives --------------------------------------------------------------------


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--workers", type=int, required=True)
    wanted = options.parse_args()
    witness = Witness(Path(os.environ["SAFETY_VAR"]) / "witness.jsonl")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", wanted.port))
    listening.listen(512)
    listening.set_inheritable(True)
    _warm_up()
    assert threading.active_count() == 1, "a thread does not survive a fork"
    gc.freeze()
    Lives(witness, listening, wanted.workers).go_on()


def _warm_up() -> None:
    """What the first request of a life would load and compile, once for all lives; no connection survives it."""
    Client().get("/api/v1/auth/me", headers={"Authorization": "Bearer nobody"})
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()


class Witness:
    """Lines of JSON in one file, appended whole, so that nothing of them is lost with a process."""

    def __init__(self, path: Path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, event: str, **members) -> None:
        os.write(self.file, json.dumps({"e": event, "pid": os.getpid(), "at": time.time(), **members}).encode() + b"\n")


class Lives:
    """Keeps so many uvicorns alive until it is told to stop."""

    def __init__(self, witness: Witness, listening: socket.socket, workers: int):
        self.witness, self.listening, self.workers = witness, listening, workers
        self.alive: set[int] = set()
        self.stopping = False

    def go_on(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        for _ in range(self.workers):
            self._bear()
        while self.alive:
            pid, status = os.wait()
            self.alive.discard(pid)
            self.witness.write("died", status=status, pid=pid)
            if not self.stopping:
                self._bear()

    def _stop(self, number, frame) -> None:
        self.stopping = True
        for pid in self.alive:
            os.kill(pid, signal.SIGTERM)

    def _bear(self) -> None:
        pid = os.fork()
        if pid:
            self.alive.add(pid)
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        config = uvicorn.Config(
            Mortal(self.witness),
            lifespan="on",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            log_level="warning",
        )
        self.witness.write("born")
        uvicorn.Server(config).run(sockets=[self.listening])
        os._exit(0)


class Mortal:
    """The product, in a process that can be told to die."""

    def __init__(self, witness: Witness):
        self.witness = witness
        connection_created.connect(self._opened)

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            send = self._tells_of_serving(send)
        how, _, batch = dict(scope.get("headers", ())).get(b"x-die", b"").decode().partition("; ")
        if how == "answer":
            send = self._dies_instead_of(batch)
        if how.startswith("statement "):
            STATEMENTS.set([int(how.removeprefix("statement "))])
        await PRODUCT(scope, receive, send)

    def _tells_of_serving(self, send: Callable) -> Callable:
        async def told(message: dict) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.witness.write("serves")
            await send(message)

        return told

    def _dies_instead_of(self, batch: str) -> Callable:
        async def die(message: dict) -> None:
            self.witness.write("killed", batch=batch)
            os.kill(os.getpid(), signal.SIGKILL)

        return die

    def _opened(self, *, connection, **_) -> None:
        """A new connection: is it one that keeps what it commits, and it counts statements from now on."""
        if _count not in connection.execute_wrappers:
            connection.execute_wrappers.append(_count)
        ask = "SHOW {}" if connection.vendor == "postgresql" else "PRAGMA {}"
        wire = connection.connection  # the driver's own: Django's is not ready yet
        found = {name: str(wire.execute(ask.format(name)).fetchone()[0]) for name in DURABLE[connection.vendor]}
        self.witness.write("connection", found=found)


def _count(execute: Callable, sql: str, params, many: bool, context: dict):
    left = STATEMENTS.get()
    if left is not None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)


if __name__ == "__main__":
    main()
