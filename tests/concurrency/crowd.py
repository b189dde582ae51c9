"""A crowd of phones, each a process, at one town; what they wrote down comes back as histories."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.concurrency.afterwards import History
from tests.makers import make_checklist, make_person, make_site, make_token
from tests.serving import ROOT, Serving

PATIENCE_SECONDS = 300  # of a crowded machine

# Two inspectors who work on each other's visits at one school, one at the neighbour's, one of the district at both;
# what they find goes the way of every hazard; and two who read alone. (role in actor.py, post, where, sites of)
CAST = [
    ("inspector", "inspector", "school", ["school"]),
    ("inspector", "inspector", "school", ["school"]),
    ("inspector", "inspector", "neighbour", ["neighbour"]),
    ("inspector", "safety_officer", "district", ["school", "neighbour"]),
    ("office", "safety_officer", "district", []),
    ("principal", "principal", "school", []),
    ("reader", "inspector", "school", []),
    ("reader", "safety_officer", "district", []),
]
FEW = [each for n, each in enumerate(CAST) if n in (0, 1, 3, 4)]


class Crowd:
    """The cast with its accounts; `play` lets all of them go at one server and waits for the last."""

    def __init__(self, town, folder: Path, cast: list[tuple] = CAST):
        self.folder = folder
        sites = {name: make_site(unit=getattr(town, name)) for name in ("school", "neighbour")}
        checklist = make_checklist()
        people = [make_person(role=post, at=getattr(town, where)) for _, post, where, _ in cast]
        inspectors = [str(p.id) for p, (role, *_) in zip(people, cast, strict=True) if role == "inspector"]
        self.people = people
        self.configs = []
        for n, (person, (role, _, _, at)) in enumerate(zip(people, cast, strict=True)):
            device, token = make_token(person=person)
            self.configs.append(
                {
                    "role": role,
                    "token": token,
                    "device": str(device.id),
                    "history": str(folder / f"{n}-{role}.jsonl"),
                    "sites": [str(sites[name].id) for name in at],
                    "checklist": str(checklist.id),
                    "colleagues": [each for each in inspectors if each != str(person.id)],
                }
            )

    def play(
        self, server: Serving, *, seconds: float, deaths: int = 0, meanwhile: Callable[[], None] | None = None
    ) -> list[History]:
        """Histories in the order of the cast. `meanwhile` is called again and again. A phone that failed fails the test."""
        started = [self._start(config, server, seconds=seconds, deaths=deaths) for config in self.configs]
        try:
            while any(each.poll() is None for each in started):
                if meanwhile is not None:
                    meanwhile()
                time.sleep(0.05)
        finally:
            for each in started:
                each.kill()
        failed = [each.stderr.read().decode() for each in started if each.wait()]
        assert not failed, "\n".join([*failed, server.said()[-4000:]])
        return [History.read(Path(config["history"])) for config in self.configs]

    def _start(self, config: dict, server: Serving, *, seconds: float, deaths: int) -> subprocess.Popen:
        path = Path(config["history"]).with_suffix(".config")
        wanted = {
            "port": server.port,
            "witness": str(server.folder / "witness.jsonl"),
            "seed": random.randrange(2**32),
            "seconds": seconds,
            "deaths": deaths,
            "patience": PATIENCE_SECONDS,
        }
        path.write_text(json.dumps(config | wanted))
        command = [sys.executable, "-m", "tests.concurrency.actor", str(path)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("SAFETY_")}
        return subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
