"""tus 1.0.0 at /api/v1/files, door by door, without a network."""

import os
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory
from django.utils import timezone

from inspections import jobs, photos
from inspections.models import Blob, BlobHolder, Photo
from safety.ids import new_id
from safety.models import Change, Device
from sync import uploads
from sync.jobs import sweep_uploads
from sync.models import Upload
from tests.inspections.doors import ByPhone, ByWeb
from tests.inspections.photographs import encoded, png, scene, turned
from tests.makers import make_token
from tests.sync.tus import CHUNK, FILES, Phone, checksum, metadata, sha

pytestmark = pytest.mark.django_db(transaction=True)

PICTURE = turned(6)


@pytest.fixture(autouse=True)
def blobs(settings, tmp_path) -> Path:
    settings.BLOBS = tmp_path / "blobs"
    return settings.BLOBS


@pytest.fixture
def phone(town) -> Phone:
    return phone_of(town.inspector)


def phone_of(person) -> Phone:
    return Phone(make_token(person=person)[1])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def upload_of(answer) -> Upload:
    return Upload.objects.get(pk=answer.path.rpartition("/")[2])


def put(person, content: bytes, *, claimed: str = "image/jpeg"):
    return ByWeb().of(person).put(f"/api/v1/blobs/{sha(content)}", content, content_type=claimed)


# Creation and bytes


def test_revoked_phone_uploads_while_it_may_send_before_its_wipe_and_not_after(town):
    device, secret = make_token(person=town.inspector)
    now, phone = timezone.now(), Phone(secret)
    Device.objects.filter(pk=device.pk).update(
        revoked_at=now, wipe_ordered_at=now, rescue_until=now + timedelta(days=7)
    )
    assert phone.create(PICTURE).status == 201
    Device.objects.filter(pk=device.pk).update(rescue_until=None)
    refused = phone.create(PICTURE)
    assert (refused.status, refused.code) == (403, "device-blocked")


def test_photo_in_two_chunks_lies_in_the_store_of_the_simple_door(phone, town, blobs):
    created = phone.create(PICTURE)
    assert (created.status, created.offset) == (201, 0)
    assert created.headers["location"].startswith("http://localhost/api/v1/files/")
    assert phone.head(created.path).offset == 0
    first = phone.patch(created.path, PICTURE[:1000], at=0)
    assert (first.status, first.offset, phone.head(created.path).offset) == (204, 1000, 1000)
    last = phone.patch(created.path, [PICTURE[1000:3000], PICTURE[3000:]], at=1000)
    assert (last.status, last.offset, phone.head(created.path).offset) == (204, len(PICTURE), len(PICTURE))
    assert files(blobs) == {sha(PICTURE)}
    assert photos.path_of(sha(PICTURE)).read_bytes() == PICTURE
    assert (Blob.objects.get().size_bytes, BlobHolder.objects.get().person_id) == (len(PICTURE), town.inspector.id)
    assert put(town.inspector, PICTURE).status_code == 200


def test_photo_comes_with_its_creation(phone, blobs):
    created = phone.create(PICTURE)  # the row of a plain creation, to be compared with
    phone.call("DELETE", created.path)
    whole = phone.call(
        "POST",
        body=PICTURE,
        Upload_Length=str(len(PICTURE)),
        Upload_Metadata=metadata(sha256=sha(PICTURE)),
        Content_Type=CHUNK,
    )
    assert (whole.status, whole.offset, files(blobs)) == (201, len(PICTURE), {sha(PICTURE)})
    assert upload_of(whole).finished_at is not None
    other = turned(3)
    begun = phone.call(
        "POST",
        body=other[:500],
        Upload_Length=str(len(other)),
        Upload_Metadata=metadata(sha256=sha(other)),
        Content_Type=CHUNK,
    )
    assert (begun.status, begun.offset, phone.head(begun.path).offset) == (201, 500, 500)
    assert phone.patch(begun.path, other[500:], at=500).offset == len(other)


