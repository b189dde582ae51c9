"""Who must know: routing, raising, escalating, acknowledging. Who is responsible is decided here, how urgent elsewhere.

Functions take the unit of work that the door opened; none opens one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from safety.access import today
from safety.models import (
    Alert,
    AlertState,
    Audience,
    Channel,
    Delivery,
    DeliveryState,
    DutyShift,
    Organisation,
    Post,
    Role,
    Seat,
)
from safety.models.organisation import BUREAU_KINDS

if TYPE_CHECKING:
    from safety.changes import BodyRef, Work

TOLD_OF_NOTICES = (Role.PRINCIPAL.value, Role.SCHOOL_SAFETY_OFFICER.value)


@dataclass(frozen=True, slots=True)
class Urgency:
    """That somebody must know at once: the duty desk of an alert, the school's people of a notice."""

    level: str  # "alert" | "notice"
    severity: str
    organisation_id: UUID
    site_id: UUID | None
    dedupe_key: str
    sentence: str
    subject_collection: str
    subject_id: UUID
    said_at: datetime
    body: BodyRef
    operation: UUID | None = None
    fixed_since: bool | None = None


def raise_for(work: Work, urgencies: list[Urgency]) -> None:
    """Writes what is owed for these urgencies into the same unit: alerts with their deliveries, notices' deliveries.

    An open alert of the same place only counts one more occurrence; nobody is woken twice for it.
    """
    wanted = [urgency for urgency in urgencies if urgency.level == "alert"]
    if wanted:
        _raise_alerts(work, wanted)
    for urgency in urgencies:
        if urgency.level == "notice":
            _tell_school(work, urgency)


def _raise_alerts(work: Work, urgencies: list[Urgency]) -> None:
    keys = {urgency.dedupe_key for urgency in urgencies}
    open_alerts = {alert.dedupe_key: alert for alert in Alert.objects.open().filter(dedupe_key__in=keys)}
    routes = {each: route(each, at=work.now) for each in {urgency.organisation_id for urgency in urgencies}}
    for urgency in urgencies:
        alert = open_alerts.get(urgency.dedupe_key)
        if alert is not None:
            alert.occurrences += 1
            alert.first_said_at = min(alert.first_said_at, urgency.said_at)
            _say(work, alert, "alert.repeated", urgency)
            continue
        way = routes[urgency.organisation_id]
        alert = Alert(
            dedupe_key=urgency.dedupe_key,
            organisation_id=urgency.organisation_id,
            node_id=way.node_id,
            site_id=urgency.site_id,
            severity=urgency.severity,
            sentence=urgency.sentence,
            subject_collection=urgency.subject_collection,
            subject_id=urgency.subject_id,
            first_said_at=urgency.said_at,
            first_known_at=work.now,
            fixed_since=urgency.fixed_since,
            policy={"ack_minutes": settings.ALERT_ACK_MINUTES, "seats": [int(seat) for seat in Seat]},
            escalate_at=work.now + timedelta(minutes=settings.ALERT_ACK_MINUTES),
        )
        _say(work, alert, "alert.raised", urgency)
        owe(work, alert, way.told, sentence=urgency.sentence, channel=Channel.DESK)
        open_alerts[urgency.dedupe_key] = alert


def _say(work: Work, alert: Alert, kind: str, urgency: Urgency) -> None:
    work.say(alert, kind, body=urgency.body, urgency=None, said_at=urgency.said_at, operation=urgency.operation)


@dataclass(frozen=True, slots=True)
class Route:
    """Where an alert of a unit goes: the bureau's node that answers for it, and who is told with the reason."""

    node_id: UUID
    told: dict[UUID, str]


def route(organisation_id: UUID, *, at: datetime) -> Route:
    """Climbs the bureau's nodes from a unit to the first with somebody on duty at a moment.

    The unit's own roster is informed and swallows nothing. Where the nearest bureau has nobody, its administrators
    are told as well. Source: design §6; regulations §2.6.
    """
    unit = Organisation.objects.get(pk=organisation_id)
    above = list(Organisation.objects.filter(path__in=_prefixes(unit.path)).order_by("-path"))
    bureaus = sorted((each for each in above if each.kind in BUREAU_KINDS), key=lambda each: -len(each.path))
    shifts = defaultdict(list)
    for shift in DutyShift.objects.at(at).filter(node__in=above).order_by("seat"):
        shifts[shift.node_id].append(shift)
    told: dict[UUID, str] = {}
    for bureau in bureaus:
        if shifts[bureau.id]:
            lowest = shifts[bureau.id][0].seat
            told |= {shift.person_id: "duty" for shift in shifts[bureau.id] if shift.seat == lowest}
            break
    nearest = bureaus[0]
    if not shifts[nearest.id]:
        told |= {person: "administrator" for person in administrators_of(nearest, at=at) if person not in told}
    told |= {shift.person_id: "informed" for shift in shifts[unit.id] if shift.person_id not in told}
    return Route(nearest.id, told)


