import json
import shutil
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command

from inspections import demo, demo_history
from inspections.management.commands.demo import PASSWORD, add_missing
from inspections.models import Inspection, RectificationItem, Statement, Task
from safety.access import sight_of
from safety.changes import clock_now, unit
from safety.models import Alert, Change, Delivery, DutyShift, Organisation, Person, Post, Seat, Site
from safety.models.organisation import SITE_CODE_LETTERS

FOLDER = Path(settings.BASE_DIR) / "seeds" / "demo"
NAMED = ["市三中", "红旗街小学", "七一路小学", "黄堡镇逸夫小学", "王家河中心幼儿园", "矿务局一中", "陕煤建司一中"]
DISTRICT = "王益区(演示)"
TODAY = date(2026, 11, 25)


@pytest.fixture(scope="module")
def district() -> demo.Demo:
    return demo.load_demo(FOLDER)


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "demo"))


def change(path: Path, edit) -> None:
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content, ensure_ascii=False))


# The data


def test_the_district_has_the_seven_named_schools_and_thirty_three_neighbours(district):
    own = [school.short_name for school in district.schools if school.parent == "610202"]
    assert set(NAMED) <= set(own)
    assert len(own) == 40
    assert Counter(unit.kind for unit in district.units) == {
        "school": 42,
        "training": 2,
        "bus_company": 1,
        "caterer": 2,
        "other": 1,
    }


def test_everything_is_marked_as_demonstration_where_it_can_be_read(district):
    for each in district.organisations:
        if each.kind in ("city", "district", "training", "bus_company", "caterer", "other"):
            assert "(演示)" in each.name
        if each.kind == "school":
            assert each.school_code[4:6] == "99" and "(演示)" in each.address
        if each.uscc:
            assert each.uscc[8:11] == "DEM"
    for name in ("district", "sites", "persons", "history"):
        assert json.loads((FOLDER / f"{name}.json").read_bytes())["note"].startswith("演示数据:")


def test_each_unit_has_one_site_for_the_whole_of_it_and_each_school_its_surroundings(district):
    kinds = Counter((site.unit, site.kind) for site in district.sites)
    assert all(kinds[unit.short_name, "whole"] == 1 for unit in district.units)
    assert all(kinds[school.short_name, "surroundings"] == 1 for school in district.schools)


def test_boarding_schools_have_dormitories_and_others_have_none(district):
    sleeping = {site.unit for site in district.sites if site.kind == "dormitory"}
    assert sleeping == {school.short_name for school in district.schools if school.boarding}


def test_one_bus_serves_five_schools_and_caterers_run_canteens_of_others(district):
    (bus,) = [site for site in district.sites if site.plate == "陕BDEM01"]
    assert (bus.unit, len(bus.serves)) == ("平安行校车", 5)
    assert {site.unit for site in district.sites if site.kind == "canteen"} > {"鲜禾餐饮", "众康供餐"}


def test_stickers_are_twelve_letters_that_stay_the_same(district):
    codes = [site.sticker(SITE_CODE_LETTERS) for site in district.sites]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 12 and set(code) <= set(SITE_CODE_LETTERS) for code in codes)
    assert codes == [site.sticker(SITE_CODE_LETTERS) for site in demo.load_demo(FOLDER).sites]


def test_each_school_has_a_principal_a_safety_officer_and_an_inspector_in_office(district):
    held = Counter(
        (post.role, post.node) for person in district.persons for post in person.posts if post.holds_on(TODAY)
    )
    for school in district.schools:
        for role in ("principal", "school_safety_officer", "inspector"):
            assert held[role, school.short_name] == 1, (role, school.short_name)


def test_the_bureau_is_staffed_as_its_work_needs(district):
    posts = [(post, person) for person in district.persons for post in person.posts if post.holds_on(TODAY)]
    at_bureau = Counter(post.role for post, _ in posts if post.node == DISTRICT)
    assert at_bureau == {
        "administrator": 2,
        "approver": 2,
        "shift_leader": 3,
        "duty_officer": 4,
        "safety_officer": 3,
    }
    schools_of_inspectors = Counter(person.username for post, person in posts if post.role == "inspector")
    assert sorted(schools_of_inspectors.values()) == [2, 5, 5, 5, 5, 5, 5, 5, 5]


def test_somebody_holds_two_posts_and_somebody_has_left(district):
    holds = {person.name: [post for post in person.posts if post.holds_on(TODAY)] for person in district.persons}
    assert {post.role for post in holds["高建民"]} == {"approver", "shift_leader"}
    assert holds["袁立新"] == []


def test_the_roster_fills_every_seat_on_every_day(district):
    roster = next(roster for roster in district.rosters if roster.node == DISTRICT)
    officers = {person.username for person in district.persons if "duty_officer" in {p.role for p in person.posts}}
    for ahead in range(8):
        shifts = roster.shifts_on(TODAY + timedelta(days=ahead))
        assert Counter(shift.seat for shift in shifts) == {"officer": 2, "reserve": 1, "leader": 1, "deputy": 1}
        assert {shift.username for shift in shifts if shift.seat in ("officer", "reserve")} < officers
        assert len({shift.username for shift in shifts}) == 5
        assert all(shift.ends_at - shift.starts_at == timedelta(hours=24) for shift in shifts)


