"""Who must know: routing, raising, escalating, and what became of each delivery.

Who is responsible is decided here, how urgent elsewhere, who is on duty in duty.py. Functions take the unit of work
that the door opened; none opens one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from safety.access import paths_up, today
from safety.duty import Watch, administrators_of, on_duty, watches
from safety.ids import following_id
from safety.models import (
    Alert,
    AlertState,
    Audience,
    Change,
    Channel,
    Delivery,
    DeliveryState,
    DutyShift,
    Organisation,
    Post,
    Role,
    Seat,
    Severity,
)

if TYPE_CHECKING:
    from safety.changes import BodyRef, Work

log = logging.getLogger(__name__)

TOLD_OF_NOTICES = (Role.PRINCIPAL.value, Role.SCHOOL_SAFETY_OFFICER.value)
UNSENT = "unsent"  # work that lies on a phone for too long
ON_PHONES = frozenset({"informed", "notice", UNSENT})  # the school's people have no desk
FIRST_TRY = timedelta(seconds=10)  # an open desk has it long before; the first try counts only those that have not
UNATTENDED_AGAIN = timedelta(hours=1)  # after an administrator put it aside by hand; our default


@dataclass(frozen=True, slots=True)
class Urgency:
    """That somebody must know at once: the duty desk of an alert, the school's people of a notice.

    `withdrawn`: that what an alert spoke of was a mistake.
    """

    level: str  # "alert" | "notice" | "withdrawn"
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
    persons: frozenset[UUID] | None = None  # of a notice: those who may be told, where not everybody there may


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
        elif urgency.level == "withdrawn":
            _withdraw_alerts(work, urgency)


def _raise_alerts(work: Work, urgencies: list[Urgency]) -> None:
    keys = {urgency.dedupe_key for urgency in urgencies}
    open_alerts = {alert.dedupe_key: alert for alert in Alert.objects.open().filter(dedupe_key__in=keys)}
    ways = routes({urgency.organisation_id for urgency in urgencies}, at=work.now)
    told = _told_of(urgency for urgency in urgencies if urgency.dedupe_key not in open_alerts)
    for urgency in urgencies:
        alert = open_alerts.get(urgency.dedupe_key)
        if alert is not None:
            alert.occurrences += 1
            alert.first_said_at = min(alert.first_said_at, urgency.said_at)
            alert.fixed_since = urgency.fixed_since or alert.fixed_since
            _say(work, alert, "alert.repeated", urgency)
            continue
        way = ways[urgency.organisation_id]
        alert = Alert(
            id=following_id(urgency.subject_id, f"alert/{told[urgency.subject_id]}"),
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
            seat_told=way.seat,
            escalate_at=work.now + timedelta(minutes=settings.ALERT_ACK_MINUTES),
        )
        if not way.told:
            log.error("alert.nobody_to_tell alert=%s node=%s", alert.id, way.node_id)
        _say(work, alert, "alert.raised", urgency)
        owe(work, alert, way.told, sentence=urgency.sentence, follows=alert.id)
        open_alerts[urgency.dedupe_key] = alert
        told[urgency.subject_id] += 1


def _told_of(urgencies: Iterable[Urgency]) -> Counter[UUID]:
    """How many alerts there have been about each of these subjects: one comes after the other, whoever tells first."""
    units = {urgency.subject_id: urgency.organisation_id for urgency in urgencies}
    if not units:
        return Counter()
    found = Alert.objects.filter(organisation__in=set(units.values()), subject_id__in=units)
    return Counter(found.values_list("subject_id", flat=True))


def _withdraw_alerts(work: Work, urgency: Urgency) -> None:
    """What an approver withdrew as mistaken waits for nobody any more."""
    subject = {"subject_collection": urgency.subject_collection, "subject_id": urgency.subject_id}
    for row in Alert.objects.open().filter(**subject).order_by("id"):
        alert = work.updates[Alert].get(row.pk, row)
        settle(alert, AlertState.WITHDRAWN)
        _say(work, alert, "alert.withdrawn", urgency)


def _say(work: Work, alert: Alert, kind: str, urgency: Urgency) -> None:
    work.say(alert, kind, body=urgency.body, urgency=None, said_at=urgency.said_at, operation=urgency.operation)


@dataclass(frozen=True, slots=True)
class Route:
    """Where an alert of a unit goes at one moment, and who is told with the reason."""

    node_id: UUID  # the bureau responsible, whether somebody is there or not
    answering_id: UUID | None  # the first bureau, from the unit upwards, with somebody on duty
    seat: int  # the lowest seat taken there
    told: dict[UUID, str]


def route(organisation_id: UUID, *, at: datetime) -> Route:
    """The route of one unit; see `routes`."""
    return routes({organisation_id}, at=at)[organisation_id]


def routes(organisations: Collection[UUID], *, at: datetime) -> dict[UUID, Route]:
    """Climbs the bureau's nodes from each unit to the first with somebody on duty at a moment.

    The unit's own roster is informed and swallows nothing. Where the bureau responsible has nobody, its
    administrators are told as well. Source: design §6; regulations §2.6.
    """
    units = Organisation.objects.in_bulk(organisations)
    paths = {path for unit in units.values() for path in paths_up(unit.path)}
    by_path = {node.path: node for node in Organisation.objects.filter(path__in=paths)}
    shifts = on_duty([node.id for node in by_path.values()], at=at)
    return {each: _route(unit, by_path, shifts, at) for each, unit in units.items()}


def _route(unit: Organisation, by_path: dict, shifts: dict[UUID, list[DutyShift]], at: datetime) -> Route:
    above = [by_path[path] for path in reversed(paths_up(unit.path))]
    bureaus = [node for node in above if node.is_bureau] or above[-1:]
    answering = next((node for node in bureaus if shifts[node.id]), None)
    told, seat = {}, int(Seat.OFFICER)
    if answering is not None:
        seat = shifts[answering.id][0].seat
        told |= {shift.person_id: "duty" for shift in shifts[answering.id] if shift.seat == seat}
    if answering is not bureaus[0]:
        told |= {person: "administrator" for person in administrators_of(bureaus[0], at=at) if person not in told}
    if not unit.is_bureau:
        told |= {shift.person_id: "informed" for shift in shifts[unit.id] if shift.person_id not in told}
    return Route(bureaus[0].id, answering.id if answering else None, seat, told)


def owe(
    work: Work,
    subject,
    told: Mapping[UUID, str],
    *,
    sentence: str,
    channel: str | None = None,
    organisation_id: UUID | None = None,
    follows: UUID | None = None,
) -> None:
    """One delivery to each person, by desk or phone as the reason tells; each is that person's own document.

    `follows`: from what nobody is owed a second one of these; said again, it owes each the same one.
    """
    for person_id, reason in told.items():
        delivery = Delivery(
            id=following_id(follows, f"owed/{person_id}"),
            person_id=person_id,
            channel=channel or (Channel.APP if reason in ON_PHONES else Channel.DESK),
            subject_collection=subject.collection,
            subject_id=subject.id,
            organisation_id=organisation_id or subject.organisation_id,
            reason=reason,
            sentence=sentence,
            owed_at=work.now,
            try_at=work.now + FIRST_TRY,
            audience=Audience.PERSON,
            named=[str(person_id)],
        )
        work.say(delivery, "delivery.owed", body=None, urgency=None)


def owe_daily(work: Work, subject, told: Mapping[UUID, str], *, sentence: str) -> int:
    """What is owed by phone for as long as it lasts: one delivery a person, told anew at most once a day.

    Days are the school's (Asia/Shanghai). Gives how many were told.
    """
    standing = Delivery.objects.filter(
        subject_collection=subject.collection, subject_id=subject.id, channel=Channel.APP, person__in=list(told)
    )
    rows = {row.person_id: row for row in standing.select_for_update().order_by("id")}
    owe(work, subject, {each: told[each] for each in told if each not in rows}, sentence=sentence)
    again = [row for row in rows.values() if today(row.owed_at) < today(work.now)]
    for row in again:
        row.state, row.sentence, row.owed_at = DeliveryState.PENDING, sentence, work.now
        row.try_at, row.lease_until, row.attempts, row.answer = work.now + FIRST_TRY, None, 0, ""
        row.receipt_at, row.said_by, row.said_via = None, None, ""
        work.say(row, "delivery.owed", body=None, urgency=None)
    return len(told) - len(rows) + len(again)


def end_owed(work: Work, collection: str, subject_id: UUID) -> int:
    """What was owed about something that is over is over as well. Gives how many ended."""
    standing = Delivery.objects.filter(subject_collection=collection, subject_id=subject_id)
    rows = list(standing.exclude(state=DeliveryState.OVER).select_for_update().order_by("id"))
    for row in rows:
        _move(work, row, DeliveryState.OVER)
    return len(rows)


@dataclass(frozen=True, slots=True)
class _Subject:
    collection: str
    id: UUID
    organisation_id: UUID


def _tell_school(work: Work, urgency: Urgency) -> None:
    people = set(
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
    wanted = people if urgency.persons is None else people & set(urgency.persons)
    owe(work, subject, {each: "notice" for each in sorted(wanted - already)}, sentence=urgency.sentence)


def waiting_for(person_id: UUID, *, at: datetime) -> list[Alert]:
    """The waiting list: open alerts of the subtrees that a person is on duty for, and those owed to them.

    Only what a post of today covers; oldest first.
    """
    watch = watches([person_id], at=at)[person_id]
    return [alert for alert in open_for([watch]) if watch.knows(alert)]


def open_for(all_watches: Collection[Watch]) -> list[Alert]:
    """Open alerts that these watches, read with all that is owed, may hold between them; oldest first, in one query."""
    mine = Q(id__in=set().union(*(watch.owed for watch in all_watches)))
    for path in {shift.node.path for watch in all_watches for shift in watch.shifts}:
        mine |= Q(organisation__path__startswith=path)
    found = Alert.objects.open().filter(mine).select_related("organisation", "site", "acknowledgement__person")
    return list(found.order_by("first_known_at", "id"))


# Escalation: climbs the seats of the bureau that answers, not the tree.


@dataclass(frozen=True, slots=True)
class Step:
    """Who is told next: the lowest seat with somebody who was not; past the last one, the administrators."""

    seat: int | None
    told: dict[UUID, str]
    on_duty: list[tuple[int, UUID]]  # (seat, person) as the rule saw them


def next_step(alert: Alert, *, at: datetime) -> Step:
    """What escalating would do now. Source: regulations §2.6 (值班员 → 备班 → 带班领导 → 分管副局长)."""
    node = Organisation.objects.get(pk=alert.node_id)
    above = sorted(Organisation.objects.filter(path__in=paths_up(node.path)), key=lambda each: -len(each.path))
    shifts = on_duty([each.id for each in above], at=at)
    here = next((shifts[each.id] for each in above if shifts[each.id]), [])
    told_before = set(
        Delivery.objects.filter(subject_collection=Alert.collection, subject_id=alert.id).values_list(
            "person_id", flat=True
        )
    )
    seen = [(shift.seat, shift.person_id) for shift in here]
    fresh = [(seat, person) for seat, person in seen if person not in told_before and seat in alert.policy["seats"]]
    if fresh:
        seat = fresh[0][0]
        return Step(seat, {person: "escalated" for its, person in fresh if its == seat}, seen)
    administrators = administrators_of(node, at=at)
    return Step(None, {each: "administrator" for each in administrators if each not in told_before}, seen)


def escalate(work: Work, alert: Alert, step: Step, *, body: BodyRef) -> None:
    """Tells the next ones. Past the last seat nothing is left to wait for; it stays on the list until acknowledged."""
    if step.seat is None:
        alert.escalate_at = None
    else:
        alert.seat_told = max(alert.seat_told, step.seat)
        alert.escalate_at = work.now + timedelta(minutes=alert.policy["ack_minutes"])
    work.say(alert, "alert.escalated", body=body, urgency=None)
    owe(work, alert, step.told, sentence=alert.sentence)


# Handing over, and desks at which nobody sits.


def begin_shift(work: Work, shift: DutyShift) -> int:
    """Owes a shift that begins what is open and would be told to it if it were raised now. Gives how many.

    That includes what had already climbed to its seat or above.
    """
    under = Alert.objects.open().exclude(severity=Severity.SYSTEM)
    alerts = list(under.filter(organisation__path__startswith=shift.node.path).order_by("first_known_at", "id"))
    ways = routes({alert.organisation_id for alert in alerts}, at=work.now)
    has = set(
        Delivery.objects.filter(
            subject_collection=Alert.collection, subject_id__in=[each.id for each in alerts], person_id=shift.person_id
        ).values_list("subject_id", flat=True)
    )
    owed = 0
    for alert in alerts:
        way = ways[alert.organisation_id]
        reason = way.told.get(shift.person_id)
        if reason is None and way.answering_id == shift.node_id and shift.seat <= alert.seat_told:
            reason = "duty"
        if reason is not None and alert.id not in has:
            owe(work, alert, {shift.person_id: reason}, sentence=alert.sentence)
            owed += 1
    shift.begun = True
    work.update(shift)
    return owed


def unattended_key(node_id: UUID) -> str:
    """The dedupe key of 无人值班 at a node."""
    return f"unattended:{node_id}"


def raise_unattended(work: Work, node: Organisation, *, body: BodyRef) -> None:
    """That nobody is on duty at a bureau's node."""
    raise_system(work, "unattended", node, sentence=f"{node}现在无人值班,请立即安排值班人员。", body=body)


