"""Strangers' phones by the dozen: schools and inspectors for each seed, one process of Node that plays them all.

Each seed has a school, a site and inspectors of its own, and a bad line of its own to the server, so that many are
played at a time and what happens to one does not depend on the others.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from dev import CLIENTS, find_node, stop
from safety.access import today
from safety.models import Person, Post
from tests.makers import PASSWORD, make_checklist, make_district, make_person, make_school, make_site, make_token
from tests.strangers.proxy import Faults, Network, network

PARALLEL = 4
LONGEST_SECONDS = 1500  # of one process of clients: what hangs must fail, not stand
ITEMS = (
    {"code": "ST-11", "text": "冷藏温度达标", "grade": "general", "photo": "on_fail"},
    {"code": "ST-15", "text": "食品留样", "grade": "serious", "photo": "always"},
    {"code": "ST-05", "text": "健康证明有效", "grade": "serious", "photo": "optional"},
    {"code": "WS-01", "text": "晨检记录", "grade": "general", "photo": "optional"},
    {"code": "WS-02", "text": "缺课登记", "grade": "general", "photo": "optional"},
    {"code": "WS-03", "text": "保健室药品", "grade": "general", "photo": "optional"},
    {"code": "SS-11", "text": "就寝清点", "grade": "serious", "photo": "ban", "ban_mode": "camera"},
)
# who holds which phone, by library; the letters are persons
CASTS = {
    "rxdb": (("rxdb", "P"), ("rxdb", "P")),
    "watermelondb": (("watermelondb", "P"), ("watermelondb", "P")),
    "together": (("rxdb", "P"), ("rxdb", "Q"), ("watermelondb", "P")),
}


TUS_CLIENTS = {
    "tus-js-client": lambda: [find_node(), "tus_js.mjs"],
    "tuspy": lambda: [sys.executable, "tuspy_phone.py"],
}


@dataclass
class Play:
    """One seed of one cast, and what came of it."""

    cast: str
    seed: int
    site_id: str
    people: dict[str, Person]
    port: int = 0
    reports: list[dict] = field(default_factory=list)
    seconds: float = 0
    failed: str = ""

    @property
    def base(self) -> str:
        """The API by way of this seed's own bad line."""
        return f"http://127.0.0.1:{self.port}/api/v1"


class Stage:
    """The district in which the seeds are played, and the process that plays them."""

    def __init__(self, lines: Network):
        self.lines = lines
        self.district = make_district(name="陌生区教育局")
        self.template = make_checklist(items=ITEMS)
        self.posts: dict[str, list[Post]] = {}

    def play(
        self, casts: Iterable[tuple[str, int]], *, faults: Faults, log: Path, parallel: int = PARALLEL
    ) -> list[Play]:
        """Plays each (cast, seed); what the clients wrote to standard error lies in `log`."""
        plays = [self.arrange(cast, seed, faults) for cast, seed in casts]
        command = [find_node(), "strangers.mjs"]
        self._run(command, plays, [self._told(each) for each in plays], log=log, parallel=parallel)
        return plays

    def bring(self, tool: str, plays: Sequence[Play], *, photos: Mapping[int, list[Path]], log: Path) -> None:
        """Has a tus client bring each seed's photos, as its one inspector; `tool` is a key of TUS_CLIENTS."""
        runs = [
            {
                "seed": play.seed,
                "base": play.base,
                "token": make_token(person=play.people["P"])[1],
                "photos": [str(path) for path in photos[play.seed]],
            }
            for play in plays
        ]
        self._run(TUS_CLIENTS[tool](), plays, runs, log=log, parallel=PARALLEL)

    def _run(self, command: list, plays: Sequence[Play], runs: list[dict], *, log: Path, parallel: int) -> None:
        with _clients(command, log) as child:
            _tell(child, {"parallel": parallel, "runs": runs})
            watch = threading.Timer(LONGEST_SECONDS, child.kill)
            watch.start()
            for line in child.stdout:
                self._hear(child, plays, json.loads(line))
            code = child.wait()
            watch.cancel()
        for each in plays:
            if not each.reports and not each.failed:
                said = log.read_text(errors="replace")[-2000:]
                each.failed = f"the clients ended ({code}) before this seed did\n{said}"

    def arrange(self, cast: str, seed: int, faults: Faults) -> Play:
        """A school, a site, inspectors and a bad line for one seed."""
        school = make_school(district=self.district, name=f"{cast} {seed}")
        holders = {who for _, who in CASTS.get(cast, ((cast, "P"),))}
        people = {letter: make_person(role="inspector", at=school) for letter in holders}
        proxy = self.lines.proxy(seed, faults)
        return Play(cast, seed, str(make_site(unit=school).id), people, proxy.port)

    def _told(self, play: Play) -> dict[str, Any]:
        phones = [
            {"library": library, "username": play.people[who].username, "password": PASSWORD}
            for library, who in CASTS[play.cast]
        ]
        world = {"site": play.site_id, "template": str(self.template.id)}
        return {"seed": play.seed, "base": play.base, "phones": phones, "world": world}

    def _hear(self, child: subprocess.Popen, plays: Sequence[Play], said: dict) -> None:
        if "ask" in said:
            {"end_posts": self._end_posts, "give_posts": self._give_posts}[said["ask"]](said["person"])
            _tell(child, {"run": said["run"]})
            return
        play = plays[said["run"]]
        play.seconds, play.reports = said["seconds"], said.get("reports", [])
        play.failed = "\n".join([said.get("failed", ""), *said.get("errors", [])]).strip()

    def _end_posts(self, person: str) -> None:
        self.posts[person] = list(Post.objects.filter(person=person))
        Post.objects.filter(person=person).delete()

    def _give_posts(self, person: str) -> None:
        for post in self.posts.pop(person):
            Post.objects.create(person_id=person, role=post.role, node_id=post.node_id, from_on=today(timezone.now()))


@contextmanager
def stage(url: str) -> Iterator[Stage]:
    """A stage before the server at this address of loopback."""
    address = urlsplit(url)
    with network((address.hostname, address.port)) as lines:
        yield Stage(lines)


@contextmanager
def _clients(command: list, log: Path) -> Iterator[subprocess.Popen]:
    with log.open("wb") as complaints:
        child = subprocess.Popen(
            command,
            cwd=CLIENTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
        )
    try:
        yield child
    finally:
        stop(child)


def _tell(child: subprocess.Popen, what: dict) -> None:
    child.stdin.write(json.dumps(what) + "\n")
    child.stdin.flush()
