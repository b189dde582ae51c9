"""The table of verbs, and how a unit says them: lock, load, decide, write. One table serves the web and the phones.

A key is `collection.kind` or `collection.action`; a `Verb` names the shape of its input, what must be loaded before
it is decided, and the decision. A decision takes the world (what was loaded, and what this unit already did to it)
and one thing said; it asks no database and no clock. It either raises a Problem or `Wait` before it touches anything,
or changes rows of the world and says them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from msgspec import Struct

from safety import alerts
from safety.access import DESK, GRANTS, Sight
from safety.changes import BodyRef, Entry, Work
from safety.errors import Busy, NotAllowed, Problem, Stale
from safety.ids import seeded_id
from safety.models import Acknowledgement, Alert, AlertState, Delivery, DeliveryState

Need = tuple[str, Any]  # (name of a loader, id)
UNLOCKED_CHAINS = {seeded_id("catalogue")}  # read by verbs, never moved by them


class Saying(Struct, frozen=True, kw_only=True):
    """One thing said by one person through one door, its shape already checked."""

    verb: str
    doc_id: UUID
    input: Any
    body: BodyRef
    said_at: datetime  # corrected by `skew`; for people to read, never an order
    skew: timedelta = timedelta()  # what was added to the phone's own times
    source: str = "web"  # "web" | "phone"
    op_id: UUID | None = None
    device: UUID | None = None
    base_rev: int | None = None
    base: dict | None = None
    hlc: str = ""


class Outcome(Struct):
    """What became of it."""

    status: str  # applied | merged | superseded | rejected | deferred
    doc: Any = None
    entry: Entry | None = None
    problem: Problem | None = None
    conflicts: list = []
    waiting_for: list[Need] = []
    kept: bool = False  # a refusal that leaves something behind all the same (bytes that it sealed)


class Wait(Exception):
    """The document is unknown to the author, or not theirs to see: both wait alike."""

    def __init__(self, *needs: Need):
        self.needs = list(needs)
        super().__init__(needs)


class Verb(NamedTuple):
    struct: type[Struct]
    needs: Callable[[UUID, Any], Iterable[Need]]  # (doc_id, input) → what will be read
    decide: Callable[["World", Saying], Outcome]


class Loader(NamedTuple):
    """How one kind of thing is found and loaded, in bulk."""

    where: Callable[
        [set[UUID]], set[UUID]
    ]  # ids → organisations whose chains they belong to; unlocked, before the lock
    load: Callable[["World", set[UUID]], Iterable[Need]]  # puts rows into the world, gives what they need in turn


class World:
    """The identity map of one unit: what is loaded and what this unit did to it, by kind and id."""

    def __init__(self, work: Work, sight: Sight, *, past: Callable[[datetime], Sight] | None = None):
        self.work, self.sight = work, sight
        self.past = past  # the sight that the author demonstrably had at a moment, if it is another
        self.rows: dict[str, dict[UUID, Any]] = defaultdict(dict)
        self.asked: dict[str, set[UUID]] = defaultdict(set)
        self.store: dict[str, Any] = {}  # indexes over rows that a loader keeps for its decisions

    def get(self, kind: str, doc_id: UUID | None) -> Any:
        """The row, or None."""
        return self.rows[kind].get(doc_id)

    def put(self, kind: str, row: Any) -> Any:
        """Keeps a row and gives the one that is kept: a second loading of the same row must not part it in two."""
        return self.rows[kind].setdefault(row.id, row)

    def seen(self, kind: str, doc_id: UUID, saying: Saying, *, collection: str = "") -> Any:
        """The row if the author sees it, or saw it when it was said; raises Wait for its collection otherwise.

        `collection` where the loader calls it by another name.
        """
        row = self.get(kind, doc_id)
        if row is None or self.sight_for(row, saying) is None:
            raise Wait((collection or kind, doc_id))
        return row

    def sight_for(self, row: Any, saying: Saying) -> Sight | None:
        """Today's sight if it reads the row, else the past one that did when this was said, else None."""
        if self.sight.sees(row.readers()):
            return self.sight
        past = self.past(saying.said_at) if self.past else None
        return past if past is not None and past.sees(row.readers()) else None

    def require(self, row: Any, saying: Saying) -> None:
        """Raises NotAllowed unless a post grants the verb at the row's organisations."""
        sight = self.sight_for(row, saying) or self.sight
        sight.require(saying.verb, row.keys or [row.chain_id])

    def require_held(self, row: Any, saying: Saying) -> None:
        """Raises NotAllowed unless a post held anywhere grants the verb: for those whom the row itself names."""
        sight = self.sight_for(row, saying) or self.sight
        if not sight.holds(GRANTS[saying.verb]):
            raise NotAllowed(verb=saying.verb)

    def say(
        self, doc: Any, kind: str, saying: Saying, *, urgency: alerts.Urgency | None, deleted: bool = False
    ) -> Entry:
        """Logs that a saying moved a document; the change points to what was said."""
        return self.work.say(
            doc,
            kind,
            body=saying.body,
            urgency=urgency,
            said_at=saying.said_at,
            operation=saying.op_id,
            device=saying.device,
            deleted=deleted,
        )


