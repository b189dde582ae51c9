"""The bytes of photos: what their door takes and refuses, who may know of them, what is made of them, when they go."""

import hashlib
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from inspections import jobs, photos
from inspections.models import Blob, BlobHolder, Derivation, Photo, ShownCopy
from safety.authentication import issue_token
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Change, Clock, Device
from tests.inspections.doors import ByPhone, ByWeb, Cure
from tests.inspections.photographs import chunk, encoded, exif, opened, png, scene, shows_scene, turned

pytestmark = pytest.mark.django_db

JPEG = "image/jpeg"


@pytest.fixture(autouse=True)
def blobs(settings, tmp_path) -> Path:
    settings.BLOBS = tmp_path / "blobs"
    return settings.BLOBS


@pytest.fixture
def web():
    return ByWeb()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(web, person, content: bytes, *, claimed: str = JPEG, name: str | None = None):
    return web.of(person).put(f"/api/v1/blobs/{name or sha(content)}", content, content_type=claimed)


def known(web, person, content: bytes) -> int:
    return web.of(person).head(f"/api/v1/blobs/{sha(content)}").status_code


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


class Shown:
    """A draft visit whose author photographs it."""

    def __init__(self, town):
        self.town, self.phone = town, ByPhone()
        said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
        self.visit = self.phone.say(town.inspector, "inspections.create", said).doc_id

    def declare(self, content: bytes, *, code="ST-15", by=None, **more):
        said = {
            "subject_collection": "inspections",
            "subject_id": self.visit,
            "sha256": sha(content),
            "size_bytes": len(content),
            "item_code": code,
            "taken_at": timezone.now() - timedelta(hours=2),
            "latitude": 34.9012333,
            "longitude": 109.0823333,
            "accuracy_m": 8,
        }
        return self.phone.say(by or self.town.inspector, "photos.create", said | more)


def state(answer) -> str:
    return Photo.objects.get(pk=answer.doc_id).state


# The door


def test_bytes_are_new_once_and_known_to_whoever_brought_them(town, web, blobs):
    content = turned(6)
    assert [put(web, town.inspector, content).status_code for _ in range(2)] == [201, 200]
    assert (known(web, town.inspector, content), files(blobs)) == (200, {sha(content)})
    assert (Blob.objects.get().size_bytes, Blob.objects.get().media_type) == (len(content), JPEG)
    assert photos.path_of(sha(content)).read_bytes() == content


def test_knowing_a_hash_is_no_right_to_the_bytes(town, web):
    content = turned(1)
    put(web, town.inspector, content)
    unknown = web.of(town.colleague).head(f"/api/v1/blobs/{'0' * 64}")
    asked = web.of(town.colleague).head(f"/api/v1/blobs/{sha(content)}")
    assert (asked.status_code, asked.content) == (unknown.status_code, unknown.content) == (404, unknown.content)
    declared = Shown(town).declare(content, by=town.inspector)
    assert state(declared) == "stored"
    other = ByPhone()
    told = {"site_id": town.canteen.id, "text": "同一张"}
    hazard = other.say(town.colleague, "quick_hazards.create", told)
    said = {"subject_collection": "quick_hazards", "subject_id": hazard.doc_id, "sha256": sha(content)}
    claimed = other.say(town.colleague, "photos.create", {**said, "size_bytes": 9})
    assert state(claimed) == "declared"
    assert put(web, town.colleague, content).status_code == 201
    assert (state(claimed), BlobHolder.objects.count(), Blob.objects.count()) == ("stored", 2, 1)


def test_bytes_are_not_fetched_back_at_their_door(town, web):
    content = turned(1)
    put(web, town.inspector, content)
    answer = web.of(town.inspector).get(f"/api/v1/blobs/{sha(content)}")
    assert (answer.status_code, content in answer.content) == (405, False)


@pytest.mark.parametrize("method", ["put", "head"])
def test_nobody_brings_bytes_without_signing_in(client, method, blobs):
    answer = getattr(client, method)(f"/api/v1/blobs/{'0' * 64}")
    assert (answer.status_code, files(blobs)) == (401, set())


