"""What a phone may rely on when it pushes: nothing is lost, nothing happens twice, one bad thing blocks no other."""

from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone

from inspections.models import Inspection, Photo, QuickHazard, RectificationItem
from safety.errors import Malformed, TooLarge
from safety.ids import new_id
from safety.models import Body, Change, Clock
from sync.jobs import drain_deferred
from sync.models import Operation, Verdict, Waiting
from sync.push import push
from tests.makers import make_checklist, make_person
from tests.sync.phone import Phone

pytestmark = pytest.mark.django_db


def tell(phone, town, *, text="冷库漏水", **more):
    return phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": text, **more})


def test_operation_is_stored_with_its_bytes_before_it_is_understood(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "nonsense": 1})
    result = phone.send()[0]
    stored = Operation.objects.get()
    assert (result["status"], result["problem"]["code"]) == ("rejected", "validation")
    assert b"nonsense" in bytes(Body.objects.get(pk=stored.body_id).bytes)


def test_repeated_batch_writes_nothing_and_answers_alike(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    batch = list(phone.outbox)
    first = phone.send(batch)
    before = (Clock.objects.get().seq, Change.objects.count(), Body.objects.count(), Verdict.objects.count())
    again = phone.send(batch)
    assert before == (Clock.objects.get().seq, Change.objects.count(), Body.objects.count(), Verdict.objects.count())
    assert again == [first[0] | {"replayed": True}]


def test_answer_to_a_repeat_carries_the_document_as_it_stands_now(town):
    phone, colleague = Phone(town.inspector), Phone(town.colleague)
    visit = start(phone, town, participants=[town.colleague.id])
    batch = list(phone.outbox)
    phone.send(batch)
    colleague.op("inspections", "patch", {"answers": {"ST-11": {"note": "看过"}}}, doc_id=visit, base_rev=1)
    colleague.send()
    again = phone.send(batch)[0]
    assert (again["replayed"], again["doc"]["rev"], again["doc"]["answers"]["ST-11"]["note"]) == (True, 2, "看过")


def test_same_operation_twice_in_one_batch_has_one_effect(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    first, second = phone.send(phone.outbox * 2)
    assert (first["status"], second["status"], second["replayed"]) == ("applied", "applied", True)
    assert first["seq"] == second["seq"]
    assert QuickHazard.objects.count() == 1


def test_operation_id_with_other_content_is_refused(town):
    phone = Phone(town.inspector)
    op_id = new_id()
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "一"}, op_id=op_id)
    phone.send()
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "二"}, op_id=op_id)
    result = phone.send()[0]
    assert (result["status"], result["problem"]["code"], result["doc"]) == ("rejected", "op-id-reused", None)


def test_operation_of_another_person_is_not_answered_to_a_stranger(town):
    phone, stranger = Phone(town.inspector), Phone(town.stranger)
    tell(phone, town)
    batch = list(phone.outbox)
    phone.send(batch)
    result = stranger.send(batch)[0]
    assert (result["status"], result["problem"]["code"], result["doc"]) == ("rejected", "op-id-reused", None)


def test_one_bad_operation_blocks_no_other(town):
    phone = Phone(town.inspector)
    phone.op("no_such_thing", "create", {})
    phone.op("quick_hazards", "create", {"site_id": "not-a-uuid"})
    tell(phone, town)
    assert [result["status"] for result in phone.send()] == ["rejected", "rejected", "applied"]


def test_unreadable_operation_is_kept_and_refused_beside_its_neighbours(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    operations = [{"op_id": new_id(), "kind": "dance"}, *phone.outbox]
    assert [result["status"] for result in phone.send(operations)] == ["rejected", "applied"]
    assert Operation.objects.count() == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"ops": 1}', b'{"ops": [], "protocol": 2}'])
def test_broken_envelope_is_malformed(town, body):
    phone = Phone(town.inspector)
    with pytest.raises(Malformed):
        push(body, person=town.inspector.id, device=phone.device.id, now=timezone.now())


def test_batch_beyond_the_cap_says_what_the_cap_is(town):
    phone = Phone(town.inspector)
    body = msgspec.json.encode({"ops": [{}] * 501})
    with pytest.raises(TooLarge) as refused:
        push(body, person=town.inspector.id, device=phone.device.id, now=timezone.now())
    assert (refused.value.status, refused.value.more["max_ops"]) == (413, 500)


def test_batch_of_another_device_is_refused(town):
    phone, other = Phone(town.inspector), Phone(town.inspector)
    with pytest.raises(Malformed) as refused:
        phone.send([], device_id=other.device.id)
    assert refused.value.code == "other-device"


def start(phone, town, **more):
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now(), **more}
    return phone.op("inspections", "create", said)


def photo(subject, **more):
    said = {"subject_collection": "inspections", "subject_id": subject, "sha256": "ab" * 32, "size_bytes": 9}
    return said | more


def test_photo_before_its_visit_waits_and_is_heard_once_the_visit_is_there(town):
    phone = Phone(town.inspector)
    visit = new_id()
    picture = phone.op("photos", "create", photo(visit, item_code="ST-15"))
    first = phone.send()[0]
    assert (first["status"], first["waiting_for"]["docs"]) == ("deferred", [str(visit)])
    drain_deferred(timezone.now())
    assert Waiting.objects.count() == 1
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    phone.op("inspections", "create", said, doc_id=visit)
    assert phone.send()[0]["status"] == "applied"
    Waiting.objects.update(lease_until=None)
    assert drain_deferred(timezone.now()) == 1
    assert (
        Verdict.objects.get(seq__isnull=False, status="applied", op_id=first["op_id"]).status,
        Waiting.objects.count(),
    ) == (
        "applied",
        0,
    )
    assert Change.objects.filter(collection="photos", doc_id=picture, kind="photo.declared").exists()


