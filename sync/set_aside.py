"""What a phone put aside because it could not get it through, and reports: kept with its bytes, for a person to look at.

It is not heard: the phone still holds it, and may send it like any other. What the server knows of it already is
answered, so that a phone drops what was decided long ago.
"""

import hashlib
import logging
import secrets
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid5

import msgspec
from django.db import IntegrityError, transaction
from msgspec import Meta, Raw, Struct

from safety import rows
from safety.errors import Busy, Malformed, TooLarge
from safety.ids import SEEDS, new_id
from safety.models import Body
from sync.models import Operation, Review, SetAside, Verdict, Why
from sync.push import MAX_BYTES, MAX_OPERATIONS

log = logging.getLogger(__name__)


class SetAsideOperation(Struct):
    """One operation as the phone would push it, and why it was put aside."""

    op: Raw
    reason: Annotated[str, Meta(max_length=300)]
    failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    at: datetime | None = None


class SetAsideReport(Struct):
    """What a phone put aside. Anything else in it is for later versions."""

    ops: list[SetAsideOperation]


class _Named(Struct):
    """As much of an operation as its row tells; all of it may be missing."""

    op_id: UUID
    collection: str = ""
    id: UUID | None = None
    kind: str = ""
    action: str = ""


def report_set_aside(body: bytes, *, person: UUID, device: UUID, now: datetime) -> dict:
    """Keeps what is reported, once, and gives for each the verdict that the server has, if it has one.

    Raises Malformed, TooLarge (500 operations, 1 MB), Busy.
    """
    reported = _decoded(body).ops
    named = [_named(bytes(each.op)) for each in reported]
    ids = [each.op_id for each in named]
    # what the server has from this person it keeps already, also where it was erased since
    mine = Operation.objects.filter(op_id__in=ids, person_id=person).values_list("op_id", flat=True)
    known = {*mine, *SetAside.objects.filter(device_id=device, op_id__in=ids).values_list("op_id", flat=True)}
    fresh = {}
    for each, name in zip(reported, named, strict=True):
        if name.op_id not in known:
            fresh.setdefault(name.op_id, (each, name))
    try:
        _keep(list(fresh.values()), person=person, device=device, now=now)
    except IntegrityError as met:  # the same report at the same moment
        raise Busy from met
    log.info("set_aside.reported ops=%d new=%d person=%s", len(named), len(fresh), person)
    statuses = dict(Verdict.objects.filter(op_id__in=mine).values_list("op_id", "status"))
    results = [{"op_id": each.op_id, "known_status": statuses.get(each.op_id)} for each in named]
    return {"protocol": 1, "server_time": now, "results": results}


def _decoded(body: bytes) -> SetAsideReport:
    if len(body) > MAX_BYTES:
        raise TooLarge(code="batch-too-large", max_bytes=MAX_BYTES, max_ops=MAX_OPERATIONS)
    try:
        report = msgspec.json.decode(body, type=SetAsideReport)
    except msgspec.DecodeError as wrong:
        raise Malformed(reason=str(wrong)) from wrong
    if len(report.ops) > MAX_OPERATIONS:
        raise TooLarge(code="batch-too-large", max_bytes=MAX_BYTES, max_ops=MAX_OPERATIONS)
    if any(each.at is not None and each.at.tzinfo is None for each in report.ops):
        raise Malformed(reason="at 须带时区")
    return report


def _named(raw: bytes) -> _Named:
    """What cannot be read has an id made from its bytes, as at the push."""
    try:
        return msgspec.json.decode(raw, type=_Named)
    except msgspec.DecodeError:
        return _Named(uuid5(SEEDS, hashlib.sha256(raw).hexdigest()))


def _keep(fresh: list[tuple[SetAsideOperation, _Named]], *, person: UUID, device: UUID, now: datetime) -> None:
    bodies, kept = [], []
    for each, name in fresh:
        raw, salt, body_id = bytes(each.op), secrets.token_bytes(16), new_id()
        bodies.append((body_id, salt, raw, hashlib.sha256(salt + raw).digest(), None))
        said = name.action if name.kind == "action" else name.kind
        kept.append(
            SetAside(
                op_id=name.op_id,
                person_id=person,
                device_id=device,
                collection=name.collection[:24],
                doc_id=name.id,
                verb=f"{name.collection}.{said}"[:40] if said else "",
                payload_sha256=hashlib.sha256(raw).digest(),
                body_id=body_id,
                reason=each.reason,
                failures=each.failures,
                put_aside_at=each.at,
                reported_at=now,
            )
        )
    with transaction.atomic(durable=True):
        rows.insert(Body, bodies)
        SetAside.objects.bulk_create(kept)
        Review.objects.bulk_create(Review(about_id=each.id, why=Why.SET_ASIDE, raised_at=now) for each in kept)
