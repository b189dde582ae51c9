"""The road's doors as a client meets them: headers, encodings, and each refusal of sync.md §1.5 with what to do."""

import gzip
import threading
from datetime import timedelta

import msgspec
import pytest
import time_machine
from backports import zstd
from django.db import connection, transaction
from django.utils import timezone

from safety.guard import lifted
from safety.ids import new_id
from safety.models import Clock, DeviceToken, Person
from sync.models import Operation
from sync.push import MAX_BYTES, MAX_OPERATIONS
from tests.sync.mirror import Mirror
from tests.sync.papers import Paper, say, shared

pytestmark = pytest.mark.django_db


@pytest.fixture
def mirror(town):
    return Mirror(town.inspector)


def problem_of(response):
    assert response["Content-Type"] == "application/problem+json"
    return msgspec.json.decode(response.content)


def hazard(mirror, town, text="冷库漏水"):
    said = {"site_id": town.canteen.id, "text": text}
    operation = {"op_id": new_id(), "collection": "quick_hazards", "id": new_id(), "kind": "create"}
    operation |= {"set": said, "at": timezone.now()}
    return msgspec.json.encode({"device_id": mirror.device.id, "ops": [operation]})


def both(mirror, **headers):
    """The same headers at both doors: (pull, push)."""
    return mirror.ask(headers=headers), mirror.post_push(b'{"ops": []}', **headers)


# --- who is there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", ["revoked", "unknown", "old"])
def test_phone_without_a_living_token_signs_in_again_and_keeps_everything(mirror, ended):
    if ended == "revoked":
        DeviceToken.objects.update(revoked_at=timezone.now())
    if ended == "unknown":
        mirror.token = "nobody's"
    with time_machine.travel(timezone.now() + timedelta(days=91 if ended == "old" else 0)):
        for response in both(mirror):
            problem = problem_of(response)
            assert (response.status_code, problem["code"]) == (401, "token-expired")
            assert response["WWW-Authenticate"] == "Bearer" and response["Sync-Protocol"] == "1"


def test_disabled_account_is_told_to_export_what_it_holds_and_not_to_sign_in_again(mirror):
    with lifted():
        Person.objects.filter(pk=mirror.device.person_id).update(is_active=False)
    for response in both(mirror):
        problem = problem_of(response)
        assert (response.status_code, problem["code"], problem["action"]) == (403, "account-disabled", "export")
    mirror.token = "nobody's"
    assert mirror.ask().status_code == 401


def test_device_in_a_header_that_is_not_the_tokens_is_a_400(mirror):
    for response in both(mirror, **{"Sync-Device": str(new_id())}):
        assert (response.status_code, problem_of(response)["code"]) == (400, "other-device")
    for response in both(mirror, **{"Sync-Device": str(mirror.device.id)}):
        assert response.status_code == 200


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Sync-Protocol": "1", "Sync-Schema": "1"}, 200, None),
        ({"Sync-Protocol": "2"}, 200, None),
        ({"Sync-Schema": "9"}, 200, None),
        ({"Sync-Protocol": "0"}, 426, "client-too-old"),
        ({"Sync-Schema": "0"}, 426, "client-too-old"),
        ({"Sync-Schema": "seven"}, 400, "malformed"),
        ({"Sync-Schema": "-1"}, 400, "malformed"),
        ({"Sync-Protocol": "1.1"}, 400, "malformed"),
    ],
)
def test_pull_may_ask_for_an_upgrade_and_push_never_does(mirror, town, headers, status, code):
    pulled = mirror.ask(headers=headers)
    assert pulled.status_code == status and pulled["Sync-Protocol"] == "1"
    if code is not None:
        assert problem_of(pulled)["code"] == code
    pushed = mirror.post_push(hazard(mirror, town), **headers)
    assert msgspec.json.decode(pushed.content)["results"][0]["status"] == "applied"


def test_push_of_an_old_epoch_and_an_unknown_schema_is_taken(mirror, town):
    envelope = msgspec.json.decode(hazard(mirror, town)) | {"epoch": "e-before the backup", "schema": 9}
    answer = msgspec.json.decode(mirror.post_push(msgspec.json.encode(envelope)).content)
    assert answer["results"][0]["status"] == "applied"
    assert answer["epoch"] == Clock.objects.get().epoch


