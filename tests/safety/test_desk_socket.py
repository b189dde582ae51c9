"""The sockets, through the application that the server serves, on the in-memory layer and on a real Redis."""

import asyncio
import json
import time
from datetime import timedelta

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.utils import timezone

from safety import consumers, hub, jobs, ring
from safety.access import readers_among, sight_of, today
from safety.changes import clock_now
from safety.devices import lose, revoke
from safety.duty import posts_of
from safety.guard import lifted
from safety.models import Delivery, Device, DutyShift, Person, Post
from safety.models.organisation import Organisation
from safety.threads import in_thread
from tests.makers import make_person, make_shift, make_site, make_token, raise_alert
from tests.safety.test_alerts import say
from tests.sessions import signed_in

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 5  # seconds, on a machine that does other things as well
SILENCE = 0.4  # seconds without a frame that count as none
NEVER = 60.0


@pytest.fixture
def layer(request, settings):
    """The channel layer: in memory, or on a real Redis where a test asks for both."""
    if getattr(request, "param", "memory") == "redis":
        url = request.getfixturevalue("redis_url")
        backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [url]}}}


on_both_layers = pytest.mark.parametrize("layer", ["memory", "redis"], indirect=True)


@pytest.fixture
async def running(layer, town):
    """A hub that hears the ring and does not look by itself."""
    ring.bind(asyncio.get_running_loop())
    async with hub.running(look_every=NEVER, beat_every=NEVER) as this:
        yield this
    ring.bind(None)
    await get_channel_layer().flush()


class Opened:
    """A socket as a client holds it."""

    def __init__(self, path, *, secret="", headers=()):
        subprotocols = ["campus.v1", f"bearer.{secret}"] if secret else []
        self.wire = WebsocketCommunicator(
            consumers.application, f"/api/v1/ws/{path}", headers=list(headers), subprotocols=subprotocols
        )

    async def __aenter__(self):
        self.accepted, self.subprotocol = await self.wire.connect(PATIENCE)
        return self

    async def __aexit__(self, *_):
        await self.wire.disconnect()

    async def frame(self):
        return json.loads(await self.wire.receive_from(PATIENCE))

    async def alert(self, **wanted):
        """The next alert of which all this is true; others on the way are passed over."""
        while True:
            frame = await self.frame()
            if frame["t"] == "alert" and all(frame["alert"][name] == value for name, value in wanted.items()):
                return frame

    async def closed(self):
        """The code with which it was closed; what was said before is passed over."""
        while (output := await self.wire.receive_output(PATIENCE))["type"] != "websocket.close":
            pass
        return output["code"]

    async def silent(self):
        return await self.wire.receive_nothing(SILENCE)


db = in_thread


async def desk_of(person):
    _, secret = await db(make_token)(person=person)
    return Opened("desk", secret=secret)


@on_both_layers
async def test_socket_opened_before_the_alert_gets_it_with_the_number_of_the_clock(running, town):
    async with await desk_of(town.officer) as desk:
        assert desk.subprotocol == "campus.v1"
        before, _ = await db(clock_now)()
        assert await desk.frame() == {"t": "waiting", "seq": before, "alerts": []}
        alert = await db(raise_alert)(site=town.canteen)
        frame = await desk.frame()
        assert (frame["t"], frame["alert"]["id"], frame["alert"]["rev"]) == ("alert", str(alert.id), 1)
        assert frame["alert"]["school"]["name"] == town.school.name
        assert before < frame["seq"] <= (await db(clock_now)())[0]


async def test_frame_leaves_well_under_a_second_after_the_commit(running, town):
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        await db(raise_alert)(site=town.canteen)
        committed = time.monotonic()
        await desk.frame()
        assert time.monotonic() - committed < 1


@on_both_layers
async def test_socket_opened_after_the_alert_finds_it_waiting(running, town):
    alert = await db(raise_alert)(site=town.canteen)
    async with await desk_of(town.officer) as desk:
        waiting = await desk.frame()
        assert [row["id"] for row in waiting["alerts"]] == [str(alert.id)]
        assert waiting["seq"] <= (await db(clock_now)())[0]


@on_both_layers
async def test_stranger_of_another_district_gets_nothing_before_or_after(running, town):
    other = await db(make_person)(role="duty_officer", at=town.elsewhere)
    await db(make_shift)(person=other, node=town.elsewhere)
    async with await desk_of(other) as before:
        assert (await before.frame())["alerts"] == []
        await db(raise_alert)(site=town.canteen)
        assert await before.silent()
        async with await desk_of(other) as after:
            assert (await after.frame())["alerts"] == []
            own = await db(raise_alert)(site=await db(make_site)(unit=town.foreign))
            assert (await before.frame())["alert"]["id"] == (await after.frame())["alert"]["id"] == str(own.id)


