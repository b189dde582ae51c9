"""Originals in an S3-compatible store: a real client against moto's server on loopback. moto emulates; it proves no store."""

import hashlib
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from django.utils import timezone

from dev import stop
from inspections import carrying, jobs, photos
from inspections.models import Blob, Derivation, Photo, ShownCopy
from inspections.remote import CONFIG
from tests.engines import free_port
from tests.inspections.doors import ByWeb
from tests.inspections.photographs import turned
from tests.inspections.test_photo_doors import Shown, files, put, sha

pytestmark = pytest.mark.django_db
PICTURE = turned(6)
BUCKET = "campus-photos"


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    """The address of an S3-compatible server."""
    port, log = free_port(), tmp_path_factory.mktemp("moto") / "log"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output:
        child = subprocess.Popen(words, stdout=output, stderr=output)
        try:
            until = time.monotonic() + 60
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert child.poll() is None and time.monotonic() < until, log.read_text()[-4000:]
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(child)


class Bucket:
    def __init__(self, url: str):
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=CONFIG,
        )
        self.client.create_bucket(Bucket=BUCKET)

    def names(self) -> set[str]:
        return {each["Key"] for each in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def put(self, content: bytes, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key(content), Body=data)

    def empty(self) -> None:
        for name in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=name)


def key(content: bytes) -> str:
    name = sha(content)
    return f"blobs/sha256/{name[:2]}/{name[2:4]}/{name}"


@pytest.fixture
def bucket(settings, moto):
    settings.REMOTE_BUCKET, settings.REMOTE_URL = BUCKET, moto
    settings.REMOTE_KEY, settings.REMOTE_SECRET = "key", "secret"
    bucket = Bucket(moto)
    bucket.empty()
    return bucket


@pytest.fixture(autouse=True)
def blobs(settings, tmp_path) -> Path:
    settings.BLOBS = tmp_path / "blobs"
    return settings.BLOBS


@pytest.fixture
def web():
    return ByWeb()


def there_alone(web, person, now) -> None:
    put(web, person, PICTURE)
    assert carrying.carry(now) == 1
    assert carrying.carry(now + timedelta(days=2)) == 1


def test_original_goes_to_the_remote_store_and_stays_here_for_a_day(town, web, bucket, blobs):
    put(web, town.inspector, PICTURE)
    now = timezone.now()
    assert carrying.blobs_waiting() == 1
    assert (carrying.carry(now), carrying.blobs_waiting(), bucket.names()) == (1, 0, {key(PICTURE)})
    assert photos.remote_store().read(sha(PICTURE)) == PICTURE
    assert carrying.carry(now + timedelta(hours=23)) == 0
    assert files(blobs) == {sha(PICTURE)}
    assert carrying.carry(now + timedelta(hours=25)) == 1
    assert (files(blobs), Blob.objects.get().local_dropped_at is not None) == (set(), True)
    assert carrying.carry(now + timedelta(hours=26)) == 0


def test_copies_are_made_from_the_remote_original(town, web, bucket, blobs):
    there_alone(web, town.inspector, timezone.now())
    photo = Photo.objects.get(pk=Shown(town).declare(PICTURE).doc_id)
    assert (photo.state, jobs.derive_photos(timezone.now())) == ("stored", 1)
    assert ShownCopy.objects.filter(photo=photo).count() == 3
    assert photos.read_original(sha(PICTURE)) == PICTURE


def test_same_photo_brought_again_is_known_and_dropped_again(town, web, bucket, blobs):
    now = timezone.now()
    there_alone(web, town.inspector, now)
    assert put(web, town.inspector, PICTURE).status_code == 200
    assert put(web, town.colleague, PICTURE).status_code == 201
    assert (files(blobs), carrying.carry(now + timedelta(days=2))) == ({sha(PICTURE)}, 1)
    assert files(blobs) == set()


