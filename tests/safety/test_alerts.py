"""Who is told of an alert, when it climbs, and what becomes of each delivery."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from inspections.verbs import VERBS, ready
from safety import alerts, jobs
from safety.access import sight_of, today
from safety.changes import unit
from safety.desk import load, rows_of
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Acknowledgement, Alert, Body, Change, Delivery, DeliveryState, DutyShift, Seat
from safety.verbs import Saying, World, decide
from tests.makers import make_person, make_school, make_shift, make_site, raise_alert

pytestmark = pytest.mark.django_db


def say(verb, alert, *, by, said=None, source="web"):
    """One verb about an alert, by one person, in a unit of its own."""
    with unit(actor=by.id, source=source) as work:
        struct = VERBS[verb].struct
        saying = Saying(
            verb=verb,
            doc_id=alert.id,
            input=struct(**(said or {})),
            body=work.body(b"{}"),
            said_at=work.now,
            source=source,
        )
        world = World(work, sight_of(by, on=today(work.now)))
        ready(world, [saying], organisations=frozenset())
        return decide(world, VERBS, saying)


def told(alert):
    """{name of the person: (reason, channel)} of an alert's deliveries."""
    owed = Delivery.objects.filter(subject_id=alert.id).select_related("person")
    return {each.person.name: (each.reason, each.channel) for each in owed}


def end_shifts(*people):
    DutyShift.objects.filter(person__in=people).update(ends_at=timezone.now() - timedelta(minutes=1))


@pytest.fixture
def desk(town):
    """The town's desk with a second officer, a reserve, a leader and a deputy on duty."""
    people = {
        "second": ("duty_officer", Seat.OFFICER),
        "reserve": ("duty_officer", Seat.RESERVE),
        "leader": ("shift_leader", Seat.LEADER),
        "deputy": ("approver", Seat.DEPUTY),
    }
    made = {
        name: make_person(role=role, at=town.district, name=str(Seat(seat).label) + name)
        for name, (role, seat) in people.items()
    }
    for name, (_, seat) in people.items():
        make_shift(person=made[name], node=town.district, seat=seat)
    return SimpleNamespace(town=town, officer=town.officer, **made)


def test_alert_goes_to_both_officers_of_the_nearest_bureau_and_to_no_other_seat(desk):
    alert = raise_alert(site=desk.town.canteen)
    assert told(alert) == {"值班员": ("duty", "desk"), desk.second.name: ("duty", "desk")}
    assert (alert.node, alert.seat_told) == (desk.town.district, Seat.OFFICER)


def test_alert_climbs_to_the_city_and_tells_the_district_s_administrators_when_nobody_is_on_duty(town):
    end_shifts(town.officer)
    city = town.district.parent
    make_shift(person=make_person(role="duty_officer", at=city, name="市值班员"), node=city)
    alert = raise_alert(site=town.canteen)
    assert told(alert) == {"市值班员": ("duty", "desk"), "管理员": ("administrator", "desk")}
    assert alert.node == town.district


def test_alert_goes_to_administrators_alone_when_nobody_is_on_duty_anywhere(town):
    end_shifts(town.officer)
    assert told(raise_alert(site=town.canteen)) == {"管理员": ("administrator", "desk")}


def test_alert_passes_over_an_officer_whose_post_has_ended_though_the_roster_names_him(town):
    town.officer.posts.update(to_on=today(timezone.now()) - timedelta(days=1))
    assert told(raise_alert(site=town.canteen)) == {"管理员": ("administrator", "desk")}


def test_school_s_own_roster_is_informed_and_swallows_nothing(town):
    make_shift(person=town.principal, node=town.school)
    assert told(raise_alert(site=town.canteen)) == {"值班员": ("duty", "desk"), "校长": ("informed", "app")}


def test_second_finding_of_the_same_place_wakes_nobody_again(town):
    first = raise_alert(site=town.canteen)
    again = raise_alert(site=town.canteen, said_at=timezone.now() - timedelta(hours=2))
    assert (again.id, again.occurrences, again.rev) == (first.id, 2, 2)
    assert again.first_said_at < first.first_said_at
    assert Delivery.objects.count() == 1
    assert raise_alert(site=town.canteen, place="冷库").id != first.id


def test_alert_is_told_again_when_the_first_one_is_over(town):
    first = raise_alert(site=town.canteen)
    say("alerts.resolve", first, by=town.officer, said={"reason": "已断气"})
    assert raise_alert(site=town.canteen).id != first.id
    assert Delivery.objects.count() == 2


def test_alert_told_late_says_how_late_and_escalates_from_when_it_was_known(town):
    now = timezone.now()
    alert = raise_alert(site=town.canteen, said_at=now - timedelta(hours=11), now=now)
    row = rows_of(load([alert.id]))[0]
    assert b'"late_seconds":39600' in row.json
    assert alert.escalate_at - alert.first_known_at == timedelta(minutes=5)