async def test_officer_of_another_school_gets_nothing(running, town):
    other = await db(make_person)(role="duty_officer", at=town.neighbour)
    await db(make_shift)(person=other, node=town.neighbour)
    async with await desk_of(other) as desk:
        await desk.frame()
        await db(raise_alert)(site=town.canteen)
        assert await desk.silent()


async def test_colleague_of_the_desk_who_is_not_on_duty_gets_nothing_until_it_is_owed(running, town):
    async with await desk_of(town.administrator) as desk:
        await desk.frame()
        alert = await db(raise_alert)(site=town.canteen)
        assert await desk.silent()
        await db(jobs.escalate)(alert.escalate_at + timedelta(seconds=1))
        frame = await desk.alert()
        assert frame["alert"]["deliveries"][-1]["reason"] == "administrator"


async def test_shift_that_has_ended_gets_no_new_alert(running, town):
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        await db(DutyShift.objects.update)(ends_at=timezone.now() - timedelta(seconds=1))
        await db(raise_alert)(site=town.canteen)
        assert await desk.silent()


@pytest.mark.parametrize("path", ["desk", "poke"])
async def test_nobody_is_let_in_and_told_so(running, path):
    for secret in ("", "made-up"):
        async with Opened(path, secret=secret) as socket:
            assert (socket.accepted, await socket.closed()) == (True, 4401)


async def test_principal_is_told_that_the_desk_is_not_hers(running, town):
    async with await desk_of(town.principal) as desk:
        assert await desk.closed() == 4403


async def test_page_of_another_site_is_refused(running, town):
    _, secret = await db(make_token)(person=town.officer)
    async with Opened("desk", secret=secret, headers=[(b"origin", b"https://elsewhere.example")]) as socket:
        assert not socket.accepted
    async with Opened("desk", secret=secret, headers=[(b"origin", b"http://127.0.0.1:8000")]) as socket:
        assert socket.accepted


@on_both_layers
async def test_address_without_a_socket_is_refused(running):
    async with Opened("elsewhere") as socket:
        assert not socket.accepted


def make_inactive(person):
    with lifted():
        Person.objects.filter(pk=person.pk).update(is_active=False)


def session_of(person):
    client = signed_in(person)
    return client, client.cookies[django_settings.SESSION_COOKIE_NAME].value


async def test_desk_s_session_opens_it_until_it_logs_out(running, town):
    client, key = await db(session_of)(town.officer)
    async with Opened("desk", headers=[(b"cookie", f"sessionid={key}".encode())]) as desk:
        await desk.frame()
        await db(raise_alert)(site=town.canteen)
        await desk.alert()
        await db(client.logout)()
        await db(raise_alert)(site=town.canteen, place="冷库")
        assert await desk.closed() == 4401


async def test_phone_s_cookie_opens_a_socket(running, town):
    _, secret = await db(make_token)(person=town.officer)
    async with Opened("desk", headers=[(b"cookie", f"device={secret}".encode())]) as desk:
        assert (await desk.frame())["t"] == "waiting"


@on_both_layers
async def test_post_that_was_taken_away_stops_the_frames_at_once(running, town):
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        yesterday = today(timezone.now()) - timedelta(days=1)
        await db(Post.objects.filter(person=town.officer).update)(to_on=yesterday)
        await db(raise_alert)(site=town.canteen)
        assert (await desk.wire.receive_output(PATIENCE)) == {"type": "websocket.close", "code": 4403}


@pytest.mark.parametrize("end", [revoke, lose])
async def test_revoking_a_phone_closes_its_sockets_at_once(running, town, end):
    device, secret = await db(make_token)(person=town.officer)
    async with Opened("desk", secret=secret) as desk, Opened("poke", secret=secret) as phone:
        await desk.frame()
        await db(end)(device, by=town.administrator, now=timezone.now())
        assert await desk.closed() == await phone.closed() == 4401


async def test_device_that_was_revoked_gets_no_frame_and_is_told_to_sign_in(running, town):
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        await db(Device.objects.update)(revoked_at=timezone.now())
        await db(raise_alert)(site=town.canteen)
        assert (await desk.wire.receive_output(PATIENCE)) == {"type": "websocket.close", "code": 4401}


async def test_person_who_is_no_longer_active_is_put_out_at_the_next_beat(layer, town):
    async with hub.running(look_every=NEVER, beat_every=0.1), await desk_of(town.officer) as desk:
        await desk.frame()
        assert (await desk.frame())["t"] == "beat"
        await db(make_inactive)(town.officer)
        assert await desk.closed() == 4401
    await get_channel_layer().flush()


