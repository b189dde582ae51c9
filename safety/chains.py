"""The log looked at again: whether each chain still hangs together from its first row on, and the numbers have no gap.

Each function wants one read snapshot around it (`safety.changes.snapshot`): the head must be that of the rows.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from django.db.models import Count, F, Max, Min, Window
from django.db.models.functions import Lead

from safety.changes import chain_hash
from safety.models import Body, ChainHead, Change, Clock, Exit, Index

BATCH = 1000

INTACT = "全部连续，内容与哈希一致。"
MISSING = "缺少这一环：记录被删除，或顺序被改动。"
BROKEN = "这一环与前一环接不上：前面的记录被换过，或顺序被改动。"
CHANGED = "这一环的内容与它的哈希不符：记录被改动。"
BODY_CHANGED = "这一环所说的内容与它的哈希不符：原文被改动。"
BODY_GONE = "这一环所说的内容不见了：原文被删除，而没有按规定登记。"
CUT = "链尾与登记的不符：最后的记录被删除或添加，或链尾的登记被改动。"


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a chain holds. `first_bad` is the number of the first link that does not."""

    count: int
    first_bad: int | None
    detail: str


def verify_chain(chain_id: UUID) -> Verified:
    """Recomputes one chain against its head. An erased body is no fault: its hash stays and is what the chain holds.

    Reads every row of the chain once; about 20 µs a row.
    """
    prev, n = bytes(32), 0
    for change, body in _links(chain_id):
        fault = _fault(change, body, n=n + 1, prev=prev)
        if fault:
            return Verified(n, n + 1, fault)
        prev, n = bytes(change.hash), n + 1
    head = ChainHead.objects.filter(pk=chain_id).first()
    if (n, prev) != ((head.n, bytes(head.hash)) if head else (0, bytes(32))):
        return Verified(n, n + 1, CUT)
    return Verified(n, None, INTACT)


def _links(chain_id: UUID) -> Iterator[tuple[Change, Body | None]]:
    changes = Change.objects.filter(chain_id=chain_id).order_by("n", "seq").iterator(chunk_size=BATCH)
    while batch := list(islice(changes, BATCH)):
        bodies = Body.objects.in_bulk({change.body_id for change in batch if change.body_id})
        yield from ((change, bodies.get(change.body_id)) for change in batch)


def _fault(change: Change, body: Body | None, *, n: int, prev: bytes) -> str | None:
    if change.n != n:
        return MISSING
    if change.prev is None or bytes(change.prev) != prev:
        return BROKEN
    if change.body_hash is None or change.hash is None or bytes(change.hash) != _hash_of(change, prev):
        return CHANGED
    if body is None:
        return BODY_GONE
    return _body_fault(body, bytes(change.body_hash))


def _hash_of(change: Change, prev: bytes) -> bytes:
    return chain_hash(
        prev=prev,
        chain_id=change.chain_id,
        n=change.n,
        collection=change.collection,
        doc_id=change.doc_id,
        kind=change.kind,
        actor_id=change.actor_id,
        device_id=change.device_id,
        said_at=change.said_at,
        received_at=change.received_at,
        body_hash=bytes(change.body_hash),
    )


def _body_fault(body: Body, said: bytes) -> str | None:
    """An erased body has neither bytes nor salt, and says when; its hash is the one that the chain holds."""
    if body.bytes is None or body.salt is None:
        erased = body.bytes is None and body.salt is None and body.erased_at is not None
        return None if erased and bytes(body.hash) == said else BODY_GONE
    holds = hashlib.sha256(bytes(body.salt) + bytes(body.bytes)).digest() == said == bytes(body.hash)
    return None if holds and body.erased_at is None else BODY_CHANGED


def every_chain() -> list[UUID]:
    """The chains that a head or any change names."""
    named = Change.objects.filter(chain_id__isnull=False).values_list("chain_id", flat=True).distinct()
    return sorted({*named, *ChainHead.objects.values_list("organisation_id", flat=True)})


def log_faults() -> list[str]:
    """What is wrong with the numbers of the log: they run 1…clock without a gap, and nothing stands beyond the clock.

    A chain whose last rows were removed and whose head was set back is whole in itself; here the gap shows.
    """
    clock = Clock.objects.get(id=1).seq
    numbers = Change.objects.aggregate(count=Count("seq"), first=Min("seq"), last=Max("seq"))
    faults = []
    if numbers["count"] and numbers["first"] != 1:
        faults.append(f"变更从第 {numbers['first']} 号开始，不是第 1 号。")
    if (numbers["last"] or 0) != clock:
        faults.append(f"时钟是 {clock},最后一条变更是第 {numbers['last'] or 0} 号。")
    if gap := _first_gap():
        faults.append(f"第 {gap[0]} 号之后缺少变更，接着是第 {gap[1]} 号。")
    for model, name in ((Index, "索引"), (Exit, "退出记录")):
        beyond = model.objects.filter(seq__gt=clock).count()
        if beyond:
            faults.append(f"{name}有 {beyond} 行的编号超过时钟 {clock}。")
    return faults


def _first_gap() -> tuple[int, int] | None:
    following = Window(Lead("seq"), order_by=F("seq").asc())
    gaps = Change.objects.annotate(following=following).filter(following__gt=F("seq") + 1)
    return gaps.order_by("seq").values_list("seq", "following").first()
