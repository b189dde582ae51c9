"""Two phones, one visit: answers merge by group, the safer result stands, and what lost stays visible."""

import hashlib
import json
import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from inspections.models import Conflict, Finding, Inspection, Photo, RectificationItem, Statement, Submission
from safety.backups import begin_epoch
from safety.changes import clock_state
from safety.ids import new_id, visit_id
from safety.models import Alert, Audience, Change, Index
from tests.makers import make_checklist, make_person, make_task
from tests.sync.phone import Phone

pytestmark = pytest.mark.django_db


@pytest.fixture
def visit(town):
    """A visit that two inspectors hold on their phones at revision 1."""
    one, other = Phone(town.inspector), Phone(town.colleague)
    said = {
        "site_id": town.canteen.id,
        "template_version_id": town.checklist.id,
        "started_at": timezone.now(),
        "participants": [town.colleague.id],
        "join_sha256": hashlib.sha256(b"qr-secret-1").hexdigest(),
    }
    doc_id = one.op("inspections", "create", said)
    one.send()
    return SimpleNamespace(id=doc_id, one=one, other=other, row=lambda: Inspection.objects.get(pk=doc_id))


def patch(phone, visit, code, *, base_rev=1, note=None, **result):
    answer = {}
    if result:
        answer["result"] = {"place": "", "reason": "", **result}
    if note is not None:
        answer["note"] = note
    phone.op("inspections", "patch", {"answers": {code: answer}}, doc_id=visit.id, base_rev=base_rev)
    return phone.send()[0]


def head(phone, visit, *, base_rev=1, base=None, **header):
    more = {} if base is None else {"base": {"header": base}}
    phone.op("inspections", "patch", {"header": header}, doc_id=visit.id, base_rev=base_rev, **more)
    return phone.send()[0]


def submit(phone, visit, answers, participants):
    snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
    said = {
        "snapshot": snapshot,
        "participants": [str(each.id) for each in participants],
        "finished_at": timezone.now(),
    }
    phone.op("inspections", "submit", said, doc_id=visit.id)
    return phone.send()[0]


def test_answers_to_different_items_both_stand(visit):
    assert patch(visit.one, visit, "ST-11", value="ok")["status"] == "applied"
    assert patch(visit.other, visit, "ST-15", value="fail")["status"] == "applied"
    answers = visit.row().answers
    assert (answers["ST-11"]["result"]["value"], answers["ST-15"]["result"]["value"]) == ("ok", "fail")
    assert answers["ST-11"]["by"] != answers["ST-15"]["by"]


def test_members_of_the_header_merge_as_groups_of_their_own_also_where_a_phone_sends_it_whole(visit):
    head(visit.one, visit, weather="晴", base={})
    assert (
        head(visit.other, visit, base={"weather": "", "summary": ""}, weather="", summary="整洁")["status"] == "applied"
    )
    assert visit.row().header == {"weather": "晴", "summary": "整洁"}
    assert not Conflict.objects.exists()


def test_two_inspectors_words_in_one_member_of_the_header_are_both_shown(visit):
    head(visit.one, visit, summary="整洁")
    result = head(visit.other, visit, summary="地面有水")
    conflict = Conflict.objects.get()
    assert (result["status"], result["conflicts"][0]["field"]) == ("merged", "header.summary")
    assert (visit.row().header["summary"], conflict.kept, conflict.lost) == ("整洁", "整洁", "地面有水")
    visit.one.op("conflicts", "resolve", {"pick": "lost"}, doc_id=conflict.id)
    assert visit.one.send()[0]["status"] == "applied"
    assert visit.row().header == {"summary": "地面有水"}


def test_header_that_its_writer_thinks_over_is_no_conflict_nor_one_that_was_seen(visit):
    head(visit.one, visit, summary="整洁")
    head(visit.one, visit, summary="比较整洁")
    assert head(visit.other, visit, base_rev=3, summary="地面有水")["status"] == "applied"
    assert not Conflict.objects.exists()


