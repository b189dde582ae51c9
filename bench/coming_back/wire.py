"""HTTP/1.1 over one connection, as little as a measuring client needs: it must not be what is measured."""

import asyncio
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One kept connection; opened again when the server closed it between two requests."""

    def __init__(self, port: int, **headers: str):
        self.port, self.headers = port, {"Host": "127.0.0.1", **headers}
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Raises OSError or IncompleteReadError where there is no answer.

        A kept connection may be closed by the server in the very moment in which it is used again: then the request is
        said once more on a new one, as every HTTP client does with what may be repeated, and all of ours may.
        """
        if self.writer is not None and not self.reader.at_eof():
            try:
                return await self._say(method, path, body, headers)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return await self._say(method, path, body, headers)

    async def _say(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        told = {
            **self.headers,
            "Content-Length": str(len(body)),
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.writer.write(head.encode() + b"\r\n" + body)
        await self.writer.drain()
        return await self._answer(method)

    async def _answer(self, method: str) -> Answer:
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self._chunks()])
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", "0")) if method != "HEAD" else 0)
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(status.split()[1]), headers, body)

    async def _chunks(self):
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readline()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
