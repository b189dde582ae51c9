"""Many senders at once, in real threads on the engine that runs: one effect, answers alike, nothing lost.

A phone whose answer got lost sends again while the first request still runs; two inspectors stand in one kitchen; eight
desks see one alert. None of this may be decided by luck.
"""

import hashlib
import io
import threading
import time
from collections import Counter

import msgspec
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from inspections import photos
from inspections.models import Blob, BlobHolder, Derivation, Inspection, Photo, QuickHazard
from safety.chains import log_faults, verify_chain
from safety.models import Acknowledgement, Alert, Body, ChainHead, Change, Delivery, Seat
from sync.models import Operation, Verdict
from sync.push import Heard, receive
from tests.history import answer, heard, start
from tests.inspections.photographs import encoded, scene
from tests.makers import make_person, make_school, make_shift, make_site
from tests.sync.phone import Phone
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")

EQUAL = 8


def sender(phone, operations):
    """A send of one batch, to be run in a thread of its own."""
    wire = msgspec.json.encode(operations)
    return lambda: phone.send(msgspec.json.decode(wire))


def whole(town):
    """The log has no gap and the chain of the school holds, bodies included."""
    return (log_faults(), verify_chain(town.school.id).first_bad) == ([], None)


def alike(answers):
    """Each sender's answers without the word that says who came first."""
    return [[{name: value for name, value in one.items() if name != "replayed"} for one in each] for each in answers]


def test_equal_operation_of_eight_senders_has_one_effect(town):
    second = make_person(role="duty_officer", at=town.district)
    make_shift(person=second, node=town.district, seat=Seat.OFFICER)
    phone = Phone(town.inspector)
    visit = start(phone, town)
    heard(phone)
    before = Change.objects.count()
    phone.op("inspections", "patch", {"answers": {"ST-21": answer("fail", place="灶间")}}, doc_id=visit, base_rev=1)
    answers = at_once(*[sender(phone, phone.outbox)] * EQUAL)
    assert alike(answers) == [alike(answers)[0]] * EQUAL
    assert {(one["status"], one["doc"]["rev"]) for each in answers for one in each} == {("applied", 2)}
    moved = Counter(Change.objects.order_by("seq")[before:].values_list("kind", flat=True))
    assert moved == {
        "inspection.patched": 1,
        "rectification.registered": 1,
        "alert.raised": 1,
        "delivery.owed": 2,
    }
    assert answers[0][0]["seq"] == Change.objects.get(kind="inspection.patched").seq
    assert (Alert.objects.count(), Alert.objects.get().occurrences) == (1, 1)
    assert set(Delivery.objects.values_list("person_id", flat=True)) == {town.officer.id, second.id}
    assert (Operation.objects.count(), Verdict.objects.count(), whole(town)) == (2, 2, True)


def test_equal_batch_of_eight_senders_is_told_once_though_none_is_known_before(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    for place in ("灶间", "库房", "门厅"):
        phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": f"{place}漏气", "place": place})
    phone.op("inspections", "patch", {"answers": {"ST-11": answer("ok")}}, doc_id=visit)
    answers = at_once(*[sender(phone, phone.outbox)] * EQUAL)
    assert alike(answers) == [alike(answers)[0]] * EQUAL
    assert [one["status"] for one in answers[0]] == ["applied"] * 5
    assert (QuickHazard.objects.count(), Inspection.objects.get().rev) == (3, 2)
    assert (Operation.objects.count(), Verdict.objects.count(), whole(town)) == (5, 5, True)


def test_overlapping_batches_in_opposite_orders_are_told_once(town):
    phone = Phone(town.inspector)
    for n in range(6):
        phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": f"第 {n} 处", "place": f"{n} 号"})
    told = phone.outbox
    batches = [told[:4], told[::-1], told[2:], told[3::-1], told, told[1:5][::-1]]
    answers = at_once(*[sender(phone, batch) for batch in batches])
    assert {one["status"] for each in answers for one in each} == {"applied"}
    seqs = {}
    for one in [one for each in answers for one in each]:
        assert seqs.setdefault(one["op_id"], one["seq"]) == one["seq"]
    assert (QuickHazard.objects.count(), len(set(seqs.values())), whole(town)) == (6, 6, True)


def test_change_points_to_bytes_that_are_there_when_another_stored_the_operation_first(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "漏气"})
    [wire] = msgspec.json.decode(msgspec.json.encode(phone.outbox), type=list[msgspec.Raw])
    told = msgspec.json.decode(wire)
    first = Heard(op_id=phone.outbox[0]["op_id"], raw=bytes(wire), op=None, said_at=timezone.now())
    met = []

    def store_between(execute, sql, params, many, context):
        """The equal sender stores it after we have looked and before we store: then its answer gets lost."""
        given = execute(sql, params, many, context)
        if not met and "sync_operation" in sql:
            met.append(sql)
            who = {"person": town.inspector.id, "device": phone.device.id}
            at_once(lambda: receive([first], **who, schema=1, now=timezone.now()))
        return given

    with connection.execute_wrapper(store_between):
        [answer] = phone.send([told])
    assert (answer["status"], len(met), whole(town)) == ("applied", 1, True)
    change = Change.objects.get(kind="quick_hazard.told")
    assert change.body_id == Operation.objects.get().body_id == Body.objects.get(pk=change.body_id).id


