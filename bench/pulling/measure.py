"""Measures the engine that the settings choose and prints what bench/pull.py promises."""

import argparse
import cProfile
import pstats
import statistics
import sys
import time
from dataclasses import dataclass
from urllib.parse import urlencode

import django

django.setup()

import msgspec  # noqa: E402  (models need the set-up above)
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.metering.cpu import backend_seconds  # noqa: E402
from bench.pulling.filling import documents, fill, mixed, settle, strangers  # noqa: E402
from bench.pushing.district import District  # noqa: E402
from safety import heap  # noqa: E402
from safety.access import today  # noqa: E402
from safety.authentication import issue_token  # noqa: E402
from safety.changes import SCHEMA, clock_now  # noqa: E402
from safety.encoding import PACK, decoded  # noqa: E402
from safety.models import Device, Post  # noqa: E402
from safety.scopes import serve_scope  # noqa: E402
from sync.cursor import VERSION, Cursor, encode_cursor  # noqa: E402
from tests.makers import make_district, make_person, make_school  # noqa: E402

SMALL = 10_000
CHANGES, AMONG = 200, 20
PULLS = 200
AT_ONCE = 50  # visits a push
LIMITS = {"p95": 30.0, "ratio": 1.3, "inspector": 1.0, "kilobytes": 300, "visits": 1.8}
faults: list[str] = []


class Given(msgspec.Struct):
    """Of a page, what the measuring needs: a phone's dictionaries of it would have our garbage collected in its stead."""

    cursor: str
    has_more: bool
    changes: list[msgspec.Raw]


@dataclass
class Cost:
    """What some answers cost together."""

    cpu: float = 0.0
    backend: float = 0.0
    wall: float = 0.0
    pages: int = 0
    entries: int = 0
    plain: int = 0  # bytes of JSON
    sent: int = 0  # bytes as they went out

    @property
    def server(self) -> float:
        return self.cpu + self.backend


class Phone:
    """Pulls through the door, as a phone of this person does."""

    def __init__(self, person, *, encoding: str = "gzip"):
        now = timezone.now()
        device = Device.objects.create(person=person, name="bench", registered_at=now)
        token = issue_token(device, now=now)
        self.person, self.client = person, Client(SERVER_NAME="127.0.0.1")
        self.headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": encoding}

    def get(self, **query):
        answer = self.client.get(f"/api/v1/sync/pull?{urlencode(query)}", headers=self.headers)
        if answer.status_code != 200:
            raise SystemExit(answer.content.decode())
        return answer

    def first_sync(self) -> Cost:
        """Every page to the end; only what the server does is counted."""
        cost, query = Cost(), {"limit": 1000}
        while True:
            cpu, wall, backend = time.process_time(), time.perf_counter(), backend_seconds()
            answer = self.get(**query)
            cost.cpu += time.process_time() - cpu
            cost.wall += time.perf_counter() - wall
            cost.backend += backend_seconds() - backend
            body = decoded(answer.content, answer.headers.get("Content-Encoding", "identity"), max_bytes=10**9)
            page = msgspec.json.decode(body, type=Given)
            cost.pages, cost.entries = cost.pages + 1, cost.entries + len(page.changes)
            cost.plain, cost.sent = cost.plain + len(body), cost.sent + len(answer.content)
            if not page.has_more:
                return cost
            query["cursor"] = page.cursor


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, required=True)
    options.add_argument("--visits", type=int, required=True)
    options.add_argument("--profile", action="store_true")
    wanted = options.parse_args()
    call_command("migrate", verbosity=0)
    heap.settle()  # as the server does
    print(f"{connection.vendor}:")
    inspector_with_sixty_schools()
    officer_with_forty_schools(wanted.rows)
    district_with_visits(wanted.visits, profile=wanted.profile)
    sys.exit(1 if faults else 0)


def inspector_with_sixty_schools() -> None:
    district = District(schools=60)
    inspector = make_person(role="inspector", at=district.schools[0])
    for school in district.schools[1:]:
        Post.objects.create(person=inspector, role="inspector", node=school, from_on=today(timezone.now()))
    phone = Phone(inspector)
    for _ in range(7):
        district.send(AT_ONCE)
    settle()
    phone.first_sync()
    cost = min((phone.first_sync() for _ in range(3)), key=lambda each: each.server)
    print(f"  first sync of an inspector with 60 schools: {told(cost)}")
    held("    server s", cost.server, "inspector")
    held("    kB gzipped", cost.sent / 1000, "kilobytes")