def test_what_waited_keeps_the_correction_of_its_phones_clock(town):
    phone, visit = Phone(town.inspector), new_id()
    behind = timezone.now() - timedelta(hours=2)
    picture = phone.op("photos", "create", photo(visit, taken_at=behind), at=behind)
    phone.send(sent_at=behind)
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    phone.op("inspections", "create", said, doc_id=visit)
    phone.send()
    assert drain_deferred(timezone.now()) == 1
    stored = Photo.objects.get(pk=picture)
    assert abs(stored.corrected_at - stored.taken_at - timedelta(hours=2)) < timedelta(minutes=1)


def test_what_became_ripe_is_heard_whatever_waits_before_it(town):
    phone, stranger = Phone(town.inspector), Phone(town.stranger)
    taken = start(phone, town)
    phone.send()
    for _ in range(5):
        stranger.op("photos", "create", photo(taken))
        phone.op("photos", "create", photo(new_id()))
    stranger.send()
    visit = new_id()
    phone.op("photos", "create", photo(visit))
    assert {result["status"] for result in phone.send()} == {"deferred"}
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    phone.op("inspections", "create", said, doc_id=visit)
    phone.send()
    assert drain_deferred(timezone.now(), at_once=3) == 1
    assert Change.objects.filter(collection="photos", kind="photo.declared").count() == 1


def test_photo_before_its_report_is_heard_once_the_report_is_there(town):
    phone = Phone(town.principal)
    hazard = tell(told := Phone(town.inspector), town, text="灯罩松动")
    told.send()
    item = RectificationItem.objects.get(findings__quick_hazard=hazard)
    desk = Phone(town.safety)
    desk.op("notices", "create", {"rectification_id": item.id})
    desk.send()
    report = new_id()
    phone.op("photos", "create", photo(report, subject_collection="reports"))
    assert phone.send()[0]["status"] == "deferred"
    said = {"rectification_id": item.id, "round": 1, "text": "已紧固"}
    phone.op("reports", "create", said, doc_id=report)
    assert phone.send()[0]["status"] == "applied"
    assert drain_deferred(timezone.now()) == 1


def test_visit_before_its_checklist_is_heard_once_that_is_published(town):
    phone, version = Phone(town.inspector), new_id()
    said = {"site_id": town.canteen.id, "template_version_id": version, "started_at": timezone.now()}
    phone.op("inspections", "create", said)
    assert phone.send()[0]["status"] == "deferred"
    assert drain_deferred(timezone.now()) == 0
    make_checklist(version_id=version)
    assert drain_deferred(timezone.now()) == 1


def test_operation_waits_for_what_it_names_and_falls_with_it(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id}, op_id=(bad := new_id()))
    tell(phone, town, text="后一步")
    phone.outbox[-1]["after"] = [bad]
    tell(phone, town, text="等着")
    phone.outbox[-1]["after"] = [new_id()]
    results = phone.send()
    assert [result["status"] for result in results] == ["rejected", "rejected", "deferred"]
    assert results[1]["problem"]["code"] == "dependency-failed"
    assert not QuickHazard.objects.exists()


def test_taken_id_is_refused_without_a_document(town):
    phone, stranger = Phone(town.inspector), Phone(town.stranger)
    visit = start(phone, town)
    phone.send()
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    stranger.op("inspections", "create", said, doc_id=visit)
    result = stranger.send()[0]
    assert (result["status"], result["problem"]["code"], result["doc"]) == ("rejected", "id-taken", None)


def test_person_without_a_post_that_grants_it_is_refused(town):
    phone = Phone(town.principal)
    tell(phone, town)
    result = phone.send()[0]
    assert (result["status"], result["problem"]["code"], result["problem"]["status"]) == (
        "rejected",
        "not-allowed",
        403,
    )
    assert not RectificationItem.objects.exists()


def test_time_told_by_a_phone_whose_clock_is_wrong_is_set_right(town):
    phone = Phone(town.inspector)
    now = timezone.now()
    wrong = now - timedelta(days=365)
    tell(phone, town)
    phone.outbox[-1]["at"] = wrong - timedelta(hours=2)
    phone.send(sent_at=wrong)
    told = QuickHazard.objects.get().said_at
    assert abs((now - told) - timedelta(hours=2)) < timedelta(minutes=1)


def test_inspector_of_another_school_sees_no_document_in_a_verdict_once_the_post_has_ended(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    batch = list(phone.outbox)
    assert phone.send(batch)[0]["doc"] is not None
    town.inspector.posts.update(to_on=timezone.now().date() - timedelta(days=2))
    again = phone.send(batch)[0]
    assert (again["status"], again["doc"]) == ("applied", None)


def test_two_inspectors_create_the_visit_of_their_task_as_one(town):
    first, second = Phone(town.inspector), Phone(town.colleague)
    outsider = Phone(make_person(role="inspector", at=town.school))
    visit = start(first, town, participants=[town.colleague.id])
    first.send()
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    second.op("inspections", "create", said | {"answers": {"ST-11": {"note": "乙"}}}, doc_id=visit)
    outsider.op("inspections", "create", said, doc_id=visit)
    assert second.send()[0]["status"] == "applied"
    assert outsider.send()[0]["problem"]["code"] == "id-taken"
    assert Inspection.objects.get().answers["ST-11"]["note"] == "乙"