def test_body_that_breaks_off_keeps_its_bytes(phone, blobs):
    created = phone.create(PICTURE)
    assert phone.patch(created.path, [PICTURE[:700], PICTURE[700:900]], at=0, breaks=True) is None
    assert phone.head(created.path).offset == 900
    assert phone.patch(created.path, PICTURE[900:], at=900).offset == len(PICTURE)


def test_creation_whose_body_breaks_off_is_found_again_by_its_hash(phone):
    said = {"Upload_Length": str(len(PICTURE)), "Upload_Metadata": metadata(sha256=sha(PICTURE)), "Content_Type": CHUNK}
    assert phone.call("POST", body=PICTURE[:800], breaks=True, **said) is None
    again = phone.create(PICTURE)
    assert (again.status, again.offset, phone.head(again.path).offset) == (201, 800, 800)
    with_body = phone.call("POST", body=PICTURE, **said)  # its bytes begin at 0: they are not taken, the offset says so
    assert (with_body.status, with_body.path, with_body.offset) == (201, again.path, 800)
    assert phone.patch(again.path, PICTURE[800:], at=800).offset == len(PICTURE)


def test_phone_that_lost_the_answer_to_its_creation_is_given_the_same_upload(phone, town):
    created = phone.create(PICTURE)
    phone.patch(created.path, PICTURE[:300], at=0)
    again = phone.create(PICTURE)
    assert (again.status, again.path, again.offset) == (201, created.path, 300)
    assert phone_of(town.inspector).create(PICTURE).path != created.path, "another phone writes a file of its own"


def test_method_may_be_named_in_a_header(phone):
    created = phone.create(PICTURE)
    said = {"X_HTTP_Method_Override": "PATCH", "Upload_Offset": "0", "Content_Type": CHUNK}
    assert phone.call("POST", created.path, PICTURE, **said).offset == len(PICTURE)


