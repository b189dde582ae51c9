"""Visits at both doors: every verb of theirs, what a flat client sends, deleting, and words that only some may read."""

import hashlib
import json
from uuid import UUID

import msgspec
import pytest
from django.utils import timezone

from inspections.models import (
    Conflict,
    Finding,
    Inspection,
    Photo,
    QuickHazard,
    RectificationItem,
    Statement,
    Submission,
)
from inspections.reading import COLLECTIONS
from inspections.rules import FLAG_WORDS, flag_words
from safety.changes import unit
from safety.ids import new_id
from safety.models import Alert, Change, Index
from tests.inspections.doors import DOORS, HEARD, ByPhone, ByWeb, Cure
from tests.makers import make_checklist, make_person

pytestmark = pytest.mark.django_db
SECRET = "qr-secret-1"


@pytest.fixture(params=sorted(DOORS))
def door(request):
    return DOORS[request.param]()


class Visit:
    """A draft visit that two inspectors have on their phones at revision 1."""

    def __init__(self, town, *, door=None, **more):
        self.town, self.door, self.phones = town, door or ByPhone(), ByPhone()
        said = {
            "site_id": town.canteen.id,
            "template_version_id": town.checklist.id,
            "started_at": timezone.now(),
            "participants": [town.colleague.id],
            "join_sha256": hashlib.sha256(SECRET.encode()).hexdigest(),
        }
        self.created = self.door.say(town.inspector, "inspections.create", {**said, **more})
        self.id = self.created.doc_id

    @property
    def row(self) -> Inspection:
        return Inspection.objects.get(pk=self.id)

    @property
    def wire(self) -> dict:
        return msgspec.json.decode(bytes(Index.objects.filter(doc_id=self.id).first().wire))

    def say(self, person, kind, said, **more):
        return self.door.say(person, f"inspections.{kind}", said, doc_id=self.id, **more)

    def patch(self, person, answers, **more):
        return self.say(person, "patch", {"answers": answers}, **more)

    def submit(self, person, answers, *, participants=None, **more):
        snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
        named = [each.id for each in participants or (self.town.inspector, self.town.colleague)]
        said = {"snapshot": snapshot, "participants": named, "finished_at": timezone.now(), **more}
        return self.say(person, "submit", said)

    def photo(self, person, code, sha256, **more):
        said = {"subject_collection": "inspections", "subject_id": self.id, "size_bytes": 9, "item_code": code}
        return self.phones.say(person, "photos.create", {**said, "sha256": sha256, **more})


def result(value, **more):
    return {"result": {"value": value, **more}}


DONE = {"phone": "applied", "web": 200}
REFUSED = {403: "rejected", 404: "deferred", 409: "rejected", 422: "rejected"}


def refused(door, status: int) -> str | int:
    return status if door.name == "web" else REFUSED[status]


def test_every_verb_of_a_visit_is_heard_at_both_doors(town, door):
    visit = Visit(town, door=door)
    assert visit.created.status == HEARD[door.name]
    assert visit.patch(town.inspector, {"ST-11": result("ok")}).status == DONE[door.name]
    ours = visit.patch(town.colleague, {"ST-11": result("fail", place="冷库")}, base_rev=1)
    assert (ours.status, visit.row.answers["ST-11"]["result"]["value"]) == (
        {"phone": "merged", "web": 200}[door.name],
        "fail",
    )
    conflict = Conflict.objects.get()
    picked = door.say(town.inspector, "conflicts.resolve", {"pick": "kept"}, doc_id=conflict.id)
    assert (picked.status, picked.doc["pick"]) == (DONE[door.name], "kept")
    third = make_person(role="inspector", at=town.neighbour)
    assert visit.say(third, "join", {"secret": SECRET}).status == DONE[door.name]
    assert visit.submit(town.inspector, {}).status == DONE[door.name]
    amendment = {"inspection_id": visit.id, "kind": "amendment", "content": '{"ST-15":"补"}', "reason": "漏填"}
    assert door.say(town.colleague, "submissions.create", amendment).status == HEARD[door.name]
    other = Visit(town, door=door)
    assert other.say(town.inspector, "void", {"cause": "closed"}).status == DONE[door.name]
    assert (visit.row.state, other.row.state) == ("submitted", "void")