# --- sizes and encodings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_push_takes_a_packed_body(mirror, town, encoding, pack):
    answer = mirror.post_push(pack(hazard(mirror, town)), **{"Content-Encoding": encoding})
    assert msgspec.json.decode(answer.content)["results"][0]["status"] == "applied"


def test_push_refuses_what_is_too_large_and_says_how_much_it_takes(mirror):
    many = msgspec.json.encode({"ops": [{}] * (MAX_OPERATIONS + 1)})
    long = b'{"ops": [], "x": "' + b"x" * MAX_BYTES + b'"}'
    bomb = gzip.compress(b" " * 50_000_000)
    for body, headers in (
        (many, {}),
        (long, {}),
        (long * 4, {}),
        (gzip.compress(long), {"Content-Encoding": "gzip"}),
        (bomb, {"Content-Encoding": "gzip"}),
        (zstd.compress(b" " * 50_000_000), {"Content-Encoding": "zstd"}),
    ):
        response = mirror.post_push(body, **headers)
        problem = problem_of(response)
        assert (response.status_code, problem["code"]) == (413, "batch-too-large")
        assert (problem["max_ops"], problem["max_bytes"]) == (MAX_OPERATIONS, MAX_BYTES)
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("encoding", "status", "code"),
    [("gzip", 400, "malformed"), ("zstd", 400, "malformed"), ("br", 415, "unsupported-encoding")],
)
def test_push_that_cannot_be_unpacked_is_refused(mirror, encoding, status, code):
    response = mirror.post_push(b'{"ops": []}', **{"Content-Encoding": encoding})
    assert (response.status_code, problem_of(response)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("accepted", "unpack"), [("gzip, deflate, br", gzip.decompress), ("gzip, br, zstd", zstd.decompress)]
)
def test_page_is_packed_as_the_phone_asks(mirror, town, accepted, unpack):
    say(*[Paper(shared(town.school), text="重复的话" * 20) for _ in range(50)])
    mirror.page(limit=1)
    plain = mirror.ask()
    packed = mirror.ask(headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in plain and plain["Vary"] == packed["Vary"] == "Accept-Encoding"
    told, same = msgspec.json.decode(unpack(packed.content)), msgspec.json.decode(plain.content)
    assert told | {"server_time": None} == same | {"server_time": None}
    assert len(packed.content) * 5 < len(plain.content)
    assert int(packed["Content-Length"]) == len(packed.content)


def test_small_answers_and_refusals_are_not_packed(mirror):
    mirror.sync()
    for query in ({"cursor": "x"}, {"limit": "0"}):
        assert "Content-Encoding" not in mirror.ask(headers={"Accept-Encoding": "gzip"}, **query)


# --- later ------------------------------------------------------------------------------------------------------------


def test_phone_that_runs_wild_is_told_when_to_come_back_and_no_other_is(mirror, town, settings):
    settings.SYNC_PER_MINUTE = 3
    colleague = Mirror(town.colleague)
    with time_machine.travel(timezone.now().replace(second=20, microsecond=0), tick=False):
        assert [mirror.ask().status_code for _ in range(3)] == [200] * 3
        for response in both(mirror):
            problem = problem_of(response)
            assert (response.status_code, problem["code"], problem["retryable"]) == (429, "slow-down", True)
            assert response["Retry-After"] == "40"
        assert colleague.ask().status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert mirror.ask().status_code == 200


@pytest.mark.django_db(transaction=True)
def test_busy_database_is_said_with_a_time_to_come_back(mirror, town):
    """Another holds the person's interval for longer than anybody waits: the first pull of the day cannot tell it."""
    let_go, holds = threading.Event(), threading.Event()

    def hold():
        try:
            with transaction.atomic():
                Clock.objects.select_for_update().get(id=1)
                with connection.cursor() as cursor:
                    cursor.execute("UPDATE safety_clock SET seq = seq WHERE id = 1")
                holds.set()
                let_go.wait(60)
        finally:
            connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert holds.wait(30)
        with connection.cursor() as cursor:
            patience = "PRAGMA busy_timeout = 50" if connection.vendor == "sqlite" else "SET lock_timeout = '50ms'"
            cursor.execute(patience)
        response = mirror.ask()
        problem = problem_of(response)
        assert (response.status_code, problem["code"], problem["retryable"]) == (503, "busy", True)
        assert response["Retry-After"] == "5" == str(problem["retry_after"])
    finally:
        let_go.set()
        other.join()
        connection.close()
    assert mirror.ask().status_code == 200
