"""Signing in: a phone's token or cookie, a desk's session, and what keeps others out."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from safety.guard import lifted
from safety.ids import new_id
from safety.models import Change, Device, DeviceToken
from safety.models.device import TOKEN_DAYS
from tests.makers import PASSWORD, make_person, make_token
from tests.sessions import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def inspector(town):
    return town.inspector


def sign_in(client, person, *, password=PASSWORD, **more):
    said = {"username": person.username, "password": password, "device": "督学的手机", **more}
    return client.post("/api/v1/auth/login", said, format="json")


def bearer(secret):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def problem(response):
    assert response["Content-Type"] == "application/problem+json"
    return json.loads(response.content)


def test_phone_gets_a_token_once_and_the_server_keeps_its_digest_alone(inspector):
    response = sign_in(APIClient(), inspector)
    answer = response.json()
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert answer["person"] == {"id": str(inspector.id), "username": inspector.username, "name": "督学甲"}
    token = DeviceToken.objects.get()
    assert str(token.device_id) == answer["device"]["id"]
    assert answer["token"] not in json.dumps(DeviceToken.objects.values().get(), default=str)
    assert bearer(answer["token"]).get("/api/v1/auth/me").json()["device"]["name"] == "督学的手机"


def test_signing_in_writes_no_synced_row(inspector):
    before, rev, password = Change.objects.count(), inspector.rev, inspector.password
    sign_in(APIClient(), inspector)
    inspector.refresh_from_db()
    assert (Change.objects.count(), inspector.rev, inspector.password) == (before, rev, password)


def test_wrong_password_and_unknown_account_are_answered_with_the_same_bytes(inspector):
    wrong = sign_in(APIClient(), inspector, password="wrong")
    inspector.username = "nobody"
    unknown = sign_in(APIClient(), inspector)
    assert wrong.content == unknown.content
    assert (wrong.status_code, wrong["WWW-Authenticate"]) == (401, "Bearer")
    assert problem(wrong)["code"] == "bad-credentials"


def test_person_who_is_not_active_is_answered_like_a_wrong_password(inspector):
    with lifted():
        type(inspector).objects.filter(pk=inspector.pk).update(is_active=False)
    assert problem(sign_in(APIClient(), inspector))["code"] == "bad-credentials"


def test_account_is_locked_for_an_address_after_five_failures_and_says_until_when(inspector):
    client = APIClient()
    statuses = [sign_in(client, inspector, password="wrong").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 401, 429]
    refused = sign_in(client, inspector)
    assert refused.status_code == 429
    assert problem(refused)["code"] == "too-many-logins"
    assert 3500 < int(refused["Retry-After"]) <= 3601
    assert not DeviceToken.objects.exists()


def test_lock_is_for_the_account_and_the_address_together(inspector, town):
    client = APIClient()
    for _ in range(5):
        sign_in(client, inspector, password="wrong")
    assert sign_in(client, town.colleague).status_code == 200
    elsewhere = APIClient(REMOTE_ADDR="10.1.2.3")
    assert sign_in(elsewhere, inspector).status_code == 200


def test_failures_are_forgotten_when_somebody_gets_in(inspector):
    client = APIClient()
    for _ in range(2):
        for _ in range(4):
            sign_in(client, inspector, password="wrong")
        assert sign_in(client, inspector).status_code == 200


def test_login_with_fields_missing_names_them(inspector):
    response = APIClient().post("/api/v1/auth/login", {"username": "a"}, format="json")
    assert (response.status_code, problem(response)["code"]) == (422, "validation")
    assert {each["field"] for each in problem(response)["errors"]} == {"password", "device"}


def test_cookie_is_out_of_reach_of_scripts_and_the_token_is_not_in_the_answer(inspector):
    client = APIClient(enforce_csrf_checks=True)
    response = sign_in(client, inspector, cookie=True)
    cookie = response.cookies["device"]
    assert response.json()["token"] is None
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/api/")
    assert client.get("/api/v1/auth/me").status_code == 200


def test_cookie_alone_changes_nothing_and_with_its_csrf_token_it_does(inspector):
    client = APIClient(enforce_csrf_checks=True)
    sign_in(client, inspector, cookie=True)
    device = Device.objects.get(person=inspector)
    address, said = f"/api/v1/devices/{device.id}/rename", {"name": "新手机"}
    refused = client.post(address, said, format="json")
    assert (refused.status_code, problem(refused)["code"]) == (403, "csrf")
    token = client.cookies["csrftoken"].value
    assert client.post(address, said, format="json", HTTP_X_CSRFTOKEN=token).json()["name"] == "新手机"


def test_bearer_needs_no_csrf_token(inspector):
    device, secret = make_token(person=inspector)
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.post(f"/api/v1/devices/{device.id}/rename", {"name": "甲"}, format="json").status_code == 200


def test_revoked_device_is_told_to_sign_in_again(inspector):
    device, secret = make_token(person=inspector)
    client = bearer(secret)
    assert client.post(f"/api/v1/devices/{device.id}/revoke").json()["revoked_at"]
    refused = client.get("/api/v1/auth/me")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    said = problem(refused)
    assert {"type", "title", "status", "code", "detail", "retryable"} <= said.keys()
    assert (said["status"], said["code"]) == (401, "token-expired")
    assert "手机上的内容都还在" in said["detail"]


def test_token_ends_ninety_days_after_its_last_use(inspector):
    _, secret = make_token(person=inspector)
    DeviceToken.objects.update(last_used_at=timezone.now() - timedelta(days=TOKEN_DAYS, minutes=1))
    assert bearer(secret).get("/api/v1/auth/me").status_code == 401


def test_header_that_names_another_device_is_a_400(inspector):
    _, secret = make_token(person=inspector)
    refused = bearer(secret).get("/api/v1/auth/me", HTTP_SYNC_DEVICE=str(new_id()))
    assert (refused.status_code, problem(refused)["code"]) == (400, "other-device")


def test_nobody_is_answered_401_at_every_door_of_signing_in():
    for address in ("auth/me", "devices"):
        assert problem(APIClient().get(f"/api/v1/{address}"))["code"] == "unauthenticated"


def test_device_of_somebody_else_is_answered_like_an_unknown_one(inspector, town):
    _, secret = make_token(person=inspector)
    foreign, _ = make_token(person=town.colleague)
    client = bearer(secret)
    for action, said in (("rename", {"name": "甲"}), ("revoke", {})):
        known = client.post(f"/api/v1/devices/{foreign.id}/{action}", said, format="json")
        unknown = client.post(f"/api/v1/devices/{new_id()}/{action}", said, format="json")
        assert (known.status_code, known.content) == (404, unknown.content)
    foreign.refresh_from_db()
    assert (foreign.revoked_at, foreign.name) == (None, "手机")


def test_phone_that_signs_in_again_keeps_its_device_and_ends_its_old_token(inspector):
    device, old = make_token(person=inspector)
    answer = sign_in(APIClient(), inspector, device_id=str(device.id)).json()
    assert answer["device"]["id"] == str(device.id)
    assert bearer(old).get("/api/v1/auth/me").status_code == 401
    assert bearer(answer["token"]).get("/api/v1/auth/me").status_code == 200


def test_phone_that_names_another_person_s_device_gets_one_of_its_own(inspector, town):
    foreign, secret = make_token(person=town.colleague)
    answer = sign_in(APIClient(), inspector, device_id=str(foreign.id)).json()
    assert answer["device"]["id"] != str(foreign.id)
    assert bearer(secret).get("/api/v1/auth/me").status_code == 200


def test_logging_out_ends_the_token_and_leaves_the_device(inspector):
    device, secret = make_token(person=inspector)
    assert bearer(secret).post("/api/v1/auth/logout").status_code == 204
    assert bearer(secret).get("/api/v1/auth/me").status_code == 401
    device.refresh_from_db()
    assert device.revoked_at is None


def test_my_devices_are_mine_and_show_the_one_that_asks(inspector, town):
    device, secret = make_token(person=inspector)
    make_token(person=town.colleague)
    rows = bearer(secret).get("/api/v1/devices").json()["devices"]
    assert [(row["id"], row["current"]) for row in rows] == [(str(device.id), True)]


def test_me_tells_posts_and_what_they_allow(town):
    _, secret = make_token(person=town.officer)
    me = bearer(secret).get("/api/v1/auth/me").json()
    assert [(post["role_name"], post["node"]["name"], post["side"]) for post in me["posts"]] == [
        ("值班员", "甲区教育局", "bureau")
    ]
    assert "alerts.acknowledge" in me["rights"]["verbs"] and "closures.create" not in me["rights"]["verbs"]
    assert (me["rights"]["desk"], me["rights"]["admin"]) == (True, False)


def test_me_tells_a_principal_that_the_desk_is_not_hers(town):
    _, secret = make_token(person=town.principal)
    me = bearer(secret).get("/api/v1/auth/me").json()
    assert (me["rights"]["desk"], me["posts"][0]["side"]) == (False, "unit")


def test_me_tells_a_person_without_posts_nothing(clock):
    _, secret = make_token(person=make_person())
    me = bearer(secret).get("/api/v1/auth/me").json()
    assert (me["posts"], me["rights"]) == ([], {"verbs": [], "desk": False, "admin": False})


def test_desk_signs_in_on_a_page_in_chinese_and_out_again(town):
    client = Client()
    page = client.get("/login/").content.decode()
    assert "值班台与管理后台登录" in page and 'lang="zh-CN"' in page
    answered = client.post("/login/", {"username": town.officer.username, "password": PASSWORD})
    assert (answered.status_code, answered["Location"]) == (302, "/")
    assert client.get("/api/v1/auth/me").json()["person"]["name"] == "值班员"
    client.post("/logout/")
    assert client.get("/api/v1/auth/me").status_code == 401


def test_desk_that_fails_too_often_sees_a_page_that_says_for_how_long(town):
    client = Client()
    said = {"username": town.officer.username, "password": "wrong"}
    pages = [client.post("/login/", said) for _ in range(5)]
    assert "账号或密码不正确" in pages[0].content.decode()
    assert (pages[-1].status_code, int(pages[-1]["Retry-After"]) > 3500) == (429, True)
    assert "60 分钟后再试" in pages[-1].content.decode()


def test_desk_s_session_counts_beside_a_cookie_that_has_ended_and_still_wants_its_csrf_token(town):
    client = APIClient(enforce_csrf_checks=True)
    sign_in(client, town.inspector, cookie=True)
    DeviceToken.objects.update(revoked_at=timezone.now())
    assert client.get("/api/v1/auth/me").status_code == 401
    client.force_login(town.officer, backend="safety.access.PostBackend")
    me = client.get("/api/v1/auth/me").json()
    assert (me["person"]["name"], me["device"]) == ("值班员", None)
    assert client.post("/api/v1/auth/logout").status_code == 403


def test_account_that_is_disabled_is_told_so_by_its_phone_s_cookie_beside_a_desk_s_session(town):
    client = APIClient()
    sign_in(client, town.inspector, cookie=True)
    with lifted():
        type(town.inspector).objects.filter(pk=town.inspector.pk).update(is_active=False)
    client.force_login(town.officer, backend="safety.access.PostBackend")
    refused = client.get("/api/v1/auth/me")
    assert (refused.status_code, problem(refused)["code"]) == (403, "account-disabled")


def test_desk_s_session_cannot_change_things_without_its_csrf_token(town):
    client = signed_in(town.officer, enforce_csrf_checks=True)
    assert client.post("/api/v1/auth/logout").status_code == 403
    assert client.get("/api/v1/auth/me").status_code == 200
