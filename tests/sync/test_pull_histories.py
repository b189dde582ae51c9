"""Random histories: however documents, schools, posts and phones move, a mirror ends equal to a fresh snapshot (I3),
phones of one person equal to each other (I4), nothing foreign is ever told (I8), and lost access leaves nothing (I9).

Who sees what is written here a second time, in plain dictionaries, so that the product's own gate is not asked.
"""

from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safety.access import today
from safety.models import Organisation, Person, Post
from tests.makers import make_district, make_person, make_school
from tests.sync.mirror import Mirror, fresh
from tests.sync.papers import Paper, move_school, say

pytestmark = pytest.mark.django_db

EXAMPLES = 15
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a history is readable as it is; shrinking one takes minutes
SCHOOLS, READERS, PHONES = 3, ("officer", "inspector", "principal"), 2

schools = st.integers(0, SCHOOLS - 1)
limits = st.sampled_from([1, 2, 3, 5, 1000])
audiences = st.sampled_from(["shared", "shared", "bureau", "person", "nobody"])
shown = st.tuples(audiences, st.sets(schools, min_size=1, max_size=2), st.sampled_from(READERS))
steps = st.one_of(
    st.tuples(st.just("write"), shown),
    st.tuples(st.just("write"), shown),
    st.tuples(st.just("show"), st.integers(0, 20), shown),
    st.tuples(st.just("edit"), st.integers(0, 20)),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(st.just("move"), schools, st.integers(0, 1)),
    st.tuples(st.just("post"), st.sets(schools, max_size=2)),
    st.tuples(st.just("day")),
    st.tuples(st.just("pull"), st.sampled_from(READERS), st.integers(0, PHONES - 1), limits),
    st.tuples(st.just("pull"), st.sampled_from(READERS), st.integers(0, PHONES - 1), limits),
    st.tuples(st.just("turn"), st.sets(schools, max_size=2), st.integers(0, PHONES - 1), st.integers(1, 4)),
    st.tuples(st.just("turn"), st.sets(schools, max_size=2), st.integers(0, PHONES - 1), st.integers(1, 4)),
    st.tuples(st.just("sync"), st.sampled_from(READERS), st.integers(0, PHONES - 1), limits),
)


@contextmanager
def example():
    """What one example writes is rolled back; to units inside it is the test's own transaction."""
    block = transaction.atomic()
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)