def test_header_of_the_first_contact_is_somebodys_as_well(town):
    one, other = Phone(town.inspector), Phone(town.colleague)
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    doc_id = one.op("inspections", "create", said | {"participants": [town.colleague.id], "header": {"weather": "晴"}})
    one.send()
    other.op("inspections", "patch", {"header": {"weather": "雨"}}, doc_id=doc_id, base_rev=0)
    assert other.send()[0]["status"] == "merged"
    assert (Conflict.objects.get().kept, Conflict.objects.get().lost) == ("晴", "雨")


def test_what_was_said_after_a_conflict_does_not_vanish_when_the_lost_value_is_picked(visit):
    patch(visit.one, visit, "ST-11", note="甲")
    patch(visit.other, visit, "ST-11", note="乙")
    patch(visit.one, visit, "ST-11", note="后来写的", base_rev=visit.row().rev)
    conflict = Conflict.objects.get()
    visit.other.op("conflicts", "resolve", {"pick": "lost"}, doc_id=conflict.id)
    visit.other.send()
    assert visit.row().answers["ST-11"]["note"] == "乙"
    assert Conflict.objects.exclude(pk=conflict.pk).get().lost == "后来写的"


def test_result_and_note_of_one_item_merge_as_groups_of_their_own(visit):
    patch(visit.one, visit, "ST-11", value="ok")
    assert patch(visit.other, visit, "ST-11", note="温度计旧了")["status"] == "applied"
    answer = visit.row().answers["ST-11"]
    assert (answer["result"]["value"], answer["note"]) == ("ok", "温度计旧了")


@pytest.mark.parametrize(("first", "second"), [("ok", "fail"), ("fail", "ok")])
def test_safer_result_stands_and_the_other_is_shown(visit, first, second):
    patch(visit.one, visit, "ST-11", value=first)
    result = patch(visit.other, visit, "ST-11", value=second)
    conflict = Conflict.objects.get()
    assert (result["status"], len(result["conflicts"])) == ("merged", 1)
    assert visit.row().answers["ST-11"]["result"]["value"] == "fail"
    assert (conflict.kept["value"], conflict.lost["value"]) == ("fail", "ok")


def test_revision_of_an_ended_epoch_is_not_taken_as_seen_beyond_the_backup(visit):
    old = clock_state().epoch
    begin_epoch(now=timezone.now())
    patch(visit.one, visit, "ST-11", note="恢复后写的")
    note = {"answers": {"ST-11": {"note": "恢复前看着另一版写的"}}}
    visit.other.op("inspections", "patch", note, doc_id=visit.id, base_rev=2)
    (result,) = visit.other.send(epoch=old)
    assert result["status"] == "merged"
    assert (Conflict.objects.get().kept, Conflict.objects.get().lost) == ("恢复后写的", "恢复前看着另一版写的")


def test_what_somebody_was_told_of_is_there_again_when_its_correction_is_offered_with_it(visit, town):
    """In the lost history the two came in two pushes: the desk was told, and the school may have said its own of it."""
    old = clock_state().epoch
    begin_epoch(now=timezone.now())
    for value in ("fail", "ok"):
        result = {"value": value, "place": "冷库", "reason": "", "grade": "major_candidate"}
        visit.one.op("inspections", "patch", {"answers": {"ST-11": {"result": result}}}, doc_id=visit.id, base_rev=1)
    results = visit.one.send(epoch=old)
    assert [result["status"] for result in results] == ["applied", "applied"]
    assert Alert.objects.get().subject_id == RectificationItem.objects.get().id
    assert Statement.objects.get().kind == "withdrawals"
    assert visit.row().answers["ST-11"]["result"]["value"] == "ok"


@pytest.mark.parametrize("epoch", ["old", "new"])
def test_what_was_seen_and_is_in_the_backup_may_be_overwritten_from_either_epoch(visit, epoch):
    patch(visit.one, visit, "ST-11", note="备份里有")
    epochs = {"old": clock_state().epoch}
    begin_epoch(now=timezone.now())
    epochs["new"] = clock_state().epoch
    visit.other.op("inspections", "patch", {"answers": {"ST-11": {"note": "改过"}}}, doc_id=visit.id, base_rev=2)
    (result,) = visit.other.send(epoch=epochs[epoch])
    assert (result["status"], visit.row().answers["ST-11"]["note"]) == ("applied", "改过")


