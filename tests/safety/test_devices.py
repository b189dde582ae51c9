"""What an owner and an administrator may do to a phone, what it is told, and what the log says of it."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from safety.chains import verify_chain
from safety.devices import RESCUE, persons_under
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Change, Device, Person, Post
from tests.makers import make_person, make_token

pytestmark = pytest.mark.django_db


def bearer(secret):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def phone(town):
    """The inspector's phone: its row, and a client that speaks as it."""
    device, secret = make_token(person=town.inspector, name="督学的手机")
    return device, bearer(secret)


@pytest.fixture
def desk(town):
    _, secret = make_token(person=town.administrator)
    return bearer(secret)


def at(device, action):
    return f"/api/v1/devices/{device.id}/{action}"


def refused(response):
    return response.status_code, json.loads(response.content)["code"]


def kinds_of(device):
    return list(
        Change.objects.filter(collection="devices", doc_id=device.id).order_by("seq").values_list("kind", flat=True)
    )


def test_administrator_reports_a_phone_lost_and_it_opens_nothing_any_more(phone, desk, town):
    device, client = phone
    row = desk.post(at(device, "lose")).json()
    assert row["revoked_by"] == {"id": str(town.administrator.id), "name": "管理员"} and row["lost_at"]
    assert refused(client.get("/api/v1/auth/me")) == (401, "token-expired")
    change = Change.objects.get(collection="devices", doc_id=device.id)
    assert (change.kind, change.actor_id, change.chain_id) == ("device.lost", town.administrator.id, town.school.id)
    assert verify_chain(town.school.id).first_bad is None


def test_owner_reports_the_own_phone_lost_from_another_one(phone, town):
    device, _ = phone
    _, secret = make_token(person=town.inspector, name="另一台")
    assert bearer(secret).post(at(device, "lose")).json()["revoked_by"]["name"] == "督学甲"


def test_second_time_changes_nothing_and_says_nothing(phone, desk):
    device, _ = phone
    first = desk.post(at(device, "lose")).json()
    assert desk.post(at(device, "lose")).json() == first
    assert desk.post(at(device, "revoke")).json() == first
    assert kinds_of(device) == ["device.lost"]


def test_phone_that_was_revoked_may_still_be_reported_lost(phone, desk):
    device, _ = phone
    desk.post(at(device, "revoke"))
    assert desk.post(at(device, "lose")).json()["lost_at"]
    assert kinds_of(device) == ["device.revoked", "device.lost"]


@pytest.mark.parametrize("who", ["stranger", "principal", "colleague", "safety", "officer"])
@pytest.mark.parametrize("action", ["revoke", "lose", "wipe"])
def test_phone_of_another_is_an_unknown_one_to_whoever_is_no_administrator_over_its_owner(phone, town, who, action):
    device, _ = phone
    _, secret = make_token(person=getattr(town, who))
    known, unknown = (bearer(secret).post(address) for address in (at(device, action), at(Device(id=new_id()), action)))
    assert (known.status_code, known.content) == (404, unknown.content)
    device.refresh_from_db()
    assert device.revoked_at is None


def test_wipe_is_an_administrators_to_order(phone):
    device, client = phone
    assert refused(client.post(at(device, "wipe"))) == (403, "not-allowed")


def test_phone_that_is_to_be_wiped_is_told_at_every_door_until_it_says_that_it_was(phone, desk):
    device, client = phone
    desk.post(at(device, "wipe"))
    for door in ("/api/v1/auth/me", "/api/v1/sync/pull", "/api/v1/inspections"):
        answer = client.get(door)
        assert refused(answer) == (403, "device-blocked")
        assert json.loads(answer.content)["action"] == "wipe"
    assert refused(client.post("/api/v1/sync/push", {"ops": []}, format="json")) == (403, "device-blocked")
    for _ in range(2):
        assert client.post("/api/v1/devices/wiped").status_code == 204
    device.refresh_from_db()
    assert device.wiped_at is not None
    assert kinds_of(device) == ["device.wipe_ordered", "device.wiped"]
    assert Change.objects.get(kind="device.wiped").actor_id == device.person_id


