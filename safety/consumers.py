"""The sockets: the duty desk's, which carries alerts, and the phones', which carries a poke and nothing else.

Plain ASGI rather than Channels' consumers: those hold a layer channel per socket, here the hub holds one for all.
A socket is accepted before it is refused: closed earlier, a browser could not read the code.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from uuid import UUID

import msgspec
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path, re_path
from django.utils import timezone

from safety import hub as hubs
from safety.changes import clock_now
from safety.credentials import SUBPROTOCOL, Credential, credential_of
from safety.hub import NOT_YOURS, SIGNED_OUT, TOO_SLOW, Frame, Hub
from safety.models import DeliveryState
from safety.news import owed_by_phone
from safety.threads import in_thread

QUEUE = 64  # frames that may wait for a desk before it is called too slow
FRESH = 1.0  # seconds; a frame that waited longer is authorised once more
MAX_CHARACTERS = 200  # of what a client may say
CLOSE_SECONDS = 2.0  # how long a client that does not read is waited for
SERVER_AWAY = 1013
NOT_UNDERSTOOD = 4400


class Seen(msgspec.Struct, tag_field="t", tag="seen", forbid_unknown_fields=True):
    """Everything up to this number was shown."""

    seq: int


class _Socket:
    """One open socket: hears the client, says what the hub offers, and ends when either ends."""

    def __init__(self, scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable[[dict], Awaitable[None]]):
        self.scope, self.receive, self.send = scope, receive, send
        self.credential: Credential
        self.hub: Hub
        self.code: int | None = None
        self.dropped = asyncio.Event()

    async def run(self) -> None:
        await self.receive()  # websocket.connect
        credential = await in_thread(credential_of)(self.scope, now=timezone.now())
        offered = self.scope["subprotocols"]
        await self.send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None})
        if credential is None:
            return await self._close(SIGNED_OUT)
        self.credential = credential
        hub = hubs.current()
        if hub is None:
            return await self._close(SERVER_AWAY)
        self.hub, among = hub, self.among(hub)
        await hub.join(self, among)
        try:
            await self._live()
        finally:
            among.discard(self)
        if self.code is not None:
            await self._close(self.code)

    def drop(self, code: int) -> None:
        self.code = self.code or code
        self.dropped.set()

    async def _live(self) -> None:
        tasks = [asyncio.create_task(each) for each in (self._hear(), self.say(), self.dropped.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for fault in ends:
            # OSError is the client's going away in the middle of a frame
            if isinstance(fault, Exception) and not isinstance(fault, OSError):
                raise fault

    async def _hear(self) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "websocket.disconnect":
                return
            if not self.heard(message.get("text") or ""):
                self.drop(NOT_UNDERSTOOD)
                return

    async def _close(self, code: int) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.send({"type": "websocket.close", "code": code})

    async def _send(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    def among(self, hub: Hub) -> set:
        """Where the hub keeps sockets of this kind."""
        raise NotImplementedError

    async def say(self) -> None:
        """Says what there is to say, until cancelled."""
        raise NotImplementedError

    def heard(self, text: str) -> bool:
        """Takes what the client said; False when it is not understood."""
        raise NotImplementedError


class DeskSocket(_Socket):
    """`/api/v1/ws/desk`: the waiting list, then every alert that moves and that this person may know, then beats."""

    def __init__(self, *connection):
        super().__init__(*connection)
        self.queue: asyncio.Queue[Frame] = asyncio.Queue(QUEUE)
        self.unseen: dict[UUID, int] = {}  # deliveries said here and not yet shown, with the number of their frame

    def among(self, hub: Hub) -> set:
        return hub.desks

    def offer(self, frame: Frame) -> None:
        try:
            self.queue.put_nowait(frame)
        except asyncio.QueueFull:
            self.drop(TOO_SLOW)

    async def say(self) -> None:
        waiting = await self.hub.waiting_list(self.credential.person_id)
        if waiting is None:
            self.drop(NOT_YOURS)
            return
        await self._send(waiting.text)
        for delivery_id, state in waiting.unseen:
            self._said(waiting.seq, delivery_id, state)
        while True:
            frame = await self.queue.get()
            if frame.alert_id is not None and (frame.seq <= waiting.seq or not await self._may_have(frame)):
                continue
            await self._send(frame.text)
            if self.credential.person_id in frame.unseen:
                self._said(frame.seq, *frame.unseen[self.credential.person_id])

    async def _may_have(self, frame: Frame) -> bool:
        if asyncio.get_running_loop().time() - frame.made_at < FRESH:
            return True
        return await self.hub.may_still_have(self.credential, frame.alert_id)

    def _said(self, seq: int, delivery_id: UUID, state: str) -> None:
        self.unseen[delivery_id] = seq
        if state == DeliveryState.PENDING:
            self.hub.note(delivery_id, DeliveryState.SENT)

    def heard(self, text: str) -> bool:
        if len(text) > MAX_CHARACTERS:
            return False
        try:
            seen = msgspec.json.decode(text, type=Seen)
        except msgspec.MsgspecError:
            return False
        for delivery_id, seq in list(self.unseen.items()):
            if seq <= seen.seq:
                self.hub.note(delivery_id, DeliveryState.ARRIVED)
                del self.unseen[delivery_id]
        return True


class PokeSocket(_Socket):
    """`/api/v1/ws/poke`: that something this person reads has moved; the newest number only, no data."""

    def __init__(self, *connection):
        super().__init__(*connection)
        self.newest = 0
        self.owed: set[UUID] = set()
        self.poked = asyncio.Event()

    def among(self, hub: Hub) -> set:
        return hub.phones

    def poke(self, seq: int, owed: Collection[UUID]) -> None:
        self.newest = max(self.newest, seq)
        self.owed |= set(owed)
        self.poked.set()

    async def say(self) -> None:
        # who connects late is poked at once: what moved before the socket stood is pulled now
        seq, _ = await in_thread(clock_now)()
        owed = await in_thread(owed_by_phone)([self.credential.person_id])
        self.poke(seq, owed.get(self.credential.person_id, ()))
        while True:
            await self.poked.wait()
            self.poked.clear()
            owed, self.owed = self.owed, set()
            await self._send(f'{{"t":"poke","seq":{self.newest}}}')
            for delivery_id in owed:
                self.hub.note(delivery_id, DeliveryState.SENT)

    def heard(self, text: str) -> bool:
        return False  # a phone has nothing to say here


async def desk(scope, receive, send) -> None:
    await DeskSocket(scope, receive, send).run()


async def poke(scope, receive, send) -> None:
    await PokeSocket(scope, receive, send).run()


async def nowhere(scope, receive, send) -> None:
    """An address without a socket."""
    await receive()
    await send({"type": "websocket.close"})


class OurOrigins(OriginValidator):
    """Pages of other sites may not open sockets with our cookies.

    A client that names no origin is not a browser: nobody's page speaks through it.
    """

    def valid_origin(self, parsed_origin) -> bool:
        return parsed_origin is None or self.validate_origin(parsed_origin)


SOCKETS = [path("api/v1/ws/desk", desk), path("api/v1/ws/poke", poke)]
application = OurOrigins(
    URLRouter([*SOCKETS, re_path("", nowhere)]), [*settings.ALLOWED_HOSTS, *settings.CSRF_TRUSTED_ORIGINS]
)
