"""Measures the engine that the settings choose and prints what bench/uploads.py promises."""

import argparse
import asyncio
import hashlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402  (models need the set-up above)
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from PIL import Image  # noqa: E402

from bench.uploading.crowd import Crowd, Scale, rss_bytes  # noqa: E402
from bench.uploading.link import TornLink  # noqa: E402
from tests.makers import make_district, make_person, make_token  # noqa: E402
from tests.sync.tus import CHUNK, FILES, Answer, Wire, metadata, served, sha  # noqa: E402

LINK_BYTES, LARGE, SMALL = 200_000, 3_000_000, 300_000
MOST_TWICE = 0.10
MOST_BYTES_EACH = 250_000
WARMING = 20


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--crowd", type=int, required=True)
    options.add_argument("--photos", type=int, required=True)
    options.add_argument("--pause", type=float, required=True)
    wanted = options.parse_args()
    call_command("migrate", verbosity=0)
    _, secret = make_token(person=make_person(role="inspector", at=make_district()))
    connection.close()
    quiet = {"SAFETY_WORK_IN_SERVER": "0", "DJANGO_SETTINGS_MODULE": "safety.settings"}
    url = os.environ["SAFETY_DATABASE_URL"]
    with served(folder=settings.VAR, database_url=url, **quiet) as server:
        print(f"{connection.vendor}:")
        bench = Bench(server, secret)
        bench.warm()
        holds = [bench.link(), bench.cpu(wanted.photos), bench.crowd(wanted.crowd, pause_seconds=wanted.pause)]
    sys.exit(0 if all(holds) else 1)


def noise(size_bytes: int) -> bytes:
    """A JPEG of about so many bytes that nothing compresses."""
    side = int((size_bytes / 1.02) ** 0.5)
    out = io.BytesIO()
    Image.frombytes("L", (side, side), os.urandom(side * side)).save(out, "JPEG", quality=92)
    shrunk = side * (size_bytes / out.tell()) ** 0.5
    side, out = int(shrunk), io.BytesIO()
    Image.frombytes("L", (side, side), os.urandom(side * side)).save(out, "JPEG", quality=92)
    return out.getvalue()