def test_the_history_has_something_for_every_list(district):
    findings = [finding for visit in district.visits for finding in visit.findings]
    items = [*findings, *district.quick_hazards]
    steps = [step for item in items for step in item.then]
    said = Counter(type(step).__name__ for step in steps)
    assert len(district.visits) >= 60
    assert len(items) >= 45
    assert {item.ends for item in items} == set(get_args(demo.ItemState))
    assert {finding.result for finding in findings} == {"fail", "fixed"}
    assert {visit.state for visit in district.visits} == {"draft", "submitted", "void"}
    assert {visit.school_signs for visit in district.visits} == {"agreed", "disputed", "refused", "none"}
    assert set(said) == {each.__name__ for each in get_args(demo.AnyStep)}
    assert {step.granted for step in steps if isinstance(step, demo.Decision)} == {True, False}
    assert {step.passed for step in steps if isinstance(step, demo.Revisit)} == {True, False}
    assert {"major", "serious"} == {step.grade for step in steps if isinstance(step, demo.Judgement)}
    assert len(district.tasks) == 10


def test_a_major_of_the_history_cites_its_clause(district):
    judged = [
        step
        for visit in district.visits
        for finding in visit.findings
        for step in finding.then
        if isinstance(step, demo.Judgement) and step.grade == "major"
    ]
    assert {clause for step in judged for clause in step.clauses} == {"判定指南第三条(一)4", "判定指南第三条(一)6"}
    assert all(step.clauses for step in judged)


# How it is read


def test_working_days_leave_out_saturday_and_sunday():
    monday, friday, saturday = date(2026, 11, 23), date(2026, 11, 20), date(2026, 11, 21)
    assert demo.working_days_before(monday, 1) == friday
    assert demo.working_days_before(saturday, 1) == friday
    assert demo.working_days_before(monday, 6) == date(2026, 11, 13)
    assert demo.working_days_after(saturday, 0) == monday
    assert demo.working_days_after(friday, 0) == friday
    assert demo.working_days_after(friday, 1) == monday


def test_a_time_of_day_is_meant_in_the_schools_time_zone():
    assert demo.moment(date(2026, 11, 25), "08:30") == datetime(2026, 11, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "edit", "fault"),
    [
        ("district", lambda d: d["organisations"][4].update(uscc="12610202DEM001009X"), "uscc-check"),
        ("district", lambda d: d["organisations"][4].update(school_code="2161990999"), "no code of a complete"),
        ("district", lambda d: d["organisations"][4].update(school_code="3461000001"), "unassigned range"),
        ("district", lambda d: d["organisations"][4].update(latitude=34.0), "outside the district"),
        ("district", lambda d: d["organisations"][4].update(short_name="红旗街小学"), "organisation twice: 红旗街小学"),
        ("sites", lambda d: d["sites"][0].update(serves=["某校"]), "no unit 某校"),
        ("persons", lambda d: d["persons"][0].update(phone="0919-9000001"), "mobile-shape"),
        ("persons", lambda d: d["persons"][0]["posts"][0].update(node="某局"), "no node 某局"),
        ("persons", lambda d: d["rosters"][0]["days"][0].update(officer=["mouren"]), "no account mouren"),
        ("history", lambda d: d["visits"][0].update(site="某处"), "no site 某处"),
        ("history", lambda d: d["visits"][0]["findings"][1].update(item="ST-15"), "twice: ST-15"),
        ("history", lambda d: d["visits"][0].update(by=["mouren"]), "no account mouren"),
        ("history", lambda d: d["visits"][0]["findings"][0]["then"][0].update(after=25), "lies in the future"),
        ("history", lambda d: d["visits"][0]["findings"][0]["then"][1].update(after=0), "said before"),
    ],
)
def test_files_that_contradict_themselves_are_refused(folder, name, edit, fault):
    change(folder / f"{name}.json", edit)
    with pytest.raises(demo.DemoFault, match=fault):
        demo.load_demo(folder)


def test_a_misspelt_member_is_refused(folder):
    change(folder / "sites.json", lambda d: d["sites"][0].update(nmae="食堂"))
    with pytest.raises(msgspec.ValidationError, match="nmae"):
        demo.load_demo(folder)


# The command


@pytest.mark.django_db
def test_the_command_puts_the_district_with_its_people(district):
    call_command("demo", "--no-history")
    assert Organisation.objects.filter(demo=True).count() == len(district.organisations)
    assert Site.objects.count() == len(district.sites)
    assert Person.objects.count() == len(district.persons)
    assert Post.objects.count() == sum(len(person.posts) for person in district.persons)
    school = Organisation.objects.get(short_name="红旗街小学")
    assert school.path == f"610000/610200/610202/{school.school_code}/"
    bus = Site.objects.get(plate="陕BDEM01")
    assert bus.serves.count() == 5 and len(bus.readers()) == 6
    for model in (Organisation, Site, Person, Post, DutyShift):
        for row in model.objects.all():
            row.full_clean(validate_unique=False)


