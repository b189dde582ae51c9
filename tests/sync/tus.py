"""The door of uploads as tests try it: in this process, or by raw words over a socket to a running server."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from asgiref.sync import async_to_sync

from dev import stop
from sync.tus import application
from tests.engines import free_port

ROOT = Path(__file__).resolve().parents[2]
FILES = "/api/v1/files"
CHUNK = "application/offset+octet-stream"
START_SECONDS = 60


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def metadata(**said: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


class Answer:
    """What the door said."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes):
        self.status, self.headers, self.body = status, {name.lower(): value for name, value in headers.items()}, body

    @property
    def offset(self) -> int | None:
        said = self.headers.get("upload-offset")
        return None if said is None else int(said)

    @property
    def path(self) -> str:
        return FILES + self.headers["location"].rpartition(FILES)[2]

    @property
    def code(self) -> str:
        return json.loads(self.body)["code"]

    def __repr__(self) -> str:
        return f"{self.status} {self.headers} {self.body.decode(errors='replace')}"


class Phone:
    """Somebody's phone at the door in this process; `secret` may be empty."""

    def __init__(self, secret: str = ""):
        self.own = {"Tus-Resumable": "1.0.0"} | ({"Authorization": f"Bearer {secret}"} if secret else {})

    def call(
        self, method: str, path: str = FILES, body: bytes | Sequence[bytes] = b"", *, breaks: bool = False, **headers
    ) -> Answer | None:
        """One request; `body` may come in pieces, and break off after them. None where nobody was left to answer."""
        said = self.own | {name.replace("_", "-"): value for name, value in headers.items()}
        said = {name: value for name, value in said.items() if value is not None}
        return async_to_sync(_called)(method, path, [body] if isinstance(body, bytes) else list(body), said, breaks)

    def create(self, content: bytes, **headers) -> Answer:
        said = {"Upload_Length": str(len(content)), "Upload_Metadata": metadata(sha256=sha(content))}
        return self.call("POST", **(said | headers))

    def patch(self, path: str, body, *, at: int, **headers) -> Answer:
        return self.call("PATCH", path, body, **({"Upload_Offset": str(at), "Content_Type": CHUNK} | headers))

    def head(self, path: str) -> Answer:
        return self.call("HEAD", path)


async def _called(method: str, path: str, pieces: list[bytes], headers: dict[str, str], breaks: bool) -> Answer | None:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = breaks
    sent = []

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in ({"Host": "localhost"} | headers).items()]
    if not breaks and any(pieces):
        raw.append((b"content-length", str(sum(map(len, pieces))).encode()))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
    }
    await application(scope | {"scheme": "http", "headers": raw, "server": ("localhost", 80)}, receive, send)
    if not sent:
        return None
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], said, b"".join(each.get("body", b"") for each in sent[1:]))


# A running server


@contextmanager
def served(*, folder: Path, database_url: str, **settings: str) -> Iterator["Served"]:
    """uvicorn in a process of its own on a free port of loopback; ready when given."""
    port, log = free_port(), folder / "server.log"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SAFETY_DATABASE_URL": database_url,
        "SAFETY_VAR": str(folder),
        **settings,
    }
    words = ["-m", "uvicorn", "safety.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        child = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            until = time.monotonic() + START_SECONDS
            while b"Uvicorn running on" not in log.read_bytes():
                assert child.poll() is None and time.monotonic() < until, log.read_text()[-4000:]
                time.sleep(0.05)
            yield Served(port, child)
        finally:
            stop(child)


class Served(NamedTuple):
    """A running server."""

    port: int
    process: subprocess.Popen


class Wire:
    """One connection, on which a test says what it likes and breaks it where it likes."""

    def __init__(self, port: int, secret: str):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.secret = secret

    def say(self, method: str, path: str, *, body: bytes = b"", length: int | None = None, **headers) -> None:
        """Head and body; `length` may promise more than comes."""
        said = {
            "Host": "127.0.0.1",
            "Tus-Resumable": "1.0.0",
            "Authorization": f"Bearer {self.secret}",
            "Content-Length": str(len(body) if length is None else length),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    def more(self, body: bytes) -> None:
        self.socket.sendall(body)

    def answer(self) -> Answer:
        """Reads one answer with a Content-Length, or none."""
        file = self.socket.makefile("rb")
        status = int(file.readline().split()[1])
        headers = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return Answer(status, headers, file.read(int(headers.get("content-length", 0))))

    def break_off(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
