"""The horizon: a phone that stays away too long starts anew; before that, nothing it must still be told is swept."""

from datetime import timedelta

import msgspec
import pytest
import time_machine
from django.utils import timezone

from safety.horizon import last_before, sweep_tombstones
from safety.models import Change, Clock, Exit, Index, ScopeServed, ScopeSet
from tests.sync.mirror import Mirror, fresh
from tests.sync.papers import say, shared, write

pytestmark = pytest.mark.django_db


def sweep_all():
    while sweep_tombstones(timezone.now()):
        pass


def later(**length):
    return time_machine.travel(timezone.now() + timedelta(**length))


@pytest.fixture
def gone(town):
    """A document that was deleted, one that left the school, and one that stays."""
    deleted, left, kept = (write(shared(town.school)) for _ in range(3))
    mirror = Mirror(town.principal)
    mirror.sync()
    say(deleted, deleted=True)
    left.shown_to = shared(town.neighbour)
    say(left)
    return mirror, deleted, left, kept


def test_what_went_is_kept_for_four_hundred_days_and_a_late_phone_is_told_of_it(gone):
    mirror, _, _, kept = gone
    with later(days=399):
        sweep_all()
        assert Index.objects.filter(deleted=True).exists() and Exit.objects.exists()
        mirror.sign_in_again()
        mirror.sync()
        assert mirror.ids("papers") == {str(kept.id)}


def test_phone_that_stayed_away_longer_than_the_horizon_starts_from_a_snapshot(gone):
    mirror, deleted, left, kept = gone
    with later(days=401):
        sweep_all()
        assert not Index.objects.filter(deleted=True).exists() and not Exit.objects.exists()
        assert Index.objects.filter(doc_id__in=[left.id, kept.id]).count() == 2
        mirror.sign_in_again()
        refused = mirror.ask(cursor=mirror.cursor)
        problem = msgspec.json.decode(refused.content)
        assert (refused.status_code, problem["code"], problem["action"]) == (410, "cursor-expired", "resnapshot")
        mirror.cursor, mirror.docs, mirror.seq = None, {}, 0
        answers = mirror.sync(limits=[2])
        assert [answer["has_more"] for answer in answers] == [True] * (len(answers) - 1) + [False]
        assert mirror.docs == fresh(mirror.device.person) and mirror.ids("papers") == {str(kept.id)}


def test_phone_that_saw_it_go_is_not_sent_to_a_snapshot(gone):
    mirror, _, _, kept = gone
    mirror.sync()
    with later(days=401):
        sweep_all()
        mirror.sign_in_again()
        mirror.sync()
        assert mirror.answers[-1]["phase"] == "delta" and mirror.ids("papers") == {str(kept.id)}


def test_promise_is_taken_back_before_anything_goes(gone):
    mirror, *_ = gone
    with later(days=401):
        sweep_tombstones(timezone.now())
        clock = Clock.objects.get()
        assert clock.swept_seq < clock.kept_after and Exit.objects.exists()
        mirror.sign_in_again()
        assert mirror.ask(cursor=mirror.cursor).status_code == 410


def test_sweep_goes_on_where_it_was_killed_whatever_the_size_of_its_steps(gone):
    with later(days=401):
        sweep_tombstones(timezone.now())
        for _ in range(3):
            assert sweep_tombstones(timezone.now(), numbers=2, rows=1) == 2
        assert Clock.objects.get().swept_seq == 6
        sweep_all()
        assert not Index.objects.filter(deleted=True).exists() and not Exit.objects.exists()
        assert Clock.objects.get().swept_seq == Clock.objects.get().kept_after


def test_horizon_is_looked_at_twice_a_day(gone, town):
    with later(days=401):
        write(shared(town.school))
        sweep_all()
        before = Clock.objects.get().kept_after
    with later(days=401, hours=11):
        sweep_all()
        assert Clock.objects.get().kept_after == before
    with later(days=801, hours=13):
        sweep_all()
        assert Clock.objects.get().kept_after > before


def test_scopes_that_were_served_long_ago_go_and_the_standing_one_stays(gone, town):
    mirror, *_ = gone
    with later(days=1):
        mirror.sync()
    assert ScopeServed.objects.filter(person_id=town.principal.id).count() == 2
    ScopeSet.objects.create(hash="x" * 43, members=[])
    with later(days=500):
        sweep_all()
        standing = ScopeServed.objects.get(person_id=town.principal.id)
        assert standing.to_at is None and ScopeSet.objects.filter(hash=standing.set_hash).exists()
        assert not ScopeSet.objects.filter(hash="x" * 43).exists()


def test_deleted_document_may_come_back_after_it_was_swept(gone):
    mirror, deleted, *_ = gone
    mirror.sync()
    with later(days=401):
        sweep_all()
        say(deleted)
        mirror.sign_in_again()
        mirror.sync()
        assert str(deleted.id) in mirror.ids("papers") and mirror.docs == fresh(mirror.device.person)


@pytest.mark.parametrize("days", [0, 1, 2, 3, 4])
def test_last_number_before_a_moment_is_found_by_halving(town, days):
    begun = timezone.now()
    for day in range(4):
        with time_machine.travel(begun + timedelta(days=day, hours=1)):
            write(shared(town.school)), write(shared(town.school))
    moment = begun + timedelta(days=days)
    numbers = Change.objects.filter(received_at__lt=moment).order_by("-seq").values_list("seq", flat=True)
    assert last_before(moment, upto=Clock.objects.get().seq) == numbers.first()
    assert last_before(begun - timedelta(days=999), upto=Clock.objects.get().seq) == 0
