"""Photos on a bad road: a tus client as one should be written, and what holds of every photo that it brings (I14)."""

import hashlib
import random
from collections import Counter
from io import BytesIO
from itertools import count

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from inspections.photos import path_of
from tests.model.campaign import silence
from tests.model.invariants import require
from tests.sync.tus import Answer, Phone, sha

GONE = (404, 410, 460)  # only these send a phone back to the first byte
TRIES = 40  # requests, of which the road spoils eight at most
EXAMPLES = 20

faults = st.sampled_from(["", "lost request", "lost answer", "broken body", "bad gateway"])
roads = st.lists(faults, max_size=8)
pieces = st.integers(400, 3000)  # bytes
numbers = count()


class Uploader:
    """Brings one photo in pieces. After whatever went wrong it asks where it stands, and goes on from there."""

    def __init__(self, door: Phone, content: bytes, *, piece: int, road: list[str]):
        self.door, self.content, self.piece, self.road = door, content, piece, list(road)
        self.path, self.offset, self.sure = "", 0, True
        self.heard: list[tuple[str, int]] = []  # what was asked, and the status that came back (0: none)

    def bring(self) -> None:
        """Until all of it is there, or patience ends."""
        while self.offset < len(self.content) and len(self.heard) < TRIES:
            self.step()

    def step(self) -> None:
        if not self.path:
            answer = self._ask("POST", lambda: self.door.create(self.content))
            if answer and answer.status == 201:
                self.path, self.sure = answer.path, True
                self._is_at(answer.offset)
        elif not self.sure:
            self.stand(self._ask("HEAD", lambda: self.door.head(self.path)))
        else:
            chunk = self.content[self.offset : self.offset + self.piece]
            answer = self._ask("PATCH", lambda: self.door.patch(self.path, chunk, at=self.offset), chunk)
            self.sure = answer is not None and answer.status == 204
            if self.sure:
                self._is_at(answer.offset)

    def stand(self, answer: Answer | None) -> None:
        """What the door says of where the phone stands; a failure of its says nothing."""
        if answer and answer.status in GONE:
            self.path, self.offset = "", 0
        elif answer and answer.status == 200:
            self.sure = True
            self._is_at(answer.offset)

    def _is_at(self, offset: int) -> None:
        require("I14", offset >= self.offset, f"stood at {self.offset} and is told {offset}, after {self.heard}")
        self.offset = offset

    def _ask(self, method: str, ask, chunk: bytes = b"") -> Answer | None:
        fault = self.road.pop(0) if self.road else ""
        if fault == "bad gateway":
            answer = Answer(502, {}, b"<html>502</html>")
        elif fault == "lost request":
            answer = None
        elif fault == "broken body" and chunk:
            answer = self.door.patch(self.path, chunk[: len(chunk) // 2], at=self.offset, breaks=True)
        else:
            answer = ask() if fault != "lost answer" else ask() and None
        self.heard.append((method, answer.status if answer else 0))
        return answer


def drawn() -> bytes:
    """A small photo of noise, unlike any other."""
    out = BytesIO()
    noise = random.Random(next(numbers)).randbytes(48 * 48 * 3)
    Image.frombytes("RGB", (48, 48), noise).save(out, "JPEG", quality=90)
    return out.getvalue()


def photo_arrived_whole(uploader: Uploader) -> None:
    """I14: all of it is there under its hash, and nothing was begun again that the door had not said to be gone."""
    require("I14", uploader.offset == len(uploader.content), f"never arrived: {uploader.heard}")
    stored = path_of(sha(uploader.content))
    require("I14", stored.exists(), f"is not stored: {uploader.heard}")
    require("I14", hashlib.sha256(stored.read_bytes()).hexdigest() == stored.name, f"{stored.name} has other bytes")
    begun = False
    for method, status in uploader.heard:
        require("I14", not (begun and method == "POST"), f"began again: {uploader.heard}")
        begun = status not in GONE and (begun or (method, status) == ("POST", 201))


def run(door: Phone) -> Counter:
    """Photos over roads that are the same each time; raises what is broken. Gives how often each thing was heard."""
    heard: Counter = Counter()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(road=roads, piece=pieces)
    def photos_arrive(road, piece):
        uploader = Uploader(door, drawn(), piece=piece, road=road)
        uploader.bring()
        photo_arrived_whole(uploader)
        heard.update(uploader.heard)

    with silence():
        photos_arrive()
    return heard
