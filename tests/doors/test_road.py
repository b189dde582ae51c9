"""The road, the bytes, and signing in: doors that ask who is there rather than what is theirs to do."""

import hashlib
import json
from urllib.parse import urlencode

import pytest
from django.test import Client

from inspections.models import BlobHolder
from safety.ids import new_id
from safety.models import Alert, DeviceToken
from tests.doors.arranged import Arranged
from tests.doors.people import make_town
from tests.doors.table import granted, read, status, tried
from tests.inspections.photographs import encoded, scene
from tests.makers import PASSWORD

pytestmark = pytest.mark.django_db

ROAD = read("""
                                   督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
GET sync/pull                       ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
POST sync/push                      ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
GET sync/pull by a desk's session  403  403  403  403  403  403  403  403  403  403  403  403  403  403  401
POST sync/push by a desk's session 403  403  403  403  403  403  403  403  403  403  403  403  403  403  401
GET sync/pull as another's phone   400  400  400  400  400  400  400  400  400  400  400  400  400  400  401
PUT blobs                           ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
HEAD blobs of the inspector         ✓   404  404  404  404  404  404  404  404  404  404  404  404  404  401
GET auth/me                         ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
GET devices                         ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
POST devices rename                 ✓   404  404  404  404  404  404  404  404  404  404  404  404  404  401
POST devices revoke                 ✓   404  404  404   ✓   404  404  404  404  404  404  404  404  404  401
POST devices lose                   ✓   404  404  404   ✓   404  404  404  404  404  404  404  404  404  401
POST devices wipe                  403  404  404  404   ✓   404  404  404  404  404  404  404  404  404  401
POST devices wiped                 401  401  401  401  401  401  401  401  401  401  401  401  401  401  401
POST auth/logout                    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
POST auth/login                     ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓
POST auth/login, wrong password    401  401  401  401  401  401  401  401  401  401  401  401  401  401  401
GET schema.json                     ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓
GET /                               ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓
GET /docs/                          ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓
GET /login/                         ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓
POST /logout/                      302  302  302  302  302  302  302  302  302  302  302  302  302  302  302
GET an address that is none        404  404  404  404  404  404  404  404  404  404  404  404  404  404  404
GET what is only said              405  405  405  405  405  405  405  405  405  405  405  405  405  405  401
POST what is only read             405  405  405  405  405  405  405  405  405  405  405  405  405  405  401
PATCH a list                       405  405  405  405  405  405  405  405  405  405  405  405  405  405  401
POST a document                    405  405  405  405  405  405  405  405  405  405  405  405  405  405  401
PUT a document                     405  405  405  405  405  405  405  405  405  405  405  405  405  405  401
POST a word that no verb has       404  404  404  404  404  404  404  404  404  404  404  404  404  404  401
""")
DOORS_OPEN = 166


def session_of(caller):
    """The desk's door: a session instead of a phone."""
    client = Client()
    if caller.person is not None:
        client.force_login(caller.person, backend="safety.access.PostBackend")
    return client


