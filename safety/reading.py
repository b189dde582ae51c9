"""The reading doors of the ground. What every reading door is made of stands in `safety/readable.py`."""

from collections import defaultdict
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework.response import Response

from safety import serializers as shapes
from safety.access import DESK, Sight
from safety.alerts import waiting_for
from safety.chains import verify_chain
from safety.changes import snapshot
from safety.errors import NotFound
from safety.models import (
    Acknowledgement,
    Alert,
    Change,
    Delivery,
    DutyShift,
    Index,
    Organisation,
    Person,
    Post,
    Site,
)
from safety.models.document import readable
from safety.models.organisation import BUREAU_KINDS
from safety.paging import page_of
from safety.readable import Asked, Readable, ReadingView, show_documents, since, until, when, with_names
from safety.schema import ReadingSchema


def _under(rows: QuerySet, node_id: UUID, asked: Asked) -> QuerySet:
    node = Organisation.objects.visible_to(asked.sight).filter(pk=node_id).first()
    return rows.under(node) if node else rows.none()


def _posted(rows: QuerySet, condition: Q, asked: Asked) -> QuerySet:
    return rows.filter(pk__in=_posts_in_sight(asked).filter(condition).values("person"))


def _posts_in_sight(asked: Asked) -> QuerySet:
    """Posts of today at organisations that the person's own posts cover, or at a bureau."""
    return Post.objects.on(asked.day).filter(Q(node__in=sorted(asked.sight.roles)) | Q(node__kind__in=BUREAU_KINDS))


def _waiting(rows: QuerySet, value: bool, asked: Asked) -> QuerySet:
    mine = [alert.pk for alert in waiting_for(asked.sight.person_id, at=asked.now)]
    return rows.filter(pk__in=mine) if value else rows.exclude(pk__in=mine)


# What is shown


def _show_people(of: Readable, rows: list, asked: Asked) -> list[dict]:
    people = show_documents(of, rows, asked)
    posts: dict[str, list[dict]] = defaultdict(list)
    for post in _posts_in_sight(asked).filter(person__in=rows).select_related("node"):
        posts[str(post.person_id)].append(
            {
                "id": post.id,
                "role": post.role,
                "node_id": post.node_id,
                "node": post.node.name,
                "side": post.side,
                "to_on": post.to_on,
            }
        )
    return [person | {"posts": posts[person["id"]]} for person in people]


def _show_shifts(of: Readable, rows: list, asked: Asked) -> list[dict]:
    columns = ("id", "node_id", "person_id", "seat", "starts_at", "ends_at")
    return with_names([{column: getattr(shift, column) for column in columns} for shift in rows], of.named)


ALERT_COLUMNS = (
    "id",
    "rev",
    "organisation_id",
    "node_id",
    "site_id",
    "severity",
    "sentence",
    "state",
    "occurrences",
    "subject_collection",
    "subject_id",
    "first_said_at",
    "first_known_at",
    "fixed_since",
    "seat_told",
    "escalate_at",
)


def _show_alerts(of: Readable, rows: list[Alert], asked: Asked) -> list[dict]:
    """Alerts with who knows and who was told; a desk sees every delivery, others their own alone."""
    ids = [alert.pk for alert in rows]
    acknowledged = {each.alert_id: each for each in Acknowledgement.objects.filter(alert__in=ids)}
    owed = Delivery.objects.filter(subject_collection=Alert.collection, subject_id__in=ids).order_by("owed_at", "id")
    deliveries: dict[UUID, list[Delivery]] = defaultdict(list)
    desk = {alert.pk for alert in rows if asked.sight.roles_at([alert.organisation_id]) & DESK}
    for delivery in owed:
        if delivery.subject_id in desk or delivery.person_id == asked.sight.person_id:
            deliveries[delivery.subject_id].append(delivery)
    people = {each.person_id for each in acknowledged.values()} | {
        each.person_id for owed_to in deliveries.values() for each in owed_to
    }
    names = dict(Person.objects.filter(pk__in=people).values_list("pk", "name"))
    return with_names(
        [
            {column: getattr(alert, column) for column in ALERT_COLUMNS}
            | {
                "late_seconds": max(0, int((alert.first_known_at - alert.first_said_at).total_seconds())),
                "acknowledgement": _acknowledgement(acknowledged.get(alert.pk), names),
                "deliveries": [_delivery(each, names) for each in deliveries[alert.pk]],
            }
            for alert in rows
        ],
        of.named,
    )


def _acknowledgement(row: Acknowledgement | None, names: dict[UUID, str]) -> dict | None:
    if row is None:
        return None
    return {
        "person_id": row.person_id,
        "name": names[row.person_id],
        "said_at": row.said_at,
        "received_at": row.received_at,
    }


def _delivery(row: Delivery, names: dict[UUID, str]) -> dict:
    columns = ("id", "person_id", "reason", "channel", "state", "owed_at", "receipt_at")
    return {column: getattr(row, column) for column in columns} | {"name": names[row.person_id]}


# The collections of the ground

GROUND, DUTY, LOG = "单位与人员 Organisations and people", "值班与预警 Duty and alerts", "变更记录 Log"

