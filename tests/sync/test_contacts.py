"""What a phone says of itself is kept cheaply, and never stands in its way."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from sync.contacts import Heard, hear, note_contact
from sync.models import Contact
from tests.makers import make_district, make_person, make_school
from tests.statements import statements
from tests.sync.mirror import Mirror

NOW = datetime(2026, 3, 1, 8, 15, tzinfo=UTC)


@pytest.fixture
def mirror(clock):
    return Mirror(make_person(role="inspector", at=make_school(district=make_district())))


def test_phone_is_heard_with_outbox_skew_and_version():
    headers = {
        "Sync-Outbox": "ops=12;blobs=30;oldest=2026-02-27T09:00:00Z",
        "Sync-Sent-At": "2026-03-01T16:14:58.500+08:00",
        "Sync-App": "1.4.2+7",
    }
    oldest = datetime(2026, 2, 27, 9, tzinfo=UTC)
    assert hear(headers, now=NOW) == Heard(12, 30, oldest, -1500, "1.4.2+7")
    assert hear({"Sync-Outbox": "ops=0;blobs=0"}, now=NOW) == Heard(0, 0)
    assert hear({}, now=NOW) == Heard()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sync-Outbox": "ops=many;blobs=1"},
        {"Sync-Outbox": "ops=1;blobs=2;oldest=yesterday"},
        {"Sync-Outbox": "ops=99999999999;blobs=1"},
        {"Sync-Outbox": "ops=1;blobs=1;oldest=0001-01-01T00:00:00+14:00"},
        {"Sync-Sent-At": "12 o'clock"},
        {"Sync-Sent-At": "2026-03-01T08:15:00"},
        {"Sync-Sent-At": "9999-12-31T23:59:59-12:00"},
        {"Sync-App": "x" * 41},
        {"Sync-App": "1.0\x00"},
    ],
)
def test_what_cannot_be_read_is_logged_and_ignored(headers, caplog):
    with caplog.at_level(logging.INFO):
        assert hear(headers, now=NOW) == Heard()
    assert f"contact.unreadable header={next(iter(headers))}" in caplog.text


@pytest.mark.django_db
def test_pull_goes_on_when_the_headers_are_nonsense(mirror):
    headers = {"Sync-Outbox": "%%%", "Sync-Sent-At": "?", "Sync-App": "\x7f"}
    assert mirror.ask(headers=headers).status_code == 200
    contact = Contact.objects.get(device_id=mirror.device.id)
    assert (contact.outbox_ops, contact.skew_ms, contact.app_version) == (None, None, "")


@pytest.mark.django_db
def test_pull_keeps_the_contact_and_how_far_the_phone_has_stored(mirror):
    mirror.sync()
    assert (
        mirror.ask(cursor=mirror.cursor, headers={"Sync-Outbox": "ops=3;blobs=1", "Sync-App": "1.0"}).status_code == 200
    )
    contact = Contact.objects.get(device_id=mirror.device.id)
    assert (contact.outbox_ops, contact.outbox_blobs, contact.app_version) == (3, 1, "1.0")
    assert contact.pulled_seq == mirror.seq


@pytest.mark.django_db
def test_contact_is_written_when_something_changed_or_a_minute_has_passed(mirror):
    device, heard, now = mirror.device.id, Heard(1, 2, None, 40, "1.0"), timezone.now()
    note_contact(device, heard, now=now)
    for same in (heard, Heard(), Heard(1, 2, None, 3000, "1.0")):
        with statements(exactly=1):
            note_contact(device, same, now=now + timedelta(seconds=30))
    for news in (Heard(2, 2, None), Heard(skew_ms=60_000), Heard(app_version="1.1")):
        with statements(exactly=2):
            note_contact(device, news, now=now + timedelta(seconds=30))
    with statements(exactly=2):
        note_contact(device, Heard(), now=now + timedelta(seconds=91), pulled_seq=7)
    contact = Contact.objects.get(device_id=device)
    assert (contact.outbox_ops, contact.skew_ms, contact.app_version, contact.pulled_seq) == (2, 60_000, "1.1", 7)
    assert contact.at == now + timedelta(seconds=91)


def note(device, *, ops=0, blobs=0, oldest=None, skew_ms=None, now=NOW):
    note_contact(device.id, Heard(ops, blobs, oldest, skew_ms), now=now)
    return Contact.objects.get(device_id=device.id)


@pytest.mark.django_db
def test_work_is_unsent_since_the_oldest_of_it_by_our_clock(mirror):
    oldest = NOW - timedelta(hours=30)
    assert note(mirror.device, ops=1, oldest=oldest).unsent_since == oldest
    slow = note(mirror.device, ops=2, oldest=oldest, skew_ms=-3_600_000)
    assert slow.unsent_since == oldest + timedelta(hours=1)
    ahead = note(mirror.device, ops=3, oldest=NOW + timedelta(days=9), skew_ms=0)
    assert ahead.unsent_since == NOW


@pytest.mark.django_db
def test_work_whose_age_a_phone_does_not_tell_is_unsent_since_it_first_said_so(mirror):
    assert note(mirror.device, blobs=2).unsent_since == NOW
    assert note(mirror.device, blobs=1, now=NOW + timedelta(hours=3)).unsent_since == NOW
    assert note(mirror.device, now=NOW + timedelta(hours=4)).unsent_since is None
    assert note(mirror.device, ops=1, now=NOW + timedelta(hours=5)).unsent_since == NOW + timedelta(hours=5)