@pytest.mark.django_db
def test_the_command_changes_nothing_when_run_again_on_the_same_day():
    call_command("demo", "--no-history")
    before = clock_now(), Change.objects.count(), DutyShift.objects.count()
    call_command("demo", "--no-history")
    assert (clock_now(), Change.objects.count(), DutyShift.objects.count()) == before


@pytest.mark.django_db
def test_the_command_leaves_alone_what_somebody_has_changed():
    call_command("demo", "--no-history")
    school = Organisation.objects.get(short_name="红旗街小学")
    school.address = "新址"
    with unit(actor=None, source="test") as work:
        work.lock({school.id})
        work.say(school, "organisation.changed", body=work.body(b"{}"), urgency=None)
    call_command("demo", "--no-history")
    assert Organisation.objects.get(short_name="红旗街小学").address == "新址"


@pytest.mark.django_db
def test_the_command_tops_up_the_shifts_when_run_some_days_later():
    with time_machine.travel(datetime(2026, 11, 25, 4, tzinfo=UTC), tick=False):
        call_command("demo", "--no-history")
        before, changes = DutyShift.objects.count(), Change.objects.count()
    with time_machine.travel(datetime(2026, 11, 28, 4, tzinfo=UTC), tick=False):
        call_command("demo", "--no-history")
    assert (DutyShift.objects.count() - before, Change.objects.count()) == (3 * (5 + 1 + 1), changes)


@pytest.mark.django_db
def test_somebody_sits_on_every_seat_at_any_moment_of_the_next_fortnight():
    with time_machine.travel(datetime(2026, 11, 25, 16, 20, tzinfo=UTC), tick=False):
        call_command("demo", "--no-history")
    bureau = Organisation.objects.get(short_name=DISTRICT)
    for hours in range(0, 14 * 24, 5):
        moment = datetime(2026, 11, 25, 16, 20, tzinfo=UTC) + timedelta(hours=hours)
        assert set(DutyShift.objects.at(moment).filter(node=bureau).values_list("seat", flat=True)) == set(Seat.values)


@pytest.mark.django_db
def test_demo_people_sign_in_with_the_printed_password_and_see_their_own_schools(capsys):
    call_command("demo", "--accounts", "all")
    assert not Person.objects.exists()
    printed = capsys.readouterr().out
    assert PASSWORD in printed and len(printed.splitlines()) == 119
    call_command("demo", "--no-history")
    inspector = Person.objects.get(username="guoxiuying")
    assert inspector.check_password(PASSWORD)
    seen = sight_of(inspector, on=TODAY)
    own, other = (Organisation.objects.get(short_name=name) for name in ("市三中", "青石中学"))
    assert seen.sees(own.readers()) and not seen.sees(other.readers())
    assert sight_of(Person.objects.get(username="yuanlixin"), on=TODAY).posts == ()


# The history


@pytest.mark.django_db
def test_the_history_asks_for_the_checklists_first():
    with pytest.raises(CommandError, match="manage.py seed"):
        call_command("demo")
    assert not Organisation.objects.exists()


@pytest.mark.django_db
def test_the_history_is_told_to_its_end_when_the_first_loading_was_interrupted(district):
    """On a Sunday, when working days and calendar days differ most."""
    sunday = datetime(2026, 11, 29, 12, tzinfo=UTC)
    with time_machine.travel(sunday, tick=False):
        call_command("seed")
        with unit(actor=None, source="demo") as work:
            add_missing(work, district, past=True)
        for _ in islice(demo_history.tell(district, now=sunday), 60):
            pass  # as if the machine had been switched off here
        call_command("demo")
        before = clock_now(), Change.objects.count(), DutyShift.objects.count()
        call_command("demo")
    assert (clock_now(), Change.objects.count(), DutyShift.objects.count()) == before
    items = RectificationItem.objects.select_related("site")
    assert ends_of(district) == sorted((item.site.name, item.item_code, item.state) for item in items)
    assert Inspection.objects.count() == len(district.visits)
    assert Task.objects.filter(state="open").count() == len(district.tasks)
    assert {alert.state for alert in Alert.objects.all()} == {"in_hand", "resolved", "withdrawn"}
    assert Delivery.objects.filter(subject_collection="notices", receipt_at__isnull=False).exists()
    assert {"major", "major_candidate", "serious", "general"} == set(items.values_list("grade", flat=True))
    facts = set().union(*(item.facts for item in items))
    assert facts >= {"extended", "suspended", "listed", "rebound", "repeated", "fixed_on_spot", "departments"}
    assert 3 <= sum(item.is_overdue_on(date(2026, 11, 29)) for item in items) <= 10
    assert not Statement.objects.filter(verdict="superseded").exists()
    assert Change.objects.filter(received_at__gt=sunday).count() == 0


def ends_of(district: demo.Demo) -> list[tuple[str, str, str]]:
    """(site, item, state) as the file promises them."""
    said = [(visit.site, finding.item, finding.ends) for visit in district.visits for finding in visit.findings]
    return sorted(said + [(hazard.site, hazard.item, hazard.ends) for hazard in district.quick_hazards])
