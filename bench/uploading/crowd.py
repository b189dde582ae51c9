"""A thousand phones that upload at once, each a connection of one loop; and how large the server is meanwhile."""

import asyncio
import hashlib
import os
import random
import threading
import time
from pathlib import Path

from tests.sync.tus import CHUNK, FILES, metadata

FIRST_BYTES, PIECE = 65_536, 65_536
ALIVE_SECONDS = 3


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Scale:
    """Weighs a process in the background: its largest resident size since `reset`."""

    def __init__(self, pid: int):
        self.pid, self.most, self.ends = pid, 0, threading.Event()
        threading.Thread(target=self._weigh, daemon=True).start()

    def _weigh(self) -> None:
        while not self.ends.wait(0.05) and Path(f"/proc/{self.pid}").exists():
            self.most = max(self.most, rss_bytes(self.pid))

    def reset(self) -> None:
        self.most = rss_bytes(self.pid)


class Crowd:
    """So many uploads of the same picture, each with a few bytes of its own behind it."""

    def __init__(self, port: int, secret: str, picture: bytes, phones: int, *, pause_seconds: float):
        self.port, self.secret, self.picture, self.phones = port, secret, picture, phones
        self.pause_seconds = pause_seconds  # between two pieces of a phone: 0 sends as fast as the server takes it
        self.hashed = hashlib.sha256(picture)
        self.all_stand, self.half_way, self.standing = asyncio.Event(), asyncio.Event(), 0

    async def run(self, scale: Scale) -> dict[str, float]:
        """RSS in bytes before, in the middle of all bodies, and at its highest; seconds; how many were refused."""
        before, began = rss_bytes(scale.pid), time.monotonic()
        scale.reset()
        phones = [asyncio.create_task(self._phone()) for _ in range(self.phones)]
        await asyncio.wait([asyncio.create_task(self.all_stand.wait()), *phones], return_when=asyncio.FIRST_COMPLETED)
        middle = rss_bytes(scale.pid)
        self.half_way.set()
        statuses = await asyncio.gather(*phones)
        seconds = time.monotonic() - began
        refused = sum(status != 201 for status in statuses)
        return {"before": before, "middle": middle, "most": scale.most, "seconds": seconds, "refused": refused}

    async def _phone(self) -> int:
        own = os.urandom(16)
        digest = self.hashed.copy()
        digest.update(own)
        length = len(self.picture) + len(own)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = metadata(sha256=digest.hexdigest())
        writer.write(
            f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nContent-Type: {CHUNK}\r\n"
            f"Authorization: Bearer {self.secret}\r\nUpload-Length: {length}\r\nUpload-Metadata: {said}\r\n"
            f"Content-Length: {length}\r\n\r\n".encode()
        )
        at = await self._stand(writer)
        view = memoryview(self.picture)
        while at < len(view):
            writer.write(view[at : at + PIECE])
            await writer.drain()
            at += PIECE
            await asyncio.sleep(self.pause_seconds * random.uniform(0.5, 1.5))
        writer.write(own)
        status = int((await reader.readline()).split()[1])
        writer.close()
        return status

    async def _stand(self, writer: asyncio.StreamWriter) -> int:
        """In the middle of the body until everybody is there, saying a byte now and then; gives the offset."""
        at = FIRST_BYTES
        writer.write(self.picture[:at])
        await writer.drain()
        self.standing += 1
        if self.standing == self.phones:
            self.all_stand.set()
        while not self.half_way.is_set():
            try:
                await asyncio.wait_for(self.half_way.wait(), ALIVE_SECONDS)
            except TimeoutError:
                writer.write(self.picture[at : at + 1])
                at += 1
        return at
