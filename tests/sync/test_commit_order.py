"""Nothing is missed between the writers' commits and a reader's cursor, over HTTP and on both engines.

And the test is tested: with a cursor that numbers at write time (a sequence, as `bigserial` or a timestamp would) the
same reader misses rows on PostgreSQL, and the checker says which. On SQLite writers never overlap, so there is nothing
to miss.
"""

import random
import time
from http.client import HTTPConnection
from threading import Barrier, Event, local
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from django.db import connection

from safety import changes
from safety.changes import unit
from safety.models import Change, Clock
from tests.makers import make_district, make_person, make_school
from tests.sync.mirror import URL, Mirror
from tests.sync.papers import Paper, own, say, shared
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

overlapping = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's writers never overlap")

WRITERS, CHANGES, PATIENCE_SECONDS = 8, 100, 60
THINK_SECONDS = 0.01  # at most, between saying and committing: a push of a visit takes as long


class Reader(Mirror):
    """A mirror that polls over a real connection, and remembers each revision that it was given."""

    def __init__(self, person, *, server):
        super().__init__(person)
        self.server, self.wire = server.thread, None
        self.given: list[tuple[str, int]] = []

    def ask(self, *, cursor=None, limit=None, **query):
        query |= {name: value for name, value in (("cursor", cursor), ("limit", limit)) if value is not None}
        self.wire = self.wire or HTTPConnection(self.server.host, self.server.port, timeout=30)
        self.wire.request("GET", f"{URL}?{urlencode(query)}", headers={"Authorization": f"Bearer {self.token}"})
        response = self.wire.getresponse()
        return SimpleNamespace(status_code=response.status, content=response.read())

    def apply(self, change):
        super().apply(change)
        if change["collection"] == "papers":
            self.given.append((change["id"], change["rev"]))

    def poll(self, done: Event):
        """Asks again and again, mostly to the end, until the writers are done and nothing more comes."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not done.is_set() and time.monotonic() < until:
            self.page(limit=random.choice([5, 1000, 1000]))
        self.sync()
        self.wire.close()


class Writer:
    """Says a hundred changes, one a unit: new papers, and now and then its own ones again."""

    def __init__(self, readers):
        self.readers = readers
        self.acknowledged: dict[str, int] = {}

    def write(self):
        papers = []
        for _ in range(CHANGES):
            paper = random.choice(papers) if papers and random.random() < 0.2 else Paper(set(self.readers))
            papers.append(paper)
            with unit(actor=None, source="test") as work:
                work.say(paper, "paper.said", body=None, urgency=None)
                time.sleep(random.random() * THINK_SECONDS)
            self.acknowledged[str(paper.id)] = paper.rev


def run(live_server) -> tuple[Reader, dict[str, int]]:
    """Eight writers and a polling reader at once; gives the reader and what was acknowledged to the writers."""
    school = make_school(district=make_district())
    person = make_person(role="inspector", at=school)
    readers = [shared(school), own(person)]
    reader = Reader(person, server=live_server)
    reader.sync()
    writers = [Writer(readers[n % 2]) for n in range(WRITERS)]
    done = Event()
    still = Barrier(WRITERS, action=done.set)

    def write(writer):
        try:
            writer.write()
        finally:
            still.wait(PATIENCE_SECONDS)

    at_once(lambda: reader.poll(done), *[lambda writer=writer: write(writer) for writer in writers])
    return reader, {doc_id: rev for writer in writers for doc_id, rev in writer.acknowledged.items()}


def missing(acknowledged: dict[str, int], reader: Reader) -> set[str]:
    """The checker: documents whose acknowledged revision never reached the reader."""
    held = {doc_id: reader.docs["papers", doc_id]["rev"] for doc_id in reader.ids("papers")}
    return {doc_id for doc_id, rev in acknowledged.items() if held.get(doc_id) != rev}


def test_polling_reader_misses_nothing_and_sees_nothing_twice_while_eight_writers_commit(live_server):
    reader, acknowledged = run(live_server)
    assert missing(acknowledged, reader) == set()
    assert len(reader.given) == len(set(reader.given)), "a revision came twice"
    assert len(reader.answers) > 10, "the reader hardly polled while they wrote"
    numbers = list(Change.objects.order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(1, Clock.objects.get().seq + 1))
    assert len(numbers) >= WRITERS * CHANGES


@pytest.fixture
def numbered_at_write_time(monkeypatch):
    """The fault: a unit takes its number from a sequence when it says something, long before it commits."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SEQUENCE early_numbers START {Clock.objects.get().seq + 1}")
    say, taken = changes.Work.say, local()

    def say_numbered(work, *said, **more):
        assert not work.entries, "one change a unit is enough to show it"
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('early_numbers')")
            taken.number = cursor.fetchone()[0]
        return say(work, *said, **more)

    def bump(n):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE safety_clock SET seq = greatest(seq, %s) WHERE id = 1", [taken.number])
        return taken.number

    monkeypatch.setattr(changes.Work, "say", say_numbered)
    monkeypatch.setattr(changes, "_bump", bump)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP SEQUENCE early_numbers")


@overlapping
def test_same_reader_is_seen_to_miss_rows_when_numbers_are_taken_at_write_time(live_server, numbered_at_write_time):
    reader, acknowledged = run(live_server)
    lost = missing(acknowledged, reader)
    assert lost, "the checker saw nothing: it would not see a fault either"
    stored = set(map(str, Change.objects.filter(collection="papers").values_list("doc_id", flat=True)))
    assert lost <= stored, "lost to the reader, although committed"


def overtaken_arrives() -> bool:
    """One unit says its paper, another one says and commits, the reader reads to the end, then the first commits."""
    school = make_school(district=make_district())
    slow, quick = Paper(shared(school)), Paper(shared(school))
    reader = Mirror(make_person(role="inspector", at=school))
    reader.sync()
    has_said, may_commit = Event(), Event()

    def first():
        with unit(actor=None, source="test") as work:
            work.say(slow, "paper.said", body=None, urgency=None)
            has_said.set()
            assert may_commit.wait(30)

    def second():
        assert has_said.wait(30)
        try:
            say(quick)
            reader.sync()
            assert reader.ids("papers") == {str(quick.id)}
        finally:
            may_commit.set()

    at_once(first, second)
    reader.sync()
    return str(slow.id) in reader.ids("papers")


@overlapping
def test_change_that_was_overtaken_by_a_later_commit_arrives():
    assert overtaken_arrives()


@overlapping
def test_change_that_was_overtaken_is_lost_when_numbers_are_taken_at_write_time(numbered_at_write_time):
    assert not overtaken_arrives()
