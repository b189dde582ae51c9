"""What a desk shows: rows of alerts, complete and rendered once for all who may see them."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import msgspec

from safety.models import Acknowledgement, Alert, Channel, Delivery, DeliveryState, Site
from safety.named import named

UNSEEN = (DeliveryState.PENDING, DeliveryState.SENT)


@dataclass(frozen=True, slots=True)
class Row:
    """An alert as a desk shows it."""

    alert: Alert
    json: bytes
    unseen: dict[UUID, tuple[UUID, str]]  # person → (delivery by desk, its state), not yet known to have arrived


def rows_of(alerts: Collection[Alert]) -> list[Row]:
    """Rows in the order given. Alerts come with organisation, site and acknowledgement loaded; one query more."""
    owed = defaultdict(list)
    deliveries = Delivery.objects.filter(
        subject_collection=Alert.collection, subject_id__in=[alert.id for alert in alerts]
    )
    for delivery in deliveries.select_related("person").order_by("owed_at", "id"):
        owed[delivery.subject_id].append(delivery)
    return [_row(alert, owed[alert.id]) for alert in alerts]


def load(ids: Collection[UUID]) -> list[Alert]:
    """Alerts with what a row needs, in order of the time at which we knew of them."""
    found = Alert.objects.filter(id__in=ids).select_related("organisation", "site", "acknowledgement__person")
    return list(found.order_by("first_known_at", "id"))


def _row(alert: Alert, deliveries: list[Delivery]) -> Row:
    acknowledged = getattr(alert, "acknowledgement", None)
    shown = {
        "id": alert.id,
        "rev": alert.rev,
        "severity": alert.severity,
        "state": alert.state,
        "sentence": alert.sentence,
        "school": named(alert.organisation),
        "site": _site(alert.site),
        "node_id": alert.node_id,
        "occurrences": alert.occurrences,
        "first_said_at": alert.first_said_at,
        "first_known_at": alert.first_known_at,
        "late_seconds": max(0, int((alert.first_known_at - alert.first_said_at).total_seconds())),
        "fixed_since": alert.fixed_since,
        "escalate_at": alert.escalate_at,
        "seat_told": alert.seat_told,
        "subject": {"collection": alert.subject_collection, "id": alert.subject_id},
        "acknowledged": _acknowledged(acknowledged) if acknowledged else None,
        "deliveries": [_delivery(each) for each in deliveries],
    }
    unseen = {
        each.person_id: (each.id, each.state)
        for each in deliveries
        if each.channel == Channel.DESK and each.state in UNSEEN
    }
    return Row(alert, msgspec.json.encode(shown), unseen)


def _site(site: Site | None) -> dict | None:
    return site and {"id": site.id, "name": site.name, "kind": site.kind}


def _acknowledged(said: Acknowledgement) -> dict:
    return {"person": named(said.person), "said_at": said.said_at, "received_at": said.received_at}


def _delivery(delivery: Delivery) -> dict:
    return {
        "id": delivery.id,
        "person": named(delivery.person),
        "channel": delivery.channel,
        "reason": delivery.reason,
        "state": delivery.state,
        "owed_at": delivery.owed_at,
        "attempts": delivery.attempts,
        "receipt_at": delivery.receipt_at,
    }
