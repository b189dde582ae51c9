"""Work that lies on a phone for too long is told once a day to those who can do something, and the telling ends."""

from datetime import timedelta

import pytest
from django.utils import timezone

from safety.alerts import owe_daily
from safety.changes import unit
from safety.guard import lifted
from safety.models import Delivery, DeliveryState, Index
from sync.contacts import Heard, note_contact
from sync.models import Contact
from sync.reminders import mark_arrived, remind_unsent
from tests.makers import make_person
from tests.statements import statements
from tests.sync.mirror import Mirror
from tests.sync.phone import Phone
from tests.sync.test_push import tell

pytestmark = pytest.mark.django_db


@pytest.fixture
def late(town):
    """A phone whose oldest unsent work is four days old by now."""
    phone = Phone(town.inspector)
    calls(phone, ops=12, blobs=30, hours=100)
    return phone


def noon():
    return timezone.localtime().replace(hour=12)


def calls(phone, *, ops=0, blobs=0, hours=0, now=None):
    now = now or timezone.now()
    note_contact(phone.device.id, Heard(ops, blobs, now - timedelta(hours=hours) if ops else None), now=now)


def owed(**more):
    return {each.person.name: each for each in Delivery.objects.filter(subject_collection="devices", **more)}


def test_owner_administrators_and_safety_officers_are_told_once_a_day(town, late):
    assert remind_unsent(noon()) == 3
    assert set(owed()) == {"督学甲", "管理员", "安全科"}
    assert {(each.channel, each.reason, each.organisation_id) for each in owed().values()} == {
        ("app", "unsent", town.school.id)
    }
    assert remind_unsent(noon() + timedelta(minutes=1)) == 0
    assert "您的手机“手机”里还有 12 条记录、30 张照片没有上传,最早的已有" in owed()["督学甲"].sentence
    assert "督学甲的手机“手机”里还有" in owed()["安全科"].sentence


def test_same_delivery_is_told_anew_on_the_next_day_and_not_twice_on_it(late):
    first = noon()
    assert remind_unsent(first) == 3
    with lifted():
        Delivery.objects.update(state=DeliveryState.OPENED)
    assert [remind_unsent(first + timedelta(hours=hours)) for hours in (1, 11, 13, 14, 35)] == [0, 0, 3, 0, 0]
    assert len(owed(state="pending")) == Delivery.objects.count() == 3
    assert remind_unsent(first + timedelta(hours=37)) == 3


def test_telling_ends_when_the_phone_says_that_nothing_waits(late):
    remind_unsent(timezone.now())
    calls(late, now=timezone.now() + timedelta(minutes=5))
    assert remind_unsent(timezone.now() + timedelta(minutes=6)) == 3
    assert len(owed(state="over")) == 3
    assert remind_unsent(timezone.now() + timedelta(days=1)) == 0


def test_telling_ends_when_the_work_has_come_though_the_phone_called_no_more(town):
    phone = Phone(town.inspector)
    calls(phone, ops=1, hours=50, now=timezone.now() - timedelta(seconds=5))
    remind_unsent(timezone.now())
    tell(phone, town)
    phone.send()
    assert remind_unsent(timezone.now()) == 3
    assert len(owed(state="over")) == 3


def test_telling_ends_when_the_phone_is_revoked(late):
    remind_unsent(timezone.now())
    late.device.revoked_at = timezone.now()
    late.device.save()
    assert remind_unsent(timezone.now()) == 3
    assert remind_unsent(timezone.now() + timedelta(days=1)) == 0


def test_work_within_the_limit_is_told_to_nobody(town, settings):
    phone = Phone(town.inspector)
    calls(phone, ops=1, hours=47)
    assert remind_unsent(timezone.now()) == 0
    settings.UNSENT_ALERT_HOURS = 46
    assert remind_unsent(timezone.now()) == 3


def test_bureau_that_is_told_is_the_phones_own(town, late):
    make_person(role="administrator", at=town.elsewhere, name="外区管理员")
    remind_unsent(timezone.now())
    assert "外区管理员" not in owed() and "外区安全科" not in owed()


def test_administrator_with_an_old_phone_is_told_once_and_as_its_owner(town):
    phone = Phone(town.administrator)
    calls(phone, ops=1, hours=50)
    assert remind_unsent(timezone.now()) == 2
    assert owed()["管理员"].sentence.startswith("您的手机")


def test_nothing_to_tell_costs_two_statements(town):
    with statements(at_most=2):
        remind_unsent(timezone.now())


class Thing:
    collection = "things"

    def __init__(self, town):
        self.id, self.organisation_id = town.school.id, town.school.id


def test_delivery_has_arrived_when_a_pull_comes_back_with_a_cursor_beyond_it(town):
    mirror = Mirror(town.inspector)
    with unit(actor=None, source="test") as work:
        owe_daily(work, Thing(town), {town.inspector.id: "unsent"}, sentence="一句话")
    delivery = Delivery.objects.get()
    mirror.sync()
    assert mark_arrived(timezone.now()) == 0  # served, and not yet known to be stored
    Contact.objects.update(at=timezone.now() - timedelta(minutes=2))
    assert mirror.ask(cursor=mirror.cursor).status_code == 200
    assert mark_arrived(timezone.now()) == 1
    delivery.refresh_from_db()
    assert delivery.state == "arrived"
    assert mark_arrived(timezone.now()) == 0
    assert Index.objects.get(collection="alerts_mine", doc_id=delivery.id).rev == 2


def test_pull_of_other_collections_says_nothing_of_a_delivery(town):
    mirror = Mirror(town.inspector)
    with unit(actor=None, source="test") as work:
        owe_daily(work, Thing(town), {town.inspector.id: "unsent"}, sentence="一句话")
    first = mirror.ask(collections="sites").json()
    Contact.objects.update(at=timezone.now() - timedelta(minutes=2))
    assert mirror.ask(collections="sites", cursor=first["cursor"]).status_code == 200
    assert mark_arrived(timezone.now()) == 0