def test_equal_answers_are_no_conflict(visit):
    patch(visit.one, visit, "ST-11", value="ok")
    assert patch(visit.other, visit, "ST-11", value="ok")["status"] == "applied"
    assert not Conflict.objects.exists()


def test_phone_does_not_conflict_with_its_own_earlier_word(visit):
    patch(visit.one, visit, "ST-11", value="fail")
    assert patch(visit.one, visit, "ST-11", value="ok", base_rev=1)["status"] == "applied"
    assert visit.row().answers["ST-11"]["result"]["value"] == "ok"


def test_later_clock_stands_between_two_phones_of_one_inspector(town, visit):
    tablet, now = Phone(town.inspector), timezone.now()
    for phone, value, told in ((tablet, "ok", now), (visit.one, "fail", now - timedelta(hours=1))):
        said = {"answers": {"ST-11": {"result": {"value": value}}}}
        phone.op("inspections", "patch", said, doc_id=visit.id, base_rev=1, hlc=f"{told.isoformat()}/0000/x")
        phone.send()
    assert visit.row().answers["ST-11"]["result"]["value"] == "ok"


def test_visit_goes_on_after_two_phones_named_different_weather(visit):
    for phone, weather in ((visit.one, "晴"), (visit.other, "雨")):
        phone.op("inspections", "patch", {"header": {"weather": weather}}, doc_id=visit.id, base_rev=1)
        phone.send()
    assert Conflict.objects.get().group == "header.weather"
    assert patch(visit.one, visit, "ST-11", base_rev=3, value="ok")["status"] == "applied"


def test_participant_picks_the_value_that_had_lost(visit):
    patch(visit.one, visit, "ST-11", value="ok")
    patch(visit.other, visit, "ST-11", value="fail")
    conflict = Conflict.objects.get()
    visit.one.op("conflicts", "resolve", {"pick": "lost"}, doc_id=conflict.id)
    assert visit.one.send()[0]["status"] == "applied"
    assert visit.row().answers["ST-11"]["result"]["value"] == "ok"


def test_two_places_of_one_item_are_two_findings(town, visit):
    patch(visit.one, visit, "ST-21", value="fail", place="灶间")
    patch(visit.other, visit, "ST-21", value="fail", place="气瓶间")
    assert set(RectificationItem.objects.values_list("place", flat=True)) == {"灶间", "气瓶间"}
    assert Alert.objects.count() == 2


def test_flat_client_that_sends_all_answers_says_only_what_it_changed(visit):
    patch(visit.one, visit, "ST-11", value="fail")
    base = {"answers": {"ST-11": {"result": None, "note": ""}, "ST-15": {"result": None, "note": ""}}}
    whole = {"answers": {"ST-11": {"note": ""}, "ST-15": {"result": {"value": "ok"}, "note": ""}}}
    visit.other.op("inspections", "patch", whole, doc_id=visit.id, base_rev=1, base=base)
    assert visit.other.send()[0]["status"] == "applied"
    assert visit.row().answers["ST-11"]["result"]["value"] == "fail"


def test_submit_is_whole_without_its_patches(town, visit):
    answers = {"ST-11": {"result": {"value": "fail", "place": "冷库"}}, "ST-15": {"result": {"value": "ok"}}}
    assert submit(visit.one, visit, answers, [town.inspector, town.colleague])["status"] == "applied"
    row = visit.row()
    snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
    assert row.snapshot_sha256 == hashlib.sha256(snapshot.encode()).hexdigest()
    assert RectificationItem.objects.get().place == "冷库"
    assert row.answers["ST-15"]["result"]["value"] == "ok"


def test_submit_is_accepted_and_flagged_when_photo_signature_and_reason_are_missing(town, visit):
    answers = {"ST-15": {"result": {"value": "ok"}}, "ST-11": {"result": {"value": "na"}}}
    assert submit(visit.one, visit, answers, [town.inspector, town.colleague])["status"] == "applied"
    flags = visit.row().flags
    assert {"missing-photo:ST-15", "missing-reason:ST-11", "missing-unit-signature"} <= set(flags)
    assert "missing-second-inspector" not in flags


