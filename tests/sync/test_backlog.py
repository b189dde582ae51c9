"""What is not here yet is told, worst first, to those who look after it and to nobody else."""

from datetime import timedelta
from hashlib import sha256

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from inspections.models import Photo
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Device
from sync.contacts import Heard, note_contact
from sync.models import SetAside, Verdict, Waiting
from sync.words import said
from tests.makers import make_checklist, make_task, make_token
from tests.statements import statements
from tests.sync.phone import Phone
from tests.sync.test_push import photo, start, tell

pytestmark = pytest.mark.django_db


def says(person):
    _, secret = make_token(person=person)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def backlog(person):
    return says(person).get("/api/v1/sync/backlog").json()


def holdings(person, device):
    return says(person).get(f"/api/v1/devices/{device.id}/holdings")


def calls(phone, *, ops=0, blobs=0, hours=0, ago=timedelta(), skew_ms=None, app=""):
    """A contact of a phone whose oldest unsent thing is so many hours old."""
    now = timezone.now() - ago
    oldest = timezone.now() - timedelta(hours=hours) if hours else None
    note_contact(phone.device.id, Heard(ops, blobs, oldest, skew_ms, app), now=now)


def test_phones_with_work_are_listed_oldest_first_and_those_beyond_the_limit_marked(town):
    fresh, old, done = Phone(town.inspector), Phone(town.colleague), Phone(town.inspector)
    calls(fresh, ops=2, blobs=1, hours=3)
    calls(old, ops=1, hours=50, skew_ms=-600_000, app="1.4.2")
    calls(done)
    phones = backlog(town.safety)["phones"]
    assert [(row["person"]["name"], row["ops"], row["blobs"], row["late"]) for row in phones] == [
        ("督学乙", 1, 0, True),
        ("督学甲", 2, 1, False),
    ]
    assert (phones[0]["units"], phones[0]["app_version"], phones[0]["skew_ms"]) == (
        [town.school.name],
        "1.4.2",
        -600_000,
    )


def test_what_came_after_a_phone_counted_lies_on_it_no_more(town, tmp_path, settings):
    """A phone says at the start of a push what is in its outbox; then it sends it, and may not call for days."""
    settings.BLOBS = tmp_path
    phone = Phone(town.inspector)
    calls(phone, ops=2, hours=50, ago=timedelta(seconds=5))
    tell(phone, town)
    phone.send()
    assert backlog(town.safety)["phones"][0]["ops"] == 1
    tell(phone, town, text="后来的")
    phone.send()
    assert backlog(town.safety)["phones"] == []


@pytest.mark.parametrize("who", ["administrator", "safety", "officer"])
def test_bureau_sees_its_own_persons_phones_and_no_others(town, who):
    for person in (town.inspector, town.principal, town.stranger):
        calls(Phone(person), ops=1, hours=1)
    assert {row["person"]["name"] for row in backlog(getattr(town, who))["phones"]} == {"督学甲", "校长"}
    assert {row["person"]["name"] for row in backlog(town.stranger)["phones"]} == {"外区安全科"}


@pytest.mark.parametrize("who", ["inspector", "principal", "approver"])
def test_others_are_refused_the_list(town, who):
    assert says(getattr(town, who)).get("/api/v1/sync/backlog").status_code == 403


def test_waits_are_told_in_words_with_phone_and_since_when(town):
    phone, step = Phone(town.inspector), new_id()
    phone.op("photos", "create", photo(new_id()))
    tell(phone, town)
    phone.outbox[-1]["after"] = [step]
    phone.send()
    waits = backlog(town.officer)["waiting"]
    assert [(row["said"], row["waits_for"]) for row in waits] == [
        ("新建照片", "等候所属的检查：还没有送到，或不在本人范围内"),
        ("新建随手拍", "等候上一步操作：还在手机上，没有送到"),
    ]
    assert {row["device"]["id"] for row in waits} == {str(phone.device.id)}
    assert backlog(town.stranger)["waiting"] == []


def test_wait_for_a_step_that_the_phone_put_aside_says_so(town):
    phone, step = Phone(town.inspector), new_id()
    tell(phone, town)
    phone.outbox[-1]["after"] = [step]
    phone.send()
    SetAside.objects.create(
        op_id=step,
        person_id=town.inspector.id,
        device_id=phone.device.id,
        payload_sha256=bytes(32),
        body_id=new_id(),
        reported_at=timezone.now(),
    )
    assert "手机搁置" in backlog(town.officer)["waiting"][0]["waits_for"]