def needs_of(table: dict[str, Verb], sayings: Sequence[Saying]) -> dict[str, set[UUID]]:
    """Everything that these sayings name, by loader."""
    needs = defaultdict(set)
    for saying in sayings:
        for kind, doc_id in table[saying.verb].needs(saying.doc_id, saying.input):
            if doc_id is not None:
                needs[kind].add(doc_id)
    return needs


class MoreToLock(Exception):
    """Loading met organisations that the unlocked pre-read had not named: roll back, start again with the union."""

    def __init__(self, organisations: set[UUID]):
        self.organisations = organisations
        super().__init__(organisations)


T = TypeVar("T")
RESTARTS = 5


def with_locks(door: Callable[[frozenset[UUID]], T]) -> T:
    """Runs a door that opens a unit and locks at least the organisations handed to it; again, with more, if told so."""
    organisations: frozenset[UUID] = frozenset()
    for _ in range(RESTARTS):
        try:
            return door(organisations)
        except MoreToLock as more:
            organisations |= more.organisations
    raise Busy()


def prepare(world: World, loaders: dict[str, Loader], needs: dict[str, set], *, organisations: Iterable[UUID]) -> None:
    """Locks the organisations handed over and those that an unlocked pre-read names, then loads. Raises MoreToLock."""
    named = set(organisations).union(*(loaders[kind].where(ids) for kind, ids in needs.items()))
    world.work.lock(named)
    waiting = {kind: set(ids) for kind, ids in needs.items()}
    while waiting:
        waiting = _load(world, loaders, waiting)
    chains = {row.chain_id for rows in world.rows.values() for row in rows.values() if getattr(row, "chain_id", None)}
    if more := chains - set(world.work.heads) - UNLOCKED_CHAINS:
        raise MoreToLock(more)


def _load(world: World, loaders: dict[str, Loader], waiting: dict[str, set]) -> dict[str, set]:
    found = defaultdict(set)
    for kind, ids in waiting.items():
        fresh = ids - world.asked[kind]
        world.asked[kind] |= fresh
        for more, wanted in loaders[kind].load(world, fresh) if fresh else ():
            if wanted is not None and wanted not in world.asked[more]:
                found[more].add(wanted)
    return found


def decide(world: World, table: dict[str, Verb], saying: Saying) -> Outcome:
    """What becomes of one thing said; a refusal is an outcome and blocks none of the others."""
    try:
        return table[saying.verb].decide(world, saying)
    except Wait as wait:
        return Outcome("deferred", waiting_for=wait.needs)
    except Problem as problem:
        return Outcome("rejected", problem=problem)


# Verbs of the ground: alerts and what is owed to a person.


class NothingMore(Struct, forbid_unknown_fields=True):
    """No content: the saying itself is the message."""


class Explained(Struct, forbid_unknown_fields=True):
    """A sentence that goes into the record."""

    reason: str


def _alert_seen(world: World, saying: Saying) -> Alert:
    alert = world.get("alerts", saying.doc_id)
    if alert is None:
        raise Wait(("alerts", saying.doc_id))
    if saying.doc_id in world.store["alerts_owed"]:
        return alert
    if alert.organisation_id not in world.sight.overseen:
        raise Wait(("alerts", saying.doc_id))
    if not world.sight.roles_at([alert.organisation_id]) & DESK:
        raise NotAllowed(verb=saying.verb)
    return alert


