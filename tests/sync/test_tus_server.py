"""Uploads against a running server, over sockets that break: what a phone on a bad line meets."""

import time
from pathlib import Path

import pytest

from sync.models import Upload
from tests.inspections.photographs import turned
from tests.makers import make_token
from tests.sync.tus import CHUNK, FILES, Wire, metadata, served, sha

pytestmark = pytest.mark.django_db(transaction=True)
PICTURE = turned(6, size=(2400, 1800))


class Line:
    """A phone's line to a running server; every word on a connection of its own."""

    def __init__(self, port: int, secret: str):
        self.port, self.secret = port, secret

    def wire(self) -> Wire:
        return Wire(self.port, self.secret)

    def say(self, method: str, path: str = FILES, *, body: bytes = b"", **headers):
        with self.wire() as wire:
            wire.say(method, path, body=body, **headers)
            return wire.answer()

    def create(self, content: bytes, **headers):
        said = {"Upload_Length": str(len(content)), "Upload_Metadata": metadata(sha256=sha(content))}
        return self.say("POST", **said, **headers)

    def patch(self, path: str, content: bytes, *, at: int, **headers):
        return self.say("PATCH", path, body=content, Upload_Offset=str(at), Content_Type=CHUNK, **headers)

    def broken_patch(self, path: str, content: bytes, *, at: int, bytes_sent: int, **headers) -> None:
        """Promises all of the content and goes away after some of it."""
        with self.wire() as wire:
            body, length = content[at : at + bytes_sent], len(content) - at
            wire.say("PATCH", path, body=body, length=length, Upload_Offset=str(at), Content_Type=CHUNK, **headers)
            time.sleep(0.2)

    def offset(self, path: str) -> int | None:
        return self.say("HEAD", path).offset


@pytest.fixture
def line(town, database_url, tmp_path):
    _, secret = make_token(person=town.inspector)
    with served(folder=tmp_path, database_url=database_url) as port:
        yield Line(port, secret)


def blobs(folder: Path) -> set[str]:
    return {path.name for path in (folder / "blobs").rglob("*") if path.is_file()}


def eventually(question) -> bool:
    until = time.monotonic() + 20
    while not question() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(question())


def test_body_that_breaks_off_keeps_its_bytes_and_goes_on_from_there(line, tmp_path):
    path = line.create(PICTURE).path
    line.broken_patch(path, PICTURE, at=0, bytes_sent=30_000)
    assert eventually(lambda: line.offset(path) == 30_000)
    line.broken_patch(path, PICTURE, at=30_000, bytes_sent=1)
    assert eventually(lambda: line.offset(path) == 30_001)
    last = line.patch(path, PICTURE[30_001:], at=30_001)
    assert (last.status, last.offset, blobs(tmp_path)) == (204, len(PICTURE), {sha(PICTURE)})
    assert Upload.objects.get().finished_at is not None