def test_photos_without_bytes_are_gathered_by_whose_they_are_and_where(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    for n in range(3):
        phone.op("photos", "create", photo(visit, sha256=sha256(b"%d" % n).hexdigest()))
    phone.send()
    photos = backlog(town.safety)["photos"]
    assert [(row["person"]["name"], row["unit"], row["count"]) for row in photos] == [("督学甲", town.school.name, 3)]
    assert photos[0]["since"]
    with lifted():
        Photo.objects.filter(pk=photos[0]["ids"][0]).update(state="stored")
    assert backlog(town.safety)["photos"][0]["count"] == 2


def test_photos_of_a_restricted_visit_are_not_counted_for_who_does_not_read_it(town):
    version = make_checklist(audience="restricted", named=(town.inspector, town.approver))
    phone = Phone(town.inspector)
    said = {"site_id": town.canteen.id, "template_version_id": version.id, "started_at": timezone.now()}
    visit = phone.op("inspections", "create", said)
    phone.op("photos", "create", photo(visit))
    assert [result["status"] for result in phone.send()] == ["applied", "applied"]
    assert backlog(town.safety)["photos"] == []
    assert holdings(town.safety, phone.device).json()["drafts"] == []
    mine = holdings(town.inspector, phone.device).json()
    assert (len(mine["drafts"]), len(mine["photos"])) == (1, 1)


def test_list_of_what_was_on_a_lost_phone_names_waits_drafts_photos_and_tasks(town):
    phone = Phone(town.inspector)
    calls(phone, ops=4, blobs=2, hours=20)
    visit = start(phone, town)
    phone.op("photos", "create", photo(visit))
    phone.op("photos", "create", photo(new_id()))
    phone.send()
    make_task(site=town.canteen, checklist=town.checklist, assignees=(town.inspector,))
    for reader in (town.inspector, town.administrator, town.officer):
        held = holdings(reader, phone.device).json()
        assert (held["phone"]["ops"], held["phone"]["blobs"], held["unanswered"]) == (1, 2, 0)
        assert [row["id"] for row in held["drafts"]] == [str(visit)]
        assert [(row["unit"], row["site"]) for row in held["drafts"]] == [(town.school.name, town.canteen.name)]
        assert (len(held["waiting"]), held["photos"][0]["count"], len(held["tasks"])) == (1, 1, 1)
    assert holdings(town.inspector, phone.device).json()["tasks"][0]["due_on"]


def test_operations_that_were_stored_and_never_heard_are_counted(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    phone.op("photos", "create", photo(new_id()))
    phone.send()
    Waiting.objects.all().delete()
    Verdict.objects.all().delete()
    assert holdings(town.inspector, phone.device).json()["unanswered"] == 2


@pytest.mark.parametrize("who", ["colleague", "principal", "approver", "stranger"])
def test_what_is_on_a_phone_is_unknown_to_strangers(town, who):
    phone = Phone(town.inspector)
    known = holdings(getattr(town, who), phone.device)
    unknown = holdings(getattr(town, who), Device(id=new_id()))
    assert (known.status_code, known.content) == (404, unknown.content)


def test_phone_that_never_called_has_an_empty_list(town):
    held = holdings(town.inspector, Phone(town.inspector).device).json()
    assert (held["phone"]["ops"], held["phone"]["since"], held["phone"]["contact_at"]) == (None, None, None)


def test_phone_that_calls_and_never_tells_what_lies_on_it_is_not_taken_for_empty(town):
    phone = Phone(town.inspector)
    note_contact(phone.device.id, Heard(app_version="1.0"), now=timezone.now())
    told = holdings(town.inspector, phone.device).json()["phone"]
    assert (told["ops"], told["blobs"], told["late"]) == (None, None, False)
    assert told["contact_at"] is not None


def test_backlog_takes_the_same_number_of_statements_for_many_phones(town):
    for n in range(8):
        phone = Phone(town.inspector)
        calls(phone, ops=n + 1, hours=n + 1)
        phone.op("photos", "create", photo(new_id()))
        phone.send()
    client = says(town.safety)
    client.get("/api/v1/sync/backlog")
    with statements(at_most=22):
        assert len(client.get("/api/v1/sync/backlog").json()["waiting"]) == 8


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("inspections.submit", "提交检查"),
        ("alerts.resolve", "办结预警"),
        ("alerts.dismiss", "把预警标为误报"),
        ("x.y", "“x.y”"),
        ("", "读不懂的操作"),
    ],
)
def test_verb_is_told_in_the_words_of_the_field(verb, words):
    assert said(verb) == words