def test_alert_climbs_seat_by_seat_and_ends_with_the_administrators(desk):
    now = timezone.now()
    alert = raise_alert(site=desk.town.canteen, now=now)
    assert jobs.escalate(now + timedelta(minutes=4)) == 0
    climbed = []
    for minutes in (5, 10, 15, 20, 25, 60):
        before = set(told(alert))
        jobs.escalate(now + timedelta(minutes=minutes, seconds=1) + timedelta(seconds=minutes))
        climbed.append(set(told(alert)) - before)
    assert climbed == [{desk.reserve.name}, {desk.leader.name}, {desk.deputy.name}, {"管理员"}, set(), set()]
    alert.refresh_from_db()
    assert (alert.escalate_at, alert.state) == (None, "waiting")


def test_escalation_keeps_what_the_rule_saw_in_its_body(desk):
    alert = raise_alert(site=desk.town.canteen)
    jobs.escalate(timezone.now() + timedelta(minutes=6))
    change = Change.objects.get(kind="alert.escalated", doc_id=alert.id)
    seen = bytes(Body.objects.get(id=change.body_id).bytes).decode()
    assert change.actor_id is None
    assert '"rule":"alerts.escalate"' in seen and str(desk.leader.id) in seen


def test_escalation_climbs_no_tree_when_the_district_has_somebody(town):
    city = town.district.parent
    make_shift(person=make_person(role="shift_leader", at=city, name="市带班"), node=city, seat=Seat.LEADER)
    alert = raise_alert(site=town.canteen)
    jobs.escalate(timezone.now() + timedelta(minutes=6))
    assert set(told(alert)) == {"值班员", "管理员"}


def test_escalation_stops_when_somebody_has_acknowledged(desk):
    alert = raise_alert(site=desk.town.canteen)
    say("alerts.acknowledge", alert, by=desk.officer)
    assert jobs.escalate(timezone.now() + timedelta(hours=1)) == 0


def test_alert_is_acknowledged_once_and_the_second_is_answered_with_the_first(desk):
    alert = raise_alert(site=desk.town.canteen)
    first = say("alerts.acknowledge", alert, by=desk.officer)
    second = say("alerts.acknowledge", alert, by=desk.second)
    assert (first.status, second.status, second.entry) == ("applied", "applied", None)
    assert second.doc.rev == first.doc.rev
    assert Acknowledgement.objects.get().person == desk.officer


def test_delivery_of_the_one_who_acknowledged_is_opened_and_the_others_are_not(desk):
    alert = raise_alert(site=desk.town.canteen)
    say("alerts.acknowledge", alert, by=desk.officer)
    mine, other = (Delivery.objects.get(person=person) for person in (desk.officer, desk.second))
    assert (mine.state, mine.said_by, mine.said_via) == ("opened", desk.officer.id, "web")
    assert (other.state, other.receipt_at) == ("pending", None)


def test_deliveries_are_over_when_their_alert_is(desk):
    alert = raise_alert(site=desk.town.canteen)
    say("alerts.resolve", alert, by=desk.second, said={"reason": "已断气"})
    states = set(Delivery.objects.values_list("state", "try_at"))
    assert states == {("over", None)}


def test_waiting_list_holds_the_subtrees_of_one_s_shifts_and_what_is_owed(town):
    alert = raise_alert(site=town.canteen)
    foreign = raise_alert(site=make_site(unit=town.foreign))
    now = timezone.now()
    jobs.escalate(now + timedelta(minutes=6))  # past the only officer: the administrator is owed it
    assert alerts.waiting_for(town.officer.id, at=now) == [alert]
    assert alerts.waiting_for(town.administrator.id, at=now) == [alert]
    assert alerts.waiting_for(town.safety.id, at=now) == []
    assert alerts.waiting_for(town.stranger.id, at=now) == []
    assert foreign.node == town.elsewhere


def test_waiting_list_is_empty_for_an_officer_whose_post_has_ended(town):
    raise_alert(site=town.canteen)
    town.officer.posts.update(to_on=today(timezone.now()) - timedelta(days=1))
    assert alerts.waiting_for(town.officer.id, at=timezone.now()) == []


def test_stranger_who_acknowledges_meets_what_an_unknown_alert_would_be(town):
    alert = raise_alert(site=town.canteen)
    assert say("alerts.acknowledge", alert, by=town.stranger).status == "deferred"
    alert.id = new_id()
    assert say("alerts.acknowledge", alert, by=town.stranger).status == "deferred"