def decide_acknowledge(world: World, saying: Saying) -> Outcome:
    """That somebody knows. The second is answered with the first; `base_rev` is not asked (design §6)."""
    alert = _alert_seen(world, saying)
    if saying.doc_id in world.store["acknowledged"] or alert.state != AlertState.WAITING:
        return Outcome("applied", doc=alert)
    alerts.settle(alert, AlertState.ACKNOWLEDGED)
    world.work.insert(
        Acknowledgement(
            alert_id=alert.id, person_id=world.work.actor, said_at=saying.said_at, received_at=world.work.now
        )
    )
    world.store["acknowledged"].add(alert.id)
    return Outcome("applied", doc=alert, entry=world.say(alert, "alert.acknowledged", saying, urgency=None))


def _moves_alert(state: AlertState, kind: str) -> Callable[[World, Saying], Outcome]:
    def decide(world: World, saying: Saying) -> Outcome:
        alert = _alert_seen(world, saying)
        if alert.state == state:
            return Outcome("applied", doc=alert)
        if not alert.is_open:
            raise Problem("alert-over", "这条预警已经结束({state}),不再改动。", state=alert.get_state_display())
        if saying.source == "web" and saying.base_rev is not None and saying.base_rev != alert.rev:
            raise Stale(current=alert.rev)
        alerts.settle(alert, state)
        return Outcome("applied", doc=alert, entry=world.say(alert, kind, saying, urgency=None))

    return decide


def decide_open(world: World, saying: Saying) -> Outcome:
    """The receipt of a delivery: its person has seen it. Once; a second changes nothing."""
    delivery = world.seen("alerts_mine", saying.doc_id, saying)
    if delivery.person_id != world.work.actor:
        raise Wait(("alerts_mine", saying.doc_id))
    if delivery.receipt_at is not None:
        return Outcome("applied", doc=delivery)
    delivery.state, delivery.receipt_at, delivery.try_at = DeliveryState.OPENED, world.work.now, None
    delivery.said_by, delivery.said_via = world.work.actor, saying.source
    return Outcome("applied", doc=delivery, entry=world.say(delivery, "delivery.opened", saying, urgency=None))


def _load_alerts(world: World, ids: set[UUID]) -> Iterable[Need]:
    for alert in Alert.objects.filter(id__in=ids).select_related("organisation", "site"):
        world.put("alerts", alert)
    world.store.setdefault("acknowledged", set()).update(
        Acknowledgement.objects.filter(alert__in=ids).values_list("alert_id", flat=True)
    )
    world.store.setdefault("alerts_owed", set()).update(
        Delivery.objects.filter(
            subject_collection=Alert.collection, subject_id__in=ids, person_id=world.sight.person_id
        ).values_list("subject_id", flat=True)
    )
    return []


def _alert_organisations(ids: set[UUID]) -> set[UUID]:
    return set(Alert.objects.filter(id__in=ids).values_list("organisation_id", flat=True))


def _load_deliveries(world: World, ids: set[UUID]) -> Iterable[Need]:
    # locked: hubs and jobs write deliveries too, and these have no chain head to queue at
    for delivery in Delivery.objects.filter(id__in=ids).select_for_update().order_by("id"):
        world.put("alerts_mine", delivery)
    return []


LOADERS: dict[str, Loader] = {
    "alerts": Loader(_alert_organisations, _load_alerts),
    "alerts_mine": Loader(lambda ids: set(), _load_deliveries),
}

VERBS: dict[str, Verb] = {
    "alerts.acknowledge": Verb(NothingMore, lambda doc_id, said: [("alerts", doc_id)], decide_acknowledge),
    "alerts.take": Verb(
        NothingMore, lambda doc_id, said: [("alerts", doc_id)], _moves_alert(AlertState.IN_HAND, "alert.taken")
    ),
    "alerts.resolve": Verb(
        Explained, lambda doc_id, said: [("alerts", doc_id)], _moves_alert(AlertState.RESOLVED, "alert.resolved")
    ),
    "alerts.dismiss": Verb(
        Explained, lambda doc_id, said: [("alerts", doc_id)], _moves_alert(AlertState.FALSE_ALARM, "alert.dismissed")
    ),
    "alerts_mine.open": Verb(NothingMore, lambda doc_id, said: [("alerts_mine", doc_id)], decide_open),
}
