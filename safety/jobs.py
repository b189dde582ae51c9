"""Jobs of the ground: deliveries, escalation, shifts that begin, desks at which nobody sits.

Each is `job(now) -> int`, may run twice or in two processes at once, and does a row in a unit of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Q

from safety import alerts
from safety.changes import unit
from safety.duty import on_duty
from safety.models import (
    Alert,
    AlertState,
    Change,
    Channel,
    Delivery,
    DeliveryState,
    DutyShift,
    Organisation,
    OrganisationKind,
    Severity,
)
from safety.models.organisation import BUREAU_KINDS
from safety.worker import LEASE, backoff

BATCH = 50
SETTLED = timedelta(seconds=3)


# Deliveries.


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one try came to: tell again later, or given up, with the reason for people."""

    again: bool
    answer: str


# A desk and a phone are reached by the hub when their socket is open, and it is the hub that then says `sent`; a try
# here only counts that they were not. Text messages have no provider yet, so nothing is claimed of them.
ATTEMPTS = {
    Channel.DESK: Attempt(again=True, answer="值班台没有打开"),
    Channel.APP: Attempt(again=True, answer="手机没有连上"),
    Channel.SMS: Attempt(again=False, answer="没有配置短信通道"),
}


def deliver(now: datetime) -> int:
    """Tries the deliveries that are due, and puts off what cannot be reached yet."""
    leased = lease(now)
    if not leased:
        return 0
    answers = {delivery.id: ATTEMPTS[delivery.channel] for delivery in leased}
    with unit(actor=None, source="job", now=now) as work:
        still = Delivery.objects.filter(id__in=answers, state=DeliveryState.PENDING, lease_until=now + LEASE)
        for delivery in still.select_for_update().order_by("id"):
            attempt = answers[delivery.id]
            delivery.answer, delivery.lease_until = attempt.answer, None
            if attempt.again:
                delivery.try_at = now + backoff(delivery.attempts)
                work.update(delivery)
                continue
            delivery.state, delivery.try_at = DeliveryState.FAILED, None
            work.say(delivery, "delivery.failed", body=None, urgency=None)
    return len(leased)


def lease(now: datetime) -> list[Delivery]:
    """Takes due deliveries for the length of a lease; one whose lease has run out was dropped, and is taken again."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    with unit(actor=None, source="job", now=now) as work:
        due = Delivery.objects.filter(free, try_at__lte=now, state=DeliveryState.PENDING).order_by("try_at", "id")
        taken = list(due.select_for_update(skip_locked=True)[:BATCH])
        for delivery in taken:
            delivery.lease_until, delivery.attempts = now + LEASE, delivery.attempts + 1
            work.update(delivery)
    return taken


def deliveries_waiting() -> int:
    """How many deliveries are still to be made, for the page that shows the server's state."""
    return Delivery.objects.filter(state=DeliveryState.PENDING, try_at__isnull=False).count()


# Escalation.


def escalate(now: datetime) -> int:
    """Alerts that nobody acknowledged in time go to the next seat, each in a unit of its own."""
    due = _to_escalate(now).order_by("escalate_at", "id").values_list("id", "organisation_id")[:BATCH]
    return sum(_escalate(alert_id, organisation_id, now) for alert_id, organisation_id in list(due))


def _to_escalate(now: datetime):
    return Alert.objects.filter(state=AlertState.WAITING, escalate_at__lte=now)


