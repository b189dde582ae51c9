"""A worker that is killed in the middle of a photo: its lease runs out and another finishes it."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from inspections import jobs
from inspections.models import Derivation, Photo, ShownCopy
from tests.inspections.doors import ByWeb
from tests.inspections.photographs import turned
from tests.inspections.test_photo_doors import Shown, files, put, sha

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
LARGE = turned(6, size=(6000, 4000))  # long enough in the making to be killed there


@pytest.fixture
def blobs(settings, tmp_path) -> Path:
    settings.BLOBS = tmp_path / "blobs"
    return settings.BLOBS


def test_photo_whose_worker_is_killed_is_finished_by_another(town, database_url, blobs, tmp_path):
    web = ByWeb()
    put(web, town.inspector, LARGE)
    photo = Photo.objects.get(pk=Shown(town).declare(LARGE).doc_id)
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SAFETY_DATABASE_URL": database_url,
        "SAFETY_VAR": str(tmp_path),
        "SAFETY_BLOBS": str(blobs),
    }
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "work"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            taken = wait_until_taken(worker)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
    left = Derivation.objects.get(photo=photo)
    assert (left.done_at, left.attempts, ShownCopy.objects.exists()) == (None, 1, False), "killed too late"
    assert left.lease_until > timezone.now()
    assert jobs.derive_photos(taken) == 0, "somebody may be at it"
    assert jobs.derive_photos(taken + jobs.LEASE + timedelta(seconds=1)) == 1
    assert ShownCopy.objects.filter(photo=photo).count() == 3
    done = Derivation.objects.get(photo=photo)
    assert (done.done_at is not None, done.lease_until, done.attempts) == (True, None, 2)
    assert {name for name in files(blobs) if name.startswith(".")} == set()
    assert sha(LARGE) in files(blobs)


def wait_until_taken(worker: subprocess.Popen):
    until = time.monotonic() + 60
    while not Derivation.objects.filter(lease_until__isnull=False).exists():
        assert worker.poll() is None and time.monotonic() < until, "the worker takes nothing"
        time.sleep(0.005)
    connection.close()
    return timezone.now()
