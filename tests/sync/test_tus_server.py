"""Uploads against a running server, over sockets that break: what a phone on a bad line meets."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sync.models import Upload
from tests.inspections.photographs import turned
from tests.makers import make_token
from tests.sync.tus import CHUNK, FILES, Wire, metadata, served, sha

pytestmark = pytest.mark.django_db(transaction=True)
PICTURE = turned(6, size=(2400, 1800))
CLIENT = Path(__file__).parents[1] / "clients" / "tuspy_client.py"


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

    def go_on(self, path: str, content: bytes, *, at: int):
        """As a phone does: while its dead connection still holds the upload, a little later again."""
        while (answer := self.patch(path, content[at:], at=at)).status == 423:
            time.sleep(0.1)
        return answer

    def broken_patch(self, path: str, content: bytes, *, at: int, bytes_sent: int, **headers) -> None:
        """Promises all of the content and goes away after some of it."""
        while self.patch(path, b"", at=at).status == 423:
            time.sleep(0.1)  # the dead connection before this one
        with self.wire() as wire:
            body, length = content[at : at + bytes_sent], len(content) - at
            wire.say("PATCH", path, body=body, length=length, Upload_Offset=str(at), Content_Type=CHUNK, **headers)
            time.sleep(0.2)

    def offset(self, path: str) -> int | None:
        return self.say("HEAD", path).offset


@pytest.fixture
def secret(town) -> str:
    return make_token(person=town.inspector)[1]


@pytest.fixture
def line(secret, database_url, tmp_path):
    with served(folder=tmp_path, database_url=database_url) as server:
        yield Line(server.port, secret)


def blobs(folder: Path) -> set[str]:
    return {path.name for path in (folder / "blobs").rglob("*") if path.is_file()}


def eventually(question) -> bool:
    until = time.monotonic() + 20
    while not (holds := question()) and time.monotonic() < until:
        time.sleep(0.05)
    return bool(holds)


def test_body_that_breaks_off_keeps_its_bytes_and_goes_on_from_there(line, tmp_path):
    path = line.create(PICTURE).path
    line.broken_patch(path, PICTURE, at=0, bytes_sent=30_000)
    assert eventually(lambda: line.offset(path) == 30_000)
    line.broken_patch(path, PICTURE, at=30_000, bytes_sent=1)
    assert eventually(lambda: line.offset(path) == 30_001)
    last = line.go_on(path, PICTURE, at=30_001)
    assert (last.status, last.offset, blobs(tmp_path)) == (204, len(PICTURE), {sha(PICTURE)})
    assert Upload.objects.get().finished_at is not None


def test_creation_that_breaks_off_goes_on_where_the_same_photo_is_announced_again(line, tmp_path):
    with line.wire() as wire:
        said = {"Upload_Length": str(len(PICTURE)), "Upload_Metadata": metadata(sha256=sha(PICTURE))}
        wire.say("POST", FILES, body=PICTURE[:20_000], length=len(PICTURE), Content_Type=CHUNK, **said)
        time.sleep(0.3)
    assert eventually(Upload.objects.exists)
    again = line.create(PICTURE)
    assert (again.status, again.offset) == (201, 20_000)
    assert line.go_on(again.path, PICTURE, at=20_000).status == 204
    assert blobs(tmp_path) == {sha(PICTURE)}


def test_refusal_is_read_by_a_phone_that_still_sends_and_its_connection_serves_on(line):
    path = line.create(PICTURE).path
    with line.wire() as wire:
        wire.say("PATCH", path, body=PICTURE, Upload_Offset="7", Content_Type=CHUNK)
        refused = wire.answer()
        assert (refused.status, refused.code, refused.offset) == (409, "offset-differs", 0)
        for n in range(0, len(PICTURE), 20_000):
            wire.say("PATCH", path, body=PICTURE[n : n + 20_000], Upload_Offset=str(n), Content_Type=CHUNK)
            assert wire.answer().status == 204
        wire.say("HEAD", path)
        assert wire.answer().headers["upload-offset"] == str(len(PICTURE))


def test_silent_connection_holds_up_the_phone_that_came_back_for_fifteen_seconds_at_most(line):
    path = line.create(PICTURE).path
    with line.wire() as ghost:
        ghost.say("PATCH", path, body=PICTURE[:9_000], length=len(PICTURE), Upload_Offset="0", Content_Type=CHUNK)
        assert eventually(lambda: line.offset(path) == 9_000)
        began = time.monotonic()
        locked = line.patch(path, PICTURE[9_000:], at=9_000)
        assert (locked.status, locked.code) == (423, "upload-locked")
        assert eventually(lambda: line.patch(path, PICTURE[9_000:], at=9_000).status == 204)
        assert time.monotonic() - began < 17
        stalled = ghost.answer()
        assert (stalled.status, stalled.code, stalled.headers["connection"]) == (408, "upload-stalled", "close")


def test_server_that_is_killed_in_the_middle_of_a_body_goes_on_where_it_was(secret, database_url, tmp_path):
    with served(folder=tmp_path, database_url=database_url) as server:
        line = Line(server.port, secret)
        path = line.create(PICTURE).path
        with line.wire() as wire:
            body, length = PICTURE[:25_000], len(PICTURE)
            wire.say("PATCH", path, body=body, length=length, Upload_Offset="0", Content_Type=CHUNK)
            assert eventually(lambda: line.offset(path) == 25_000)
            server.process.kill()
    with served(folder=tmp_path, database_url=database_url) as server:
        line = Line(server.port, secret)
        assert line.offset(path) == 25_000
        assert line.patch(path, PICTURE[25_000:], at=25_000).status == 204
        assert blobs(tmp_path) == {sha(PICTURE)}


def test_tuspy_brings_photos_and_meets_every_corner(line):
    """The client of an outside developer, unmodified."""
    base = f"http://127.0.0.1:{line.port}/api/v1"
    words = [sys.executable, str(CLIENT), "--base", base, "--token", line.secret]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAIL" not in ran.stdout and ran.stdout.count("ok ") == 16