def test_nothing_is_dropped_here_while_the_store_is_away_and_it_is_tried_again(town, web, bucket, blobs, settings):
    put(web, town.inspector, PICTURE)
    address, now = settings.REMOTE_URL, timezone.now()
    settings.REMOTE_URL = f"http://127.0.0.1:{free_port()}"
    assert carrying.carry(now) == 0
    settings.REMOTE_URL = address
    assert carrying.carry(now + timedelta(seconds=1)) == 0, "it waits a little"
    assert carrying.carry(now + timedelta(minutes=1)) == 1
    settings.REMOTE_URL = f"http://127.0.0.1:{free_port()}"
    assert carrying.carry(now + timedelta(days=2)) == 0
    assert files(blobs) == {sha(PICTURE)}


def test_bucket_that_is_missing_is_told_and_keeps_the_original_here(town, web, bucket, blobs, settings):
    settings.REMOTE_BUCKET = "another-bucket"
    put(web, town.inspector, PICTURE)
    assert (carrying.carry(timezone.now()), files(blobs)) == (0, {sha(PICTURE)})


def test_what_comes_back_damaged_is_not_trusted(town, web, bucket, blobs):
    put(web, town.inspector, PICTURE)
    now = timezone.now()
    carrying.carry(now)
    bucket.put(PICTURE, b"something else")
    assert carrying.carry(now + timedelta(days=2)) == 0
    assert files(blobs) == {sha(PICTURE)}
    photos.path_of(sha(PICTURE)).unlink()
    with pytest.raises(photos.RemoteAway):
        photos.read_original(sha(PICTURE))


def test_what_has_gone_there_is_carried_once_more(town, web, bucket, blobs):
    put(web, town.inspector, PICTURE)
    now = timezone.now()
    carrying.carry(now)
    bucket.empty()
    assert carrying.carry(now + timedelta(days=2)) == 0
    assert carrying.carry(now + timedelta(days=2, minutes=1)) == 1
    assert (files(blobs), bucket.names()) == ({sha(PICTURE)}, {key(PICTURE)})


def test_copies_wait_while_the_store_is_away_and_no_attempt_is_counted(town, web, bucket, settings):
    there_alone(web, town.inspector, timezone.now())
    Shown(town).declare(PICTURE)
    address, now = settings.REMOTE_URL, timezone.now()
    settings.REMOTE_URL = f"http://127.0.0.1:{free_port()}"
    for n in range(jobs.MOST_ATTEMPTS + 1):
        assert jobs.derive_photos(now + n * timedelta(minutes=6)) == 1
    assert (Derivation.objects.get().attempts, Derivation.objects.get().failure) == (0, "")
    settings.REMOTE_URL = address
    jobs.derive_photos(now + timedelta(hours=1))
    assert ShownCopy.objects.count() == 3


def test_what_is_destroyed_here_is_destroyed_there(town, web, bucket, blobs):
    now = timezone.now()
    there_alone(web, town.inspector, now)
    assert jobs.sweep_blobs(now + timedelta(days=15)) == 1
    assert bucket.names() == {key(PICTURE)}
    assert carrying.carry(now + timedelta(days=15)) == 1
    assert (bucket.names(), carrying.carry(now + timedelta(days=16))) == (set(), 0)


def test_destroyed_bytes_that_come_again_are_carried_again(town, web, bucket, blobs):
    now = timezone.now()
    there_alone(web, town.inspector, now)
    jobs.sweep_blobs(now + timedelta(days=15))
    assert put(web, town.inspector, PICTURE).status_code == 200
    assert (carrying.carry(now + timedelta(minutes=1)), bucket.names()) == (1, {key(PICTURE)})
    assert hashlib.sha256(photos.remote_store().read(sha(PICTURE))).hexdigest() == sha(PICTURE)


def test_lease_of_a_killed_carrier_is_taken_again(town, web, bucket):
    put(web, town.inspector, PICTURE)
    now = timezone.now()
    assert len(carrying.lease(now)) == 1  # and here the worker dies
    assert carrying.carry(now + timedelta(minutes=4)) == 0
    assert carrying.carry(now + timedelta(minutes=6)) == 1


def test_without_a_store_in_the_settings_nothing_is_carried(town, web, blobs):
    put(web, town.inspector, PICTURE)
    assert (carrying.carry(timezone.now()), carrying.blobs_waiting(), files(blobs)) == (0, 0, {sha(PICTURE)})
