"""The two sockets, opened by everybody, and who gets a word when something happens at the school.

✓ it stays open · 4401 who are you · 4403 not yours; and in the second table ✓ a word came · – silence.
"""

import asyncio

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

from safety import consumers, hub, ring
from safety.threads import in_thread
from tests.doors.people import COLUMNS, make_town
from tests.doors.table import read
from tests.makers import make_site, raise_alert

pytestmark = pytest.mark.django_db(transaction=True)

OPENED = read("""
            督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
ws/desk    4403 4403  ✓    ✓    ✓    ✓    ✓  4403 4403 4403 4403  ✓    ✓  4403 4401
ws/poke     ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓  4401
""")

# An alert at the school: the desk of whoever is on duty over it. A change of one of its sites: the phones that read it.
TOLD = read("""
                      督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
ws/desk of an alert    –    –    –    –    –    ✓    –    –    –    –    –    –    –    –    –
ws/poke of a site      ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    –    –    –    –    –
""")

PATIENCE = 10  # seconds, on a machine that does other things as well
SILENCE = 0.5  # seconds without a frame that count as none


@pytest.fixture
def town(clock):
    return make_town()


@pytest.fixture
async def running(town):
    """A hub that hears the ring and does not look by itself."""
    ring.bind(asyncio.get_running_loop())
    async with hub.running(look_every=60.0, beat_every=60.0) as this:
        yield this
    ring.bind(None)
    await get_channel_layer().flush()


class Opened:
    def __init__(self, caller, path):
        self.caller = caller
        subprotocols = ["campus.v1", f"bearer.{caller.secret}"] if caller.secret else []
        self.wire = WebsocketCommunicator(consumers.application, f"/api/v1/{path}", subprotocols=subprotocols)

    async def connect(self):
        """✓, or the code with which it was closed; what a socket says on opening is passed over."""
        await self.wire.connect(PATIENCE)
        first = await self.wire.receive_output(PATIENCE)
        return "✓" if first["type"] == "websocket.send" else str(first["code"])

    async def told(self):
        return "–" if await self.wire.receive_nothing(SILENCE) else "✓"


async def each_column(town, path, ask):
    """Opens the socket with everybody and asks; callers of one column that differ are told apart."""
    sockets = [Opened(caller, path) for caller in town.callers]
    try:
        got = await ask(sockets)
    finally:
        for socket in sockets:
            await socket.wire.disconnect()
    cells = {column: {got[n] for n, each in enumerate(town.callers) if each.column == column} for column in COLUMNS}
    return {column: cell.pop() if len(cell) == 1 else str(cell) for column, cell in cells.items()}


@pytest.mark.parametrize("path", OPENED)
async def test_socket_stays_open_for_those_whose_it_is(running, town, path):

    async def ask(sockets):
        return [await socket.connect() for socket in sockets]

    assert await each_column(town, path, ask) == OPENED[path]


@pytest.mark.parametrize("row", TOLD)
async def test_word_goes_to_those_whom_it_concerns_and_nobody_else(running, town, row):
    path, _, about = row.partition(" of ")

    async def ask(sockets):
        standing = [await socket.connect() == "✓" for socket in sockets]
        if about == "an alert":
            await in_thread(raise_alert)(site=town.canteen)
        else:
            await in_thread(make_site)(unit=town.school, name="新食堂")
        told = await asyncio.gather(*(socket.told() for socket in sockets if socket.caller.secret))
        words = dict(zip((str(socket.caller) for socket in sockets if socket.caller.secret), told, strict=True))
        return [
            words.get(str(socket.caller), "–") if stands else "–"
            for socket, stands in zip(sockets, standing, strict=True)
        ]

    assert await each_column(town, path, ask) == TOLD[row]


def test_tables_have_both_sockets_and_somebody_is_let_in_and_told():
    assert {f"api/v1/{path}" for path in OPENED} == {str(each.pattern) for each in consumers.SOCKETS}
    assert {row.split(" ")[0] for row in TOLD} == set(OPENED)
    counts = [sum(cell == "✓" for cell in cells.values()) for cells in [*OPENED.values(), *TOLD.values()]]
    assert counts == [7, 14, 1, 10]
