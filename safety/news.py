"""What the log says after a number, and which open sockets may have it. Reads only, each answer in one snapshot."""

from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
from django.utils import timezone

from safety import desk
from safety.access import readers_among
from safety.alerts import open_for
from safety.changes import clock_now, snapshot
from safety.credentials import Credential, still_good
from safety.duty import Watch, posts_of, watches
from safety.models import Alert, Change, Channel, Delivery, DeliveryState, Exit, Index

# A receipt is no news: if each made a frame, a hundred desks that open at once would each be told of all the others.
# They travel with the alert's next frame, or with the next beat.
RECEIPTS = ("delivery.sent", "delivery.arrived")


@dataclass(frozen=True, slots=True)
class News:
    """What one look found, and who may have it."""

    seq: int
    epoch: str
    good: set[Credential]
    rows: list[tuple[int, desk.Row]] = field(default_factory=list)  # in order of seq
    receipts: set[UUID] = field(default_factory=set)  # alerts that moved by receipts alone: not in `rows`
    watches: dict[UUID, Watch] = field(default_factory=dict)
    readers: set[UUID] = field(default_factory=set)  # persons for whom something they read has moved
    owed: dict[UUID, list[UUID]] = field(default_factory=dict)  # person → deliveries by phone that are not sent yet


def read_news(
    *,
    after: int,
    epoch: str,
    desks: Collection[Credential],
    phones: Collection[Credential],
    also: Collection[UUID] = (),
) -> News | None:
    """What the log says after a number, for these sockets, and how the alerts `also` stand; None when nothing moved."""
    if (after, epoch) == clock_now() and not also:
        return None
    now = timezone.now()
    with snapshot():
        seq, current = clock_now()
        good = still_good({*desks, *phones}, now=now)
        if current != epoch or seq < after:
            return News(seq, current, good)  # another database, an older one: there is nothing to compare with
        moved = _moved(after)
        told = dict.fromkeys(also, seq) | moved.alerts
        alerts = desk.load(told) if desks and told else []
        numbered = zip((told[alert.id] for alert in alerts), desk.rows_of(alerts), strict=True)
        readers = _readers(after, {each.person_id for each in phones}, besides=moved.hushed)
        return News(
            seq,
            current,
            good,
            rows=sorted(numbered, key=lambda pair: pair[0]),
            receipts=moved.receipts - told.keys(),
            watches=watches({each.person_id for each in desks}, at=now, alerts=told) if alerts else {},
            readers=readers,
            owed=owed_by_phone(readers),
        )


@dataclass(frozen=True, slots=True)
class _Moved:
    alerts: dict[UUID, int]  # that moved, or of which a delivery did, with the number of the last such change
    receipts: set[UUID]  # alerts of which nothing but receipts came in
    hushed: set[UUID]  # deliveries of which nothing but receipts came in


def _moved(after: int) -> _Moved:
    changes = Change.objects.filter(seq__gt=after, collection__in=(Alert.collection, Delivery.collection))
    last: dict[tuple[str, UUID], int] = {}
    loud: set[UUID] = set()
    for seq, collection, doc_id, kind in changes.order_by("seq").values_list("seq", "collection", "doc_id", "kind"):
        last[collection, doc_id] = seq
        if kind not in RECEIPTS:
            loud.add(doc_id)
    deliveries = {doc_id for collection, doc_id in last if collection == Delivery.collection}
    of_alerts = Delivery.objects.filter(id__in=deliveries, subject_collection=Alert.collection)
    subjects = dict(of_alerts.values_list("id", "subject_id"))
    alerts: dict[UUID, int] = {}
    for (_, doc_id), seq in last.items():
        alert_id = subjects.get(doc_id) if doc_id in deliveries else doc_id
        if alert_id is not None and doc_id in loud:
            alerts[alert_id] = max(seq, alerts.get(alert_id, 0))
    return _Moved(alerts, set(subjects.values()) - alerts.keys(), deliveries - loud)


def _readers(after: int, persons: Collection[UUID], *, besides: Collection[UUID]) -> set[UUID]:
    if not persons:
        return set()
    documents = Index.objects.filter(seq__gt=after).exclude(doc_id__in=besides)
    pairs = set(documents.values_list("audience", "key").distinct())
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


def read_waiting(persons: Collection[UUID]) -> dict[UUID, WaitingList | None]:
    """The waiting list of each person, numbered by the clock; None when the desk is not theirs to open."""
    with snapshot():
        seq, _ = clock_now()
        found = watches(persons, at=timezone.now())
        desks = [watch for watch in found.values() if watch.opens_desk]
        rows = desk.rows_of(open_for(desks))
    return {person: _waiting(watch, seq, rows) if watch.opens_desk else None for person, watch in found.items()}


def _waiting(watch: Watch, seq: int, rows: list[desk.Row]) -> WaitingList:
    mine = [row for row in rows if watch.knows(row.alert)]
    text = msgspec.json.encode({"t": "waiting", "seq": seq, "alerts": [msgspec.Raw(row.json) for row in mine]})
    unseen = [row.unseen[watch.person_id] for row in mine if watch.person_id in row.unseen]
    return WaitingList(seq, text.decode(), unseen)


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds at one moment for a set of sockets."""

    good: set[Credential]
    watches: dict[UUID, Watch]
    alerts: dict[UUID, Alert]

    def may_have(self, credential: Credential, alert_id: UUID) -> bool:
        """Whether a socket may have an alert."""
        watch, alert = self.watches[credential.person_id], self.alerts.get(alert_id)
        return credential in self.good and alert is not None and watch.opens_desk and watch.knows(alert)


def read_standing(
    desks: Collection[Credential], phones: Collection[Credential] = (), *, alerts: Collection[UUID] = ()
) -> Standing:
    """Which credentials still hold, and what the persons at desks may know of these alerts."""
    now = timezone.now()
    with snapshot():
        return Standing(
            still_good({*desks, *phones}, now=now),
            watches({each.person_id for each in desks}, at=now, alerts=alerts),
            {alert.id: alert for alert in desk.load(alerts)} if alerts else {},
        )