def test_capabilities_are_told_to_everybody(settings):
    told = Phone().call("OPTIONS", Tus_Resumable=None)
    assert (told.status, told.headers["tus-version"], told.headers["tus-resumable"]) == (204, "1.0.0", "1.0.0")
    assert set(told.headers["tus-extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "checksum",
        "expiration",
        "termination",
        "concatenation",
    }
    assert told.headers["tus-max-size"] == str(settings.PHOTO_MAX_BYTES)
    assert told.headers["tus-checksum-algorithm"] == "sha1,sha256"


def test_head_tells_what_was_said_at_creation_and_is_kept_by_no_cache(phone):
    said = metadata(sha256=sha(PICTURE), filename="食堂.jpg")
    told = phone.head(phone.create(PICTURE, Upload_Metadata=said).path)
    assert (told.headers["upload-metadata"], told.headers["upload-length"]) == (said, str(len(PICTURE)))
    assert (told.headers["cache-control"], told.body) == ("no-store", b"")


# Refusals


METHODS = ["POST", "HEAD", "PATCH", "DELETE", "GET"]


def test_other_version_is_refused_and_told_which_is_spoken(phone):
    for method in METHODS:
        for version in ("0.2.2", None):
            answer = phone.call(method, f"{FILES}/{new_id()}" if method != "POST" else FILES, Tus_Resumable=version)
            assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0"), method


def test_creation_that_lacks_something_is_refused_in_words(phone):
    for said, status, code in [
        ({"Upload_Length": None}, 400, "malformed"),
        ({"Upload_Length": "-1"}, 400, "malformed"),
        ({"Upload_Length": "9" * 16}, 400, "malformed"),
        ({"Upload_Length": "25000001"}, 413, "photo-too-large"),
        ({"Upload_Metadata": None}, 422, "sha256-missing"),
        ({"Upload_Metadata": metadata(filename="a.jpg")}, 422, "sha256-missing"),
        ({"Upload_Metadata": "sha256 !!!"}, 400, "malformed"),
        ({"Upload_Metadata": metadata(sha256="abc")}, 422, "validation"),
        ({"Upload_Metadata": metadata(sha256=sha(b"x"), photo_id="7")}, 422, "validation"),
        ({"Upload_Metadata": metadata(sha256=sha(b"x"), filename="a" * 5000)}, 400, "malformed"),
        ({"Upload_Concat": "middle"}, 400, "malformed"),
        ({"Host": "elsewhere.example"}, 400, "malformed"),
    ]:
        answer = phone.create(PICTURE, **said)
        assert (answer.status, answer.code, answer.headers["tus-resumable"]) == (status, code, "1.0.0"), said
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("tus-max-size" in answer.headers) == (status == 413)


def test_hash_is_hex_in_either_case(phone, blobs):
    created = phone.create(PICTURE, Upload_Metadata=metadata(sha256=sha(PICTURE).upper()))
    assert phone.patch(created.path, PICTURE, at=0).status == 204
    assert files(blobs) == {sha(PICTURE)}


def test_chunk_is_refused_at_a_wrong_offset_or_of_another_type_and_changes_nothing(phone):
    created = phone.create(PICTURE)
    phone.patch(created.path, PICTURE[:100], at=0)
    for at in (0, 99, 101):
        answer = phone.patch(created.path, PICTURE[at:], at=at)
        assert (answer.status, answer.code, answer.offset) == (409, "offset-differs", 100)
    assert phone.patch(created.path, PICTURE[100:], at=100, Content_Type="image/jpeg").status == 415
    assert phone.patch(created.path, PICTURE[100:], at=100, Upload_Offset=None).status == 400
    assert phone.head(created.path).offset == 100


def test_chunk_beyond_the_announced_length_is_refused(phone):
    created = phone.create(PICTURE)
    answer = phone.patch(created.path, PICTURE + b"more", at=0)
    assert (answer.status, answer.code, phone.head(created.path).offset) == (413, "chunk-too-long", 0)
    unannounced = phone.patch(created.path, [PICTURE, b"more"], at=0, Content_Length="0")
    assert (unannounced.status, unannounced.code) == (413, "chunk-too-long")


def test_bytes_are_not_fetched_back_and_other_words_are_not_understood(phone):
    created = phone.create(PICTURE)
    phone.patch(created.path, PICTURE, at=0)
    assert phone.call("GET", created.path).status == 405
    assert phone.call("PUT", created.path, PICTURE).status == 405
    assert phone.call("DELETE").status == 405
    assert phone.head(f"{FILES}/nothing").status == 404


REFUSED = [
    ("truncated", PICTURE[:-200], "image/jpeg"),
    ("document", b"%PDF-1.7 " + b"x" * 100, ""),
    ("bomb", png(30_000, 30_000), "image/png"),
    ("mislabelled", PICTURE, "image/png"),
    ("attachment", PICTURE + b"PK\x03\x04", "image/jpeg"),
    ("empty", b"", ""),
]


def test_bytes_that_the_simple_door_refuses_are_refused_alike_and_leave_nothing(phone, town, blobs):
    for name, content, claimed in REFUSED:
        simple = put(town.inspector, content, claimed=claimed or "application/octet-stream").json()
        created = phone.create(content, Upload_Metadata=metadata(sha256=sha(content), filetype=claimed))
        answer = created if not content else phone.patch(created.path, content, at=0)
        assert (answer.status, answer.code) == (simple["status"], simple["code"]), name
        assert (files(blobs), Blob.objects.count(), Upload.objects.count()) == (set(), 0, 0), name
        if content:
            assert phone.head(created.path).status == 404


def test_file_that_differs_from_its_hash_is_discarded_and_its_address_takes_it_anew(phone, blobs):
    created, torn = phone.create(PICTURE), b"\0" * 100 + PICTURE[100:]
    phone.patch(created.path, torn[:5000], at=0)
    answer = phone.patch(created.path, torn[5000:], at=5000)
    assert (answer.status, answer.code, answer.offset) == (460, "file-differs", 0)
    assert (phone.head(created.path).offset, files(blobs)) == (0, set())
    assert phone.patch(created.path, PICTURE, at=0).offset == len(PICTURE)
    assert files(blobs) == {sha(PICTURE)}


# Checksums


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_chunk_with_its_checksum_is_taken_and_one_that_differs_leaves_the_offset_alone(phone, blobs, algorithm):
    created, half = phone.create(PICTURE), len(PICTURE) // 2
    first = phone.patch(created.path, PICTURE[:half], at=0, Upload_Checksum=checksum(PICTURE[:half], algorithm))
    assert first.offset == half
    wrong = phone.patch(created.path, PICTURE[half:], at=half, Upload_Checksum=checksum(b"other", algorithm))
    assert (wrong.status, wrong.code, wrong.offset) == (460, "chunk-differs", half)
    assert phone.head(created.path).offset == half
    last = phone.patch(created.path, PICTURE[half:], at=half, Upload_Checksum=checksum(PICTURE[half:], algorithm))
    assert (last.status, files(blobs)) == (204, {sha(PICTURE)})


def test_chunk_with_a_checksum_that_breaks_off_leaves_nothing(phone, blobs):
    created = phone.create(PICTURE)
    assert phone.patch(created.path, PICTURE[:900], at=0, breaks=True, Upload_Checksum=checksum(PICTURE)) is None
    assert phone.head(created.path).offset == 0
    assert {name for name in files(blobs) if name.endswith(".chunk")} == set()


def test_checksum_that_cannot_be_read_is_refused(phone):
    created = phone.create(PICTURE)
    for said in ("md5 AAAA", "sha1 !"):
        assert phone.patch(created.path, PICTURE, at=0, Upload_Checksum=said).status == 400
    assert phone.head(created.path).offset == 0


# Who knows what


def test_what_is_known_to_its_bringer_is_born_complete(phone, town):
    put(town.inspector, PICTURE)
    created = phone.create(PICTURE)
    assert (created.status, created.offset, phone.head(created.path).offset) == (201, len(PICTURE), len(PICTURE))
    assert phone.patch(created.path, PICTURE, at=0).status == 409
    assert phone.patch(created.path, b"", at=len(PICTURE)).status == 204
    assert phone.create(PICTURE, Upload_Length=str(len(PICTURE) + 1)).offset == 0, "another file, whatever it says"


def test_knowing_a_hash_spares_nobody_else_the_bytes(phone, town):
    put(town.colleague, PICTURE)
    known, unknown = phone.create(PICTURE), phone.create(turned(3))
    assert (known.status, known.offset, unknown.offset) == (201, 0, 0)
    assert known.headers.keys() == unknown.headers.keys()
    assert not BlobHolder.objects.filter(person=town.inspector).exists()


def declared(town, content: bytes, *, by) -> Photo:
    """A quick hazard of an inspector, with its photo."""
    phone = ByPhone()
    hazard = phone.say(by, "quick_hazards.create", {"site_id": town.canteen.id, "text": "堆物"})
    said = {"subject_collection": "quick_hazards", "subject_id": hazard.doc_id, "sha256": sha(content)}
    return Photo.objects.get(pk=phone.say(by, "photos.create", {**said, "size_bytes": len(content)}).doc_id)


def test_bytes_of_a_photo_that_is_read_need_not_come_again(town):
    put(town.colleague, PICTURE)
    declared(town, PICTURE, by=town.colleague)
    own = declared(town, PICTURE, by=town.inspector)
    assert own.state == "declared"
    for stranger in (town.stranger, town.principal):
        assert phone_of(stranger).create(PICTURE).offset == 0
    assert phone_of(town.inspector).create(PICTURE).offset == len(PICTURE)
    own.refresh_from_db()
    assert own.state == "stored"


def test_photo_that_waits_is_stored_when_its_bytes_are_whole(phone, town):
    photo = declared(town, PICTURE, by=town.inspector)
    path = phone.create(PICTURE, Upload_Metadata=metadata(sha256=sha(PICTURE), photo_id=str(photo.id))).path
    phone.patch(path, PICTURE[:100], at=0)
    photo.refresh_from_db()
    assert photo.state == "declared"
    phone.patch(path, PICTURE[100:], at=100)
    photo.refresh_from_db()
    change = Change.objects.filter(doc_id=photo.id).latest("seq")
    device = Device.objects.get(person=town.inspector, tokens__isnull=False)
    assert (photo.state, change.kind, change.device_id) == ("stored", "photo.stored", device.id)
    assert jobs.derive_photos(timezone.now()) == 1


def test_bytes_destroyed_under_a_ban_are_not_begun(phone, town):
    put(town.inspector, PICTURE)
    Blob.objects.update(sealed_at=timezone.now(), destroyed_at=timezone.now())
    answer = phone.create(PICTURE)
    assert (answer.status, answer.code) == (410, "photo-destroyed")


def test_upload_whose_bytes_were_swept_is_gone_and_begins_anew(phone, town):
    path = phone.create(PICTURE).path
    phone.patch(path, PICTURE, at=0)
    assert jobs.sweep_blobs(timezone.now() + timedelta(days=15)) == 1
    assert phone.head(path).status == 404
    again = phone.create(PICTURE)
    assert (again.offset, phone.patch(again.path, PICTURE, at=0).status) == (0, 204)


def test_address_of_another_answers_like_an_unknown_one(phone, town):
    path, unknown = phone.create(PICTURE).path, f"{FILES}/{new_id()}"
    for stranger in (phone_of(town.colleague), phone_of(town.stranger)):
        for method in METHODS:
            said = {"Upload_Offset": "0", "Content_Type": CHUNK} if method == "PATCH" else {}
            of_another, of_nobody = (stranger.call(method, each, b"x", **said) for each in (path, unknown))
            assert (of_another.status, of_another.headers, of_another.body) == (
                of_nobody.status,
                of_nobody.headers,
                of_nobody.body,
            )
            assert of_another.status == (405 if method in ("GET", "POST") else 404)
    assert phone.head(path).offset == 0


def test_nobody_is_asked_who_they_are(town):
    for caller in (Phone(), Phone("not-a-token")):
        for method in METHODS:
            answer = caller.call(method, f"{FILES}/{new_id()}" if method != "POST" else FILES)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_browser_uploads_by_cookie_with_its_csrf_token_alone(town):
    _, secret = make_token(person=town.inspector)
    desk = Client()
    desk.force_login(town.inspector, backend="safety.access.PostBackend")
    request = RequestFactory().get("/")
    token = get_token(request)
    csrf = request.META["CSRF_COOKIE"]
    for cookie in (f"device={secret}", f"sessionid={desk.cookies['sessionid'].value}"):
        forged = Phone().create(PICTURE, Cookie=f"{cookie}; csrftoken={csrf}")
        assert (forged.status, forged.code) == (403, "csrf")
        created = Phone().create(PICTURE, Cookie=f"{cookie}; csrftoken={csrf}", X_CSRFToken=token)
        assert created.status == 201
        assert Phone().call("HEAD", created.path, Cookie=cookie).status == 200
        overridden = Phone().call("GET", created.path, Cookie=cookie, X_HTTP_Method_Override="DELETE")
        assert (overridden.status, overridden.code) == (403, "csrf")
    other = Phone(secret).create(PICTURE, Sync_Device=str(new_id()))
    assert (other.status, other.code) == (400, "other-device")


# One writer


def test_second_writer_is_told_to_wait_and_the_first_loses_nothing(phone):
    path = phone.create(PICTURE).path
    phone.patch(path, PICTURE[:100], at=0)
    part = uploads.hold(Upload.objects.get())
    part.write(PICTURE[100:200])
    second = phone.patch(path, PICTURE[100:], at=100)
    assert (second.status, second.code, second.headers.get("content-type")) == (
        423,
        "upload-locked",
        "application/problem+json",
    )
    assert (phone.call("DELETE", path).status, phone.head(path).status) == (423, 200)
    part.close()
    assert phone.patch(path, PICTURE[200:], at=200).status == 204


def test_file_that_is_whole_but_was_never_handed_over_is_finished_when_asked(phone, blobs):
    """What a server that was killed between the last byte and the store leaves."""
    path = phone.create(PICTURE).path
    part = uploads.hold(Upload.objects.get())
    part.write(PICTURE)
    part.close()
    assert (phone.head(path).offset, files(blobs)) == (len(PICTURE), {sha(PICTURE)})
    assert Upload.objects.get().finished_at is not None


def test_file_that_is_whole_but_was_never_handed_over_is_finished_when_it_is_announced_again(phone, blobs):
    phone.create(PICTURE)
    part = uploads.hold(Upload.objects.get())
    part.write(PICTURE)
    part.close()
    again = phone.create(PICTURE)
    assert (again.status, again.offset, files(blobs)) == (201, len(PICTURE), {sha(PICTURE)})


def test_file_that_is_whole_and_differs_begins_again_when_asked(phone, blobs):
    path = phone.create(PICTURE).path
    part = uploads.hold(Upload.objects.get())
    part.write(b"\0" * len(PICTURE))
    part.close()
    assert (phone.head(path).offset, files(blobs)) == (0, set())


def test_crash_between_store_and_part_costs_nothing(phone, blobs):
    """The store has the file, the rows do not, and the part lies under its first name."""
    path = phone.create(PICTURE).path
    part = uploads.hold(Upload.objects.get())
    part.write(PICTURE)
    photos.make_durable(part.path, photos.path_of(sha(PICTURE)))
    part.close()
    assert phone.patch(path, b"", at=len(PICTURE)).status == 204
    assert (files(blobs), photos.path_of(sha(PICTURE)).read_bytes()) == ({sha(PICTURE)}, PICTURE)


# Full disks


def test_disk_that_is_nearly_full_takes_no_new_upload(phone, monkeypatch):
    monkeypatch.setattr(uploads, "SPARE_BYTES", 1 << 60)
    answer = phone.create(PICTURE)
    assert (answer.status, answer.code, Upload.objects.count()) == (507, "storage-full", 0)


def test_disk_that_runs_full_takes_no_more_of_a_chunk(phone):
    phone.create(PICTURE)
    path = uploads.part_path(Upload.objects.get().id)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")  # whatever is written there finds no space
    part = uploads.hold(Upload.objects.get())
    with pytest.raises(photos.StorageFull):
        part.write(PICTURE)
    part.close()


# Expiry and termination


def test_unfinished_upload_expires_fourteen_days_after_its_last_byte(phone, blobs):
    created = phone.create(PICTURE)
    now, upload = timezone.now(), upload_of(created)
    assert abs(parsedate_to_datetime(created.headers["upload-expires"]) - now - timedelta(days=14)) < timedelta(
        seconds=5
    )
    phone.patch(created.path, PICTURE[:100], at=0)
    ago = now - timedelta(days=10)
    Upload.objects.update(created_at=ago)
    os.utime(uploads.part_path(upload.id), (ago.timestamp(), ago.timestamp()))
    assert expiry(phone.head(created.path)) == ago.replace(microsecond=0) + timedelta(days=14)
    assert sweep_uploads(now + timedelta(days=3, hours=23)) == 0
    refreshed = phone.patch(created.path, PICTURE[100:200], at=100)
    assert expiry(refreshed) > now + timedelta(days=13)
    assert sweep_uploads(now + timedelta(days=13, hours=23)) == 0
    assert phone.head(created.path).offset == 200
    assert sweep_uploads(now + timedelta(days=14, minutes=1)) == 1
    assert (phone.head(created.path).status, files(blobs)) == (404, set())


def expiry(answer) -> datetime:
    return parsedate_to_datetime(answer.headers["upload-expires"])


def test_finished_upload_does_not_expire_but_its_file_name_is_forgotten(phone):
    said = metadata(sha256=sha(PICTURE), filename="张三.jpg")
    path = phone.create(PICTURE, Upload_Metadata=said).path
    assert "upload-expires" not in phone.patch(path, PICTURE, at=0).headers
    assert sweep_uploads(timezone.now() + timedelta(days=15)) == 0
    told = phone.head(path)
    assert (told.status, told.offset, "upload-expires" in told.headers) == (200, len(PICTURE), False)
    assert "upload-metadata" not in told.headers


def test_file_of_an_upload_that_is_no_more_is_swept(phone, blobs):
    left = blobs / "parts" / new_id().hex
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert sweep_uploads(timezone.now() + timedelta(days=13)) == 0
    assert sweep_uploads(timezone.now() + timedelta(days=15)) == 1
    assert files(blobs) == set()


def test_terminated_upload_is_gone_with_its_bytes_and_the_store_keeps_what_it_took(phone, blobs):
    path = phone.create(PICTURE).path
    phone.patch(path, PICTURE[:100], at=0)
    assert phone.call("DELETE", path).status == 204
    assert (phone.head(path).status, phone.call("DELETE", path).status, files(blobs)) == (404, 404, set())
    again = phone.create(PICTURE).path
    phone.patch(again, PICTURE, at=0)
    assert (phone.call("DELETE", again).status, phone.head(again).status) == (204, 404)
    assert files(blobs) == {sha(PICTURE)}


# Concatenation


def part(phone, content: bytes) -> str:
    created = phone.create(content, Upload_Metadata=None, Upload_Concat="partial")
    assert created.status == 201
    if content:
        assert phone.patch(created.path, content, at=0).offset == len(content)
    return created.path


def final(phone, *paths: str, content: bytes = PICTURE):
    said = {"Upload_Length": None, "Upload_Concat": f"final;{' '.join(paths)}"}
    return phone.create(content, **said)


def test_parts_become_one_photo_in_the_order_in_which_they_are_named(phone, blobs):
    second, first = part(phone, PICTURE[4000:]), part(phone, PICTURE[:4000])
    assert phone.head(first).headers["upload-concat"] == "partial"
    whole = final(phone, first, f"http://localhost{second}")
    assert (whole.status, whole.offset, files(blobs)) == (201, len(PICTURE), {sha(PICTURE)})
    told = phone.head(whole.path)
    assert told.headers["upload-concat"] == f"final;{first} http://localhost{second}"
    assert (told.offset, told.headers["upload-length"]) == (len(PICTURE), str(len(PICTURE)))
    assert phone.patch(whole.path, b"", at=len(PICTURE)).status == 403
    assert phone.head(first).status == 404
    again = final(phone, first, second)
    assert (again.status, again.offset) == (201, len(PICTURE)), "the answer may have been lost"


def test_parts_that_do_not_make_the_photo_are_refused_and_stay(phone, blobs):
    first, second = part(phone, PICTURE[:4000]), part(phone, PICTURE[4000:])
    answer = final(phone, second, first)
    assert (answer.status, answer.code) == (460, "file-differs")
    assert [phone.head(each).status for each in (first, second)] == [200, 200]
    assert final(phone, first, second).status == 201


def test_part_that_is_not_whole_or_not_ones_own_makes_nothing(phone, town):
    first = phone.create(PICTURE, Upload_Metadata=None, Upload_Concat="partial").path
    answer = final(phone, first)
    assert (answer.status, answer.code) == (409, "parts-unfinished")
    own, foreign = part(phone, PICTURE[:4000]), part(phone_of(town.colleague), PICTURE[4000:])
    unknown = final(phone, own, f"{FILES}/{new_id()}")
    stranger = final(phone, own, foreign)
    assert (stranger.status, stranger.headers, stranger.body) == (404, unknown.headers, unknown.body)
    assert final(phone, own, phone.create(turned(3)).path).status == 404, "a whole upload is no part"
    assert final(phone).status == 400


def test_parts_larger_together_than_a_photo_may_be_are_refused(phone, settings):
    settings.PHOTO_MAX_BYTES = len(PICTURE) - 1
    first, second = part(phone, PICTURE[:4000]), part(phone, PICTURE[4000:])
    assert final(phone, first, second).status == 413


def test_heic_and_other_formats_come_as_well(phone, blobs):
    content = encoded(scene(80, 60), "WEBP")
    created = phone.create(content, Upload_Metadata=metadata(sha256=sha(content), filetype="image/webp"))
    assert phone.patch(created.path, content, at=0).status == 204
    assert Blob.objects.get().media_type == "image/webp"
