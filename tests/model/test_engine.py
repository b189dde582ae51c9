"""The engine that drives the model, looked at by itself: a client whose own faults would look like the server's."""

import msgspec
import pytest
from django.db import OperationalError
from django.utils import timezone

from inspections.models import QuickHazard
from sync import push
from tests.model.engine import PATIENCE, Died, Engine
from tests.model.road import ARRIVED, FAULTS, Road
from tests.sync.mirror import fresh

pytestmark = pytest.mark.django_db


@pytest.fixture
def phone(town):
    phone = Engine("手机", town.inspector, Road())
    phone.sync()
    return phone


def tell(phone, town, text="漏气", **more):
    said = {"site_id": town.canteen.id, "text": text, "item_code": "ST-15", "place": text}
    return phone.say("quick_hazards", "create", said, **more)


@pytest.mark.parametrize("fault", FAULTS)
def test_hazard_is_told_once_whatever_happens_on_the_road(phone, town, fault):
    tell(phone, town)
    phone.road.faults = [fault]
    came_through = phone.sync()
    assert came_through == (fault == "sent twice")
    assert QuickHazard.objects.exists() == (fault in (*ARRIVED, "sent twice"))
    assert phone.sync()
    assert (QuickHazard.objects.count(), phone.outbox, phone.docs) == (1, [], fresh(town.inspector))


@pytest.mark.parametrize("at", range(1, 13))
def test_phone_that_dies_at_any_commit_comes_back_and_ends_equal(phone, town, at):
    for text in ("灶间漏气", "库房漏气"):
        tell(phone, town, text)
    phone.disk.fuse = at
    with pytest.raises(Died):
        phone.sync(limits=[3], most=1)
    phone.restart()
    assert phone.sync()
    assert (QuickHazard.objects.count(), phone.outbox, phone.docs) == (2, [], fresh(town.inspector))


def test_patches_that_never_left_the_phone_become_one_and_a_sent_one_stays_as_it_is(phone, town):
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    visit = phone.say("inspections", "create", said).key[1]
    first = phone.say("inspections", "patch", {"answers": {"ST-11": {"note": "一"}}}, doc_id=visit)
    second = phone.say("inspections", "patch", {"answers": {"ST-15": {"note": "二"}}}, doc_id=visit)
    assert [kept.op_id for kept in phone.outbox[1:]] == [second.op_id]
    assert (first.op_id != second.op_id, sorted(second.said["set"]["answers"])) == (True, ["ST-11", "ST-15"])
    phone.road.faults = ["lost answer"]
    phone.sync()
    phone.say("inspections", "patch", {"answers": {"ST-11": {"note": "三"}}}, doc_id=visit)
    assert [kept.wire for kept in phone.outbox[1:2]] == [second.wire]
    assert phone.sync()
    assert phone.screen(visit) == {"ST-11": {"note": "三"}, "ST-15": {"note": "二"}}


def test_phone_that_must_sign_in_again_keeps_everything_until_then(phone, town):
    tell(phone, town)
    phone.device.tokens.update(revoked_at=timezone.now())
    assert (phone.sync(), phone.signed_out, len(phone.outbox)) == (False, True, 1)
    phone.sign_in()
    assert (phone.sync(), QuickHazard.objects.count()) == (True, 1)


def test_operation_that_is_never_heard_delays_only_itself(phone, town, monkeypatch):
    """I13: what the database always refuses is `retry`; tried often enough alone, it is set aside, visible."""
    poison, sound = tell(phone, town, "毒"), tell(phone, town, "灶间漏气")
    verb = push.VERBS["quick_hazards.create"]

    def decide(world, saying):
        if saying.op_id == poison.op_id:
            raise OperationalError("disk I/O error")
        return verb.decide(world, saying)

    monkeypatch.setitem(push.VERBS, "quick_hazards.create", verb._replace(decide=decide))
    for _ in range(PATIENCE):
        assert poison.op_id not in phone.quarantine
        phone.sync()
    assert (set(phone.quarantine), phone.outbox) == ({poison.op_id}, [])
    assert phone.journal[sound.op_id].status == "applied"


@pytest.mark.parametrize("schema", [0, 1, 999])
def test_client_of_any_schema_may_push(phone, town, schema):
    """I16: work is never trapped in an old app."""
    kept = tell(phone, town)
    body = {"protocol": 1, "schema": schema, "ops": [msgspec.Raw(kept.wire)]}
    answer = push.push(msgspec.json.encode(body), person=town.inspector.id, device=phone.device.id, now=timezone.now())
    assert answer["results"][0]["status"] == "applied"
