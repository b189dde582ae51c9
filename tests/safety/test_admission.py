"""Bulk requests have a lane: few at once, some wait in order, one too many is told when to come again."""

import asyncio
import json

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from safety import admission, asgi
from safety.admission import Lane, admitting
from safety.errors import Busy

REQUESTS = RequestFactory()


@pytest.fixture
def one_at_once(settings):
    settings.BULK_LANES = {"/bulk/": {"at_once": 1, "waiting": 2, "headers": {"Sync-Protocol": "1"}}}


class Work:
    """A view that works until it is let go; says who is at work, and who was, in order."""

    def __init__(self):
        self.begun: list[str] = []
        self.let_go = asyncio.Event()

    async def view(self, request):
        self.begun.append(request.path)
        await self.let_go.wait()
        return HttpResponse(request.path)


def asked(app, *paths):
    return [asyncio.create_task(app(REQUESTS.get(path))) for path in paths]


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_next_ones_wait_in_order_and_one_too_many_is_sent_away(one_at_once):
    work = Work()
    app = admitting(work.view)
    tasks = asked(app, "/bulk/1", "/bulk/2", "/bulk/3", "/bulk/4")
    await settled()
    refused = await tasks.pop()
    assert (work.begun, refused.status_code, refused["Sync-Protocol"]) == (["/bulk/1"], 503, "1")
    assert int(refused["Retry-After"]) >= 1
    problem = json.loads(refused.content)
    assert (problem["code"], problem["retryable"], problem["retry_after"]) == (
        "busy",
        True,
        int(refused["Retry-After"]),
    )
    work.let_go.set()
    assert [answer.content for answer in await asyncio.gather(*tasks)] == [b"/bulk/1", b"/bulk/2", b"/bulk/3"]
    assert work.begun == ["/bulk/1", "/bulk/2", "/bulk/3"]


async def test_page_does_not_wait_behind_the_phones(one_at_once):
    work = Work()
    app = admitting(work.view)
    tasks = asked(app, "/bulk/1", "/bulk/2", "/", "/api/v1/alerts")
    await settled()
    assert work.begun == ["/bulk/1", "/", "/api/v1/alerts"]
    work.let_go.set()
    await asyncio.gather(*tasks)


async def test_who_waits_too_long_is_sent_away_and_the_lane_goes_on(one_at_once, monkeypatch):
    monkeypatch.setattr(admission, "PATIENCE", 0.05)
    work = Work()
    app = admitting(work.view)
    first, second = asked(app, "/bulk/1", "/bulk/2")
    assert (await second).status_code == 503
    work.let_go.set()
    assert (await first).status_code == 200
    assert (await app(REQUESTS.get("/bulk/3"))).status_code == 200


async def test_failure_and_a_phone_that_goes_away_give_their_turn_back(one_at_once):
    async def fails(request):
        raise KeyError("ours")

    app = admitting(fails)
    for _ in range(3):
        with pytest.raises(KeyError):
            await app(REQUESTS.get("/bulk/1"))
    work = Work()
    app = admitting(work.view)
    first, second, third = asked(app, "/bulk/1", "/bulk/2", "/bulk/3")
    await settled()
    first.cancel()
    second.cancel()
    work.let_go.set()
    assert (await third).status_code == 200


async def test_longer_work_and_a_longer_queue_send_away_for_longer():
    lane = Lane(at_once=2, waiting=10)
    lane.seconds, lane.waiting = 0.5, 9
    assert lane.retry_after() == 3
    lane.seconds, lane.waiting = 60, 10
    assert lane.retry_after() == admission.LONGEST_AWAY
    lane.seconds, lane.waiting = 0.001, 0
    assert lane.retry_after() == 1


async def test_lane_without_a_queue_takes_who_comes_while_there_is_room():
    lane = Lane(at_once=1, waiting=0)
    async with lane.turn():
        with pytest.raises(Busy):
            async with lane.turn():
                pass
    async with lane.turn():
        pass


async def test_served_application_has_the_lanes_before_it(one_at_once):
    work = Work()
    handler = admission.Admitted()
    assert isinstance(asgi.django, admission.Admitted)
    handler.admitted = admitting(work.view)
    first, second = (asyncio.create_task(handler.get_response_async(REQUESTS.get(f"/bulk/{n}"))) for n in (1, 2))
    await settled()
    assert work.begun == ["/bulk/1"]
    work.let_go.set()
    assert [(await each).status_code for each in (first, second)] == [200, 200]
