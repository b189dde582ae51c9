"""The duty desk's socket: a thread that notes each frame with the moment at which it came."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from inspections.schoolday.phone import Nobody
from inspections.schoolday.wire import Unreachable

OPEN_SECONDS = 10
SUBPROTOCOL = "campus.v1"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came; `at` is `time.perf_counter()`."""

    at: float
    content: dict

    @property
    def alerts(self) -> list[dict]:
        """The alerts that it shows: the waiting list, or the one that moved."""
        if self.content["t"] == "waiting":
            return self.content["alerts"]
        return [self.content["alert"]] if self.content["t"] == "alert" else []


class Desk:
    """A socket that stays open until `close`. `closed_with` is the code by which it ended, None while it is open."""

    def __init__(self, person: Nobody):
        self.person = person
        self.frames: list[Frame] = []
        self.closed_with: int | None = None
        self.fault: Exception | None = None
        self.socket: ClientConnection | None = None
        self.news = threading.Condition()

    @classmethod
    def open(cls, person: Nobody) -> "Desk":
        """Opens /api/v1/ws/desk in this person's name. Raises Unreachable."""
        desk = cls(person)
        threading.Thread(target=desk._listen, name=f"desk {person.name}", daemon=True).start()
        with desk.news:
            desk.news.wait_for(lambda: desk.socket or desk.fault, OPEN_SECONDS)
        if desk.socket is None:
            raise Unreachable(f"{desk.address}: {desk.fault!r}")
        return desk

    @property
    def address(self) -> str:
        server = self.person.server
        return f"{server.sockets}{server.address.path.rstrip('/')}/api/v1/ws/desk"

    def _listen(self) -> None:
        token = self.person.token
        offered = [SUBPROTOCOL, f"bearer.{token}"] if token else [SUBPROTOCOL]
        try:
            with connect(self.address, subprotocols=offered, open_timeout=OPEN_SECONDS, proxy=None) as socket:
                self._now(socket=socket)
                with suppress(ConnectionClosed):  # the code tells how it ended
                    for text in socket:
                        self._note(text)
                self._now(closed_with=socket.close_code)
        except (OSError, WebSocketException) as fault:
            self._now(fault=fault)

    def _now(self, **facts) -> None:
        with self.news:
            for name, value in facts.items():
                setattr(self, name, value)
            self.news.notify_all()

    def _note(self, text: str | bytes) -> None:
        frame = Frame(time.perf_counter(), json.loads(text))
        with self.news:
            self.frames.append(frame)
            self.news.notify_all()

    def wait_for(self, wanted: Callable[[Frame], bool], *, seconds: float) -> Frame | None:
        """The first frame, also of those that came before, for which this holds; None when the time is over."""
        with self.news:
            self.news.wait_for(lambda: any(map(wanted, self.frames)) or self.closed_with is not None, seconds)
            return next(filter(wanted, self.frames), None)

    def wait_until_closed(self, *, seconds: float) -> int | None:
        """The code by which the server ended the socket; None while it is open."""
        with self.news:
            self.news.wait_for(lambda: self.closed_with is not None, seconds)
            return self.closed_with

    def shown(self) -> list[dict]:
        """Every alert that was ever shown here."""
        with self.news:
            return [alert for frame in self.frames for alert in frame.alerts]

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