def test_two_inspectors_at_one_visit_lose_no_group(town):
    first, second = Phone(town.inspector), Phone(town.colleague)
    visit = start(first, town, participants=[town.colleague.id])
    heard(first)
    codes = ["ST-11", "ST-15", "ST-05", "SS-11"]

    def tell(phone, name):
        def act():
            for n in range(10):
                for code in codes:
                    said = {"note": f"{name}{n}"} if phone is first else {"result": {"value": "ok", "reason": f"{n}"}}
                    phone.op("inspections", "patch", {"answers": {code: said}}, doc_id=visit)
                assert {one["status"] for one in phone.send()} <= {"applied", "merged"}

        return act

    at_once(tell(first, "甲"), tell(second, "乙"))
    seen = Inspection.objects.get()
    assert {code: seen.answers[code]["note"] for code in codes} == dict.fromkeys(codes, "甲9")
    assert {code: seen.answers[code]["result"]["reason"] for code in codes} == dict.fromkeys(codes, "9")
    assert Change.objects.filter(collection="inspections", doc_id=visit).count() == seen.rev
    assert whole(town)


def test_alert_is_acknowledged_once_when_eight_desks_answer_at_once(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "漏气", "grade": "major_candidate"})
    heard(phone)
    alert = Alert.objects.get()
    desks = [Phone(make_person(role="duty_officer", at=town.district)) for _ in range(EQUAL)]
    for desk in desks:
        desk.op("alerts", "acknowledge", {}, doc_id=alert.id)
    answers = at_once(*[sender(desk, desk.outbox) for desk in desks])
    assert {one["status"] for each in answers for one in each} == {"applied"}
    told = Change.objects.filter(kind="alert.acknowledged")
    assert (told.count(), Acknowledgement.objects.count()) == (1, 1)
    assert Acknowledgement.objects.get().person_id == told.get().actor_id
    alert.refresh_from_db()
    assert (alert.state, alert.rev, whole(town)) == ("acknowledged", 2, True)


def test_delivery_is_opened_once_when_its_person_opens_it_on_eight_phones(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "漏气", "grade": "major_candidate"})
    heard(phone)
    delivery = Delivery.objects.get()
    phones = [Phone(town.officer) for _ in range(EQUAL)]
    for each in phones:
        each.op("alerts_mine", "open", {}, doc_id=delivery.id)
    answers = at_once(*[sender(each, each.outbox) for each in phones])
    assert {one["status"] for each in answers for one in each} == {"applied"}
    delivery.refresh_from_db()
    assert (delivery.rev, Change.objects.filter(kind="delivery.opened").count()) == (2, 1)


# Photo bytes


@pytest.fixture
def picture(tmp_path, settings):
    settings.BLOBS = tmp_path
    taken = encoded(scene(64, 48))
    return taken, hashlib.sha256(taken).hexdigest()


def put(person, picture):
    taken, sha256 = picture
    return lambda: photos.receive(io.BytesIO(taken), sha256=sha256, claimed="image/jpeg", person=person.id, device=None)


def declare(phone, visit, sha256, size):
    said = {"subject_collection": "inspections", "subject_id": visit, "sha256": sha256, "size_bytes": size}
    return phone.op("photos", "create", {**said, "item_code": "ST-15"})


def test_blob_is_kept_once_when_eight_senders_put_it_at_once(town, picture):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    declare(phone, visit, picture[1], len(picture[0]))
    heard(phone)
    new = at_once(*[put(town.inspector, picture)] * EQUAL)
    assert Counter(new) == {True: 1, False: EQUAL - 1}
    assert (Blob.objects.count(), BlobHolder.objects.count(), Derivation.objects.count()) == (1, 1, 1)
    assert Change.objects.filter(kind="photo.stored").count() == 1
    assert (Photo.objects.get().state, Photo.objects.get().rev, whole(town)) == ("stored", 2, True)
    assert photos.path_of(picture[1]).read_bytes() == picture[0]
    assert not list((settings.BLOBS / "incoming").iterdir())