async def test_acknowledgement_reaches_every_desk_that_knows_the_alert(running, town):
    second = await db(make_person)(role="duty_officer", at=town.district, name="二号值班员")
    await db(make_shift)(person=second, node=town.district)
    alert = await db(raise_alert)(site=town.canteen)
    async with await desk_of(town.officer) as one, await desk_of(second) as other:
        await one.frame(), await other.frame()
        await db(say)("alerts.acknowledge", alert, by=town.officer)
        for desk in (one, other):
            frame = await desk.alert(state="acknowledged")
            assert frame["alert"]["acknowledged"]["person"]["name"] == "值班员"


async def test_end_of_an_alert_reaches_those_to_whom_it_was_owed(running, town):
    alert = await db(raise_alert)(site=town.canteen)
    await db(jobs.escalate)(alert.escalate_at + timedelta(seconds=1))
    async with await desk_of(town.administrator) as desk:
        await desk.frame()
        await db(say)("alerts.resolve", alert, by=town.officer, said={"reason": "已断气"})
        await desk.alert(state="resolved")


async def test_shift_that_begins_hears_what_is_open(running, town):
    alert = await db(raise_alert)(site=town.canteen)
    next_one = await db(make_person)(role="duty_officer", at=town.district)
    async with await desk_of(next_one) as desk:
        assert (await desk.frame())["alerts"] == []
        await db(make_shift)(person=next_one, node=town.district, begun=False)
        await db(jobs.begin_shifts)(timezone.now())
        assert (await desk.alert())["alert"]["id"] == str(alert.id)


async def eventually(question, wanted=True):
    """What a question answers, once it is what is wanted or patience ends."""
    for _ in range(PATIENCE * 20):
        if (answer := await db(question)()) == wanted:
            break
        await asyncio.sleep(0.05)
    return answer


def state_of_the_delivery():
    return Delivery.objects.get().state


async def test_delivery_is_pending_without_a_desk_sent_when_written_and_arrived_when_shown(running, town):
    await db(raise_alert)(site=town.canteen)
    assert await db(state_of_the_delivery)() == "pending"
    async with await desk_of(town.officer) as desk:
        waiting = await desk.frame()
        assert await eventually(state_of_the_delivery, "sent") == "sent"
        await desk.wire.send_json_to({"t": "seen", "seq": waiting["seq"] - 1})
        assert await desk.silent()
        await desk.wire.send_json_to({"t": "seen", "seq": (await db(clock_now)())[0]})
        assert await eventually(state_of_the_delivery, "arrived") == "arrived"
        assert await db(jobs.deliver)(timezone.now() + timedelta(minutes=1)) == 0


async def test_receipts_make_no_frames_of_their_own_and_travel_with_the_beat(running, town):
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        await db(raise_alert)(site=town.canteen)
        assert (await desk.alert())["alert"]["deliveries"][0]["state"] == "pending"
        assert await eventually(state_of_the_delivery, "sent") == "sent"
        assert await desk.silent()
        await running.beat()
        assert (await desk.alert())["alert"]["deliveries"][0]["state"] == "sent"
        assert (await desk.frame())["t"] == "beat"


async def test_client_that_says_what_is_not_understood_is_closed(running, town):
    for said in ("hello", '{"t":"ack","seq":1}', '{"t":"seen","seq":1,"x":"' + "y" * 200 + '"}'):
        async with await desk_of(town.officer) as desk:
            await desk.frame()
            await desk.wire.send_to(text_data=said)
            assert await desk.closed() == 4400


@on_both_layers
async def test_alert_arrives_by_looking_when_the_ring_is_lost(layer, town):
    async with hub.running(look_every=0.2, beat_every=NEVER), await desk_of(town.officer) as desk:
        await desk.frame()
        await get_channel_layer().flush()  # the hub is in no group any more
        await db(raise_alert)(site=town.canteen)
        assert (await desk.frame())["t"] == "alert"
    await get_channel_layer().flush()


async def test_hub_joins_the_ring_again_at_each_beat(town):
    """Both layers forget a member of a group after a day."""
    ring.bind(asyncio.get_running_loop())
    async with hub.running(look_every=NEVER, beat_every=0.1), await desk_of(town.officer) as desk:
        await desk.frame()
        get_channel_layer().groups.clear()
        assert (await desk.frame())["t"] == "beat"
        assert await eventually(lambda: bool(get_channel_layer().groups))
        await db(raise_alert)(site=town.canteen)
        await desk.alert()
    ring.bind(None)


