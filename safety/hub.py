"""One hub per process: reads what is new in the log once and offers it to every open socket that may have it.

It is woken by the ring and looks by itself every second or two: the table holds, the ring accelerates. Who may have
an alert is asked of the tables in the same snapshot that reads the alert; nothing of that is remembered. What reached
a socket is written down as `sent`, what its client says it showed as `arrived`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, Protocol
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from redis.exceptions import RedisError

from safety import desk
from safety.access import readers_among
from safety.alerts import mark, waiting_for
from safety.changes import clock_now, snapshot, unit
from safety.credentials import Credential, still_good
from safety.duty import Watch, posts_of, watches
from safety.models import Alert, Change, Channel, Delivery, DeliveryState, Exit, Index
from safety.ring import GROUP

log = logging.getLogger(__name__)

LOOK_EVERY = 1.5  # seconds without a ring
BEAT_EVERY = 15.0  # seconds; also how long a credential may outlive its end on a silent socket
RECORD_EVERY = 0.25  # seconds; deliveries that reached a socket are written down together
AGAIN_AFTER = 1.0  # seconds until a part of the hub that failed is tried again

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


@dataclass(frozen=True, slots=True)
class News:
    """What one look found, and who may have it."""

    seq: int
    epoch: str
    good: set[Credential]
    rows: list[tuple[int, desk.Row]] = field(default_factory=list)  # in order of seq
    watches: dict[UUID, Watch] = field(default_factory=dict)
    readers: set[UUID] = field(default_factory=set)  # persons for whom something they read has moved
    owed: dict[UUID, list[UUID]] = field(default_factory=dict)  # person → deliveries by phone that are not sent yet


def read_news(*, after: int, epoch: str, desks: Collection[Credential], phones: Collection[Credential]) -> News | None:
    """What the log says after a number, for these sockets; None when it says nothing."""
    if (after, epoch) == clock_now():
        return None
    now = timezone.now()
    with snapshot():
        seq, current = clock_now()
        good = still_good({*desks, *phones}, now=now)
        if current != epoch or seq < after:
            return News(seq, current, good)  # another database, an older one: there is nothing to compare with
        touched = _touched(after)
        alerts = desk.load(touched) if desks else []
        numbered = zip((touched[alert.id] for alert in alerts), desk.rows_of(alerts), strict=True)
        readers = _readers(after, {each.person_id for each in phones})
        return News(
            seq,
            current,
            good,
            rows=sorted(numbered, key=lambda pair: pair[0]),
            watches=watches({each.person_id for each in desks}, at=now, alerts=touched) if alerts else {},
            readers=readers,
            owed=owed_by_phone(readers),
        )


def _touched(after: int) -> dict[UUID, int]:
    """Alerts that moved, or of which a delivery moved, with the number of the last such change."""
    moved = Change.objects.filter(seq__gt=after, collection__in=(Alert.collection, Delivery.collection))
    last: dict[tuple[str, UUID], int] = {}
    for seq, collection, doc_id in moved.order_by("seq").values_list("seq", "collection", "doc_id"):
        last[collection, doc_id] = seq
    deliveries = Delivery.objects.filter(
        id__in=[doc_id for collection, doc_id in last if collection == Delivery.collection],
        subject_collection=Alert.collection,
    )
    subjects = dict(deliveries.values_list("id", "subject_id"))
    touched: dict[UUID, int] = {}
    for (collection, doc_id), seq in last.items():
        alert_id = doc_id if collection == Alert.collection else subjects.get(doc_id)
        if alert_id is not None:
            touched[alert_id] = max(seq, touched.get(alert_id, 0))
    return touched


def _readers(after: int, persons: Collection[UUID]) -> set[UUID]:
    if not persons:
        return set()
    pairs = set(Index.objects.filter(seq__gt=after).values_list("audience", "key").distinct())
    pairs |= set(Exit.objects.filter(seq__gt=after).values_list("audience", "key").distinct())
    if not pairs:
        return set()
    posts = posts_of(persons, at=timezone.now())
    return readers_among({person: posts[person] for person in persons}, pairs)


def owed_by_phone(persons: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """Deliveries by phone that are not sent yet, by person."""
    owed: dict[UUID, list[UUID]] = {}
    if not persons:
        return owed
    pending = Delivery.objects.filter(person_id__in=persons, channel=Channel.APP, state=DeliveryState.PENDING)
    for person_id, delivery_id in pending.values_list("person_id", "id"):
        owed.setdefault(person_id, []).append(delivery_id)
    return owed


@dataclass(frozen=True, slots=True)
class WaitingList:
    """What a desk is told on connecting: the list as it stood at `seq`."""

    seq: int
    text: str
    unseen: list[tuple[UUID, str]]  # this person's deliveries by desk that are on it, with their state


def read_waiting(person_id: UUID) -> WaitingList:
    """The waiting list of a person, numbered by the clock."""
    with snapshot():
        seq, _ = clock_now()
        rows = desk.rows_of(waiting_for(person_id, at=timezone.now()))
    text = msgspec.json.encode({"t": "waiting", "seq": seq, "alerts": [msgspec.Raw(row.json) for row in rows]})
    unseen = [row.unseen[person_id] for row in rows if person_id in row.unseen]
    return WaitingList(seq, text.decode(), unseen)


def still_knows(credential: Credential, alert_id: UUID) -> bool:
    """Whether a frame that has lain in a queue may still be sent."""
    now = timezone.now()
    alerts = desk.load([alert_id])
    watch = watches([credential.person_id], at=now, alerts=[alert_id])[credential.person_id]
    return bool(alerts) and watch.knows(alerts[0]) and credential in still_good([credential], now=now)


def read_standing(
    desks: Collection[Credential], phones: Collection[Credential]
) -> tuple[set[Credential], dict[UUID, Watch]]:
    """Which credentials still hold, and what the persons at desks may do now."""
    now = timezone.now()
    return still_good({*desks, *phones}, now=now), watches({each.person_id for each in desks}, at=now, alerts=[])


def record(reached: Mapping[UUID, DeliveryState]) -> None:
    """Writes down which deliveries reached a socket."""
    with unit(actor=None, source="hub") as work:
        mark(work, reached)


def in_thread(function: Callable) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Runs a function that asks the database in a thread, with a connection of its own that it gives back."""

    @wraps(function)
    def asked(*args, **kwargs):
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return sync_to_async(asked, thread_sensitive=False)


