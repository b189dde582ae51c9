"""One hub per process: reads what is new in the log once and offers it to every open socket that may have it.

It is woken by the ring and looks by itself every second or two: the table holds, the ring accelerates. Who may have
an alert is asked of the tables in the same snapshot that reads the alert; nothing of that is remembered. What reached
a socket is written down as `sent`, what its client says it showed as `arrived`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from safety.alerts import mark
from safety.changes import clock_now, unit
from safety.credentials import Credential
from safety.desk import Row
from safety.duty import Watch
from safety.models import DeliveryState
from safety.news import News, WaitingList, read_news, read_standing, read_waiting
from safety.ring import GROUP
from safety.threads import in_thread

log = logging.getLogger(__name__)

Q = TypeVar("Q")
T = TypeVar("T")

LOOK_EVERY = 1.5  # seconds without a ring
BEAT_EVERY = 15.0  # seconds; also how long a credential may outlive its end on a silent socket
RECORD_EVERY = 0.25  # seconds; deliveries that reached a socket are written down together
AGAIN_AFTER = 1.0  # seconds until a part of the hub that failed is tried again

THREADS = 4  # a look, the lists of those who open, frames that waited, receipts: each may ask while the others do

SIGNED_OUT = 4401
NOT_YOURS = 4403
TOO_SLOW = 4408


@dataclass(frozen=True, slots=True)
class Frame:
    """A line for a desk: an alert as it stood at `seq`, or a beat."""

    seq: int
    text: str
    alert_id: UUID | None = None
    unseen: Mapping[UUID, tuple[UUID, str]] = field(default_factory=dict)  # person → (delivery by desk, its state)
    made_at: float = 0.0  # the loop's time


class Socket(Protocol):
    """What the hub asks of an open socket; neither call waits."""

    credential: Credential

    def drop(self, code: int) -> None: ...


class Desk(Socket, Protocol):
    def offer(self, frame: Frame) -> None: ...


class Phone(Socket, Protocol):
    def poke(self, seq: int, owed: Collection[UUID]) -> None: ...


def record(reached: Mapping[UUID, DeliveryState]) -> None:
    """Writes down which deliveries reached a socket."""
    with unit(actor=None, source="hub") as work:
        mark(work, reached)


class Questions(Generic[Q, T]):
    """Questions of sockets that one reading answers for all that asked meanwhile."""

    def __init__(self, read: Callable[[Collection[Q]], Coroutine[None, None, Mapping[Q, T]]]):
        self.read = read
        self.open: list[tuple[Q, asyncio.Future[T]]] = []
        self.asked = asyncio.Event()

    async def ask(self, question: Q) -> T:
        answer = asyncio.get_running_loop().create_future()
        self.open.append((question, answer))
        self.asked.set()
        return await answer

    async def answer(self) -> None:
        while True:
            await self.asked.wait()
            batch = list(self.open)
            answers = await self.read({question for question, _ in batch})
            # taken off only now: what a fault left unanswered is asked again
            del self.open[: len(batch)]
            if not self.open:
                self.asked.clear()
            for question, answer in batch:
                if not answer.done():
                    answer.set_result(answers[question])


class Hub:
    """The open sockets of this process, and how far the log was read for them."""

    def __init__(self, *, look_every: float = LOOK_EVERY, beat_every: float = BEAT_EVERY):
        self.look_every, self.beat_every = look_every, beat_every
        self.desks: set[Desk] = set()
        self.phones: set[Phone] = set()
        self.reached: dict[UUID, DeliveryState] = {}
        self.receipts: set[UUID] = set()  # alerts of which receipts came in that no frame has told yet
        self.threads = ThreadPoolExecutor(THREADS, "hub")
        self.lists, self.frames = Questions(self._read_lists), Questions(self._read_frames)
        self.seq, self.epoch = 0, ""
        self.rung = asyncio.Event()
        self.channel = ""
        # a socket joins between two looks, never within one: its own waiting list is read after it has joined, so
        # whatever that list is too early for, the next look offers
        self.looking = asyncio.Lock()

    async def join(self, socket: Desk | Phone, among: set) -> None:
        async with self.looking:
            among.add(socket)

    def note(self, delivery_id: UUID, state: DeliveryState) -> None:
        """That a delivery was written to a socket, or shown there."""
        if self.reached.get(delivery_id) != DeliveryState.ARRIVED:
            self.reached[delivery_id] = state

    async def begin(self) -> None:
        self.seq, self.epoch = await self.read(clock_now)

    async def waiting_list(self, person_id: UUID) -> WaitingList | None:
        """What a desk that has joined is told first; read once for all that open meanwhile."""
        return await self.lists.ask(person_id)

    async def may_still_have(self, credential: Credential, alert_id: UUID) -> bool:
        """Whether a frame that has lain in a queue may be sent; read once for all such frames."""
        return await self.frames.ask((credential, alert_id))

    async def _read_lists(self, persons: Collection[UUID]) -> dict[UUID, WaitingList | None]:
        return await self.read(read_waiting, set(persons))

    async def _read_frames(self, asked: Collection[tuple[Credential, UUID]]) -> dict[tuple[Credential, UUID], bool]:
        credentials, alerts = {each for each, _ in asked}, {alert_id for _, alert_id in asked}
        standing = await self.read(read_standing, credentials, alerts=alerts)
        return {each: standing.may_have(*each) for each in asked}

    async def read(self, function: Callable[..., T], *args, **kwargs) -> T:
        """Asks the database in the hub's own threads: alerts do not queue behind a morning's sockets that open."""
        return await in_thread(function, executor=self.threads)(*args, **kwargs)

    async def look(self, *, also: Collection[UUID] = ()) -> None:
        """Reads what is new, and how the alerts `also` stand, and offers it."""
        async with self.looking:
            desks, phones = _of(self.desks), _of(self.phones)
            news = await self.read(read_news, after=self.seq, epoch=self.epoch, desks=desks, phones=phones, also=also)
            if news is None:
                return
            self._offer(news)
            self.receipts = (self.receipts | news.receipts) - {row.alert.id for _, row in news.rows}
            self.seq, self.epoch = news.seq, news.epoch

    def _offer(self, news: News) -> None:
        made_at = asyncio.get_running_loop().time()
        frames = [(row, _frame(seq, row, made_at)) for seq, row in news.rows]
        for each in [*self.desks, *self.phones]:
            person_id = each.credential.person_id
            if each.credential not in news.good:
                each.drop(SIGNED_OUT)
            elif each in self.desks:
                if frames:
                    _offer_to(each, frames, news.watches[person_id])
            elif person_id in news.readers:
                each.poke(news.seq, news.owed.get(person_id, ()))

    async def beat(self) -> None:
        """Tells the receipts, asks every socket's credential again, and says to the desks that all is well."""
        if self.receipts:
            await self.look(also=self.receipts)
        async with self.looking:
            standing = await self.read(read_standing, _of(self.desks), _of(self.phones))
            frame = Frame(self.seq, f'{{"t":"beat","seq":{self.seq}}}')
            for each in [*self.desks, *self.phones]:
                if each.credential not in standing.good:
                    each.drop(SIGNED_OUT)
                elif each in self.phones:
                    continue
                elif standing.watches[each.credential.person_id].opens_desk:
                    each.offer(frame)
                else:
                    each.drop(NOT_YOURS)

    async def listen(self) -> None:
        """Hears the ring. `receive` is never cancelled to look at the time: that would leave the layer."""
        layer = get_channel_layer()
        self.channel = await layer.new_channel()
        await layer.group_add(GROUP, self.channel)
        while True:
            await layer.receive(self.channel)
            self.rung.set()

    async def watch(self) -> None:
        """Looks at every ring, and every second or two without one."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.look_every):
                    await self.rung.wait()
            self.rung.clear()
            await self.look()

    async def keep_time(self) -> None:
        while True:
            await asyncio.sleep(self.beat_every)
            await self.beat()
            if self.channel:
                # both layers forget a member after a day, the in-memory one also after a message left unread
                await get_channel_layer().group_add(GROUP, self.channel)

    async def keep_record(self) -> None:
        """Writes down what reached a socket; what the database refuses is kept for the next time."""
        while True:
            await asyncio.sleep(RECORD_EVERY)
            if not self.reached:
                continue
            reached, self.reached = self.reached, {}
            try:
                await self.read(record, reached)
            except DatabaseError as busy:
                self.reached = reached | self.reached
                log.warning("hub.record_later deliveries=%d error=%s", len(reached), type(busy).__name__)


def _of(sockets: Collection[Desk | Phone]) -> set[Credential]:
    return {each.credential for each in sockets}


def _offer_to(socket: Desk, frames: list[tuple[Row, Frame]], watch: Watch) -> None:
    if not watch.opens_desk:
        socket.drop(NOT_YOURS)
        return
    for row, frame in frames:
        if watch.knows(row.alert):
            socket.offer(frame)


def _frame(seq: int, row: Row, made_at: float) -> Frame:
    text = f'{{"t":"alert","seq":{seq},"alert":{row.json.decode()}}}'
    return Frame(seq, text, row.alert.id, row.unseen, made_at)


async def _kept_going(part: Callable[[], Coroutine]) -> None:
    """A part of the hub that fails is said loudly and begun again: a desk must not go silent for one fault."""
    while True:
        (fault,) = await asyncio.gather(part(), return_exceptions=True)
        passing = isinstance(fault, DatabaseError | RedisError | OSError)
        log.error("hub.fault part=%s error=%r", part.__name__, fault, exc_info=None if passing else fault)
        await asyncio.sleep(AGAIN_AFTER)


async def _end(tasks: Collection[asyncio.Task]) -> None:
    """Cancels until heard: redis-py swallows a cancellation that meets it while it connects."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=0.2)


_current: Hub | None = None


def current() -> Hub | None:
    """The hub of this process, while it runs."""
    return _current


@asynccontextmanager
async def running(*, look_every: float = LOOK_EVERY, beat_every: float = BEAT_EVERY) -> AsyncIterator[Hub]:
    """Runs the one hub of this process on the running loop; a member of the server's lifespan."""
    global _current
    hub = Hub(look_every=look_every, beat_every=beat_every)
    await hub.begin()
    parts = (hub.listen, hub.watch, hub.lists.answer, hub.frames.answer, hub.keep_time, hub.keep_record)
    tasks = [asyncio.create_task(_kept_going(part), name=f"hub.{part.__name__}") for part in parts]
    _current = hub
    try:
        yield hub
    finally:
        _current = None
        await _end(tasks)
        # what is being read or written down in a thread is not cancelled with the task that waits for it
        await asyncio.to_thread(hub.threads.shutdown, cancel_futures=True)