def test_phone_may_send_before_its_wipe_where_that_was_allowed_and_do_nothing_else(phone, desk, tmp_path, settings):
    settings.BLOBS = tmp_path
    device, client = phone
    row = desk.post(at(device, "wipe"), {"rescue": True}, format="json").json()
    told = json.loads(client.get("/api/v1/sync/pull").content)
    assert (told["code"], told["action"]) == ("device-blocked", "push-then-wipe")
    assert told["push_until"] and "没有上传的内容传完" in told["detail"]
    assert client.post("/api/v1/sync/push", {"ops": []}, format="json").status_code == 200
    assert client.put("/api/v1/blobs/" + "0" * 64, b"x", content_type="image/jpeg").status_code == 422
    assert refused(client.get("/api/v1/auth/me")) == (403, "device-blocked")
    assert row["rescue_until"]


def test_rescue_ends_with_its_time_with_a_second_order_and_with_the_wipe(phone, desk):
    device, client = phone
    push = lambda: client.post("/api/v1/sync/push", {"ops": []}, format="json").status_code  # noqa: E731
    desk.post(at(device, "wipe"), {"rescue": True}, format="json")
    assert push() == 200
    desk.post(at(device, "wipe"), {"rescue": False}, format="json")
    assert push() == 403
    desk.post(at(device, "wipe"), {"rescue": True}, format="json")
    Device.objects.filter(pk=device.pk).update(rescue_until=timezone.now() - timedelta(seconds=1))
    assert push() == 403
    Device.objects.filter(pk=device.pk).update(rescue_until=timezone.now() + RESCUE)
    assert push() == 200
    client.post("/api/v1/devices/wiped")
    assert push() == 403
    assert len(kinds_of(device)) == 4


def test_phone_without_an_order_to_wipe_says_nothing_of_a_wipe(phone):
    _, client = phone
    assert refused(client.post("/api/v1/devices/wiped")) == (401, "token-expired")


def test_whoever_finds_the_phone_and_signs_in_has_a_new_one_with_the_old_work(phone, desk, town):
    device, _ = phone
    desk.post(at(device, "lose"))
    said = {"username": town.inspector.username, "password": "correct-horse-battery", "device": "找回的手机"}
    answer = APIClient().post("/api/v1/auth/login", said | {"device_id": str(device.id)}, format="json").json()
    assert answer["device"]["id"] != str(device.id)


def test_list_shows_ones_own_and_to_overseers_those_whom_they_cover(phone, desk, town):
    device, client = phone
    make_token(person=town.stranger)
    listed = lambda who, query="": {row["id"] for row in who.get(f"/api/v1/devices{query}").json()["devices"]}  # noqa: E731
    assert listed(client) == listed(client, "?of=mine") == {str(device.id)}
    assert listed(client, "?of=covered") == set()
    mine = {str(each.id) for each in town.administrator.devices.all()}
    assert listed(desk) == mine
    assert listed(desk, "?of=covered") == mine | {str(device.id)}
    assert listed(desk, f"?of=covered&person={town.inspector.id}") == {str(device.id)}
    assert listed(desk, f"?of=covered&person={town.stranger.id}") == set()
    assert listed(desk, "?of=covered&ended=true") == set()
    assert desk.get("/api/v1/devices?who=all").status_code == 400


def test_person_who_left_stays_with_the_bureau_of_the_last_posts_until_another_has_them(town):
    day = timezone.localdate()
    under = lambda *nodes: persons_under([node.id for node in nodes], on=day)  # noqa: E731
    gone = make_person(role="inspector", at=town.school)
    with lifted():
        Post.objects.filter(person=gone).update(to_on=day - timedelta(days=1))
    assert gone in under(town.school)
    Post.objects.create(person=gone, role="inspector", node=town.foreign, from_on=day)
    assert gone not in under(town.school) and gone in under(town.foreign)
    assert Person.objects.get(pk=town.stranger.pk) not in under(town.district, town.school)