def _escalate(alert_id: UUID, organisation_id: UUID, now: datetime) -> int:
    with unit(actor=None, source="job", now=now) as work:
        work.lock({organisation_id})
        alert = _to_escalate(now).filter(id=alert_id).first()
        if alert is None:
            return 0  # acknowledged, or escalated by another worker, while we waited for the lock
        step = alerts.next_step(alert, at=now)
        seen = {
            "rule": "alerts.escalate",
            "alert": alert.id,
            "rev": alert.rev,
            "first_known_at": alert.first_known_at,
            "escalate_at": alert.escalate_at,
            "ack_minutes": alert.policy["ack_minutes"],
            "seat_told": alert.seat_told,
            "on_duty": [{"seat": seat, "person": person} for seat, person in step.on_duty],
            "next_seat": step.seat,
            "told": [{"person": person, "reason": reason} for person, reason in step.told.items()],
        }
        alerts.escalate(work, alert, step, body=work.body(canonical(seen)))
    return 1


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys in order, no spaces, times in ISO 8601."""
    return msgspec.json.encode(value, order="deterministic")


# Shifts that begin.


def begin_shifts(now: datetime) -> int:
    """Shifts that have begun and were owed nothing yet get what is open, each in a unit of its own."""
    begun = _beginning(now).order_by("starts_at", "id").values_list("id", flat=True)[:BATCH]
    return sum(_begin(shift_id, now) for shift_id in list(begun))


def _beginning(now: datetime):
    # an alert that was routed just before the shift began may not be committed yet
    return DutyShift.objects.at(now).filter(begun=False, starts_at__lte=now - SETTLED)


def _begin(shift_id: UUID, now: datetime) -> int:
    with unit(actor=None, source="job", now=now) as work:
        shift = _beginning(now).filter(id=shift_id).select_related("node").select_for_update(of=("self",)).first()
        if shift is None:
            return 0
        alerts.begin_shift(work, shift)
    return 1


# Desks at which nobody sits.


def watch_duty(now: datetime) -> int:
    """无人值班: every district, and every bureau with open alerts, has somebody on duty, or its administrators know.

    One open alert a node; it ends by itself when somebody is there.
    """
    with_alerts = Alert.objects.open().exclude(severity=Severity.SYSTEM).values("node")
    nodes = {
        node.id: node
        for node in Organisation.objects.filter(
            Q(kind=OrganisationKind.DISTRICT) | Q(id__in=with_alerts), kind__in=BUREAU_KINDS
        )
    }
    standing = _unattended().values_list("node_id", flat=True)
    known = set(standing)
    attended = {node_id for node_id, shifts in on_duty(known | nodes.keys(), at=now).items() if shifts}
    missing = [node for node_id, node in nodes.items() if node_id not in attended | known]
    ended = (known & attended) | (known - nodes.keys())
    return sum(_raise_unattended(node, now) for node in _not_put_aside(missing, now)) + sum(
        _end_unattended(node_id, now) for node_id in sorted(ended)
    )


def _unattended():
    return Alert.objects.open().filter(severity=Severity.SYSTEM, dedupe_key__startswith=alerts.unattended_key(""))


def _not_put_aside(nodes: list[Organisation], now: datetime) -> Iterable[Organisation]:
    """Without those whose alert a person ended by hand within the hour: telling again each second would be noise."""
    if not nodes:
        return []
    keys = {alerts.unattended_key(node.id): node.id for node in nodes}
    ended = dict(Alert.objects.filter(dedupe_key__in=keys).values_list("id", "node_id"))
    by_hand = Change.objects.filter(
        collection=Alert.collection,
        doc_id__in=ended,
        kind__in=("alert.resolved", "alert.dismissed"),
        actor_id__isnull=False,
        received_at__gt=now - alerts.UNATTENDED_AGAIN,
    )
    aside = {ended[alert_id] for alert_id in by_hand.values_list("doc_id", flat=True)}
    return [node for node in nodes if node.id not in aside]


def _raise_unattended(node: Organisation, now: datetime) -> int:
    with unit(actor=None, source="job", now=now) as work:
        work.lock({node.id})
        if _unattended().filter(node=node).exists() or on_duty([node.id], at=now)[node.id]:
            return 0
        seen = {"rule": "alerts.unattended", "node": node.id, "at": now, "on_duty": []}
        alerts.raise_unattended(work, node, body=work.body(canonical(seen)))
    return 1


def _end_unattended(node_id: UUID, now: datetime) -> int:
    with unit(actor=None, source="job", now=now) as work:
        work.lock({node_id})
        alert = _unattended().filter(node_id=node_id).first()
        if alert is None:
            return 0
        shifts = on_duty([node_id], at=now)[node_id]
        seen = {
            "rule": "alerts.unattended_over",
            "node": node_id,
            "at": now,
            "on_duty": [each.person_id for each in shifts],
        }
        alerts.settle(alert, AlertState.RESOLVED)
        work.say(alert, "alert.resolved", body=work.body(canonical(seen)), urgency=None)
    return 1