class Town:
    """The product's rows, and beside them the same world in dictionaries."""

    def __init__(self, base, clock):
        self.clock = clock
        self.districts = [Organisation.objects.get(pk=pk) for pk in base["districts"]]
        self.schools = [Organisation.objects.get(pk=pk) for pk in base["schools"]]
        self.persons = {name: Person.objects.get(pk=pk) for name, pk in base["persons"].items()}
        self.under = [0] * SCHOOLS
        self.posts = {0}
        self.papers: list[Paper] = []
        self.live: set[str] = set()
        self.seen = {name: set() for name in READERS}  # ids that were ever in reach, of deleted papers too
        self.phones = {name: [Mirror(self.persons[name]) for _ in range(PHONES)] for name in READERS}

    def pairs(self, name):
        """Who reads what, said again: the district's officer, the inspector of some schools, one school's principal."""
        ids = [school.id for school in self.schools]
        own = {("person", self.persons[name].id)}
        if name == "principal":
            return own | {("shared", ids[1])}
        covered = self.posts if name == "inspector" else {n for n in range(SCHOOLS) if self.under[n] == 0}
        return own | {(audience, ids[n]) for n in covered for audience in ("shared", "bureau")}

    def readers(self, shown):
        audience, of, name = shown
        if audience == "nobody":
            return set()
        if audience == "person":
            return {("person", self.persons[name].id)}
        return {(audience, self.schools[n].id) for n in of}

    def visible(self, name):
        pairs = self.pairs(name)
        return {str(paper.id) for paper in self.papers if str(paper.id) in self.live and pairs & paper.shown_to}

    def step(self, kind, *what):
        getattr(self, kind)(*what)
        for name in READERS:
            pairs = self.pairs(name)
            self.seen[name] |= {str(paper.id) for paper in self.papers if pairs & paper.shown_to}

    def write(self, shown):
        paper = Paper(self.readers(shown), text=f"第{len(self.papers)}张")
        self.papers.append(paper)
        self.live.add(str(paper.id))
        say(paper)

    def _paper(self, n):
        return self.papers[n % len(self.papers)] if self.papers else None

    def show(self, n, shown):
        if paper := self._paper(n):
            paper.shown_to = self.readers(shown)
            self.live.add(str(paper.id))
            say(paper)

    def edit(self, n):
        if paper := self._paper(n):
            paper.text += "改"
            self.live.add(str(paper.id))
            say(paper)

    def delete(self, n):
        if paper := self._paper(n):
            self.live.discard(str(paper.id))
            say(paper, deleted=True)

    def move(self, school, district):
        self.under[school] = district
        move_school(self.schools[school], self.districts[district])

    def post(self, of):
        self.posts = of
        Post.objects.filter(person=self.persons["inspector"]).delete()
        day = today(timezone.now())
        for n in of:
            Post.objects.create(person=self.persons["inspector"], role="inspector", node=self.schools[n], from_on=day)

    def day(self):
        self.clock.shift(timedelta(days=1))

    def pull(self, name, phone, limit):
        answer = self.phones[name][phone].page(limit=limit)
        visible, pairs = self.visible(name), self.pairs(name)
        by_id = {str(paper.id): paper for paper in self.papers}
        for change in answer["changes"]:
            if change["collection"] != "papers":
                continue
            paper = by_id[change["id"]]
            if change["op"] == "put":
                assert change["id"] in visible and change["doc"]["text"] == paper.text
            elif change["reason"] == "scope":
                assert change["id"] in self.seen[name]
            else:
                assert pairs & paper.shown_to
        return answer["has_more"]

    def turn(self, of, phone, limit):
        """The inspector's schools change, and a phone gets no further than a page before the next thing happens."""
        self.post(of)
        self.pull("inspector", phone, limit)

    def sync(self, name, phone, limit):
        while self.pull(name, phone, limit):
            pass

    def at_rest(self, limit):
        for name in READERS:
            whole = fresh(self.persons[name])
            for phone in range(PHONES):
                self.sync(name, phone, limit)
                mirror = self.phones[name][phone]
                assert mirror.docs == whole
                assert mirror.digest() == mirror.servers_digest()
                assert mirror.ids("papers") == self.visible(name)


@pytest.fixture
def base(db):
    districts = [make_district() for _ in range(2)]
    schools = [make_school(district=districts[0]) for _ in range(SCHOOLS)]
    persons = {
        "officer": make_person(role="safety_officer", at=districts[0]),
        "inspector": make_person(role="inspector", at=schools[0]),
        "principal": make_person(role="principal", at=schools[1]),
    }
    return {
        "districts": [district.pk for district in districts],
        "schools": [school.pk for school in schools],
        "persons": {name: person.pk for name, person in persons.items()},
    }


def test_mirrors_end_equal_to_a_fresh_snapshot_whatever_happened(base):
    @settings(max_examples=EXAMPLES, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, min_size=5, max_size=30), limits)
    def run(history, limit):
        with example(), time_machine.travel(timezone.now()) as clock:
            town = Town(base, clock)
            for step in history:
                town.step(*step)
            town.at_rest(limit)
            Post.objects.filter(person__in=town.persons.values()).delete()
            for name in READERS:
                for mirror in town.phones[name]:
                    mirror.sync(limits=[limit])
                    kept = {
                        str(paper.id) for paper in town.papers if ("person", town.persons[name].id) in paper.shown_to
                    }
                    assert mirror.ids("papers") == kept & town.live
                    assert not mirror.ids("sites")

    run()
