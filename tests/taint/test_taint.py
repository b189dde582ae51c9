"""The watch over isolation is watched: a leak that is planted is seen, and what one may know is not taken for one."""

import logging
import os
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from safety.access import today
from safety.consumers import PokeSocket
from safety.guard import lifted
from safety.models import Index, Post, Site
from tests.makers import make_person, make_site
from tests.sync.mirror import Mirror
from tests.taint.canary import canary
from tests.taint.hooks import leaking, taken
from tests.taint.watch import seen
from tests.test_arrows import ROOT

pytestmark = pytest.mark.django_db


def looked(text, reader):
    """Whether this text is a leak when this person reads it."""
    with leaking() as found:
        seen("answer", text.encode(), reader=reader and reader.id)
    return bool(found)


def test_answer_of_a_pull_that_brings_a_foreign_document_is_caught(town):
    mirror = Mirror(town.neighbour_principal)
    mirror.sync()
    row = Index.objects.get(collection=Site.collection, doc_id=town.canteen.id, audience="shared")
    row.key = town.neighbour.id  # as if a document had been written under another school's key
    with lifted():
        row.save(force_insert=True)
    with leaking() as found:
        Mirror(town.neighbour_principal).sync()
    assert f"document {town.canteen.id} of {town.school.id}" in "\n".join(found)
    assert found[0].startswith(f"answer GET /api/v1/sync/pull 200 told {town.neighbour_principal.id}")


def test_name_of_a_school_is_caught_by_its_canary_and_a_document_by_its_id(town):
    for told in (town.school.name, str(town.school.id), f"<td>{town.canteen.name}</td>", str(town.canteen.id)):
        readers = [town.neighbour_principal, town.stranger, None]
        assert [looked(told, reader) for reader in readers] == [True] * 3, told
        readers = [town.principal, town.inspector, town.officer, town.administrator]
        assert [looked(told, reader) for reader in readers] == [False] * 4, told


def test_post_that_ended_knows_nothing_and_a_site_that_serves_two_is_known_to_both(town):
    left = make_person(role="principal", at=town.school)
    Post.objects.filter(person=left).update(to_on=today(timezone.now()) - timedelta(days=1))
    assert looked(town.school.name, left)
    make_site(unit=town.school, kind="bus", plate="陕B12345", serves=(town.neighbour,), name="校车")
    assert not looked(town.school.name, town.neighbour_principal)
    assert looked(town.school.name, town.stranger)


def test_what_the_reader_said_in_asking_is_no_news(town):
    with leaking() as found:
        told = f"没有 {town.canteen.id}".encode()
        seen("answer", told, reader=town.stranger.id, known=f"/api/v1/sites/{town.canteen.id}".encode())
    assert found == []


def test_line_of_the_log_with_a_name_is_caught_and_one_with_an_id_is_not(town):
    log = logging.getLogger("tests.taint")
    with leaking() as found:
        log.warning("refused school=%s", town.school.id)
    assert found == []
    with leaking() as found:
        log.warning("refused school=%s", town.school.name)
    assert len(found) == 1 and canary(town.school.id) in found[0]


@pytest.mark.django_db(transaction=True)
async def test_frame_of_a_socket_with_a_foreign_name_is_caught_and_still_sent(town):
    sent = []

    async def send(message):
        sent.append(message["text"])

    socket = PokeSocket({}, None, send)
    with leaking() as found:
        for reader in (town.officer, town.stranger):
            socket.credential = SimpleNamespace(person_id=reader.id)
            await socket._send(town.school.name)
    assert sent == [town.school.name] * 2
    assert len(found) == 1 and str(town.stranger.id) in found[0] and found[0].startswith("frame")


def test_leak_of_another_process_is_heard_of_here():
    told = "import django; django.setup(); from tests.taint.watch import leak; leak('said elsewhere')"
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", told], cwd=ROOT, env=os.environ | settings, check=True)
    assert taken() == ["said elsewhere"]