def raise_system(work: Work, about: str, node: Organisation, *, sentence: str, body: BodyRef) -> None:
    """One alert about the service itself, straight to the administrators of a bureau; it climbs no further."""
    alert = Alert(
        dedupe_key=f"{about}:{node.id}",
        organisation_id=node.id,
        node_id=node.id,
        severity=Severity.SYSTEM,
        sentence=sentence,
        subject_collection=Organisation.collection,
        subject_id=node.id,
        first_said_at=work.now,
        first_known_at=work.now,
        policy={"ack_minutes": 0, "seats": []},
        escalate_at=None,
    )
    work.say(alert, "alert.raised", body=body, urgency=None)
    told = {person: "administrator" for person in administrators_of(node, at=work.now)}
    owe(work, alert, told, sentence=alert.sentence)


def is_told(about: str, node: Organisation, *, at: datetime) -> bool:
    """Whether a bureau knows of this already: an alert is open, or was ended within the hour."""
    same = Alert.objects.filter(dedupe_key=f"{about}:{node.id}")
    if same.open().exists():
        return True
    ended = Change.objects.filter(
        collection=Alert.collection, doc_id__in=same.values("id"), received_at__gt=at - UNATTENDED_AGAIN
    )
    return ended.exists()


def settle(alert: Alert, state: AlertState) -> None:
    """An alert that is no longer waiting escalates no more."""
    alert.state = state
    alert.escalate_at = None


