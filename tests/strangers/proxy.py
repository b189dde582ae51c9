"""A bad network between a client and the server: a proxy on loopback that loses, cuts, repeats and lies, by a seed.

What happens to the n-th request of a proxy follows from its seed and n alone. One proxy a scenario: who speaks to it is
known by its port. It never speaks to anything but loopback.
"""

import asyncio
import contextlib
import ipaddress
import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

HOST = "127.0.0.1"
HEAD_BYTES = 64 * 1024
SECONDS = 60  # a request that takes longer than this is dropped
LONGEST_DELAY = 0.02

PORTAL = b"<!doctype html><title>Free Wi-Fi</title><p>Please accept the terms of this hotel to go on.</p>"
GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each thing happens to a request, as shares of one; what is left over goes through."""

    lost_request: float = 0.15
    lost_response: float = 0.30
    cut_request: float = 0.04
    cut_response: float = 0.04
    twice: float = 0.06
    bad_gateway: float = 0.04
    gateway_after: float = 0.02  # the server has done it, and the gateway says 502 all the same
    portal: float = 0.04

    def of(self, seed: int, number: int) -> tuple[str, random.Random]:
        """What happens to the n-th request under a seed, and the chance that its details are drawn from."""
        chance = random.Random(f"{seed}:{number}")
        drawn = chance.random()
        for name in self.__slots__:
            drawn -= getattr(self, name)
            if drawn < 0:
                return name, chance
        return "through", chance


NO_FAULTS = Faults(0, 0, 0, 0, 0, 0, 0, 0)
RARE = Faults(0.03, 0.06, 0.02, 0.02, 0.03, 0.02, 0.01, 0.02)


class Message(NamedTuple):
    """A request or a response as it travelled: its head with the blank line, its body, and whether more may follow."""

    head: bytes
    body: bytes
    keep: bool


@dataclass
class Proxy:
    """One listening port before one server. `counts` says what happened, by name."""

    seed: int
    server: tuple[str, int]
    faults: Faults = field(default_factory=Faults)
    port: int = 0
    number: int = 0
    counts: Counter = field(default_factory=Counter)

    def __post_init__(self):
        require_loopback(self.server[0])

    async def start(self) -> asyncio.Server:
        listening = await asyncio.start_server(self._serve, HOST, 0, limit=HEAD_BYTES)
        self.port = listening.sockets[0].getsockname()[1]
        return listening

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                while (request := await _read(reader)) is not None:
                    self.number += 1
                    fault, chance = self.faults.of(self.seed, self.number)
                    self.counts[fault] += 1
                    await asyncio.sleep(chance.random() * LONGEST_DELAY)
                    if not await self._answer(request, fault, chance, writer) or not request.keep:
                        return
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.counts["broken"] += 1
        finally:
            # an abort, not a polite end: a signal that is lost says no goodbye
            writer.transport.abort()

    async def _answer(self, request: Message, fault: str, chance: random.Random, writer) -> bool:
        """Does to one request what its fault says; whether the connection lives on."""
        if fault == "lost_request":
            return False
        if fault in ("bad_gateway", "portal"):
            return await _page(writer, fault)
        if fault == "cut_request":
            whole = request.head + request.body
            # inside the body where there is one: a cut head is a lost request
            cut = (
                len(request.head) + chance.randrange(len(request.body))
                if request.body
                else chance.randrange(len(whole))
            )
            await self._send_part(whole[:cut])
            return False
        if fault == "twice":
            if chance.random() < 0.5:
                await self._ask(request)
            else:
                _, response = await asyncio.gather(self._ask(request), self._ask(request))
                return await _write(writer, response)
        response = await self._ask(request)
        if fault == "lost_response":
            return False
        if fault == "gateway_after":
            return await _page(writer, "bad_gateway")
        if fault == "cut_response":
            whole = response.head + response.body
            writer.write(whole[: chance.randrange(len(whole))])
            await writer.drain()
            return False
        return await _write(writer, response)

    async def _ask(self, request: Message) -> Message:
        reader, writer = await asyncio.open_connection(*self.server, limit=HEAD_BYTES)
        try:
            writer.write(_closing(request.head) + request.body)
            await writer.drain()
            response = await _read(reader, bodiless=request.head.startswith(b"HEAD "), to_end=True)
        finally:
            writer.close()
        if response is None:
            raise ConnectionResetError
        return response

    async def _send_part(self, part: bytes) -> None:
        _, writer = await asyncio.open_connection(*self.server)
        with contextlib.suppress(OSError):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)  # what was sent arrives before the line goes dead
        writer.transport.abort()


def require_loopback(host: str) -> None:
    """Raises ValueError for anything else: a bad network is for nobody but ourselves."""
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host} is not loopback")


async def _read(reader: asyncio.StreamReader, *, bodiless: bool = False, to_end: bool = False) -> Message | None:
    """One message; None where the other side has hung up before it. A chunked body is kept as it came."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as ended:
        if ended.partial:
            raise
        return None
    lines = head.decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(":", 1) for line in lines[1:] if ":" in line)
    keep = headers.get("connection", "").strip() != "close"
    status = lines[0].split()[1] if lines[0].startswith("http/") else ""
    if bodiless or status in ("204", "304"):
        return Message(head, b"", keep)
    if "chunked" in headers.get("transfer-encoding", ""):
        return Message(head, await _chunks(reader), keep)
    if "content-length" in headers:
        return Message(head, await reader.readexactly(int(headers["content-length"])), keep)
    return Message(head, await reader.read() if to_end else b"", keep)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    kept = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        kept += line
        size = int(line.split(b";")[0], 16)
        kept += await reader.readexactly(size + 2)
        if size == 0:
            return kept


def _closing(head: bytes) -> bytes:
    """A request's head that asks for one answer on its connection."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


async def _write(writer: asyncio.StreamWriter, response: Message) -> bool:
    writer.write(response.head + response.body)
    await writer.drain()
    return response.keep


async def _page(writer: asyncio.StreamWriter, name: str) -> bool:
    status, page = (b"200 OK", PORTAL) if name == "portal" else (b"502 Bad Gateway", GATEWAY)
    head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    writer.write(head % (status, len(page)) + page)
    await writer.drain()
    return False


class Network:
    """Proxies in a thread with a loop of its own."""

    def __init__(self, server: tuple[str, int]):
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.proxies: list[Proxy] = []
        self.listening: list[asyncio.Server] = []

    def proxy(self, seed: int, faults: Faults | None = None) -> Proxy:
        """A new proxy before the server; its port listens when this returns."""
        proxy = Proxy(seed, self.server, faults or Faults())
        self.listening.append(asyncio.run_coroutine_threadsafe(proxy.start(), self.loop).result())
        self.proxies.append(proxy)
        return proxy

    @property
    def counts(self) -> Counter:
        """What happened to all requests together."""
        return sum((proxy.counts for proxy in self.proxies), Counter())

    def close_listeners(self) -> None:
        for listening in self.listening:
            listening.close()


@contextmanager
def network(server: tuple[str, int]) -> Iterator[Network]:
    """Bad lines to a server (host of loopback, port). Raises ValueError for any other host."""
    require_loopback(server[0])
    lines = Network(server)
    thread = threading.Thread(target=lines.loop.run_forever, name="network", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        lines.loop.call_soon_threadsafe(lines.close_listeners)
        lines.loop.call_soon_threadsafe(lines.loop.stop)
        thread.join()
        _end_tasks(lines.loop)


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(_ended(left))
    loop.close()


async def _ended(tasks: Iterable[asyncio.Task]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