def test_submit_opens_the_visit_and_its_photos_to_the_school(town, visit):
    said = {"subject_collection": "inspections", "subject_id": visit.id, "sha256": "cd" * 32, "size_bytes": 5}
    visit.one.op("photos", "create", said | {"item_code": "ST-15"})
    visit.one.op("photos", "create", said | {"item_code": "ST-05", "sha256": "ce" * 32})
    visit.one.send()
    assert set(Photo.objects.values_list("audience", flat=True)) == {"bureau"}
    submit(visit.one, visit, {}, [town.inspector])
    assert visit.row().audience == Audience.SHARED
    assert dict(Photo.objects.values_list("item_code", "audience")) == {"ST-15": "shared", "ST-05": "bureau"}
    assert set(Index.objects.filter(doc_id=visit.id).values_list("audience", flat=True)) == {"shared"}


def sign(phone, visit, capacity="inspector"):
    doc_id = phone.op("signatures", "create", {"inspection_id": visit.id, "capacity": capacity})
    phone.send()
    return doc_id


def test_signatures_before_and_after_the_submit_count_whatever_batch_they_came_in(town, visit):
    hand = sign(visit.other, visit)
    sign(visit.one, visit)
    submit(visit.one, visit, {}, [town.inspector, town.colleague])
    flags = visit.row().flags
    assert ("missing-inspector-signature" in flags, "missing-unit-signature" in flags) == (False, True)
    assert Statement.objects.get(pk=hand).audience == Audience.SHARED
    before = visit.row().rev
    sign(Phone(town.principal), visit, "unit")
    assert ("missing-unit-signature" in visit.row().flags, visit.row().rev) == (False, before + 1)
    assert Change.objects.filter(doc_id=visit.id, kind="inspection.supplemented").count() == 1


def test_photo_after_the_submit_is_missing_no_more(town, visit):
    submit(visit.one, visit, {"ST-15": {"result": {"value": "ok"}}}, [town.inspector])
    assert "missing-photo:ST-15" in visit.row().flags
    said = {"subject_collection": "inspections", "subject_id": visit.id, "sha256": "cd" * 32, "size_bytes": 5}
    visit.one.op("photos", "create", said | {"item_code": "ST-15"})
    visit.one.send()
    assert "missing-photo:ST-15" not in visit.row().flags


def test_place_that_lost_an_earlier_merge_is_a_finding_at_submit(town, visit):
    patch(visit.one, visit, "ST-11", value="fail", place="冷库")
    patch(visit.other, visit, "ST-11", value="fail", place="冰柜")
    submit(visit.one, visit, {}, [town.inspector, town.colleague])
    assert set(RectificationItem.objects.values_list("place", flat=True)) == {"冷库", "冰柜"}
    assert Conflict.objects.get().audience == Audience.SHARED


def test_place_that_lost_a_merge_attaches_to_what_is_open_there_from_another_visit(town, visit):
    for place in ("冷库", "冰柜"):
        found = {"site_id": town.canteen.id, "text": "结霜", "item_code": "ST-11", "place": place}
        visit.one.op("quick_hazards", "create", found)
    visit.one.send()
    patch(visit.one, visit, "ST-11", value="fail", place="冷库")
    patch(visit.other, visit, "ST-11", value="fail", place="冰柜")
    assert submit(visit.one, visit, {}, [town.inspector, town.colleague])["status"] == "applied"
    assert (RectificationItem.objects.count(), Finding.objects.count()) == (2, 4)


def test_finding_at_the_place_that_lost_a_merge_is_not_taken_for_a_correction(town, visit):
    patch(visit.one, visit, "ST-21", value="fail", place="灶间")
    patch(visit.other, visit, "ST-21", value="fail", place="气瓶间")
    patch(visit.one, visit, "ST-11", value="ok", base_rev=visit.row().rev)
    assert not Statement.objects.filter(kind="withdrawals").exists()


def test_same_submit_again_is_the_same_and_another_one_is_kept_beside_it(town, visit):
    first = submit(visit.one, visit, {}, [town.inspector])
    again = submit(visit.other, visit, {}, [town.inspector])
    other = submit(visit.other, visit, {"ST-11": {"result": {"value": "ok"}}}, [town.inspector])
    assert (first["status"], again["status"], other["status"]) == ("applied", "applied", "superseded")
    assert (other["problem"]["code"], Submission.objects.get().kind) == ("already-submitted", "alternative")