class Bench:
    def __init__(self, server, secret: str):
        self.server, self.secret, self.small = server, secret, noise(SMALL)

    def say(self, method: str, path: str = FILES, *, body: bytes = b"", **headers: str) -> Answer:
        with Wire(self.server.port, self.secret) as wire:
            wire.say(method, path, body=body, **headers)
            return wire.answer()

    def warm(self) -> None:
        for door in (self.in_one, self.in_two, self.simply):
            for _ in range(WARMING):
                door(self.small + os.urandom(16))

    # The three ways of a photo

    def in_one(self, photo: bytes) -> None:
        said = {"Upload_Length": str(len(photo)), "Upload_Metadata": metadata(sha256=sha(photo))}
        _expect(201, self.say("POST", body=photo, Content_Type=CHUNK, **said))

    def in_two(self, photo: bytes) -> None:
        said = {"Upload_Length": str(len(photo)), "Upload_Metadata": metadata(sha256=sha(photo))}
        path = _expect(201, self.say("POST", **said)).path
        _expect(204, self.say("PATCH", path, body=photo, Content_Type=CHUNK, Upload_Offset="0"))

    def simply(self, photo: bytes) -> None:
        _expect(201, self.say("PUT", f"/api/v1/blobs/{sha(photo)}", body=photo, Content_Type="image/jpeg"))

    # What is measured

    def link(self) -> bool:
        photo = noise(LARGE)
        said = {"Upload_Length": str(len(photo)), "Upload_Metadata": metadata(sha256=sha(photo))}
        path = _expect(201, self.say("POST", **said)).path
        link = TornLink(self.server.port, bytes_each=LINK_BYTES)
        began, offset = time.monotonic(), 0
        while offset < len(photo):
            self._send_rest(link.port, path, photo, offset)
            offset = self._offset_when_free(path)
        link.close()
        twice = link.carried / len(photo) - 1
        print(
            f"  link torn every {LINK_BYTES // 1000} kB   {len(photo) / 1e6:.1f} MB arrived after {link.torn} tears in"
            f" {time.monotonic() - began:.1f} s; {twice:.1%} sent twice, headers counted (goal {MOST_TWICE:.0%})"
        )
        return twice <= MOST_TWICE

    def _send_rest(self, port: int, path: str, photo: bytes, offset: int) -> None:
        try:
            with Wire(port, self.secret) as wire:
                wire.say("PATCH", path, body=photo[offset:], Content_Type=CHUNK, Upload_Offset=str(offset))
                wire.answer()
        except (OSError, IndexError):
            pass  # torn, while sending or while waiting for the answer

    def _offset_when_free(self, path: str) -> int:
        """What a client does that was answered 423: it asks again a little later."""
        while True:
            answer = self.say("PATCH", path, Content_Type=CHUNK, Upload_Offset="999999999")
            if answer.status != 423:
                return answer.offset
            time.sleep(0.02)

    def cpu(self, photos: int) -> bool:
        pictures = lambda: (self.small + os.urandom(16) for _ in range(photos))  # noqa: E731
        floor = min(_floor(settings.BLOBS / "floor", pictures()) for _ in range(3)) / photos
        print(f"  floor                {floor * 1000:6.2f} ms cpu: {SMALL // 1000} kB written, fsynced and hashed")
        for name, door in (("in one request", self.in_one), ("in two", self.in_two), ("simple door", self.simply)):
            each = [spent / photos for spent in self._spent(lambda door=door: [door(one) for one in pictures()])]
            backends = f" + {each[1] * 1000:.2f} ms of PostgreSQL" if each[1] else ""
            print(f"  {name:20s} {each[0] * 1000:6.2f} ms cpu{backends}, {sum(each) / floor:.1f} × the floor")
        return True

    def _spent(self, act: Callable[[], object]) -> tuple[float, float]:
        """CPU seconds of the server, and of PostgreSQL's backends."""
        before = cpu_seconds([self.server.process.pid]), cpu_seconds(_backends())
        act()
        return cpu_seconds([self.server.process.pid]) - before[0], cpu_seconds(_backends()) - before[1]

    def crowd(self, phones: int, *, pause_seconds: float) -> bool:
        pid = self.server.process.pid
        scale = Scale(pid)
        for number in (phones // 10, phones):
            crowd = Crowd(self.server.port, self.secret, noise(LARGE), number, pause_seconds=pause_seconds)
            weighed = asyncio.run(crowd.run(scale))
            mb = {name: weighed[name] / 1e6 for name in ("before", "middle", "most")}
            print(
                f"  {number:5d} uploads of 3 MB   RSS {mb['before']:.0f} MB before, {mb['middle']:.0f} amid all,"
                f" {mb['most']:.0f} at most, {rss_bytes(pid) / 1e6:.0f} after; {weighed['seconds']:.0f} s,"
                f" {weighed['refused']} refused"
            )
        each = (weighed["most"] - weighed["before"]) / phones
        print(
            f"  for each of them     {each / 1e3:.0f} kB at most (goal {MOST_BYTES_EACH // 1000}), of {LARGE // 1000} that it sent"
        )
        return each <= MOST_BYTES_EACH and not weighed["refused"]


def _expect(status: int, answer: Answer) -> Answer:
    if answer.status != status:
        raise SystemExit(f"expected {status}: {answer}")
    return answer


def _floor(folder: Path, photos) -> float:
    """CPU seconds of the least that can be done: each photo hashed, written and flushed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    photos = list(photos)
    began = time.process_time()
    for n, photo in enumerate(photos):
        fd = os.open(folder / str(n), os.O_WRONLY | os.O_CREAT)
        os.write(fd, photo)
        os.fsync(fd)
        os.close(fd)
        hashlib.sha256(photo).digest()
    return time.process_time() - began


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of some processes, with their threads that have ended."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _backends() -> list[int]:
    """PostgreSQL's processes that serve this database."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in cursor.fetchall()]


if __name__ == "__main__":
    main()
