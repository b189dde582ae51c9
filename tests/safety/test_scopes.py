"""Scopes: written down once when a day begins or posts change, and remembered for what was begun under them."""

from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection
from django.utils import timezone

from safety.access import sight_of
from safety.models import Change, Clock, Organisation, Post, Role, ScopeServed, ScopeSet
from safety.scopes import PastSights, pairs_of, past_sight, scope_hash, scope_of, serve_scope, tell_scope
from tests.makers import make_district, make_person, make_school
from tests.statements import statements
from tests.sync.papers import move_school

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
SINCE = date(2026, 1, 1)


def give_post(person, node, *, role=Role.INSPECTOR, since=SINCE, until=None):
    return Post.objects.create(person=person, role=role, node=node, from_on=since, to_on=until)


def moves(person):
    return Change.objects.filter(collection="scope", doc_id=person.id).count()


@pytest.fixture
def district():
    return make_district()


@pytest.fixture
def school(district):
    return make_school(district=district)


@pytest.fixture
def inspector(school):
    return make_person(role="inspector", at=school, since=SINCE)


def test_scope_hash_is_that_of_the_content(district, school, inspector):
    pairs = sight_of(inspector, on=NOON.date()).pairs
    assert scope_hash(list(pairs)) == scope_hash(sorted(pairs, key=str, reverse=True))
    assert scope_hash(pairs) != scope_hash(set(pairs) - {("shared", school.id)})


def test_sight_holds_what_lies_under_each_post_once_with_the_roles_of_all_that_lie_above(district, school):
    """Asked of the tree from node to node; told again here by comparing every path with every post's."""
    other = make_district()
    others = [make_school(district=other) for _ in range(3)]
    make_school(district=make_district())  # somebody else's
    person = make_person(role="inspector", at=school, since=SINCE)
    for role, node in (("approver", district.parent), ("inspector", district), ("safety_officer", others[1])):
        give_post(person, node, role=role)
    give_post(person, others[2], role="principal")
    sight = sight_of(person, on=NOON.date())
    at_bureau = [post for post in sight.posts if post.side == "bureau"]
    expected = {}
    for node in Organisation.objects.all():
        held = {post.role for post in at_bureau if node.path.startswith(post.node.path)}
        if held:
            expected[node.id] = held
    assert sight.overseen == set(expected)
    expected.setdefault(others[2].id, set()).add("principal")
    assert {key: set(held) for key, held in sight.roles.items()} == expected


def test_first_pull_writes_the_scope_down_and_a_second_writes_nothing(inspector):
    scope = serve_scope(inspector.id, now=NOON)
    number = Clock.objects.get().seq
    again = serve_scope(inspector.id, now=NOON + timedelta(hours=1))
    assert (again.hash, Clock.objects.get().seq) == (scope.hash, number)
    assert pairs_of(scope.hash) == scope.sight.pairs
    served = ScopeServed.objects.get()
    assert (served.set_hash, served.from_at, served.to_at, served.day) == (scope.hash, NOON, None, date(2026, 3, 2))
    assert moves(inspector) == 1


def test_scope_is_told_again_on_a_new_day_of_the_school_when_nothing_else_changed(inspector):
    evening, midnight = datetime(2026, 3, 2, 15, 59, tzinfo=UTC), datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    for moment in (NOON, evening):
        serve_scope(inspector.id, now=moment)
    assert moves(inspector) == 1
    serve_scope(inspector.id, now=midnight)
    first, second = ScopeServed.objects.order_by("from_at")
    assert moves(inspector) == 2
    assert (first.to_at, second.from_at, second.to_at) == (midnight, midnight, None)
    assert first.set_hash == second.set_hash and ScopeSet.objects.count() == 1


def test_scope_is_told_again_when_a_post_is_given_or_its_role_alone_changes(district, inspector):
    before = serve_scope(inspector.id, now=NOON)
    post = give_post(inspector, district, role=Role.DUTY_OFFICER)
    wider = serve_scope(inspector.id, now=NOON)
    assert before.sight.pairs < wider.sight.pairs
    Post.objects.filter(pk=post.pk).update(role=Role.APPROVER)
    assert serve_scope(inspector.id, now=NOON).hash == wider.hash
    assert moves(inspector) == 3