class Hub:
    """The open sockets of this process, and how far the log was read for them."""

    def __init__(self, *, look_every: float = LOOK_EVERY, beat_every: float = BEAT_EVERY):
        self.look_every, self.beat_every = look_every, beat_every
        self.desks: set[Desk] = set()
        self.phones: set[Phone] = set()
        self.reached: dict[UUID, DeliveryState] = {}
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
        self.seq, self.epoch = await in_thread(clock_now)()

    async def look(self) -> None:
        """Reads what is new and offers it."""
        async with self.looking:
            read = partial(read_news, after=self.seq, epoch=self.epoch, desks=_of(self.desks), phones=_of(self.phones))
            news = await in_thread(read)()
            if news is None:
                return
            self._offer(news)
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
        """Asks every socket's credential again, and says to the desks that all is well."""
        good, standing = await in_thread(read_standing)(_of(self.desks), _of(self.phones))
        frame = Frame(self.seq, f'{{"t":"beat","seq":{self.seq}}}')
        for each in [*self.desks, *self.phones]:
            watch = standing.get(each.credential.person_id)
            if each.credential not in good:
                each.drop(SIGNED_OUT)
            elif each in self.desks and watch is not None:
                each.offer(frame) if watch.opens_desk else each.drop(NOT_YOURS)

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
                await in_thread(record)(reached)
            except DatabaseError as busy:
                self.reached = reached | self.reached
                log.warning("hub.record_later deliveries=%d error=%s", len(reached), type(busy).__name__)


def _of(sockets: Collection[Desk | Phone]) -> set[Credential]:
    return {each.credential for each in sockets}


def _offer_to(socket: Desk, frames: list[tuple[desk.Row, Frame]], watch: Watch) -> None:
    if not watch.opens_desk:
        socket.drop(NOT_YOURS)
        return
    for row, frame in frames:
        if watch.knows(row.alert):
            socket.offer(frame)


def _frame(seq: int, row: desk.Row, made_at: float) -> Frame:
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
    parts = (hub.listen, hub.watch, hub.keep_time, hub.keep_record)
    tasks = [asyncio.create_task(_kept_going(part), name=f"hub.{part.__name__}") for part in parts]
    _current = hub
    try:
        yield hub
    finally:
        _current = None
        await _end(tasks)