def officer_with_forty_schools(most: int) -> None:
    district = make_district()
    near = [make_school(district=district).id for _ in range(40)]
    officer = make_person(role="safety_officer", at=district)
    far, phone = strangers(1960), Phone(officer)
    found = {}
    for size in (SMALL, most):
        fill(mixed(near, far, share=49), max(0, size - documents() - CHANGES * AMONG))
        server, wall = deltas(phone, near, far)
        found[size] = server
        print(
            f"  {CHANGES} changes, {documents():>9,} documents: server p50 {server[0]:5.1f} ms, p95 {server[1]:5.1f} ms;"
            f" wall p50 {wall[0]:5.1f} ms, p95 {wall[1]:5.1f} ms"
        )
    held("    server p95 ms", found[most][1], "p95")
    held("    ratio of p50", found[most][0] / found[SMALL][0], "ratio")
    held("    ratio of p95", found[most][1] / found[SMALL][1], "ratio")


def deltas(phone: Phone, near: list, far: list) -> tuple[tuple[float, float], tuple[float, float]]:
    """Milliseconds of the same pull of 200 changes: (p50, p95) of the server's CPU, and of the wall's clock."""
    scope = serve_scope(phone.person.id, now=timezone.now())
    seq, epoch = clock_now()
    fill(mixed(near, far, share=AMONG - 1), CHANGES * AMONG)
    settle()
    cursor = Cursor(version=VERSION, epoch=epoch, seq=seq, scope=scope.hash, schema=SCHEMA)
    text = encode_cursor(cursor, phone.person.id)
    server, wall = [], []
    for _ in range(PULLS + 5):
        began, cpu = time.perf_counter(), time.process_time() + backend_seconds()
        answer = phone.get(cursor=text)
        server.append((time.process_time() + backend_seconds() - cpu) * 1000)
        wall.append((time.perf_counter() - began) * 1000)
    page = msgspec.json.decode(decoded(answer.content, "gzip", max_bytes=10**9), type=Given)
    if len(page.changes) != CHANGES or page.has_more:
        raise SystemExit(f"{len(page.changes)} changes instead of {CHANGES}")
    return _p50_p95(server[5:]), _p50_p95(wall[5:])


def _p50_p95(taken: list[float]) -> tuple[float, float]:
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def district_with_visits(visits: int, *, profile: bool) -> None:
    district = District()
    for _ in range(visits // AT_ONCE):
        district.send(AT_ONCE)
    settle()
    plain, gzip, zstd = (Phone(district.inspector, encoding=each) for each in ("identity", "gzip", "zstd"))
    plain.first_sync()
    print(f"  first sync of {visits:,} visits")
    costs = {
        each: min((phone.first_sync() for _ in range(2)), key=lambda cost: cost.server)
        for each, phone in (("plain", plain), ("gzip", gzip), ("zstd", zstd))
    }
    for each, cost in costs.items():
        print(f"    {each:5} {told(cost)}")
    held("    server s, gzip", costs["gzip"].server, "visits", scale=visits / 10_000)
    bare = min(bare_reading(costs["gzip"]) for _ in range(2))
    print(f"    the same bytes read bare, joined and packed: {bare:.2f} s; ratio {costs['gzip'].server / bare:.1f}")
    if profile:
        profiled = cProfile.Profile()
        profiled.runcall(gzip.first_sync)
        pstats.Stats(profiled).sort_stats("tottime").print_stats(40)


def bare_reading(cost: Cost) -> float:
    """Seconds of CPU for as many of the newest wire forms, in as many pages, without scope, order of pairs or door."""
    seq, page = clock_now()[0], cost.entries // cost.pages
    cpu = time.process_time() + backend_seconds()
    for _ in range(cost.pages):
        with connection.cursor() as cursor:
            cursor.execute("SELECT seq, wire FROM safety_index WHERE seq <= %s ORDER BY seq DESC LIMIT %s", [seq, page])
            found = cursor.fetchall()
        PACK["gzip"](b",".join(bytes(wire) for _, wire in found))
        seq = found[-1][0] - 1
    return time.process_time() + backend_seconds() - cpu


def told(cost: Cost) -> str:
    backend = f" (backend {cost.backend:.2f})" if connection.vendor == "postgresql" else ""
    return (
        f"{cost.entries:,} documents, {cost.pages} pages, {cost.plain / 1000:,.0f} kB of JSON, {cost.sent / 1000:,.0f} kB"
        f" sent, server {cost.server:.2f} s{backend}, wall {cost.wall:.2f} s"
    )


def held(words: str, measured: float, name: str, *, scale: float = 1.0) -> None:
    """One line with its limit; one that is broken is remembered."""
    limit = LIMITS[name] * scale
    good = measured < limit
    print(f"{words:22} {measured:7.2f}  limit {limit:g} {'✓' if good else '✗'}")
    if not good:
        faults.append(words)


if __name__ == "__main__":
    main()
