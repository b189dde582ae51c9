"""What a phone puts aside is kept once, with its bytes, and is not heard before the phone sends it."""

import msgspec
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from inspections.models import QuickHazard
from safety.ids import new_id
from safety.models import Body
from sync.models import Operation, Review, SetAside
from tests.makers import make_token
from tests.sync.phone import Phone
from tests.sync.test_push import tell

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(town):
    _, secret = make_token(person=town.inspector)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def report(client, *operations, **more):
    said = {"ops": [{"op": each, "reason": "连续五次 500", "failures": 5} | more for each in operations]}
    return client.post("/api/v1/sync/quarantine-report", msgspec.json.encode(said), content_type="application/json")


def queued(town, n=1):
    phone = Phone(town.inspector)
    for _ in range(n):
        tell(phone, town)
    return phone, phone.outbox


def test_report_is_kept_once_with_its_bytes_and_raises_a_question_for_a_person(client, town):
    _, (operation,) = queued(town)
    for _ in range(2):
        answer = report(client, operation).json()
        assert answer["results"] == [{"op_id": str(operation["op_id"]), "known_status": None}]
    kept = SetAside.objects.get()
    assert (kept.person_id, kept.verb, kept.failures) == (town.inspector.id, "quick_hazards.create", 5)
    raw = bytes(Body.objects.get(pk=kept.body_id).bytes)
    assert msgspec.json.decode(raw) == msgspec.json.decode(msgspec.json.encode(operation))
    assert (Review.objects.get().about_id, Review.objects.get().why) == (kept.id, "set-aside")
    assert not QuickHazard.objects.exists() and not Operation.objects.exists()


def test_operation_that_was_put_aside_is_heard_like_any_other_when_it_comes(client, town):
    phone, operations = queued(town)
    report(client, *operations)
    assert phone.send()[0]["status"] == "applied"


def test_verdict_that_the_server_has_is_told_to_its_author_alone(client, town):
    phone, operations = queued(town)
    phone.send(operations)
    assert report(client, *operations).json()["results"][0]["known_status"] == "applied"
    _, secret = make_token(person=town.stranger)
    stranger = APIClient()
    stranger.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert report(stranger, *operations).json()["results"][0]["known_status"] is None


def test_what_cannot_be_read_is_kept_all_the_same(client):
    for _ in range(2):
        assert report(client, {"what": "ever"}).status_code == 200
    assert (SetAside.objects.count(), SetAside.objects.get().verb) == (1, "")


def test_same_operation_twice_in_one_report_is_kept_once(client, town):
    _, (operation,) = queued(town)
    assert len(report(client, operation, operation).json()["results"]) == 2
    assert SetAside.objects.count() == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ops": [{"reason": "x"}]}', b'{"ops": [{"op": {}, "reason": 5}]}'])
def test_broken_report_is_malformed_and_keeps_nothing(client, body):
    answer = client.post("/api/v1/sync/quarantine-report", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert not SetAside.objects.exists()


def test_report_beyond_the_cap_says_what_the_cap_is(client):
    answer = report(client, *({"op_id": str(new_id())} for _ in range(501)))
    assert (answer.status_code, answer.json()["max_ops"]) == (413, 500)


def test_time_without_a_zone_is_malformed(client, town):
    _, operations = queued(town)
    assert report(client, *operations, at="2026-03-01T08:00:00").status_code == 400
    assert report(client, *operations, at=timezone.now().isoformat()).status_code == 200