def test_late_answer_to_an_open_item_joins_and_to_a_signed_one_is_kept_beside(town, visit):
    submit(visit.one, visit, {"ST-11": {"result": {"value": "ok"}}}, [town.inspector, town.colleague])
    late = patch(visit.other, visit, "ST-15", value="fail", place="留样柜")
    frozen = patch(visit.other, visit, "ST-11", value="fail")
    assert (late["status"], frozen["status"], frozen["problem"]["code"]) == ("applied", "superseded", "frozen")
    answers = visit.row().answers
    assert (answers["ST-15"]["late"], answers["ST-11"]["result"]["value"]) == (True, "ok")
    assert (RectificationItem.objects.get().item_code, Submission.objects.get().kind) == ("ST-15", "late")


def test_colleague_joins_by_the_secret_and_a_wrong_one_waits_as_an_unknown_visit_does(town, visit):
    patch(visit.one, visit, "ST-15", value="ok")
    patch(visit.other, visit, "ST-15", value="na")
    third = make_person(role="inspector", at=town.neighbour)
    phone = Phone(third)
    phone.op("inspections", "join", {"secret": "qr-secret-2"}, doc_id=visit.id)
    phone.op("inspections", "join", {"secret": "qr-secret-1"}, doc_id=new_id())
    wrong, unknown = phone.send()
    assert (wrong["status"], unknown["status"]) == ("deferred", "deferred")
    phone.op("inspections", "join", {"secret": "qr-secret-1"}, doc_id=visit.id)
    result = phone.send()[0]
    assert (result["status"], str(third.id) in visit.row().participants) == ("applied", True)
    readable = Index.objects.filter(audience="person", key=third.id).values_list("collection", flat=True)
    assert {"inspections", "sites", "organisations", "conflicts"} <= set(readable)
    assert patch(phone, visit, "ST-11", value="ok")["status"] == "applied"


def test_colleague_from_elsewhere_tells_a_hazard_within_the_visit_and_not_beside_it(town, visit):
    phone = Phone(make_person(role="inspector", at=town.neighbour))
    phone.op("inspections", "join", {"secret": "qr-secret-1"}, doc_id=visit.id)
    said = {"site_id": town.canteen.id, "text": "灯罩松动"}
    phone.op("quick_hazards", "create", said | {"inspection_id": visit.id})
    phone.op("quick_hazards", "create", said)
    results = phone.send()
    assert [result["status"] for result in results] == ["applied", "applied", "rejected"]
    assert results[2]["problem"]["code"] == "not-allowed"


def test_second_assignee_who_starts_the_same_task_takes_part_though_nothing_was_filled_in(town):
    task = make_task(site=town.canteen, checklist=town.checklist, assignees=[town.inspector, town.colleague])
    said = {
        "site_id": town.canteen.id,
        "template_version_id": town.checklist.id,
        "started_at": timezone.now(),
        "task_id": task.id,
    }
    for phone in (Phone(town.inspector), Phone(town.colleague)):
        phone.op("inspections", "create", said, doc_id=visit_id(task.id))
        assert phone.send()[0]["status"] == "applied"
    assert Inspection.objects.get(pk=visit_id(task.id)).participants == sorted(task.assignees)


def test_visit_that_could_not_happen_ends_with_its_reason(visit):
    visit.one.op("inspections", "void", {"cause": "closed"}, doc_id=visit.id)
    assert visit.one.send()[0]["status"] == "applied"
    assert (visit.row().state, visit.row().void_reason) == ("void", "未开门")
    assert patch(visit.other, visit, "ST-11", value="ok")["status"] == "superseded"


def test_corrected_answer_only_proposes_a_withdrawal_once_somebody_was_told(visit):
    patch(visit.one, visit, "ST-21", value="fail", place="灶间")
    patch(visit.one, visit, "ST-21", value="ok", base_rev=2)
    item, proposal = RectificationItem.objects.get(), Statement.objects.get()
    assert (item.state, proposal.kind, proposal.item_id) == ("registered", "withdrawals", item.id)