@pytest.mark.parametrize("kind", ["patch", "submit", "void", "join"])
def test_stranger_and_unknown_visit_are_answered_alike(town, door, kind):
    visit, before = Visit(town), Change.objects.count()
    said = {
        "patch": {"answers": {"ST-11": result("ok")}},
        "submit": {"snapshot": '{"answers":{}}', "participants": [], "finished_at": timezone.now()},
        "void": {"cause": "other"},
        "join": {"secret": "qr-secret-0"},
    }[kind]
    for stranger in (town.stranger, town.principal):
        known = door.say(stranger, f"inspections.{kind}", said, doc_id=visit.id)
        unknown = door.say(stranger, f"inspections.{kind}", said)
        assert known.status == refused(door, 404)
        assert (known.code, known.doc, known.detail) == (unknown.code, unknown.doc, unknown.detail)
    assert Change.objects.count() == before


def test_late_answer_to_a_signed_item_is_refused_at_the_web_and_kept_from_a_phone(town, door):
    visit = Visit(town, door=door)
    visit.submit(town.inspector, {"ST-11": result("ok")})
    answer = visit.patch(town.colleague, {"ST-11": result("fail")}, base_rev=1)
    assert answer.code == "frozen"
    assert Submission.objects.count() == (1 if door.name == "phone" else 0)


def test_header_that_comes_after_the_submit_is_kept_beside_it(town, door):
    visit = Visit(town, door=door, header={"weather": "晴"})
    visit.submit(town.inspector, {"ST-11": result("ok")})
    late = visit.say(town.colleague, "patch", {"header": {"weather": "雨"}, "answers": {"ST-15": result("ok")}})
    assert visit.row.header == {"weather": "晴"}
    assert late.status == DONE[door.name]
    assert ("雨" in Submission.objects.get().content, visit.row.answers["ST-15"]["late"]) == (True, True)


def test_what_only_repeats_the_submitted_record_says_nothing(town, door):
    visit = Visit(town, door=door, header={"weather": "晴"})
    visit.submit(town.inspector, {"ST-11": result("ok")})
    before = visit.row.rev
    again = {"header": {"weather": "晴"}, "answers": visit.wire["answers"]}
    for said in (again, {}):
        assert visit.say(town.colleague, "patch", said).status == DONE[door.name]
    assert (visit.row.rev, Submission.objects.count()) == (before, 0)


def test_refused_saying_leaves_nothing_for_the_next_one_of_its_batch(town):
    phone = ByPhone().of(town.inspector)
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    visit = phone.op("inspections", "create", said | {"answers": {"XX-99": result("ok")}})
    phone.op("inspections", "patch", {"answers": {"ST-11": result("ok")}}, doc_id=visit)
    first, second = phone.send()
    assert (first["status"], first["problem"]["errors"][0]["field"]) == ("rejected", "answers.XX-99")
    assert (second["status"], Inspection.objects.count()) == ("deferred", 0)


def test_draft_of_a_checklist_is_nobodys_to_inspect_by(town):
    version = make_checklist()
    with unit(actor=None, source="test") as work:
        work.lock({version.chain_id})
        version.state, version.published_at = version.DRAFT, None
        work.say(version, "template.drafted", body=work.body(b"{}"), urgency=None)
    assert Visit(town, template_version_id=version.id).created.status == "deferred"


# A flat client sends the whole `answers` field back as the wire shows it


