"""Pushes through the whole door: HTTP on loopback to a server of its own, whose CPU is counted, and nobody else's."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from django.apps import apps
from django.conf import settings
from django.db import connection

from bench.metering.cpu import Backends, process_seconds
from bench.metering.server import serving
from bench.pushing.district import District
from safety.models import Change, Clock

WARM_BATCHES, WARM_SINGLE = 4, 20
REST_SECONDS = 3.0
NOTED = ("Contact", "DeviceToken")  # what notes that a phone called, also where it said nothing new


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one request, or of several together: the server's, and that of PostgreSQL's backends."""

    web: float
    database: float

    @property
    def total(self) -> float:
        return self.web + self.database

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.web - other.web, self.database - other.database)


@dataclass(frozen=True)
class Costs:
    """Each a list of requests; and which tables a replay wrote to, by the rows that they hold before and after."""

    warm_up: Cost
    at_rest: Cost  # a second
    batches: list[Cost]
    replays: list[Cost]
    singles: list[Cost]
    written_by_replays: list[str]


def median_cost(costs: list[Cost]) -> Cost:
    """The one in the middle by its total, so that its parts add up."""
    return sorted(costs, key=lambda cost: cost.total)[len(costs) // 2]


def measure(district: District, *, batches: int, visits: int) -> Costs:
    """Each batch is followed at once by its replay; then as many single visits as fit into four batches."""
    with serving(settings.VAR / "server.log") as (port, pid):
        phone = Phone(district, port, pid)
        with phone.counted() as warming:
            for _ in range(WARM_BATCHES):
                body = district.batch(visits)
                phone.push(body)
                phone.push(body, is_replay=True)
            for _ in range(WARM_SINGLE):
                phone.push(district.batch(1))
        with phone.counted() as resting:
            time.sleep(REST_SECONDS)
        firsts, replays, written = [], [], set()
        for _ in range(batches):
            body = district.batch(visits)
            firsts.append(phone.push(body))
            before = Tables.now()
            replays.append(phone.push(body, is_replay=True))
            written |= set(before.other_than(Tables.now()))
        singles = [phone.push(district.batch(1)) for _ in range(visits * 4)]
    at_rest = Cost(resting[0].web / REST_SECONDS, resting[0].database / REST_SECONDS)
    return Costs(warming[0], at_rest, firsts, replays, singles, sorted(written))


class Phone:
    """The inspector's phone on one kept connection; what it says of itself is what docs/protocol.md asks for."""

    def __init__(self, district: District, port: int, pid: int):
        self.district, self.pid, self.backends = district, pid, Backends()
        self.line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.left = 1_000_000  # operations in its outbox

    def spent(self) -> Cost:
        return Cost(process_seconds(self.pid), self.backends.seconds())

    @contextmanager
    def counted(self) -> Iterator[list[Cost]]:
        """Gives a list, and puts into it what was spent meanwhile."""
        found, before = [], self.spent()
        yield found
        found.append(self.spent() - before)

    def push(self, body: bytes, *, is_replay: bool = False) -> Cost:
        """What one request cost; every operation must be applied, now or, where it is a replay, before."""
        if not is_replay:
            self.left -= 5
        headers = {
            "Authorization": f"Bearer {self.district.secret}",
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
            "Sync-Sent-At": datetime.now(UTC).isoformat(),
            "Sync-Outbox": f"ops={self.left};blobs=0",
            "Sync-App": "1.0.0",
        }
        with self.counted() as cost:
            self.line.request("POST", "/api/v1/sync/push", body, headers)
            answer = self.line.getresponse()
            said = answer.read()
        results = json.loads(said).get("results", []) if answer.status == 200 else []
        wrong = [each for each in results if (each["status"], "replayed" in each) != ("applied", is_replay)]
        if wrong or not results:
            raise SystemExit(f"a push was not taken: {answer.status} {wrong[:1] or said[:500]}")
        return cost[0]


class Tables:
    """What the tables hold at one moment: how many rows and their digest, the clock, the number of changes."""

    def __init__(self, held: dict[str, tuple]):
        self.held = held

    @classmethod
    def now(cls) -> "Tables":
        ours = [model for name in ("safety", "inspections", "sync") for model in apps.get_app_config(name).get_models()]
        held = {model.__name__: _digest(model._meta.db_table) for model in ours if model.__name__ not in NOTED}
        return cls(held | {"the clock": (Clock.objects.get().seq,), "the count of changes": (Change.objects.count(),)})

    def other_than(self, later: "Tables") -> list[str]:
        return [name for name, held in self.held.items() if later.held[name] != held]


def _digest(table: str) -> tuple[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT * FROM "{table}"')
        rows = sorted(repr([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in cursor.fetchall())
    return len(rows), sha256("\n".join(rows).encode()).hexdigest()