async def test_hub_says_a_fault_loudly_and_goes_on(town, caplog):
    async with hub.running(look_every=0.05, beat_every=NEVER) as this, await desk_of(town.officer) as desk:
        await desk.frame()
        this.seq = "not a number"
        assert await eventually(lambda: "hub.fault part=watch error=TypeError" in caplog.text)
        this.seq, _ = await db(clock_now)()
        await db(raise_alert)(site=town.canteen)
        await desk.alert()


async def test_hub_takes_the_number_of_a_database_that_was_restored_and_goes_on_from_there(running, town):
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        running.seq, running.epoch = 1_000_000, "e-before"
        await running.look()
        assert (running.seq, running.epoch) == await db(clock_now)()
        await db(raise_alert)(site=town.canteen)
        await desk.alert()


class Stuck:
    """A client whose line is full: frames leave one at a time, each when it is told to read."""

    def __init__(self, secret):
        self.said, self.may_read = [], asyncio.Semaphore(0)
        self.inbox: asyncio.Queue = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": "/api/v1/ws/desk", "headers": []}
        scope["subprotocols"] = ["campus.v1", f"bearer.{secret}"]
        self.task = asyncio.create_task(consumers.application(scope, self.inbox.get, self._send))

    async def _send(self, message):
        if message["type"] == "websocket.send":
            await self.may_read.acquire()
        self.said.append(message)

    def read(self, n=1):
        for _ in range(n):
            self.may_read.release()

    async def has(self, n):
        assert await eventually(lambda: len(self.said) >= n)


async def test_socket_that_does_not_read_is_dropped_and_holds_up_nobody(running, town, monkeypatch):
    monkeypatch.setattr(consumers, "QUEUE", 2)
    _, secret = await db(make_token)(person=town.officer)
    stuck = Stuck(secret)
    async with await desk_of(town.officer) as desk:
        await desk.frame()
        for n in range(4):
            await db(raise_alert)(site=town.canteen, place=f"{n}号灶")
            await desk.alert()
        await asyncio.wait_for(stuck.task, PATIENCE)
        assert stuck.said[-1] == {"type": "websocket.close", "code": 4408}
        assert len(running.desks) == 1


async def test_frame_that_waited_in_a_queue_is_authorised_once_more(running, town, monkeypatch):
    monkeypatch.setattr(consumers, "FRESH", 0.1)
    _, secret = await db(make_token)(person=town.officer)
    stuck = Stuck(secret)
    stuck.read()
    await stuck.has(2)  # accepted, and the empty waiting list
    await db(raise_alert)(site=town.canteen)  # its frame is on the line, not read
    await asyncio.sleep(0.2)
    await db(raise_alert)(site=town.canteen, place="冷库")  # its frame waits in the queue
    await asyncio.sleep(0.3)
    await db(Post.objects.filter(person=town.officer).update)(to_on=today(timezone.now()) - timedelta(days=1))
    stuck.read(3)
    await asyncio.sleep(0.5)
    assert [json.loads(each["text"])["t"] for each in stuck.said[1:] if "text" in each] == ["waiting", "alert"]
    stuck.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait_for(stuck.task, PATIENCE)


async def phone_of(person):
    _, secret = await db(make_token)(person=person)
    return Opened("poke", secret=secret)


@on_both_layers
async def test_phone_is_poked_when_something_it_reads_moved_and_told_nothing_else(running, town):
    async with await phone_of(town.principal) as mine, await phone_of(town.neighbour_principal) as other:
        now, _ = await db(clock_now)()
        assert await mine.frame() == await other.frame() == {"t": "poke", "seq": now}
        await db(make_site)(unit=town.school)
        moved, _ = await db(clock_now)()
        assert await mine.frame() == {"t": "poke", "seq": moved}
        assert await other.silent()


async def test_delivery_by_phone_is_sent_when_the_phone_was_poked(running, town):
    await db(make_shift)(person=town.principal, node=town.school)
    await db(raise_alert)(site=town.canteen)

    def state():
        return Delivery.objects.get(person=town.principal).state

    assert await db(state)() == "pending"
    async with await phone_of(town.principal) as phone:
        await phone.frame()
        assert await eventually(state, "sent") == "sent"


def test_those_who_are_poked_are_those_who_read(town):
    """The hub asks from the other side what `sight_of` answers; both must agree for every person and every pair."""
    now = timezone.now()
    people = list(Person.objects.values_list("id", flat=True))
    posts = posts_of(people, at=now)
    pairs = [(audience, node.id) for node in Organisation.objects.all() for audience in ("shared", "bureau")]
    pairs += [(audience, person) for person in people for audience in ("person", "restricted")]
    for pair in pairs:
        reading = {person for person in people if sight_of(person, on=today(now)).sees([pair])}
        assert readers_among({person: posts[person] for person in people}, [pair]) == reading