def test_flat_client_sends_the_wire_back_and_has_said_only_what_it_changed(town, door):
    visit = Visit(town, door=door)
    visit.patch(town.colleague, {"ST-11": result("fail", place="冷库"), "ST-21": {"note": "再看"}})
    seen = visit.wire["answers"]
    assert seen["ST-21"]["result"] is None
    visit.patch(town.colleague, {"ST-11": {"note": "十一度"}}, base_rev=2)
    mine = {**seen, "ST-15": {"result": {"value": "ok"}, "note": ""}, "ST-21": {**seen["ST-21"], "note": "已看"}}
    answer = visit.patch(town.inspector, mine, base={"answers": seen}, base_rev=2)
    assert (answer.status, Conflict.objects.exists()) == (DONE[door.name], False)
    answers = visit.row.answers
    assert (answers["ST-11"]["note"], answers["ST-11"]["by"]) == ("十一度", str(town.colleague.id))
    assert answers["ST-15"]["result"]["value"] == "ok"
    assert (answers["ST-21"]["note"], answers["ST-21"]["note_by"]) == ("已看", str(town.inspector.id))


def test_flat_client_whose_answers_have_not_changed_says_nothing(town, door):
    visit = Visit(town, door=door)
    visit.patch(town.colleague, {"ST-11": result("fail", measures={"fridge": 9}), "ST-21": {"note": "再看"}})
    seen, before = visit.wire["answers"], visit.row.rev
    visit.patch(town.inspector, seen, base={"answers": seen}, base_rev=2)
    visit.patch(town.inspector, seen, base_rev=2)
    assert visit.row.rev == before


def test_flat_client_sends_late_answers_back_as_they_are_shown(town):
    visit = Visit(town)
    visit.submit(town.inspector, {"ST-11": result("ok")})
    visit.patch(town.colleague, {"ST-15": result("fail", place="留样柜")})
    seen = visit.wire["answers"]
    assert seen["ST-15"]["late"] is True
    mine = {**seen, "ST-21": {"result": {"value": "ok"}, "note": "", "by": None}}
    assert visit.patch(town.colleague, mine, base={"answers": seen}).status == "applied"
    assert visit.row.answers["ST-21"]["late"] is True


def test_snapshot_may_show_answers_as_the_wire_does(town, door):
    visit = Visit(town, door=door)
    visit.patch(town.inspector, {"ST-11": result("ok"), "ST-21": {"note": "再看"}})
    assert visit.submit(town.inspector, visit.wire["answers"]).status == DONE[door.name]
    assert visit.row.answers["ST-11"]["result"]["value"] == "ok"


@pytest.mark.parametrize("base", [{"answers": []}, {"answers": {"ST-11": "?"}}, {}, {"header": {}}])
def test_base_that_is_none_of_ours_is_passed_over(town, base):
    visit = Visit(town)
    assert visit.patch(town.inspector, {"ST-11": result("ok")}, base=base).status == "applied"
    assert visit.row.answers["ST-11"]["result"]["value"] == "ok"


# Deleting


def test_maker_of_a_draft_deletes_it_and_it_is_kept_as_void(town, door):
    visit = Visit(town, door=door)
    answer = visit.say(town.inspector, "delete", {})
    assert (answer.status, answer.doc["state"], answer.doc["void_reason"]) == (DONE[door.name], "void", "由检查人删除")
    before = visit.row.rev
    assert visit.say(town.inspector, "delete", {}).status == DONE[door.name]
    assert visit.row.rev == before


def test_deleting_what_is_unknown_is_done_and_a_strangers_is_answered_alike(town, door):
    visit, before = Visit(town), Change.objects.count()
    for person in (town.stranger, town.principal):
        known = door.say(person, "inspections.delete", {}, doc_id=visit.id)
        unknown = door.say(person, "inspections.delete", {})
        assert known.status == {"phone": "applied", "web": 404}[door.name]
        assert (known.doc, known.code, known.detail) == (unknown.doc, unknown.code, unknown.detail)
    assert (visit.row.state, Change.objects.count()) == ("draft", before)


def test_colleague_does_not_delete_what_another_made(town, door):
    visit = Visit(town, door=door)
    answer = visit.say(town.colleague, "delete", {})
    assert (answer.status, answer.code) == (refused(door, 403), "not-the-creator")
    outsider = make_person(role="inspector", at=town.school)
    assert visit.say(outsider, "delete", {}).code == "not-a-participant"


