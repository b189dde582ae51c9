"""One hazard from the phone to its striking off, through the push as two phones send it."""

import json

import pytest
from django.utils import timezone

from inspections.models import Inspection, RectificationItem
from safety.models import Alert, Delivery
from tests.sync.phone import Phone

pytestmark = pytest.mark.django_db


def start(phone, town, **more):
    return phone.op(
        "inspections",
        "create",
        {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now(), **more},
    )


def answer(value, **more):
    return {"result": {"value": value, **more}, "note": more.get("reason", "")}


def submit(phone, visit, answers, *, participants):
    snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
    phone.op(
        "inspections",
        "submit",
        {"snapshot": snapshot, "participants": participants, "finished_at": timezone.now()},
        doc_id=visit,
    )


def test_hazard_goes_from_the_phone_to_its_striking_off(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    answers = {"ST-11": answer("fail", place="冷库", measures={"fridge": 11.5}), "ST-15": answer("ok")}
    phone.op("inspections", "patch", {"answers": answers}, doc_id=visit, base_rev=1)
    submit(phone, visit, answers, participants=[town.inspector.id])
    assert [result["status"] for result in phone.send()] == ["applied"] * 3

    item = RectificationItem.objects.get()
    assert (item.state, item.grade, item.place) == ("registered", "general", "冷库")
    assert Inspection.objects.get().state == "submitted"
    assert not Alert.objects.exists()

    desk, school = Phone(town.safety), Phone(town.principal)
    desk.op("notices", "create", {"rectification_id": item.id, "text": "请整改"})
    assert desk.send()[0]["status"] == "applied"
    assert Delivery.objects.get().person == town.principal
    report = school.op("reports", "create", {"rectification_id": item.id, "round": 1, "text": "已调到 4 度"})
    result = school.send()[0]
    assert (result["status"], result["doc"]["id"]) == ("applied", str(report))
    item.refresh_from_db()
    assert item.state == "awaiting_revisit"

    phone.op(
        "revisits",
        "create",
        {"rectification_id": item.id, "round": 1, "evidence_hash": item.evidence_hash, "passed": True},
    )
    assert phone.send()[0]["status"] == "applied"
    item.refresh_from_db()
    assert item.state == "closed"


def test_candidate_for_major_wakes_the_officer_once_when_the_phone_repeats_itself(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    phone.op("inspections", "patch", {"answers": {"ST-21": answer("fail", place="灶间")}}, doc_id=visit)
    batch = list(phone.outbox)
    first, again = phone.send(batch), phone.send(batch)
    assert [(one["status"], one["seq"]) for one in first] == [(one["status"], one["seq"]) for one in again]
    assert all(one["replayed"] for one in again)
    assert (Alert.objects.count(), Delivery.objects.get().person) == (1, town.officer)


def test_nobody_is_woken_when_fail_turns_ok_in_the_same_batch(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    phone.op("inspections", "patch", {"answers": {"ST-21": answer("fail")}}, doc_id=visit)
    phone.op("inspections", "patch", {"answers": {"ST-21": answer("ok")}}, doc_id=visit)
    assert [one["status"] for one in phone.send()] == ["applied"] * 3
    assert not Alert.objects.exists()


def test_stranger_and_unknown_document_are_deferred_alike(town):
    phone, stranger = Phone(town.inspector), Phone(town.stranger)
    visit = start(phone, town)
    phone.send()
    known = stranger.op("inspections", "patch", {"answers": {"ST-11": answer("ok")}}, doc_id=visit)
    unknown = stranger.op("inspections", "patch", {"answers": {"ST-11": answer("ok")}})
    one, other = stranger.send()
    blank = [json.dumps(each | {"op_id": "", "waiting_for": ""}) for each in (one, other)]
    assert (one["status"], blank[0]) == ("deferred", blank[1])
    assert known != unknown
    assert Inspection.objects.get(pk=visit).answers == {}
