"""An exported outbox is heard as its phone would have pushed it, once, and a wrong file leaves nothing behind."""

import hashlib
import io
import json
import zipfile
from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from inspections.models import Blob, Photo, QuickHazard
from safety.chains import verify_chain
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Body, Change, Device, Person
from sync.models import Contact, Operation, OutboxImport
from tests.inspections.photographs import encoded, scene
from tests.makers import make_person, make_token
from tests.sync.phone import Phone
from tests.sync.test_push import photo, start, tell

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def blobs(tmp_path, settings):
    settings.BLOBS = tmp_path


def digest(raw):
    return hashlib.sha256(raw).hexdigest()


def packed(files, *, listed=None, unlisted="", compression=zipfile.ZIP_DEFLATED, **manifest):
    """A zip of these files under a manifest that tells the truth, unless told otherwise."""
    told = {name: {"sha256": digest(raw), "bytes": len(raw)} for name, raw in files.items()} | (listed or {})
    told.pop(unlisted, None)
    head = {"format": "campus-outbox", "version": 1, "files": told} | manifest
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
        archive.writestr("manifest.json", json.dumps(head))
    return made.getvalue()


def outbox(phone, *, device=None, operations=None):
    said = {"protocol": 1, "schema": 1, "device_id": device or phone.device.id, "ops": operations or phone.outbox}
    return msgspec.json.encode(said)


def exported(phone, *pictures, **more):
    photos = {f"photos/{digest(raw)}": raw for raw in pictures}
    return packed({"outbox.json": outbox(phone, **more), **photos})


def bring(person, raw):
    _, secret = make_token(person=person)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client.post("/api/v1/sync/import", raw, content_type="application/zip")


def nothing_kept():
    return not (Operation.objects.exists() or OutboxImport.objects.exists() or Blob.objects.exists())


def test_outbox_with_its_photo_is_heard_in_the_name_of_its_author_and_says_who_brought_it(town):
    phone, picture = Phone(town.inspector), encoded(scene(64, 48))
    visit = start(phone, town)
    phone.op("photos", "create", photo(visit, sha256=digest(picture), size_bytes=len(picture)))
    raw = msgspec.json.encode(phone.outbox[0])
    answer = bring(town.administrator, exported(phone, picture)).json()
    assert [(line["what"], line["status"], line["words"]) for line in answer["operations"]] == [
        ("新建检查", "applied", "已办理"),
        ("新建照片", "applied", "已办理"),
    ]
    assert [line["words"] for line in answer["photos"]] == ["已收下"]
    assert Photo.objects.get().state == "stored"
    heard = Change.objects.get(kind="inspection.created")
    assert (heard.actor_id, heard.device_id) == (town.inspector.id, phone.device.id)
    assert bytes(Body.objects.get(pk=Operation.objects.get(verb="inspections.create").body_id).bytes) == raw
    brought = Change.objects.get(kind="device.outbox_imported")
    assert (brought.actor_id, brought.chain_id) == (town.administrator.id, town.school.id)
    assert digest(raw) in json.loads(bytes(Body.objects.get(pk=brought.body_id).bytes))["operations"]
    assert verify_chain(town.school.id).first_bad is None
    kept = OutboxImport.objects.get()
    assert (kept.imported_by, kept.operations, kept.photos) == (town.administrator.id, 2, 1)


def test_second_import_and_the_phone_itself_have_no_second_effect(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    file = exported(phone)
    bring(town.administrator, file)
    again = bring(town.administrator, file).json()
    assert again["operations"][0]["words"] == "以前已收到：已办理"
    assert phone.send()[0]["replayed"]
    assert QuickHazard.objects.count() == 1


def test_one_bad_operation_blocks_no_other_and_says_why(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id})
    tell(phone, town)
    phone.op("photos", "create", photo(new_id()))
    lines = bring(town.administrator, exported(phone)).json()["operations"]
    assert [line["status"] for line in lines] == ["rejected", "applied", "deferred"]
    assert "内容不符合要求" in lines[0]["detail"]


def test_outbox_of_more_than_one_batch_is_heard_whole(town):
    phone = Phone(town.inspector)
    for n in range(503):
        phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "nonsense": n})
    answer = bring(town.administrator, exported(phone)).json()
    assert len(answer["operations"]) == Operation.objects.count() == 503