def test_what_is_submitted_or_has_told_somebody_is_not_deleted(town, door):
    submitted, told = Visit(town, door=door), Visit(town, door=door)
    submitted.submit(town.inspector, {})
    told.patch(town.inspector, {"ST-21": result("fail", place="灶间")})
    for visit, code in ((submitted, "already-submitted"), (told, "has-findings")):
        answer = visit.say(town.inspector, "delete", {})
        assert (answer.status, answer.code) == (refused(door, 422), code)
    assert RectificationItem.objects.get().state == "registered"


def test_edit_that_the_maker_had_not_seen_supersedes_the_deletion(town, door):
    visit = Visit(town, door=door)
    visit.patch(town.colleague, {"ST-11": result("ok")}, base_rev=1)
    blind = visit.say(town.inspector, "delete", {}, base_rev=1)
    assert (blind.status, blind.code) == (("superseded", "edited-since") if door.name == "phone" else (409, "stale"))
    assert visit.row.state == "draft"
    assert visit.say(town.inspector, "delete", {}, base_rev=2).status == DONE[door.name]
    assert visit.row.state == "void"


@pytest.mark.parametrize("kind", ["patch", "submit", "create"])
def test_edit_takes_a_deleted_draft_up_again_and_an_explicit_void_stays(town, door, kind):
    visit, void = Visit(town, door=door), Visit(town, door=door)
    visit.say(town.inspector, "delete", {})
    void.say(town.inspector, "void", {"cause": "closed"})
    assert (visit.row.state, void.row.state) == ("void", "void")
    for each in (visit, void):
        if kind == "patch":
            each.patch(town.colleague, {"ST-11": result("ok")}, base_rev=1)
        elif kind == "submit":
            each.submit(town.colleague, {"ST-11": result("ok")})
        else:
            said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id}
            again = {**said, "started_at": timezone.now(), "answers": {"ST-11": result("ok")}}
            each.door.say(town.colleague, "inspections.create", again, doc_id=each.id)
    assert visit.row.state == ("submitted" if kind == "submit" else "draft")
    assert (visit.row.void_reason, visit.row.answers["ST-11"]["result"]["value"]) == ("", "ok")
    assert (void.row.state, void.row.void_reason) == ("void", "未开门")


@pytest.mark.parametrize("collection", ["photos", "quick_hazards", "reports", "comments"])
def test_evidence_is_not_deleted(town, door, collection):
    answer = door.say(town.inspector, f"{collection}.delete", {})
    assert (answer.status, answer.code) == (
        ("rejected", "not-deletable") if door.name == "phone" else (404, "not-found")
    )


# Words on incident items


def words_of(text) -> set[tuple[str, str]]:
    """(collection, audience) of every document whose wire holds a text."""
    rows = Index.objects.values_list("collection", "audience", "wire")
    return {(collection, audience) for collection, audience, wire in rows if text in bytes(wire).decode()}


def test_words_on_an_incident_item_are_read_by_the_named_alone_whatever_brings_them(town, door):
    visit = Visit(town, door=door)
    visit.patch(town.inspector, {"WS-04": {"note": "三班有人发热"}})
    assert words_of("三班") == {("submissions", "restricted")}
    visit.patch(town.inspector, {"WS-04": result("fail", reason="四人缺课", place="三楼", measures={"人数": 4})})
    item = RectificationItem.objects.get()
    assert (item.audience, item.text) == ("restricted", "三楼;四人缺课;人数 4.0")
    visit.patch(town.colleague, {"WS-04": {"note": "又有两人"}}, base_rev=visit.row.rev)
    visit.patch(town.colleague, {"WS-04": {"note": "又有两人"}}, base_rev=visit.row.rev)
    assert [each.content["text"] for each in Statement.objects.filter(item=item, kind="comments")] == ["又有两人"]
    visit.submit(town.inspector, {"WS-04": {**result("fail"), "note": "共六人"}})
    visit.submit(town.colleague, {"WS-04": {**result("ok"), "note": "其实七人"}})
    visit.patch(town.colleague, {"WS-04": {**result("ok"), "note": "八人"}})
    for text in ("三班", "四人缺课", "又有两人", "共六人", "其实七人", "八人"):
        assert {audience for _, audience in words_of(text)} <= {"restricted"}, text
    assert words_of("又有两人") == {("comments", "restricted")}
    if door.name == "phone":
        assert words_of("其实七人") == words_of("八人") == {("submissions", "restricted")}
    assert visit.row.answers["WS-04"]["note"] == ""
    assert "人" not in Alert.objects.get().sentence.replace(town.school.name, "")