def test_shift_that_begins_is_owed_what_is_open_once(town):
    alert = raise_alert(site=town.canteen)
    end_shifts(town.officer)
    next_one = make_person(role="duty_officer", at=town.district, name="接班员")
    shift = make_shift(person=next_one, node=town.district, begun=False)
    now = timezone.now()
    assert (jobs.begin_shifts(now), jobs.begin_shifts(now)) == (1, 0)
    assert told(alert)["接班员"] == ("duty", "desk")
    shift.refresh_from_db()
    assert shift.begun


def test_shift_of_a_higher_seat_is_owed_only_what_has_climbed_to_it(town):
    now = timezone.now()
    alert = raise_alert(site=town.canteen, now=now)
    leader = make_person(role="shift_leader", at=town.district, name="带班")
    make_shift(person=leader, node=town.district, seat=Seat.LEADER, begun=False)
    jobs.begin_shifts(now)
    assert "带班" not in told(alert)
    jobs.escalate(now + timedelta(minutes=6))
    late = make_person(role="shift_leader", at=town.district, name="晚到带班")
    make_shift(person=late, node=town.district, seat=Seat.LEADER, begun=False)
    jobs.begin_shifts(now + timedelta(minutes=7))
    assert told(alert) == {
        "值班员": ("duty", "desk"),
        "带班": ("escalated", "desk"),
        "晚到带班": ("duty", "desk"),
    }


def test_shift_elsewhere_is_owed_nothing(town):
    alert = raise_alert(site=town.canteen)
    other = make_person(role="duty_officer", at=town.elsewhere, name="乙区值班员")
    make_shift(person=other, node=town.elsewhere, begun=False)
    jobs.begin_shifts(timezone.now())
    assert set(told(alert)) == {"值班员"}


def unattended():
    return list(Alert.objects.filter(severity="system").order_by("first_known_at"))


def test_district_without_anybody_on_duty_alarms_its_administrators_once_and_raises_no_other(town):
    end_shifts(town.officer)
    now = timezone.now()
    jobs.watch_duty(now)
    jobs.watch_duty(now + timedelta(seconds=1))
    here = [alert for alert in unattended() if alert.node == town.district]
    assert [told(alert) for alert in here] == [{"管理员": ("administrator", "desk")}]
    assert here[0].escalate_at is None
    assert {alert.node for alert in unattended()} == {town.district, town.elsewhere}


def test_alarm_of_an_empty_desk_ends_by_itself_when_somebody_is_there(town):
    jobs.watch_duty(timezone.now())
    assert [(alert.node, alert.state) for alert in unattended()] == [(town.elsewhere, "waiting")]
    make_shift(person=make_person(role="duty_officer", at=town.elsewhere), node=town.elsewhere)
    jobs.watch_duty(timezone.now())
    assert [alert.state for alert in unattended()] == ["resolved"]
    assert jobs.watch_duty(timezone.now()) == 0


def test_alarm_of_an_empty_desk_that_was_put_aside_by_hand_comes_back_after_an_hour(town):
    end_shifts(town.officer)
    now = timezone.now()
    jobs.watch_duty(now)
    (here,) = [alert for alert in unattended() if alert.node == town.district]
    say("alerts.dismiss", here, by=town.administrator, said={"reason": "系统维护"})
    assert jobs.watch_duty(now + timedelta(minutes=30)) == 0
    assert jobs.watch_duty(now + timedelta(minutes=90)) == 1


def test_city_with_an_open_alert_needs_somebody_until_it_is_over(town):
    city_school = make_school(district=town.district.parent, name="市直学校")
    alert = raise_alert(site=make_site(unit=city_school))
    jobs.watch_duty(timezone.now())
    assert town.district.parent in {each.node for each in unattended()}
    with lifted():
        Alert.objects.filter(id=alert.id).update(state="resolved")
    jobs.watch_duty(timezone.now())
    states = {each.node: each.state for each in unattended()}
    assert states[town.district.parent] == "resolved"


def test_desk_row_carries_what_a_desk_needs(desk):
    alert = raise_alert(site=desk.town.canteen)
    say("alerts.acknowledge", alert, by=desk.officer)
    alert = load([alert.id])[0]
    row = rows_of([alert])[0]
    for part in (
        f'"id":"{alert.id}"',
        '"rev":2',
        '"severity":"major"',
        '"state":"acknowledged"',
        f'"school":{{"id":"{desk.town.school.id}","name":"{desk.town.school.name}"}}',
        '"kind":"canteen"',
        '"occurrences":1',
        '"escalate_at":null',
        f'"person":{{"id":"{desk.officer.id}","name":"值班员"}}',
        '"state":"opened"',
    ):
        assert part in row.json.decode()
    assert row.unseen == {desk.second.id: (Delivery.objects.get(person=desk.second).id, DeliveryState.PENDING)}