COLLECTIONS = [
    Readable(
        name="organisations",
        title="单位",
        tag=GROUND,
        model=Organisation,
        shape=shapes.OrganisationShape,
        filters=shapes.OrganisationFilters,
        lookups={"kind": "kind__in", "under": _under, "boarding": "boarding", "text": "name__icontains"},
        order=("path",),
        named={"parent_id": (Organisation, "name")},
    ),
    Readable(
        name="sites",
        title="场所",
        tag=GROUND,
        model=Site,
        shape=shapes.SiteShape,
        filters=shapes.SiteFilters,
        lookups={
            "kind": "kind__in",
            "unit": "unit",
            "serves": "serves",
            "closed": when(
                lambda rows, _, asked: rows.filter(closed_on__lte=asked.day),
                lambda rows, _, asked: rows.exclude(closed_on__lte=asked.day),
            ),
            "text": "name__icontains",
        },
        named={"unit_id": (Organisation, "name"), "serves": (Organisation, "name")},
    ),
    Readable(
        name="people",
        title="人员",
        tag=GROUND,
        model=Person,
        shape=shapes.PersonShape,
        filters=shapes.PersonFilters,
        lookups={
            "node": lambda rows, node, asked: _posted(rows, Q(node=node), asked),
            "role": lambda rows, roles, asked: _posted(rows, Q(role__in=roles), asked),
            "active": "is_active",
            "text": "name__icontains",
        },
        show=_show_people,
    ),
    Readable(
        name="shifts",
        title="值班班次",
        tag=DUTY,
        model=DutyShift,
        shape=shapes.ShiftShape,
        filters=shapes.ShiftFilters,
        lookups={
            "node": "node",
            "person": "person",
            "now": when(
                lambda rows, _, asked: rows.at(asked.now),
                lambda rows, _, asked: rows.exclude(starts_at__lte=asked.now, ends_at__gt=asked.now),
            ),
            "from_on": since("ends_at"),
            "to_on": until("starts_at"),
        },
        order=("-starts_at", "-id"),
        named={"node_id": (Organisation, "name"), "person_id": (Person, "name")},
        needs=None,
        show=_show_shifts,
    ),
    Readable(
        name="alerts",
        title="预警",
        tag=DUTY,
        model=Alert,
        shape=shapes.AlertShape,
        filters=shapes.AlertFilters,
        lookups={
            "state": "state__in",
            "severity": "severity__in",
            "unit": "organisation",
            "site": "site",
            "open": when(lambda rows, *_: rows.open(), lambda rows, *_: rows.ended()),
            "waiting": _waiting,
            "from_on": since("first_known_at"),
            "to_on": until("first_known_at"),
        },
        order=("-first_known_at", "-id"),
        named={
            "organisation_id": (Organisation, "name"),
            "node_id": (Organisation, "name"),
            "site_id": (Site, "name"),
        },
        needs=None,
        show=_show_alerts,
    ),
    Readable(
        name="alerts_mine",
        title="通知到我的",
        tag=DUTY,
        model=Delivery,
        shape=shapes.DeliveryShape,
        filters=shapes.DeliveryFilters,
        lookups={
            "state": "state__in",
            "opened": when(
                lambda rows, *_: rows.filter(receipt_at__isnull=False),
                lambda rows, *_: rows.filter(receipt_at__isnull=True),
            ),
            "subject_collection": "subject_collection",
            "subject": "subject_id",
            "from_on": since("owed_at"),
            "to_on": until("owed_at"),
        },
        order=("-owed_at", "-id"),
        named={"organisation_id": (Organisation, "name")},
    ),
]


# Beside the collections: one document's history, one organisation's chain


class ChangesView(ReadingView):
    """Everything that moved one document, in the order of the log."""

    schema = ReadingSchema(
        shape=shapes.ChangeShape, filters=shapes.Paging, tag=LOG, title="一份文档的变更", name="changes", many=True
    )

    def get(self, request, collection: str, doc_id: UUID) -> Response:
        asked = self.asked(shapes.Paging)
        if not _reads(collection, doc_id, asked.sight):
            raise NotFound
        changes = Change.objects.filter(collection=collection, doc_id=doc_id)
        page = page_of(changes, order=("seq",), limit=asked.values["limit"], after=asked.values.get("after"))
        return Response({"items": _show_changes(page.rows), "next": page.next})


def _reads(collection: str, doc_id: UUID, sight: Sight) -> bool:
    if collection == Alert.collection:
        return Alert.objects.visible_to(sight).filter(pk=doc_id).exists()
    return Index.objects.filter(readable(sight), collection=collection, doc_id=doc_id).exists()


def _show_changes(rows: list[Change]) -> list[dict]:
    columns = (
        "seq",
        "collection",
        "doc_id",
        "kind",
        "actor_id",
        "device_id",
        "operation_id",
        "said_at",
        "received_at",
    )
    shown = [
        {column: getattr(change, column) for column in columns}
        | {"body_hash": _hex(change.body_hash), "chain": _link(change)}
        for change in rows
    ]
    return with_names(shown, {"actor_id": (Person, "name")})


def _link(change: Change) -> dict | None:
    if change.chain_id is None:
        return None
    return {"id": change.chain_id, "n": change.n, "prev": _hex(change.prev), "hash": _hex(change.hash)}


def _hex(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).hex()


class ChainView(ReadingView):
    """Whether the chain of an organisation that the person's posts cover still holds; it is computed anew each time."""

    schema = ReadingSchema(
        shape=shapes.ChainShape, filters=shapes.Nothing, tag=LOG, title="核对一个单位的证据链", name="chain"
    )

    def get(self, request, organisation: UUID) -> Response:
        asked = self.asked(shapes.Nothing)
        if organisation not in asked.sight.roles:
            raise NotFound
        with snapshot():
            verified = verify_chain(organisation)
        return Response(
            {
                "organisation_id": organisation,
                "verified": verified.count,
                "intact": verified.first_bad is None,
                "first_bad": verified.first_bad,
                "detail": verified.detail,
            }
        )
