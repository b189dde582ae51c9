"""tus-js-client and tuspy, unmodified, over a bad network: every photo arrives whole, and nothing else does."""

import hashlib
import io
import random

import pytest
from django.db import connection
from django.utils import timezone
from PIL import Image

from inspections import photos
from inspections.models import Blob, BlobHolder, Photo
from tests.strangers.crowd import TUS_CLIENTS
from tests.strangers.proxy import Faults
from tests.sync.phone import Phone

SEEDS = {"sqlite": range(1, 21, 2), "postgresql": range(2, 21, 2)}
PHOTOS = {"tus-js-client": 5, "tuspy": 3}  # a seed


def drawn(seed: int, number: int) -> bytes:
    """A picture of noise, about 110 kB, unlike any other: the door takes photographs, not bytes."""
    noise = random.Random(f"{seed}:{number}").randbytes(220 * 220 * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (220, 220), noise).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture
def pictures(tmp_path):
    """Photographs in files, by seed."""
    found = {}
    for seed in SEEDS[connection.vendor]:
        found[seed] = [tmp_path / f"{seed}-{number}.jpg" for number in range(5)]
        for number, path in enumerate(found[seed]):
            path.write_bytes(drawn(seed, number))
    return found


def declare(stage, play, files):
    """A visit and photo documents of these files."""
    phone = Phone(play.people["P"])
    said = {"site_id": play.site_id, "template_version_id": stage.template.id, "started_at": timezone.now()}
    visit = phone.op("inspections", "create", said)
    for path in files:
        content = path.read_bytes()
        photo = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        phone.op("photos", "create", {"subject_collection": "inspections", "subject_id": visit, **photo})
    assert {each["status"] for each in phone.send()} == {"applied"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tool", TUS_CLIENTS)
def test_every_photo_arrives_whole_when_the_network_is_bad(strangers, pictures, settings, tool):
    settings.BLOBS = strangers.var / "blobs"
    plays = [strangers.arrange(tool, seed, Faults()) for seed in pictures]
    sent = {seed: files[: PHOTOS[tool]] for seed, files in pictures.items()}
    for play in plays:
        declare(strangers, play, sent[play.seed][::2])  # before their bytes; the others come after
    strangers.bring(tool, plays, photos=sent, log=strangers.var / "clients.log")
    for play in plays:
        assert play.failed == "", f"seed {play.seed}: {play.failed}"
        declare(strangers, play, sent[play.seed][1::2])
        wanted = {hashlib.sha256(path.read_bytes()).hexdigest() for path in sent[play.seed]}
        held = BlobHolder.objects.filter(person=play.people["P"]).values_list("blob_id", flat=True)
        assert sorted(held) == sorted(wanted), f"seed {play.seed}"
        kept = [hashlib.sha256(photos.path_of(sha256).read_bytes()).hexdigest() for sha256 in wanted]
        assert set(kept) == wanted, f"seed {play.seed}"
    assert {each.state for each in Photo.objects.all()} == {"stored"}
    assert Photo.objects.count() == Blob.objects.count() == len(plays) * PHOTOS[tool]
    assert "Traceback" not in (strangers.var / "server.log").read_text(errors="replace")
    assert {*Faults.__slots__} <= strangers.lines.counts.keys()