def test_note_before_the_result_becomes_the_text_of_the_item(town):
    visit = Visit(town)
    visit.patch(town.inspector, {"WS-04": {"note": "三班有人发热"}})
    visit.patch(town.inspector, {"WS-04": result("fail")})
    assert RectificationItem.objects.get().text == "三班有人发热"


def test_amendment_that_speaks_of_an_incident_item_is_for_the_named(town, door):
    visit = Visit(town, door=door)
    visit.submit(town.inspector, {})
    said = {"inspection_id": visit.id, "kind": "amendment", "reason": "漏填"}
    open_one = door.say(
        town.inspector, "submissions.create", {**said, "content": json.dumps({"answers": {"ST-11": {"note": "补"}}})}
    )
    closed = door.say(
        town.inspector, "submissions.create", {**said, "content": json.dumps([{"WS-04": {"note": "发热"}}])}
    )
    audiences = dict(Submission.objects.values_list("id", "audience"))
    assert (audiences[open_one.doc_id], audiences[closed.doc_id]) == ("shared", "restricted")


def test_hazard_on_an_incident_item_is_restricted_whatever_it_calls_itself(town):
    visit = Visit(town)
    told = {"site_id": town.canteen.id, "text": "三班有人发热", "item_code": "WS-04", "inspection_id": visit.id}
    visit.phones.say(town.inspector, "quick_hazards.create", {**told, "kind": "hazard"})
    assert (QuickHazard.objects.get().kind, words_of("发热")) == (
        "incident",
        {("quick_hazards", "restricted"), ("rectifications", "restricted")},
    )
    assert "WS-04" in Alert.objects.get().sentence


def test_hazard_of_a_restricted_visit_is_restricted_as_well(town):
    secret = make_checklist(audience="restricted", named=(town.inspector,))
    visit = Visit(town, template_version_id=secret.id)
    told = {"site_id": town.canteen.id, "text": "被孤立", "item_code": "ST-11", "inspection_id": visit.id}
    visit.phones.say(town.inspector, "quick_hazards.create", told)
    assert {audience for _, audience in words_of("被孤立")} == {"restricted"}


# Photos of hazards, and those that a finding lacks


def test_hazard_on_an_item_that_bans_the_camera_takes_no_photo(town, door):
    visit = Visit(town)
    told = {"site_id": town.canteen.id, "text": "未清点", "item_code": "SS-11", "inspection_id": visit.id}
    hazard = visit.phones.say(town.inspector, "quick_hazards.create", told)
    shown = {"subject_collection": "quick_hazards", "subject_id": hazard.doc_id, "sha256": "cd" * 32, "size_bytes": 9}
    answer = door.say(town.inspector, "photos.create", shown)
    assert (answer.status, answer.code) == (refused(door, 422), "photo-banned")
    assert not Photo.objects.exists()


def test_duty_officer_photographs_the_hazard_that_they_told(town, door):
    told = {"site_id": town.canteen.id, "text": "围墙倒塌"}
    hazard = door.say(town.officer, "quick_hazards.create", told)
    shown = {"subject_collection": "quick_hazards", "subject_id": hazard.doc_id, "sha256": "cd" * 32, "size_bytes": 9}
    assert door.say(town.officer, "photos.create", shown).status == HEARD[door.name]
    assert door.say(town.inspector, "photos.create", {**shown, "sha256": "ce" * 32}).code == "not-a-participant"