def test_scope_that_was_looked_at_before_another_was_told_is_not_told(inspector):
    early = scope_of(inspector.id, now=NOON)
    serve_scope(inspector.id, now=NOON)
    assert tell_scope(early, now=NOON) is False
    late = scope_of(inspector.id, now=NOON + timedelta(days=1))
    assert tell_scope(late, now=NOON + timedelta(days=1)) is True
    assert tell_scope(late, now=NOON + timedelta(days=1)) is False
    assert moves(inspector) == 2 == ScopeServed.objects.count()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("served_yesterday", [False, True])
def test_one_of_many_pulls_at_once_writes_the_scope_down(served_yesterday):
    person = make_person(role="inspector", at=make_school(district=make_district()), since=SINCE)
    if served_yesterday:
        serve_scope(person.id, now=NOON - timedelta(days=1))
    before, start, hashes = moves(person), Barrier(6), []

    def pull():
        try:
            start.wait()
            hashes.append(serve_scope(person.id, now=NOON).hash)
        finally:
            connection.close()

    threads = [Thread(target=pull) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(hashes), len(set(hashes))) == (6, 1)
    assert moves(person) == before + 1
    assert ScopeServed.objects.filter(to_at=None).count() == 1


def test_nobody_has_a_past_sight_before_anything_was_served(inspector):
    serve_scope(inspector.id, now=NOON)
    assert past_sight(inspector.id, NOON - timedelta(seconds=1)) is None
    assert past_sight(inspector.id, NOON).pairs == sight_of(inspector, on=NOON.date()).pairs


def test_past_sight_keeps_a_school_and_its_roles_when_the_school_has_moved_away(district, school):
    officer = make_person(role="safety_officer", at=district, since=SINCE)
    serve_scope(officer.id, now=NOON)
    move_school(school, make_district())
    serve_scope(officer.id, now=NOON + timedelta(hours=2))
    then = past_sight(officer.id, NOON + timedelta(hours=1))
    assert then.sees({("shared", school.id)}) and then.sees({("bureau", school.id)})
    assert then.roles_at([school.id]) == {"safety_officer"}
    now = past_sight(officer.id, NOON + timedelta(hours=3))
    assert not now.sees({("shared", school.id)}) and not now.roles_at([school.id])


def test_past_sight_of_a_principal_gives_no_role_over_other_schools_when_a_school_has_moved_away(district, school):
    neighbour = make_school(district=district)
    person = make_person(role="inspector", at=neighbour, since=SINCE)
    give_post(person, district, role=Role.DUTY_OFFICER)
    serve_scope(person.id, now=NOON)
    move_school(school, make_district())
    then = past_sight(person.id, NOON)
    assert then.roles_at([school.id]) == {"duty_officer"}
    assert then.roles_at([neighbour.id]) == {"inspector", "duty_officer"}


def test_past_sight_gives_no_role_when_the_post_had_ended_by_then(school):
    person = make_person()
    give_post(person, school, until=date(2026, 3, 2))
    serve_scope(person.id, now=NOON)
    tomorrow = past_sight(person.id, NOON + timedelta(days=1))
    assert tomorrow.sees({("shared", school.id)}) and not tomorrow.roles_at([school.id])
    assert past_sight(person.id, NOON).roles_at([school.id]) == {"inspector"}


def test_past_sights_are_loaded_once_when_a_batch_asks_for_many_moments(inspector):
    for day in range(3):
        serve_scope(inspector.id, now=NOON + timedelta(days=day))
    sights = PastSights(inspector.id)
    with statements(at_most=1 + 3 * 4):
        found = [sights(NOON + timedelta(days=day, minutes=minute)) for day in range(3) for minute in range(20)]
    assert len(found) == 60 and all(found)


def test_people_are_served_their_own_intervals(inspector, school):
    other = make_person(role="principal", at=school, since=SINCE)
    now = timezone.now()
    assert serve_scope(inspector.id, now=now).hash != serve_scope(other.id, now=now).hash
    assert ScopeServed.objects.filter(to_at=None).count() == 2