def test_times_are_set_right_by_the_clock_that_the_phone_last_had(town):
    phone, behind = Phone(town.inspector), timezone.now() - timedelta(days=3, hours=2)
    Contact.objects.create(device_id=phone.device.id, at=timezone.now(), skew_ms=-2 * 3_600_000)
    tell(phone, town)
    phone.outbox[-1]["at"] = behind
    bring(town.administrator, exported(phone))
    assert abs(Operation.objects.get().said_at - behind - timedelta(hours=2)) < timedelta(minutes=1)


def test_outbox_of_a_lost_phone_and_of_an_account_that_ended_can_be_brought_in(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    Device.objects.filter(pk=phone.device.id).update(revoked_at=timezone.now())
    with lifted():
        Person.objects.filter(pk=town.inspector.id).update(is_active=False)
    assert bring(town.administrator, exported(phone)).json()["operations"][0]["status"] == "applied"


@pytest.mark.parametrize("who", ["inspector", "safety", "officer", "principal"])
def test_import_is_an_administrators(town, who):
    phone = Phone(town.inspector)
    tell(phone, town)
    answer = bring(getattr(town, who), exported(phone))
    assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
    assert nothing_kept()


def test_phone_of_another_district_is_an_unknown_one(town):
    administrator = make_person(role="administrator", at=town.elsewhere)
    phone = Phone(town.inspector)
    tell(phone, town)
    known = bring(administrator, exported(phone))
    unknown = bring(administrator, exported(phone, device=new_id()))
    assert (known.status_code, known.content) == (404, unknown.content)
    assert "没有导入任何内容" in known.json()["detail"] and nothing_kept()


def encrypted(raw):
    """The flag of a password, set by hand in both headers of the first entry."""
    raw = bytearray(raw)
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def wrong_files(phone):
    good, picture = outbox(phone), b"picture"
    name = f"photos/{digest(picture)}"
    twice = io.BytesIO(packed({"outbox.json": good}))
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("outbox.json", good)
    yield "no zip", b"PK nothing of the kind"
    yield "empty", b""
    yield "cut off", exported(phone)[:-40]
    yield "no outbox", packed({name: picture})
    yield "a name of its own", packed({"outbox.json": good, "../../etc/passwd": b"x"})
    yield "a file in another folder", packed({"outbox.json": good, "photos/deep/" + digest(picture): picture})
    yield "two of one name", twice.getvalue()
    yield "encrypted", encrypted(packed({"outbox.json": good}))
    yield "compressed otherwise", packed({"outbox.json": good}, compression=zipfile.ZIP_BZIP2)
    yield "not listed", packed({"outbox.json": good, name: picture}, unlisted=name)
    yield "listed and missing", packed({"outbox.json": good}, listed={name: {"sha256": digest(picture), "bytes": 7}})
    yield "other bytes", packed({"outbox.json": good}, listed={"outbox.json": {"sha256": "0" * 64, "bytes": len(good)}})
    yield "a photo under another name", packed({"outbox.json": good, "photos/" + "0" * 64: picture})
    yield "another format", packed({"outbox.json": good}, format="something")
    yield "another version", packed({"outbox.json": good}, version=2)
    yield "no device", packed({"outbox.json": b'{"ops": []}'})
    yield "no operations", packed({"outbox.json": b'{"device_id": "%s"}' % str(phone.device.id).encode()})
    yield "no JSON", packed({"outbox.json": b"{"})
    yield "a bomb", packed({"outbox.json": b" " * 30_000_000})
    yield "one operation too large", packed({"outbox.json": outbox(phone, operations=[{"x": "y" * 1_000_000}])})
    yield "too many files", packed({"outbox.json": good} | {f"photos/{n:064x}": b"" for n in range(2001)})


def test_wrong_file_is_refused_in_plain_words_and_leaves_nothing_behind(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    _, secret = make_token(person=town.administrator)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    for name, raw in wrong_files(phone):
        answer = client.post("/api/v1/sync/import", raw, content_type="application/zip")
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-outbox-file"), name
        assert "没有导入任何内容" in answer.json()["detail"], name
        assert nothing_kept(), name


def test_file_beyond_the_limit_is_too_large(town, settings):
    settings.IMPORT_MAX_BYTES = 1000
    answer = bring(town.administrator, b"x" * 1001)
    assert (answer.status_code, answer.json()["max_bytes"]) == (413, 1000)


def test_photo_that_is_no_picture_is_not_kept_and_stops_nothing(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    answer = bring(town.administrator, exported(phone, b"no picture", encoded(scene(64, 48)))).json()
    assert sorted(line["words"] for line in answer["photos"]) == ["已收下", "没有收下"]
    assert answer["operations"][0]["status"] == "applied"
