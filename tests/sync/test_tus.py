"""tus 1.0.0 at /api/v1/files, door by door, without a network."""

from pathlib import Path

import pytest

from inspections import photos
from inspections.models import Blob, BlobHolder
from tests.inspections.photographs import turned
from tests.makers import make_token
from tests.sync.tus import Phone, sha

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_photo_in_two_chunks_lies_in_the_store_of_the_simple_door(phone, town, blobs):
    content = turned(6)
    created = phone.create(content)
    assert (created.status, created.offset) == (201, 0)
    assert created.headers["location"].startswith("http://localhost/api/v1/files/")
    assert phone.head(created.path).offset == 0
    first = phone.patch(created.path, content[:1000], at=0)
    assert (first.status, first.offset, phone.head(created.path).offset) == (204, 1000, 1000)
    last = phone.patch(created.path, [content[1000:3000], content[3000:]], at=1000)
    assert (last.status, last.offset, phone.head(created.path).offset) == (204, len(content), len(content))
    assert files(blobs) == {sha(content)}
    assert photos.path_of(sha(content)).read_bytes() == content
    assert (Blob.objects.get().size_bytes, BlobHolder.objects.get().person_id) == (len(content), town.inspector.id)