def test_photo_hangs_on_a_signature_under_a_visit(town, door):
    visit = Visit(town)
    hand = door.say(town.inspector, "signatures.create", {"inspection_id": visit.id, "capacity": "inspector"})
    shown = {"subject_collection": "signatures", "subject_id": hand.doc_id, "sha256": "cd" * 32, "size_bytes": 9}
    photo = door.say(town.inspector, "photos.create", shown)
    assert (photo.status, Photo.objects.get().site_id) == (HEARD[door.name], town.canteen.id)
    visit.submit(town.inspector, {})
    assert set(Index.objects.filter(doc_id=photo.doc_id).values_list("audience", flat=True)) == {"shared"}


def test_finding_fixed_on_the_spot_says_which_photos_it_lacks_until_they_come(town):
    visit = Visit(town)
    visit.photo(town.inspector, "ST-11", "aa" * 32, moment="before")
    visit.submit(town.inspector, {"ST-11": result("fixed", place="冷库")})
    item = RectificationItem.objects.get()
    assert (item.state, item.facts["flags"]) == ("closed", ["missing-photo-after"])
    visit.photo(town.inspector, "ST-15", "ab" * 32, moment="after")
    assert RectificationItem.objects.get().facts["flags"] == ["missing-photo-after"]
    visit.photo(town.inspector, "ST-11", "ac" * 32, moment="after")
    again = RectificationItem.objects.get()
    assert ("flags" in again.facts, again.rev) == (False, item.rev + 1)


def test_hazard_fixed_on_the_spot_lacks_its_photos_likewise(town):
    cure = Cure(town, fixed=True)
    assert cure.item.facts["flags"] == ["missing-photo-after", "missing-photo-before"]
    shown = {"subject_collection": "quick_hazards", "subject_id": cure.hazard.doc_id, "size_bytes": 9}
    for n, moment in enumerate(("before", "after")):
        ByPhone().say(town.inspector, "photos.create", {**shown, "sha256": f"{n}a" * 32, "moment": moment})
    assert "flags" not in cure.item.facts


# The record


def test_record_flags_are_read_in_words(town):
    visit = Visit(town)
    visit.submit(town.inspector, {"ST-15": result("ok"), "ST-11": result("na")}, participants=[town.inspector])
    shown = ByWeb().of(town.inspector).get(f"/api/v1/inspections/{visit.id}").json()
    words = shown["names"]["flags"]
    assert len(words) == len(shown["flags"])
    assert {"ST-15 应拍照片,没有照片", "被检查单位没有签字"} <= set(words)
    cure = Cure(town, fixed=True)
    item = ByWeb().of(town.inspector).get(f"/api/v1/rectifications/{cure.id}").json()
    assert item["names"]["flags"] == ["现场已整改,缺整改后的照片", "现场已整改,缺整改前的照片"]


def test_every_flag_has_its_words():
    assert all(flag_words(flag) and flag_words(f"{flag}:ST-01").startswith("ST-01 ") for flag in FLAG_WORDS)
    assert {each.name for each in COLLECTIONS} >= {"inspections", "rectifications"}


def test_record_says_where_a_colleagues_safer_answer_stands_instead_of_the_signed_one(town):
    visit = Visit(town)
    visit.patch(town.colleague, {"ST-11": result("fail", place="冷库")})
    assert visit.submit(town.inspector, {"ST-11": result("ok"), "ST-15": result("ok")}).status == "merged"
    assert "differs-from-snapshot:ST-11" in visit.row.flags
    assert "differs-from-snapshot:ST-15" not in visit.row.flags
    visit.photo(town.inspector, "ST-15", "aa" * 32)
    assert "differs-from-snapshot:ST-11" in visit.row.flags