def test_blob_of_eight_persons_has_eight_holders(town, picture):
    people = [make_person(role="inspector", at=town.school) for _ in range(EQUAL)]
    assert at_once(*[put(person, picture) for person in people]) == [True] * EQUAL
    assert (Blob.objects.count(), BlobHolder.objects.count()) == (1, EQUAL)


def test_photo_meets_its_bytes_when_document_and_bytes_come_at_once(town, picture):
    for _ in range(6):
        phone = Phone(make_person(role="inspector", at=town.school))
        visit = start(phone, town)
        heard(phone)
        photo = declare(phone, visit, picture[1], len(picture[0]))
        at_once(sender(phone, phone.outbox), put(phone.person, picture))
        assert Photo.objects.get(pk=photo).state == "stored"


@on_postgresql
def test_photo_meets_its_bytes_when_they_come_between_its_loading_and_its_commit(town, picture):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    heard(phone)
    photo = declare(phone, visit, picture[1], len(picture[0]))
    held, done = threading.Event(), threading.Event()

    def hold_the_clock():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT seq FROM safety_clock FOR UPDATE")
            held.set()
            done.wait(3)  # the push has decided and stands at the clock; the bytes come

    def bring_the_bytes():
        held.wait(10)
        time.sleep(1)
        put(town.inspector, picture)()
        done.set()

    def push():
        held.wait(10)
        sender(phone, phone.outbox)()

    at_once(hold_the_clock, push, bring_the_bytes)
    assert Photo.objects.get(pk=photo).state == "stored"


# What the database itself refuses


@on_postgresql
def test_deadlock_is_survived_without_a_word_to_the_phone(town, caplog):
    other = make_school(district=town.district)
    canteen, inspector = make_site(unit=other), make_person(role="inspector", at=town.district)
    phone = Phone(inspector)
    for site in (town.canteen, canteen):
        phone.op("quick_hazards", "create", {"site_id": site.id, "text": "漏气", "place": "灶间"})
    low, high = sorted([town.school.id, other.id])
    held, answers = threading.Event(), []

    def lock_in_the_wrong_order():
        with transaction.atomic():
            list(ChainHead.objects.select_for_update().filter(pk=high))
            held.set()
            time.sleep(0.5)  # the push has the lower head by now and waits for the higher
            list(ChainHead.objects.select_for_update().filter(pk=low))

    def push():
        held.wait(10)
        with caplog.at_level("INFO", logger="sync.push"):
            answers.extend(phone.send())

    at_once(lock_in_the_wrong_order, push)
    assert [one["status"] for one in answers] == ["applied", "applied"]
    assert "push.again" in caplog.text
    assert (QuickHazard.objects.count(), Operation.objects.count(), whole(town)) == (2, 2, True)


@on_postgresql
def test_two_batches_of_two_schools_in_opposite_orders_wait_for_each_other(town):
    other = make_school(district=town.district)
    sites, inspector = [town.canteen, make_site(unit=other)], make_person(role="inspector", at=town.district)

    def tell(order):
        phone = Phone(inspector)

        def act():
            given = []
            for n in range(8):
                for site in order:
                    place = {"place": f"{n} 号", "grade": "major_candidate"}
                    phone.op("quick_hazards", "create", {"site_id": site.id, "text": "漏气", **place})
                given += [one["status"] for one in phone.send()]
            return given

        return act

    answers = at_once(tell(sites), tell(sites[::-1]), tell(sites), tell(sites[::-1]))
    assert answers == [["applied"] * 16] * 4
    assert (QuickHazard.objects.count(), Alert.objects.count(), whole(town)) == (64, 16, True)


@on_postgresql
def test_operation_that_was_refused_on_reading_keeps_its_refusal_when_the_batch_is_heard_again(town):
    phone = Phone(town.inspector)
    phone.op("no_such_thing", "create", {})
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "漏气", "at": None})
    phone.outbox[-1]["set"].pop("at")
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "无时区"}, at="2026-11-20T08:00:00")
    held, answers = threading.Event(), []

    def keep_the_school_busy():
        with transaction.atomic():
            list(ChainHead.objects.select_for_update().filter(pk=town.school.id))
            held.set()
            time.sleep(6)  # longer than lock_timeout: the database refuses the batch once

    def push():
        held.wait(10)
        answers.extend(phone.send())

    at_once(keep_the_school_busy, push)
    found = [(one["status"], one.get("problem", {}).get("code")) for one in answers]
    assert found == [("rejected", "unknown-verb"), ("applied", None), ("rejected", "malformed")]
