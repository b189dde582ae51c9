"""Judgements on values: places, readings, grades, two phones' answers, and what a record lacks."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations, product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from inspections import inputs, rules
from inspections.catalogue import BanMode, Bound, Confidence, Disposition, Effect, Measure, Photo
from inspections.catalogue import Grade as ItemGrade
from inspections.frozen import FrozenItem
from inspections.rules import FindingKind, Grade, GroupMeta, Lost, Merged, Reading

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANNA, BO = UUID(int=1), UUID(int=2)
PHONE, TABLET, BOS_PHONE = UUID(int=11), UUID(int=12), UUID(int=21)


# --- places --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3号楼 2层", "3号楼2层"),
        ("３号楼２层", "3号楼2层"),
        ("3号楼-2层", "3号楼2层"),
        ("3号楼(2层)", "3号楼2层"),
        ("A栋", "a栋"),
        ("东门、西侧", "东门西侧"),
        ("\u30001-2室 ", "1—2室"),
        ("1/2室", "1·2室"),
        ("①号灶", "1号灶"),
    ],
)
def test_a_place_is_the_same_place_however_it_is_typed(one, other):
    assert rules.normalise_place(one) == rules.normalise_place(other) != ""


@pytest.mark.parametrize(("one", "other"), [("1-2室", "12室"), ("2层", "3层"), ("东门", "西门"), ("1 12室", "11 2室")])
def test_other_places_stay_other_places(one, other):
    assert rules.normalise_place(one) != rules.normalise_place(other)


@pytest.mark.parametrize("text", ["", "  ", "\u3000", "——", "(、)", "\u200b"])
def test_a_blank_place_stays_blank(text):
    assert rules.normalise_place(text) == ""


@given(st.text(max_size=200))
def test_a_place_key_is_its_own_key_and_fits_its_column(text):
    key = rules.normalise_place(text)
    assert len(key) <= 80
    assert rules.normalise_place(key) == key


# --- readings ------------------------------------------------------------------------------------------------------


def make_measure(key="reading", *, effect=Effect.JUDGE, **more) -> Measure:
    return Measure(key=key, label=key, unit="m", confidence=Confidence.CERTAIN, effect=effect, **more)


CHILLED = make_measure("chilled", low=Bound(value=0), high=Bound(value=8), repeatable=True)
HOT = make_measure("hot", low=Bound(value=60, inclusive=False))
GUARD = make_measure("guard", low=Bound(of="bed", times=(2, 3)))
ALIGHTED = make_measure("alighted", low=Bound(of="boarded"), high=Bound(of="boarded"))


@pytest.mark.parametrize(
    ("measure", "readings", "says"),
    [
        (CHILLED, {"chilled": 0}, Reading.OK),
        (CHILLED, {"chilled": 8}, Reading.OK),
        (CHILLED, {"chilled": 8.1}, Reading.FAIL),
        (CHILLED, {"chilled": -0.1}, Reading.FAIL),
        (CHILLED, {"chilled": [4, 5.5]}, Reading.OK),
        (CHILLED, {"chilled": [4, 11.5, 5]}, Reading.FAIL),
        (CHILLED, {"chilled": []}, None),
        (CHILLED, {"frozen": 3}, None),
        (HOT, {"hot": 60}, Reading.FAIL),
        (HOT, {"hot": 60.5}, Reading.OK),
        (GUARD, {"guard": 1.4, "bed": 2.1}, Reading.OK),
        (GUARD, {"guard": 1.39, "bed": 2.1}, Reading.FAIL),
        (GUARD, {"guard": 1.4}, Reading.OK),
        (ALIGHTED, {"alighted": 37, "boarded": 37}, Reading.OK),
        (ALIGHTED, {"alighted": 36, "boarded": 37}, Reading.FAIL),
        (ALIGHTED, {"alighted": 38, "boarded": 37}, Reading.FAIL),
    ],
)
def test_a_reading_is_judged_by_its_bounds(measure, readings, says):
    assert rules.judge_measure(measure, readings) is says


def test_a_distance_is_a_hint_and_never_a_verdict():
    hint = make_measure(low=Bound(value=200, inclusive=False), effect=Effect.HINT, located=True)
    judging = make_measure(low=Bound(value=200, inclusive=False), effect=Effect.JUDGE, located=True)
    for measure in (hint, judging):
        assert rules.judge_measure(measure, {"reading": 150}) is Reading.HINT
        assert rules.judge_measure(measure, {"reading": 201}) is Reading.OK


def test_of_alternatives_one_within_its_bounds_is_enough():
    measures = [
        make_measure("hours", high=Bound(value=2), either="serving"),
        make_measure("kept_at", low=Bound(value=60, inclusive=False), either="serving"),
    ]
    assert rules.judge_measures(measures, {"hours": 3, "kept_at": 65}) is Reading.OK
    assert rules.judge_measures(measures, {"hours": 3, "kept_at": 55}) is Reading.FAIL
    assert rules.judge_measures(measures, {"hours": 3}) is Reading.FAIL
    assert rules.judge_measures(measures, {}) is None


def test_the_worst_of_an_items_readings_counts():
    hint = make_measure("width", low=Bound(value=3), effect=Effect.HINT)
    assert rules.judge_measures([CHILLED, hint], {"chilled": 4, "width": 2}) is Reading.HINT
    assert rules.judge_measures([CHILLED, hint], {"chilled": 9, "width": 2}) is Reading.FAIL


# --- grades, urgency, dates ----------------------------------------------------------------------------------------


def make_item(code="ST-01", *, grade=ItemGrade.GENERAL, finding="hazard", photo=Photo.OPTIONAL, **more) -> FrozenItem:
    return FrozenItem(
        code=code,
        area="ST",
        text="检查项",
        finding=finding,
        grade=grade,
        photo=photo,
        disposition=Disposition.RECTIFY,
        confidence=Confidence.CERTAIN,
        **more,
    )


def test_grades_rise_from_none_to_major():
    assert [grade.value for grade in sorted(Grade, key=lambda grade: grade.rank)] == [
        "none",
        "general",
        "serious",
        "major_candidate",
        "major",
    ]
    for one, other in product(Grade, repeat=2):
        assert rules.higher(one, other).rank == max(one.rank, other.rank)


@pytest.mark.parametrize(
    ("item", "said", "comes_to"),
    [
        (make_item(grade=ItemGrade.SERIOUS), None, (FindingKind.HAZARD, Grade.SERIOUS)),
        (make_item(grade=ItemGrade.SERIOUS), "general", (FindingKind.HAZARD, Grade.GENERAL)),
        (make_item(grade=ItemGrade.SERIOUS), "none", (FindingKind.ISSUE, Grade.NONE)),
        (make_item(grade=ItemGrade.GENERAL), "major_candidate", (FindingKind.HAZARD, Grade.MAJOR_CANDIDATE)),
        (make_item(grade=ItemGrade.GENERAL), "major", (FindingKind.HAZARD, Grade.MAJOR_CANDIDATE)),
        (make_item(grade=ItemGrade.NONE, finding="issue"), None, (FindingKind.ISSUE, Grade.NONE)),
        (make_item(grade=ItemGrade.NONE, finding="issue"), "general", (FindingKind.HAZARD, Grade.GENERAL)),
        (make_item(grade=ItemGrade.INCIDENT, finding="incident"), None, (FindingKind.INCIDENT, Grade.NONE)),
        (make_item(grade=ItemGrade.INCIDENT, finding="incident"), "serious", (FindingKind.INCIDENT, Grade.NONE)),
    ],
)
def test_a_failed_item_has_the_checklists_grade_or_the_inspectors(item, said, comes_to):
    assert rules.kind_and_grade(item, said) == comes_to


@pytest.mark.parametrize("said", [None, "none", "general", "serious", "major_candidate"])
def test_an_item_listed_in_the_guide_is_not_lowered_by_an_inspector_alone(said):
    listed = make_item(grade=ItemGrade.MAJOR_CANDIDATE, listed=True)
    assert rules.kind_and_grade(listed, said) == (FindingKind.HAZARD, Grade.MAJOR_CANDIDATE)


def test_a_candidate_that_is_not_listed_may_be_lowered():
    assert rules.kind_and_grade(make_item(grade=ItemGrade.MAJOR_CANDIDATE), "serious")[1] is Grade.SERIOUS


@pytest.mark.parametrize(
    ("kind", "grade", "wakes"),
    [
        (FindingKind.ISSUE, Grade.NONE, False),
        (FindingKind.HAZARD, Grade.GENERAL, False),
        (FindingKind.HAZARD, Grade.SERIOUS, False),
        (FindingKind.HAZARD, Grade.MAJOR_CANDIDATE, True),
        (FindingKind.HAZARD, Grade.MAJOR, True),
        (FindingKind.INCIDENT, Grade.NONE, True),
    ],
)
def test_a_candidate_or_an_incident_wakes_the_desk(kind, grade, wakes):
    assert rules.wakes_the_desk(kind, grade) is wakes


@pytest.mark.parametrize(
    ("grade", "last_day"),
    [
        (Grade.NONE, date(2026, 3, 9)),
        (Grade.GENERAL, date(2026, 3, 9)),
        (Grade.SERIOUS, date(2026, 3, 17)),
        (Grade.MAJOR_CANDIDATE, date(2026, 4, 1)),
        (Grade.MAJOR, date(2026, 4, 1)),
    ],
)
def test_a_grade_has_its_last_day(grade, last_day):
    assert rules.due_on(grade, date(2026, 3, 2)) == last_day


# --- two phones, one visit -----------------------------------------------------------------------------------------


def source(by=ANNA, device=PHONE, rev=1, hlc="1") -> GroupMeta:
    return GroupMeta(rev=rev, by=by, device=device, op_id=None, hlc=hlc)


def result(value: str, **more) -> dict:
    return {"value": value, "measures": {}, "grade": None, "place": "", "reason": "", "responsible": "", **more}


def merge(current, incoming, *, meta=None, mine=None, base_rev=1, name="result", default=Grade.GENERAL) -> Merged:
    """By default another person's phone that has not seen the group's newest revision."""
    meta, mine = meta or source(rev=2), mine or source(by=BO, device=BOS_PHONE, rev=3, hlc="2")
    return rules.merge_group(
        name, current=current, meta=meta, incoming=incoming, mine=mine, base_rev=base_rev, default=default
    )


def test_the_first_word_on_a_group_stands():
    mine = source()
    merged = rules.merge_group(
        "result", current=None, meta=None, incoming=result("ok"), mine=mine, base_rev=None, default=Grade.NONE
    )
    assert merged == Merged(result("ok"), mine)


def test_equal_values_are_no_conflict():
    meta = source(rev=2)
    assert merge(result("fail"), result("fail"), meta=meta) == Merged(result("fail"), meta)


def test_a_patch_that_has_seen_the_group_replaces_it():
    mine = source(by=BO, device=BOS_PHONE, rev=3)
    assert merge(result("fail"), result("ok"), mine=mine, base_rev=2) == Merged(result("ok"), mine)


def test_a_phone_that_has_not_pulled_its_own_last_write_is_not_in_conflict_with_itself():
    mine = source(rev=3)
    assert merge(result("fail"), result("ok"), meta=source(rev=2), mine=mine) == Merged(result("ok"), mine)


def test_two_browsers_are_two_persons_and_one_person_is_not_two():
    meta, other = source(device=None, rev=2), source(by=BO, device=None, rev=3)
    assert merge(result("fail"), result("ok"), meta=meta, mine=other).lost == Lost(result("ok"), other)
    again = source(device=None, rev=3)
    assert merge(result("fail"), result("ok"), meta=meta, mine=again) == Merged(result("ok"), again)


@pytest.mark.parametrize(
    ("earlier", "later"), [("1", "2"), ("2026-03-02T12:00:00.000Z/0001/", "2026-03-02T12:00:00.001Z/0000/")]
)
@pytest.mark.parametrize(("name", "one", "other"), [("result", result("fail"), result("ok")), ("note", "甲", "乙")])
def test_of_one_authors_two_phones_the_later_clock_stands_and_the_other_is_kept(name, one, other, earlier, later):
    meta, mine = source(hlc=earlier, rev=2), source(device=TABLET, hlc=later, rev=3)
    assert merge(one, other, meta=meta, mine=mine, name=name) == Merged(other, mine, Lost(one, meta))
    meta, mine = source(hlc=later, rev=2), source(device=TABLET, hlc=earlier, rev=3)
    assert merge(one, other, meta=meta, mine=mine, name=name) == Merged(one, meta, Lost(other, mine))


@pytest.mark.parametrize(
    ("safer", "other"),
    [
        (safer, other)
        for n, safer in enumerate(["fail", "fixed", "ok", "na", "unchecked"])
        for other in ["fail", "fixed", "ok", "na", "unchecked"][n + 1 :]
    ],
)
def test_of_two_authors_the_safer_result_stands_whoever_was_heard_first(safer, other):
    first = merge(result(safer), result(other))
    second = merge(result(other), result(safer))
    assert first.value == second.value == result(safer)
    assert first.lost.value == second.lost.value == result(other)
    assert (first.lost.meta.by, second.lost.meta.by) == (BO, ANNA)


def test_of_two_authors_the_later_clock_decides_nothing():
    meta, mine = source(rev=2, hlc="1"), source(by=BO, device=BOS_PHONE, rev=3, hlc="9")
    assert merge("甲", "乙", meta=meta, mine=mine, name="note") == Merged("甲", meta, Lost("乙", mine))
    same = merge(result("ok", reason="甲"), result("ok", reason="乙"), meta=meta, mine=mine)
    assert same == Merged(result("ok", reason="甲"), meta, Lost(result("ok", reason="乙"), mine))


def test_a_note_stands_over_none():
    assert merge("", "灭火器过期", name="note").value == "灭火器过期"
    assert merge("灭火器过期", "", name="note").value == "灭火器过期"


@pytest.mark.parametrize(("lower", "higher"), [("general", "serious"), (None, "serious"), ("none", None)])
def test_of_two_equal_results_the_higher_grade_stands_the_checklists_where_none_is_said(lower, higher):
    for first, second in permutations([lower, higher]):
        merged = merge(result("fail", grade=first), result("fail", grade=second))
        assert merged.value["grade"] == higher
        assert merged.lost.value["grade"] == lower


def test_the_higher_grade_stands_with_a_safer_result_of_the_same_place():
    kept, lost = result("fail", grade="general", place="2号灶"), result("fixed", grade="serious", place="2 号灶")
    merged = merge(kept, lost)
    assert merged.value == {**kept, "grade": "serious"}
    assert (merged.meta.by, merged.meta.rev, merged.meta.device) == (ANNA, 3, None)
    assert merged.lost.value == lost
    other_way = merge(lost, kept)
    assert (other_way.value, other_way.meta.by) == ({**kept, "grade": "serious"}, BO)


def test_a_raised_grade_is_news_to_the_phone_whose_word_was_raised():
    raised = merge(result("fail", grade="general"), result("fixed", grade="serious"))
    again = merge(
        raised.value, result("fail", grade="general"), meta=raised.meta, mine=source(rev=4, hlc="0"), base_rev=2
    )
    assert (again.value["grade"], again.lost.value["grade"]) == ("serious", "general")


def test_grades_of_two_places_are_not_mixed():
    kept, lost = result("fail", grade="general", place="2号灶"), result("fixed", grade="serious", place="库房")
    assert merge(kept, lost).value == kept


def test_a_result_that_finds_nothing_raises_no_grade():
    kept, lost = result("fail", grade="general"), result("ok", grade="serious")
    assert merge(kept, lost).value == kept


RESULTS = st.builds(
    result,
    st.sampled_from(sorted(rules.WEIGHT)),
    grade=st.sampled_from([None, "none", "general", "serious", "major_candidate"]),
    place=st.sampled_from(["", "东门", "西门"]),
)


@given(RESULTS, RESULTS)
def test_what_stands_and_what_lost_are_all_that_was_said(one, other):
    merged = merge(one, other)
    if one == other:
        assert (merged.value, merged.lost) == (one, None)
        return
    kept = other if merged.lost.value == one else one
    assert merged.lost.value in (one, other)
    assert {**merged.value, "grade": None} == {**kept, "grade": None}


@given(RESULTS, RESULTS)
def test_the_result_that_stands_does_not_hang_on_who_was_heard_first(one, other):
    first, second = merge(one, other), merge(other, one)
    assert first.value["value"] == second.value["value"]
    if one["place"] == other["place"]:
        grades = [Grade(merged.value["grade"] or "general") for merged in (first, second)]
        assert grades[0] is grades[1] or first.value["value"] not in rules.FOUND


# --- clocks --------------------------------------------------------------------------------------------------------


def clock(hlc: str, **more) -> str:
    return rules.effective_hlc(hlc, **{"said_at": NOON, "received_at": NOON, **more})


def test_a_clock_keeps_its_counter_and_device():
    assert clock("2026-03-01T07:58:02.000Z/0003/5e0c") == "2026-03-01T07:58:02.000Z/0003/5e0c"


def test_clocks_in_other_zones_compare_as_moments():
    assert clock("2026-03-02T19:00:00.000+08:00/0000/a") < clock("2026-03-02T11:30:00.000Z/0000/a")


def test_a_clock_that_runs_ahead_stands_five_minutes_from_now():
    assert clock("2036-01-01T00:00:00Z/0000/a") == "2026-03-02T12:05:00.000Z/0000/a"


@pytest.mark.parametrize("hlc", ["", "nonsense", "/0000/a", "2026-03-01T07:58:02/0000/a"])
def test_a_clock_that_cannot_be_read_stands_at_what_the_phone_said(hlc):
    said_at = NOON - timedelta(hours=2)
    assert clock(hlc, said_at=said_at) == "2026-03-02T10:00:00.000Z/"


# --- a flat client's whole answers ---------------------------------------------------------------------------------


def patch(**groups) -> inputs.AnswerPatch:
    return inputs.AnswerPatch(**groups)


def test_of_a_whole_field_only_what_differs_from_what_was_seen_was_said():
    base = {
        "ST-01": {"result": result("ok"), "note": "甲"},
        "ST-02": {"result": None, "note": ""},
        "ST-03": {"result": result("na", reason="无"), "note": ""},
    }
    answers = {
        "ST-01": patch(result=inputs.Result(value="fail", place="东门"), note="甲"),
        "ST-02": patch(note=""),
        "ST-03": patch(result=inputs.Result(value="na", reason="无"), note="乙"),
        "ST-04": patch(result=inputs.Result(value="ok")),
    }
    assert rules.take_apart(answers, base) == {
        "ST-01": patch(result=inputs.Result(value="fail", place="东门")),
        "ST-03": patch(note="乙"),
        "ST-04": patch(result=inputs.Result(value="ok")),
    }


def test_a_whole_field_equal_to_what_was_seen_says_nothing():
    base = {"ST-11": {"result": {"value": "fail", "measures": {"chilled": [9, 4]}}, "note": ""}}
    answers = {"ST-11": patch(result=inputs.Result(value="fail", measures={"chilled": [9.0, 4.0]}), note="")}
    assert rules.take_apart(answers, base) == {}


def test_what_a_whole_field_leaves_out_is_not_deleted():
    assert rules.take_apart({}, {"ST-01": {"result": result("fail"), "note": "甲"}}) == {}
    assert rules.take_apart({"ST-01": patch()}, {"ST-01": {"result": result("fail"), "note": "甲"}}) == {}


def test_a_cleared_note_was_said():
    assert rules.take_apart({"ST-01": patch(note="")}, {"ST-01": {"note": "甲"}}) == {"ST-01": patch(note="")}
    assert patch(note="").result is UNSET


# --- the record ----------------------------------------------------------------------------------------------------

SIGNED = [
    {"author": "a", "capacity": "inspector"},
    {"author": "b", "capacity": "inspector"},
    {"author": "p", "capacity": "unit", "opinion": "true"},
]


def flags(item=None, said=None, *, photos=(), participants=("a", "b"), signatures=SIGNED) -> list[str]:
    items = {item.code: item} if item else {}
    answers = {item.code: {"result": said}} if said else {}
    return rules.record_flags(items, answers, photos=photos, participants=participants, signatures=signatures)


def test_a_whole_record_has_no_flags():
    assert flags(make_item(photo=Photo.ALWAYS), result("ok"), photos={"ST-01"}) == []


@pytest.mark.parametrize(
    ("photo", "value", "flagged"),
    [
        (Photo.ALWAYS, "ok", True),
        (Photo.ALWAYS, "fail", True),
        (Photo.ALWAYS, "na", False),
        (Photo.ON_FAIL, "ok", False),
        (Photo.ON_FAIL, "fail", True),
        (Photo.OPTIONAL, "fail", False),
        (Photo.OPTIONAL, "fixed", True),
        (Photo.ON_FAIL, "fixed", True),
    ],
)
def test_a_photo_that_is_wanted_and_missing_is_flagged(photo, value, flagged):
    item = make_item(photo=photo)
    said = result(value, reason="无" if value == "na" else "")
    assert flags(item, said) == (["missing-photo:ST-01"] if flagged else [])
    assert flags(item, said, photos={"ST-01"}) == []


def test_a_reason_goes_into_the_record_in_the_place_of_a_photo():
    assert flags(make_item(photo=Photo.ON_FAIL), result("fail", reason="现场断电")) == ["unphotographed:ST-01"]


def test_a_photo_where_none_may_be_taken_is_flagged_and_none_is_asked_for():
    camera = make_item(photo=Photo.BAN, ban_mode=BanMode.CAMERA)
    cover = make_item(photo=Photo.BAN, ban_mode=BanMode.COVER_ONLY)
    assert flags(camera, result("fixed")) == []
    assert flags(camera, result("fail"), photos={"ST-01"}) == ["banned-photo:ST-01"]
    assert flags(cover, result("fail"), photos={"ST-01"}) == []


@pytest.mark.parametrize("said", [result("na"), result("unchecked", reason=" "), None])
def test_what_was_not_checked_wants_a_reason(said):
    assert flags(make_item(), said) == ["missing-reason:ST-01"]


def test_a_pass_over_a_reading_out_of_bounds_is_flagged():
    item = make_item(measures=(CHILLED,))
    assert flags(item, result("ok", measures={"chilled": 11.5})) == ["reading-out-of-bounds:ST-01"]
    assert flags(item, result("ok", measures={"chilled": 4})) == []
    assert flags(item, result("fail", measures={"chilled": 11.5})) == []


def test_hands_that_are_missing_are_flagged():
    assert flags(participants=["a"]) == ["missing-second-inspector"]
    assert flags(participants=["a"], signatures=[]) == [
        "missing-second-inspector",
        "missing-inspector-signature",
        "missing-unit-signature",
    ]
    assert flags(signatures=SIGNED[1:]) == ["missing-inspector-signature"]
    assert flags(signatures=SIGNED[:2]) == ["missing-unit-signature"]


def test_a_refusal_stands_for_the_units_signature():
    assert flags(signatures=[*SIGNED[:2], {"capacity": "unit", "opinion": "refused"}]) == []


def test_a_summary_counts_every_item_once():
    items = {code: make_item(code) for code in ("ST-01", "ST-02", "ST-03", "ST-04")}
    answers = {"ST-01": {"result": result("fail")}, "ST-02": {"result": result("ok")}, "ST-03": {"result": None}}
    assert rules.summary(items, answers) == {"items": 4, "fail": 1, "fixed": 0, "ok": 1, "na": 0, "unchecked": 2}