# What became of deliveries.


def follow(work: Work) -> None:
    """What an alert's course does to its deliveries, in the same unit; the unit calls it on leaving.

    An alert that ended leaves none open, and who acknowledged it has plainly opened theirs.
    """
    moved = [entry for entry in work.entries if entry.collection == Alert.collection]
    ended = {entry.doc_id for entry in moved if not entry.doc.is_open}
    acknowledged = {entry.doc_id for entry in moved if entry.kind == "alert.acknowledged"}
    if not ended and not acknowledged:
        return
    standing = Delivery.objects.filter(subject_collection=Alert.collection, subject_id__in=ended | acknowledged)
    for row in standing.exclude(state=DeliveryState.OVER).select_for_update().order_by("id"):
        delivery = work.at_hand(row)
        if delivery.person_id == work.actor and delivery.receipt_at is None and row.subject_id in acknowledged:
            delivery.receipt_at, delivery.said_by, delivery.said_via = work.now, work.actor, work.source
            _move(work, delivery, DeliveryState.OPENED)
        if row.subject_id in ended:
            _move(work, delivery, DeliveryState.OVER)


def mark(work: Work, reached: Mapping[UUID, DeliveryState]) -> int:
    """Deliveries that were written to an open socket (sent) or shown there by the client's word (arrived).

    Never backwards: what was opened or is over stays so. Gives how many moved.
    """
    moved = 0
    waiting = Delivery.objects.filter(id__in=reached, state__in=(DeliveryState.PENDING, DeliveryState.SENT))
    for delivery in waiting.select_for_update().order_by("id"):
        if delivery.state != reached[delivery.id]:
            _move(work, delivery, reached[delivery.id])
            moved += 1
    return moved


def _move(work: Work, delivery: Delivery, state: DeliveryState) -> None:
    delivery.state, delivery.try_at, delivery.lease_until, delivery.answer = state, None, None, ""
    work.say(delivery, f"delivery.{state.value}", body=None, urgency=None)