def _prefixes(path: str) -> list[str]:
    codes = path.rstrip("/").split("/")
    return ["/".join(codes[: n + 1]) + "/" for n in range(len(codes))]


def administrators_of(node: Organisation, *, at: datetime) -> Iterable[UUID]:
    """Administrators of a node, or of the nearest one above that has any."""
    for path in reversed(_prefixes(node.path)):
        found = list(
            Post.objects.on(today(at))
            .filter(role=Role.ADMINISTRATOR, node__path=path)
            .values_list("person_id", flat=True)
        )
        if found:
            return found
    return []


def owe(
    work: Work, subject, told: dict[UUID, str], *, sentence: str, channel: str, organisation_id: UUID | None = None
):
    """One delivery to each person; each is that person's own document."""
    for person_id, reason in told.items():
        delivery = Delivery(
            person_id=person_id,
            channel=channel,
            subject_collection=subject.collection,
            subject_id=subject.id,
            organisation_id=organisation_id or subject.organisation_id,
            reason=reason,
            sentence=sentence,
            owed_at=work.now,
            try_at=work.now,
            audience=Audience.PERSON,
            named=[str(person_id)],
        )
        work.say(delivery, "delivery.owed", body=None, urgency=None)


@dataclass(frozen=True, slots=True)
class _Subject:
    collection: str
    id: UUID
    organisation_id: UUID


def _tell_school(work: Work, urgency: Urgency) -> None:
    people = (
        Post.objects.on(today(work.now))
        .filter(node_id=urgency.organisation_id, role__in=TOLD_OF_NOTICES, person__is_active=True)
        .values_list("person_id", flat=True)
    )
    subject = _Subject(urgency.subject_collection, urgency.subject_id, urgency.organisation_id)
    already = set(
        Delivery.objects.filter(
            subject_collection=subject.collection, subject_id=subject.id, person__in=people, channel=Channel.APP
        ).values_list("person_id", flat=True)
    )
    told = {person: "notice" for person in people if person not in already}
    owe(work, subject, told, sentence=urgency.sentence, channel=Channel.APP)


def waiting_for(person_id: UUID, *, at: datetime) -> list[Alert]:
    """The waiting list: open alerts of the subtrees that a person is on duty for, and those owed to them."""
    nodes = Organisation.objects.filter(shifts__in=DutyShift.objects.at(at).filter(person_id=person_id))
    mine = Q(
        id__in=Delivery.objects.filter(person_id=person_id, subject_collection=Alert.collection)
        .exclude(state=DeliveryState.OVER)
        .values("subject_id")
    )
    for path in nodes.values_list("path", flat=True):
        mine |= Q(organisation__path__startswith=path)
    return list(
        Alert.objects.open().filter(mine).select_related("organisation", "site").order_by("first_known_at", "id")
    )


def escalate(work: Work, alert: Alert, *, body: BodyRef) -> None:
    """Tells the next seat that has somebody; past the last seat, the administrators. Counts from when we knew."""
    seats = [seat for seat in alert.policy["seats"] if seat > alert.seat_told]
    node = Organisation.objects.get(pk=alert.node_id)
    paths = _prefixes(node.path)
    shifts = DutyShift.objects.at(work.now).filter(node__path__in=paths, seat__in=seats).select_related("node")
    told_before = set(
        Delivery.objects.filter(subject_collection=Alert.collection, subject_id=alert.id).values_list(
            "person_id", flat=True
        )
    )
    next_seat = min((shift.seat for shift in shifts if shift.person_id not in told_before), default=None)
    if next_seat is None:
        told = {person: "administrator" for person in administrators_of(node, at=work.now)}
        alert.escalate_at = None
    else:
        told = {shift.person_id: "escalated" for shift in shifts if shift.seat == next_seat}
        alert.seat_told = next_seat
        alert.escalate_at = work.now + timedelta(minutes=alert.policy["ack_minutes"])
    told = {person: reason for person, reason in told.items() if person not in told_before}
    work.say(alert, "alert.escalated", body=body, urgency=None)
    owe(work, alert, told, sentence=alert.sentence, channel=Channel.DESK)


def settle(alert: Alert, state: AlertState) -> None:
    """An alert that is no longer waiting escalates no more."""
    alert.state = state
    alert.escalate_at = None
