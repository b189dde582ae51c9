"""How much bulk work is done at once: the rest waits its turn for a moment, or is told when to come again.

When two hundred phones come back together, each request would get a thread of its own, and whoever opens a page would
wait behind all of them. Here few are worked on, some wait in the order in which they came, and one too many is answered
503 with Retry-After before a thread or a connection is spent on it. Pages and alerts do not pass here.

A request is counted from when its body has arrived: a slow link holds up nobody.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse

from safety.errors import Busy
from safety.handlers import problem_response

log = logging.getLogger(__name__)

PATIENCE = 8.0  # seconds that a request waits for its turn; a phone gives up after some thirty
LONGEST_AWAY = 30  # seconds that a phone is sent away for
WEIGHT = 8  # of how many requests the mean of seconds is made


class Lane:
    """One kind of bulk work in this process."""

    def __init__(self, *, at_once: int, waiting: int):
        self.at_once, self.most_waiting = at_once, waiting
        self.room = asyncio.Semaphore(at_once)  # lets in who came first
        self.waiting = 0
        self.seconds = 0.1  # of work a request, a moving mean

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The body runs when it is this request's turn. Raises Busy with `retry_after`, in seconds."""
        await self._wait()
        began = time.monotonic()
        try:
            yield
        finally:
            self.room.release()
            self.seconds += (time.monotonic() - began - self.seconds) / WEIGHT

    async def _wait(self) -> None:
        if self.room.locked() and self.waiting >= self.most_waiting:
            raise Busy(retry_after=self.retry_after())
        self.waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self.room.acquire()
        except TimeoutError as waited:
            raise Busy(retry_after=self.retry_after()) from waited
        finally:
            self.waiting -= 1

    def retry_after(self) -> int:
        """Whole seconds after which what waits now will have had its turn."""
        return min(LONGEST_AWAY, max(1, math.ceil((self.waiting + 1) * self.seconds / self.at_once)))


class Admitted(ASGIHandler):
    """Django's handler with lanes before it. A middleware would be made synchronous by those within it."""

    def __init__(self):
        super().__init__()
        self.admitted = admitting(super().get_response_async)

    async def get_response_async(self, request: HttpRequest) -> HttpResponse:
        return await self.admitted(request)


def admitting(get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> Callable:
    """What answers a request, with settings.BULK_LANES before it."""
    lanes = {
        prefix: (Lane(at_once=lane["at_once"], waiting=lane["waiting"]), lane["headers"])
        for prefix, lane in settings.BULK_LANES.items()
    }

    async def admitted(request: HttpRequest) -> HttpResponse:
        lane, headers = next((lanes[prefix] for prefix in lanes if request.path.startswith(prefix)), (None, {}))
        if lane is None:
            return await get_response(request)
        try:
            async with lane.turn():
                return await get_response(request)
        except Busy as busy:
            log.info(
                "admission.busy path=%s waiting=%d retry_after=%d", request.path, lane.waiting, busy.more["retry_after"]
            )
            response = problem_response(busy)
            for name, value in headers.items():
                response[name] = value
            return response

    return admitted