class Road:
    def __init__(self, town):
        self.town = town
        self.inspector = town.of("督学")[0]
        self.picture = encoded(scene(64, 48))
        self.sha256 = hashlib.sha256(self.picture).hexdigest()
        put = self.put(self.inspector)
        assert put.status_code == 201
        self.visit = Arranged(town).visit()

    def put(self, caller):
        return caller.call("PUT", f"/api/v1/blobs/{self.sha256}", self.picture, content_type="image/jpeg")

    def login(self, password):
        said = json.dumps({"username": self.inspector.person.username, "password": password, "device": "新手机"})
        return lambda caller: caller.call("POST", "/api/v1/auth/login", said.encode())

    def on_device(self, action, body=b"{}"):
        address = f"/api/v1/devices/{{}}/{action}"
        return lambda caller: self.alike(caller, "POST", address, self.inspector.device.id, body)

    def alike(self, caller, method, address, known, body=b"", *, unknown=None):
        """The answer; a 404 must be that of an unknown one."""
        response = caller.call(method, address.format(known), body)
        if response.status_code == 404:
            other = caller.call(method, address.format(unknown or new_id()), body)
            assert (response.content, dict(response.headers)) == (other.content, dict(other.headers))
        return response

    def doors(self):
        plain = lambda method, address, body=b"": lambda caller: caller.call(method, f"/api/v1/{address}", body)  # noqa: E731
        other_phone = {"Sync-Device": str(new_id())}
        return {
            "GET sync/pull": plain("GET", "sync/pull"),
            "POST sync/push": plain("POST", "sync/push", b'{"ops": []}'),
            "GET sync/pull by a desk's session": lambda caller: session_of(caller).get("/api/v1/sync/pull"),
            "POST sync/push by a desk's session": lambda caller: session_of(caller).post(
                "/api/v1/sync/push", {"ops": []}, content_type="application/json"
            ),
            "GET sync/pull as another's phone": lambda caller: caller.call(
                "GET", "/api/v1/sync/pull", headers=other_phone
            ),
            "PUT blobs": self.put,
            "HEAD blobs of the inspector": lambda caller: self.alike(
                caller, "HEAD", "/api/v1/blobs/{}", self.sha256, unknown="0" * 64
            ),
            "GET auth/me": plain("GET", "auth/me"),
            "GET devices": plain("GET", "devices"),
            "POST devices rename": self.on_device("rename", '{"name": "旧手机"}'.encode()),
            "POST devices revoke": self.on_device("revoke"),
            "POST devices lose": self.on_device("lose"),
            "POST devices wipe": self.on_device("wipe"),
            "POST devices wiped": plain("POST", "devices/wiped"),
            "POST auth/logout": plain("POST", "auth/logout"),
            "POST auth/login": self.login(PASSWORD),
            "POST auth/login, wrong password": self.login("wrong"),
            "GET schema.json": plain("GET", "schema.json"),
            "GET /": lambda caller: session_of(caller).get("/"),
            "GET /docs/": lambda caller: session_of(caller).get("/docs/"),
            "GET /login/": lambda caller: caller.call("GET", "/login/"),
            "POST /logout/": lambda caller: caller.call("POST", "/logout/"),
            "GET an address that is none": plain("GET", "nothing/of/the/kind"),
            "GET what is only said": plain("GET", f"inspections/{self.visit}/submit"),
            "POST what is only read": plain("POST", "organisations"),
            "PATCH a list": plain("PATCH", "inspections", b'{"answers": {}}'),
            "POST a document": plain("POST", f"inspections/{self.visit}", b"{}"),
            "PUT a document": plain("PUT", f"inspections/{self.visit}", b"{}"),
            "POST a word that no verb has": plain("POST", f"inspections/{self.visit}/dance", b"{}"),
        }


@pytest.fixture
def road(tmp_path, settings):
    settings.BLOBS = tmp_path
    return Road(make_town())


def test_table_is_tried_whole(road):
    assert set(road.doors()) == set(ROAD)
    assert granted(ROAD) == DOORS_OPEN


def test_each_door_knows_who_is_there(road):
    differ = {}
    for row, door in road.doors().items():
        got = tried(road.town, lambda caller, door=door: status(door(caller).status_code))
        wrong = {column: (got[column], cell) for column, cell in ROAD[row].items() if got[column] != cell}
        if wrong:
            differ[row] = wrong
    assert differ == {}


def test_front_page_tells_an_alert_to_whoever_knows_it_and_to_nobody_else(road):
    alert = Alert.objects.get(pk=Arranged(road.town).alert())
    told = {
        caller.column for caller in road.town.callers if alert.sentence in session_of(caller).get("/").content.decode()
    }
    assert told <= {"值班"}


def test_devices_are_ones_own(road):
    for caller in road.town.callers:
        if caller.person is not None:
            rows = json.loads(caller.call("GET", "/api/v1/devices").content)["devices"]
            assert {row["id"] for row in rows} == {str(device.id) for device in caller.person.devices.all()} != set()


def test_bytes_that_somebody_brought_are_told_to_nobody_else(road):
    """Knowing a hash is no right to read: bringing the same bytes is answered as if they were new."""
    stranger = road.town.of("外安")[0]
    assert road.put(stranger).status_code == 201
    assert road.put(stranger).status_code == 200
    assert BlobHolder.objects.count() == 2


def test_token_that_ended_opens_nothing(road):
    DeviceToken.objects.filter(device=road.inspector.device).update(revoked_at="2026-01-01T00:00:00Z")
    for method, address in [("GET", "sync/pull"), ("GET", "auth/me"), ("GET", "inspections")]:
        assert road.inspector.call(method, f"/api/v1/{address}").status_code == 401


def test_filter_of_a_list_never_widens_it(road):
    """A foreign unit, site or person in a filter gives an empty page, as an unknown one does."""
    stranger = road.town.of("外安")[0]
    for collection in ("inspections", "sites", "rectifications", "photos", "alerts"):
        pages = [
            stranger.call("GET", f"/api/v1/{collection}?{urlencode({'unit': unit})}")
            for unit in (road.town.school.id, new_id())
        ]
        assert {(page.status_code, page.content) for page in pages} == {(200, pages[0].content)}
        assert json.loads(pages[0].content)["items"] == []