def test_two_hands_of_one_inspector_are_one_and_another_snapshots_hand_does_not_count(town):
    visit = Visit(town)
    visit.submit(town.inspector, {"ST-11": result("ok")})
    sign = {"inspection_id": visit.id, "capacity": "inspector"}
    for said in (sign, {**sign, "text": "再签一次"}):
        visit.phones.say(town.inspector, "signatures.create", said)
    assert "missing-inspector-signature" in visit.row.flags
    visit.phones.say(town.colleague, "signatures.create", {**sign, "snapshot_sha256": "ab" * 32})
    assert {"missing-inspector-signature", "signature-of-another-snapshot"} <= set(visit.row.flags)
    visit.phones.say(town.colleague, "signatures.create", {**sign, "snapshot_sha256": visit.row.snapshot_sha256})
    assert "missing-inspector-signature" not in visit.row.flags


def test_principal_signs_for_the_school_and_not_as_an_inspector(town, door):
    visit = Visit(town)
    visit.submit(town.inspector, {})
    said = {"inspection_id": visit.id, "capacity": "unit", "opinion": "objection", "text": "数据不符"}
    answer = door.say(town.principal, "signatures.create", said)
    assert (answer.status, answer.doc["opinion"]) == (HEARD[door.name], "objection")
    wrong = door.say(town.principal, "signatures.create", {**said, "capacity": "inspector"})
    assert (wrong.status, wrong.code) == (refused(door, 403), "not-a-participant")


def test_comment_on_a_draft_opens_with_the_visit_unless_it_is_for_the_bureau(town):
    visit = Visit(town)
    said = {"inspection_id": visit.id, "text": "请带体温计"}
    outer = visit.phones.say(town.safety, "comments.create", said)
    inner = visit.phones.say(town.safety, "comments.create", {**said, "audience": "bureau"})
    visit.submit(town.inspector, {})
    audiences = dict(Index.objects.filter(collection="comments").values_list("doc_id", "audience"))
    assert audiences == {outer.doc_id: "shared", inner.doc_id: "bureau"}


def test_colleague_from_elsewhere_who_was_named_at_the_start_reads_after_scanning(town, door):
    third = make_person(role="inspector", at=town.neighbour)
    visit = Visit(town, participants=[third.id])
    assert visit.patch(third, {"ST-11": result("ok")}).status == "deferred"
    assert door.say(third, "inspections.join", {"secret": SECRET}, doc_id=visit.id).status == DONE[door.name]
    assert visit.patch(third, {"ST-11": result("ok")}).status == "applied"


def test_picked_value_is_its_authors_and_the_conflict_keeps_the_pick(town, door):
    visit = Visit(town)
    visit.patch(town.inspector, {"ST-11": result("ok")})
    visit.patch(town.colleague, {"ST-11": result("fail")}, base_rev=1)
    conflict = Conflict.objects.get()
    door.say(town.colleague, "conflicts.resolve", {"pick": "lost"}, doc_id=conflict.id)
    answer = visit.row.answers["ST-11"]
    assert (answer["result"]["value"], answer["by"]) == ("ok", str(town.inspector.id))
    assert Conflict.objects.get().pick == "lost"


def test_corrected_answer_at_a_place_without_a_name_proposes_a_withdrawal(town):
    visit = Visit(town)
    visit.patch(town.inspector, {"ST-21": result("fail")})
    visit.patch(town.inspector, {"ST-21": result("ok")}, base_rev=2)
    assert Statement.objects.get().item_id == Finding.objects.get().item_id


def test_ids_of_the_web_are_made_here_when_none_is_said(town):
    client = ByWeb().of(town.inspector)
    body = msgspec.json.encode({"site_id": town.canteen.id, "text": "冷库漏水"})
    response = client.post("/api/v1/quick_hazards", body, content_type="application/json")
    assert response.status_code == 201
    assert UUID(response.json()["id"]) == QuickHazard.objects.get().id
    assert client.post(f"/api/v1/no_such/{new_id()}/thing", b"{}", content_type="application/json").status_code == 404