def test_fixed_after_fail_is_no_correction(visit):
    patch(visit.one, visit, "ST-21", value="fail", place="灶间")
    patch(visit.one, visit, "ST-21", value="fixed", place="灶间", base_rev=2)
    assert (Finding.objects.count(), Statement.objects.exists(), RectificationItem.objects.count()) == (2, False, 1)


def test_same_place_found_again_attaches_to_the_open_item_and_wakes_nobody_twice(town, visit):
    patch(visit.one, visit, "ST-21", value="fail", place="灶 间")
    said = {
        "site_id": town.canteen.id,
        "text": "又响了",
        "grade": "major_candidate",
        "item_code": "ST-21",
        "place": "灶间",
    }
    visit.one.op("quick_hazards", "create", said)
    visit.one.send()
    assert (RectificationItem.objects.count(), Finding.objects.count()) == (1, 2)
    assert Alert.objects.get().occurrences == 2


def test_place_found_again_by_a_later_word_of_a_new_visit_attaches_without_a_second_try(town, visit, caplog):
    patch(visit.one, visit, "ST-21", value="fail", place="冷库 1")
    said = {
        "site_id": town.canteen.id,
        "template_version_id": town.checklist.id,
        "started_at": timezone.now(),
    }
    again = visit.one.op("inspections", "create", said)
    answer = {"result": {"value": "fail", "place": "冷库1"}}
    visit.one.op("inspections", "patch", {"answers": {"ST-21": answer}}, doc_id=again)
    with caplog.at_level(logging.INFO, logger="sync.push"):
        assert {result["status"] for result in visit.one.send()} == {"applied"}
    assert RectificationItem.objects.get().findings.count() == 2
    assert "push.again" not in caplog.text


def test_blank_place_never_attaches_by_itself_and_suggests_the_older(town, visit):
    said = {"site_id": town.canteen.id, "text": "地面湿滑", "item_code": "ST-10"}
    for _ in range(2):
        visit.one.op("quick_hazards", "create", said)
        visit.one.send()
    newer = RectificationItem.objects.get(suggests__isnull=False)
    assert newer.suggests_id == RectificationItem.objects.exclude(id=newer.id).get().id


def test_words_on_an_incident_item_go_where_only_named_persons_read(town, visit):
    patch(visit.one, visit, "WS-04", value="fail", note="三班四名学生发热", reason="迟报")
    item, alert = RectificationItem.objects.get(), Alert.objects.get()
    assert visit.row().answers["WS-04"]["note"] == ""
    assert (item.audience, "发热" in item.text, "发热" in alert.sentence) == (Audience.RESTRICTED, True, False)
    readers = set(Index.objects.filter(doc_id=item.id).values_list("audience", "key"))
    assert readers == {("restricted", person.id) for person in (town.inspector, town.colleague, town.approver)}


def test_restricted_checklist_makes_a_restricted_visit(town):
    secret = make_checklist(audience="restricted", named=(town.inspector,))
    phone, other = Phone(town.inspector), Phone(town.colleague)
    said = {"site_id": town.canteen.id, "template_version_id": secret.id, "started_at": timezone.now()}
    visit = phone.op("inspections", "create", said)
    phone.op("inspections", "patch", {"answers": {"ST-21": {"result": {"value": "fail"}}}}, doc_id=visit)
    assert [result["status"] for result in phone.send()] == ["applied", "applied"]
    other.op("inspections", "create", said)
    assert other.send()[0]["status"] == "deferred"
    assert set(Index.objects.filter(doc_id=visit).values_list("audience", flat=True)) == {"restricted"}
    assert RectificationItem.objects.get().audience == "restricted"


def test_photo_of_a_banned_item_is_refused_and_its_hash_kept_in_the_verdict(visit):
    said = {"subject_collection": "inspections", "subject_id": visit.id, "sha256": "cd" * 32, "size_bytes": 5}
    visit.one.op("photos", "create", said | {"item_code": "SS-11"})
    result = visit.one.send()[0]
    assert (result["status"], result["problem"]["code"], result["problem"]["sha256"]) == (
        "rejected",
        "photo-banned",
        "cd" * 32,
    )
    assert not Photo.objects.exists()