@pytest.mark.parametrize("first", ["bytes", "document"])
def test_photo_is_stored_whichever_comes_first_and_that_is_a_change_of_the_photo(town, web, first):
    shown, content = Shown(town), turned(1)
    if first == "bytes":
        put(web, town.inspector, content)
        photo = shown.declare(content)
    else:
        photo = shown.declare(content)
        assert (state(photo), photo.doc["state"], photo.doc["rev"]) == ("declared", "declared", 1)
        put(web, town.inspector, content)
    kinds = list(Change.objects.filter(doc_id=photo.doc_id).order_by("seq").values_list("kind", "actor_id", "chain_id"))
    said = [("photo.declared", town.inspector.id, town.school.id)]
    stored = [("photo.stored", town.inspector.id, town.school.id)] if first == "document" else []
    assert (state(photo), kinds) == ("stored", said + stored)
    assert Derivation.objects.get().photo_id == photo.doc_id


def test_repeated_upload_changes_nothing_more(town, web):
    shown, content = Shown(town), turned(1)
    photo = shown.declare(content)
    put(web, town.inspector, content)
    before = Clock.objects.get().seq
    put(web, town.inspector, content)
    assert (Clock.objects.get().seq, state(photo)) == (before, "stored")


REFUSED = {
    "differing from their hash": (lambda: turned(1), "0" * 64, JPEG, 422, "sha256-differs"),
    "truncated": (lambda: turned(1)[:2000], None, JPEG, 422, "photo-truncated"),
    "called another kind": (lambda: turned(1), None, "image/png", 415, "photo-mislabelled"),
    "no picture": (lambda: b"MZ" + bytes(5000), None, JPEG, 415, "photo-not-an-image"),
    "a page": (lambda: b"<html><script>alert(1)</script></html>", None, "text/html", 415, "photo-not-an-image"),
    "empty": (lambda: b"", None, JPEG, 422, "photo-truncated"),
    "a bomb": (lambda: png(40_000, 40_000), None, "image/png", 413, "photo-too-many-pixels"),
    "carrying an archive": (lambda: turned(1) + b"PK\x03\x04" + bytes(3000), None, JPEG, 415, "photo-with-attachment"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bytes_are_refused_with_a_reason_and_leave_nothing_behind_when(case, town, web, blobs):
    make, name, claimed, status, code = REFUSED[case]
    answer = put(web, town.inspector, make(), claimed=claimed, name=name)
    told = answer.json()
    assert (answer.status_code, told["code"], answer["Content-Type"]) == (status, code, "application/problem+json")
    assert told["detail"].endswith("。") and "{" not in told["detail"]
    assert (files(blobs), Blob.objects.count(), BlobHolder.objects.count()) == (set(), 0, 0)
    assert web.of(town.inspector).head(f"/api/v1/blobs/{name or sha(make())}").status_code == 404


def test_bytes_beyond_the_limit_are_refused_before_they_are_looked_at(town, web, blobs, settings):
    settings.PHOTO_MAX_BYTES = 10_000
    answer = put(web, town.inspector, turned(1, size=(1600, 1200)))
    assert (answer.status_code, answer.json()["code"]) == (413, "photo-too-large")
    assert (files(blobs), Blob.objects.count()) == (set(), 0)


def test_bytes_that_failed_the_first_time_are_taken_whole_the_second(town, web):
    shown, content = Shown(town), turned(1)
    photo = shown.declare(content)
    assert put(web, town.inspector, content[:-100], name=sha(content)).status_code == 422
    assert state(photo) == "declared"
    assert put(web, town.inspector, content).status_code == 201
    assert state(photo) == "stored"


@pytest.mark.django_db(transaction=True)
def test_camera_photo_of_twelve_megabytes_passes_the_servers_own_handler(town, blobs, settings):
    noise = Image.frombytes("RGB", (4000, 3000), os.urandom(4000 * 3000 * 3))
    content = encoded(noise, quality=95, exif=exif(orientation=6))
    assert len(content) > 12_000_000 > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    device = Device.objects.create(person=town.inspector, name="手机", registered_at=timezone.now())
    status, body = async_to_sync(upload)(content, issue_token(device, now=timezone.now()))
    assert (status, body, files(blobs)) == (201, b"", {sha(content)})


async def upload(content: bytes, token: str) -> tuple[int, bytes]:
    """PUT in pieces of 64 kB, as a server hands them on."""
    headers = {"authorization": f"Bearer {token}", "content-type": JPEG, "host": "127.0.0.1"}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "PUT",
        "path": f"/api/v1/blobs/{sha(content)}",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    app = ApplicationCommunicator(get_asgi_application(), scope)
    for start in range(0, len(content), 65_536):
        more = start + 65_536 < len(content)
        await app.send_input({"type": "http.request", "body": content[start : start + 65_536], "more_body": more})
    answer = await app.receive_output(timeout=30)
    body = await app.receive_output(timeout=5)
    return answer["status"], body.get("body", b"")


# Sealing and sweeping


def test_bytes_of_a_banned_item_are_sealed_and_destroyed_after_seven_days(town, web, blobs):
    shown, content, now = Shown(town), turned(1), timezone.now()
    put(web, town.inspector, content)
    answer = shown.declare(content, code="SS-11")
    assert (answer.status, answer.code, Blob.objects.get().sealed_at is not None) == ("rejected", "photo-banned", True)
    assert jobs.sweep_blobs(now + timedelta(days=6, hours=23)) == 0
    assert jobs.sweep_blobs(now + timedelta(days=7, minutes=1)) == 1
    assert (files(blobs), Blob.objects.get().destroyed_at is not None) == (set(), True)
    assert known(web, town.inspector, content) == 404
    again = put(web, town.inspector, content)
    assert (again.status_code, again.json()["code"], files(blobs)) == (410, "photo-destroyed", set())


def test_refusal_at_the_web_seals_as_well(town, web):
    shown, content = Shown(town), turned(1)
    put(web, town.inspector, content)
    shown.phone = web
    assert shown.declare(content, code="SS-11").code == "photo-banned"
    assert (Blob.objects.get().sealed_at is not None, Photo.objects.exists()) == (True, False)


@pytest.mark.parametrize("order", ["allowed first", "banned first"])
def test_bytes_that_another_item_shows_outlive_the_ban(town, web, order, blobs):
    shown, content = Shown(town), turned(1)
    put(web, town.inspector, content)
    codes = ["ST-15", "SS-11"] if order == "allowed first" else ["SS-11", "ST-15"]
    assert {shown.declare(content, code=code).status for code in codes} == {"applied", "rejected"}
    assert jobs.sweep_blobs(timezone.now() + timedelta(days=30)) == 0
    assert files(blobs) == {sha(content)}


def test_destroyed_bytes_come_back_for_an_item_that_allows_them(town, web, blobs):
    shown, content = Shown(town), turned(1)
    put(web, town.inspector, content)
    shown.declare(content, code="SS-11")
    jobs.sweep_blobs(timezone.now() + timedelta(days=8))
    photo = shown.declare(content, code="ST-15")
    assert state(photo) == "declared"
    assert put(web, town.inspector, content).status_code in (200, 201)
    assert (state(photo), files(blobs)) == ("stored", {sha(content)})


def test_bytes_that_no_document_names_are_swept_after_fourteen_days_and_may_come_again(town, web, blobs):
    shown, content, now = Shown(town), turned(1), timezone.now()
    put(web, town.inspector, content)
    assert jobs.sweep_blobs(now + timedelta(days=13, hours=23)) == 0
    assert jobs.sweep_blobs(now + timedelta(days=14, minutes=1)) == 1
    assert (files(blobs), known(web, town.inspector, content)) == (set(), 404)
    photo = shown.declare(content)
    assert state(photo) == "declared"
    put(web, town.inspector, content)
    assert (state(photo), files(blobs), known(web, town.inspector, content)) == ("stored", {sha(content)}, 200)


def test_what_a_killed_upload_left_is_swept_after_a_day(blobs):
    left = blobs / "incoming" / "left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert jobs.sweep_blobs(timezone.now() + timedelta(hours=23)) == 0
    assert jobs.sweep_blobs(timezone.now() + timedelta(hours=25)) == 1
    assert files(blobs) == set()


def test_the_sweep_goes_on_when_an_upload_ends_while_it_looks(blobs):
    folder = blobs / "incoming"
    folder.mkdir(parents=True)
    (folder / "gone").symlink_to(folder / "nowhere")  # named in the folder, and not there any more
    (folder / "left").write_bytes(b"half")
    assert jobs.sweep_blobs(timezone.now() + timedelta(hours=25)) == 1
    assert not (folder / "left").exists()


# Shown copies


def stored(town, web, content: bytes, **more) -> Photo:
    put(web, town.inspector, content)
    return Photo.objects.get(pk=Shown(town).declare(content, **more).doc_id)


def copy(web, person, photo, name):
    return web.of(person).get(f"/api/v1/photos/{photo.id}/{name}.jpg")


def body(answer) -> bytes:
    return b"".join(answer.streaming_content)


def test_three_copies_are_made_and_shown_without_metadata(town, web, blobs):
    photo = stored(town, web, turned(6, size=(3000, 2000)))
    before = Clock.objects.get().seq
    assert jobs.derive_photos(timezone.now()) == 1
    sizes = {}
    for name in ("320", "1600", "stamped"):
        answer = copy(web, town.inspector, photo, name)
        jpeg = body(answer)
        assert (answer.status_code, answer["Content-Type"]) == (200, JPEG)
        assert (opened(jpeg).getexif(), opened(jpeg).info.get("exif")) == ({}, None)
        assert sha(jpeg) == ShownCopy.objects.get(photo=photo, name=name).sha256
        sizes[name] = opened(jpeg).size
    assert sizes == {"320": (320, 213), "1600": (1600, 1067), "stamped": (1600, 1067)}
    assert shows_scene(body(copy(web, town.inspector, photo, "1600")))
    assert Clock.objects.get().seq == before, "derivatives are side rows without a change"


def test_original_is_kept_byte_for_byte_and_served_to_nobody(town, web):
    content = turned(6)
    photo = stored(town, web, content)
    jobs.derive_photos(timezone.now())
    assert photos.path_of(sha(content)).read_bytes() == content
    for name in ("original", "transport", sha(content)):
        assert copy(web, town.inspector, photo, name).status_code == 404


def test_copies_are_shown_to_whoever_sees_the_photo_and_nobody_else(town, web):
    photo = stored(town, web, turned(1))
    jobs.derive_photos(timezone.now())
    unknown = web.of(town.principal).get(f"/api/v1/photos/{new_id()}/320.jpg")
    for person in (town.principal, town.stranger, town.neighbour_principal):
        answer = copy(web, person, photo, "320")
        assert (answer.status_code, answer.content) == (404, unknown.content)
    assert copy(web, town.safety, photo, "320").status_code == 200


def test_deriving_twice_makes_the_same_and_asks_for_nothing_more(town, web, blobs):
    photo = stored(town, web, turned(1))
    jobs.derive_photos(timezone.now())
    first = dict(ShownCopy.objects.values_list("name", "sha256"))
    assert jobs.derive_photos(timezone.now()) == 0
    Derivation.objects.update(done_at=None)
    assert jobs.derive_photos(timezone.now()) == 1
    assert (dict(ShownCopy.objects.values_list("name", "sha256")), ShownCopy.objects.count()) == (first, 3)
    assert len(files(blobs)) == 4
    assert Derivation.objects.get(photo=photo).done_at is not None


def test_lease_of_a_killed_worker_is_taken_again_when_it_is_over(town, web):
    photo, now = stored(town, web, turned(1)), timezone.now()
    assert [each.photo_id for each in jobs.lease(now)] == [photo.id]  # and here the worker dies
    assert jobs.derive_photos(now + timedelta(minutes=4)) == 0
    assert jobs.derive_photos(now + timedelta(minutes=6)) == 1
    assert ShownCopy.objects.filter(photo=photo).count() == 3


def test_photo_that_ends_every_worker_is_given_up(town, web):
    stored(town, web, turned(1))
    now = timezone.now()
    for n in range(jobs.MOST_ATTEMPTS):
        assert len(jobs.lease(now + n * jobs.LEASE)) == 1
    assert jobs.lease(now + jobs.MOST_ATTEMPTS * jobs.LEASE) == []
    assert Derivation.objects.get().failure == "never-finished"


def test_photo_whose_bytes_are_lost_does_not_hold_up_the_others(town, web):
    lost = stored(town, web, turned(1))
    photos.path_of(lost.sha256).unlink()
    kept = stored(town, web, turned(3))
    assert jobs.derive_photos(timezone.now()) == 2
    assert Derivation.objects.get(photo=lost).failure == "bytes-missing"
    assert ShownCopy.objects.filter(photo=kept).count() == 3


def damaged() -> bytes:
    """A PNG that is whole from outside and cannot be decoded."""
    return png(8, 8, b"this is not deflate", chunk(b"tEXt", b"Comment\x00x"))


def test_unreadable_photo_says_so_and_its_original_stays(town, web):
    content = damaged()
    assert put(web, town.inspector, content, claimed="image/png").status_code == 201
    photo = Photo.objects.get(pk=Shown(town).declare(content).doc_id)
    assert jobs.derive_photos(timezone.now()) == 1
    photo.refresh_from_db()
    assert (photo.state, ShownCopy.objects.count()) == ("unreadable", 0)
    change = Change.objects.filter(doc_id=photo.id).latest("seq")
    assert (change.kind, change.actor_id, change.chain_id) == ("photo.unreadable", None, town.school.id)
    assert photos.path_of(sha(content)).read_bytes() == content
    assert jobs.derive_photos(timezone.now()) == 0
    assert copy(web, town.inspector, photo, "320").status_code == 404


def test_stamp_needs_a_time_and_a_photo_without_one_is_shown_unstamped(town, web):
    photo = stored(town, web, turned(1), taken_at=None)
    jobs.derive_photos(timezone.now())
    assert set(ShownCopy.objects.filter(photo=photo).values_list("name", flat=True)) == {"320", "1600"}


def test_photos_of_a_cure_are_bytes_under_the_same_door(town, web):
    cure, content = Cure(town).to("notified"), encoded(scene(800, 600), "WEBP")
    report = cure.report(photos=[{"id": (listed := new_id()), "sha256": sha(content)}])
    said = {"subject_collection": "reports", "subject_id": report.doc_id, "sha256": sha(content), "size_bytes": 9}
    phone = ByPhone()
    photo = phone.say(town.principal, "photos.create", said, doc_id=listed)
    assert put(web, town.principal, content, claimed="image/webp").status_code == 201
    assert (photo.status, state(photo), photo.doc["state"]) == ("applied", "stored", "declared")
    jobs.derive_photos(timezone.now())
    assert copy(web, town.inspector, Photo.objects.get(), "320").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_same_bytes_by_eight_senders_at_once_are_one_blob(town, blobs):
    content, web, answers = turned(1), ByWeb(), []
    client = web.of(town.inspector)

    def send():
        try:
            answers.append(client.put(f"/api/v1/blobs/{sha(content)}", content, content_type=JPEG).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * 7 + [201]
    assert (Blob.objects.count(), BlobHolder.objects.count(), files(blobs)) == (1, 1, {sha(content)})


@pytest.mark.django_db(transaction=True)
def test_sweep_waits_for_whoever_links_the_bytes_in_this_moment(town, web, blobs):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    content = turned(1)
    put(web, town.inspector, content)
    swept = []

    def sweep():
        try:
            swept.append(jobs.sweep_blobs(timezone.now() + timedelta(days=20)))
        finally:
            connection.close()

    with lifted(), transaction.atomic():
        Blob.objects.select_for_update().get()
        thread = threading.Thread(target=sweep)
        thread.start()
        thread.join(timeout=1)
        assert thread.is_alive()
        link(town, content)
    thread.join()
    assert (swept, files(blobs)) == ([0], {sha(content)})


def link(town, content: bytes) -> None:
    Photo.objects.create(
        subject_collection="inspections",
        subject_id=new_id(),
        unit=town.school,
        rendition="original",
        sha256=sha(content),
        size_bytes=len(content),
        mode="camera",
        state="stored",
        author=town.inspector,
        audience="bureau",
    )
