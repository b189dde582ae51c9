"""HTTP as any client speaks it: one request, one answer, nothing remembered between two of them."""

import http.client
import json
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

TIMEOUT_SECONDS = 30
LOOK_EVERY_SECONDS = 0.1
T = TypeVar("T")


class Unreachable(Exception):
    """The server does not answer; the text says where we knocked."""


class Unexpected(Exception):
    """A door answered something that this day cannot go on with."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `seen` is all of it that could tell one refusal from another."""

    status: int
    media_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> str:
        """The problem's code, or empty."""
        return self.json.get("code", "") if self.media_type == "application/problem+json" else ""

    @property
    def seen(self) -> tuple[int, str, bytes]:
        return self.status, self.media_type, self.body

    @property
    def brief(self) -> str:
        return f"{self.status} {self.code}".strip()


@dataclass(frozen=True, slots=True)
class Server:
    """Where the product answers: its address, as given on the command line."""

    address: SplitResult

    @classmethod
    def at(cls, url: str) -> "Server":
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(url)
        return cls(address)

    @property
    def sockets(self) -> str:
        """The address of the sockets, without a path."""
        scheme = "wss" if self.address.scheme == "https" else "ws"
        return f"{scheme}://{self.address.netloc}"

    def call(
        self, method: str, path: str, *, token: str = "", content: Any = None, body: bytes = b"", media_type: str = ""
    ) -> Answer:
        """One request under /api/v1/. `content` travels as JSON, `body` as it is. Raises Unreachable."""
        connection = self._send(method, path, token=token, content=content, body=body, media_type=media_type)
        try:
            response = connection.getresponse()
            return Answer(response.status, response.headers.get_content_type(), response.read())
        except (OSError, http.client.HTTPException) as broken:
            raise Unreachable(f"{method} {path}: {broken!r}") from broken
        finally:
            connection.close()

    def call_and_hang_up(self, method: str, path: str, *, token: str, content: Any) -> None:
        """One request whose answer is on its way, and never read: the signal is lost just then."""
        connection = self._send(method, path, token=token, content=content)
        try:
            select.select([connection.sock], [], [], TIMEOUT_SECONDS)
        finally:
            connection.close()

    def _send(self, method: str, path: str, *, token: str, content: Any, body: bytes = b"", media_type: str = ""):
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if content is not None:
            body, media_type = as_json(content), "application/json"
        if media_type:
            headers["Content-Type"] = media_type
        kind = http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.address.hostname, self.address.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, f"{self.address.path.rstrip('/')}/api/v1/{path}", body or None, headers)
        except (OSError, http.client.HTTPException) as broken:
            connection.close()
            raise Unreachable(f"{method} {path}: {broken!r}") from broken
        return connection


def as_json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, default=str).encode()


def asking(path: str, query: dict[str, Any]) -> str:
    """A path with its query; a list is repeated."""
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def until(look: Callable[[], T], *, seconds: float) -> T | None:
    """Looks until it sees something; what it saw, or None when the time is over."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > end:
            return None
        time.sleep(LOOK_EVERY_SECONDS)
    return seen
