"""What nobody could take in, and what a person should look at: operations refused, applied out of order, put aside.

They keep what was said. Who looks after them: administrators and approvers, over the persons whom their posts cover.
Who, when, which verb and why is told to both; **the content** is opened

- to an administrator when every document that it names is there and read by the administrator's own sight, and it names
  no item of which only named persons may read (design §2);
- to an approver, who is named on whatever is restricted over the units covered, unless it names a restricted document
  that names others alone.

An unknown document and one that is out of sight close it alike (design §7).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.module_loading import import_string

from safety.access import Sight, today
from safety.changes import unit
from safety.devices import covered, home_of, persons_under
from safety.errors import NotAllowed, NotFound
from safety.models import Audience, Body, Device, Index, Person, Role
from safety.paging import page_of
from safety.unit_admin import Noted
from sync.models import Operation, Review, SetAside, Verdict, Why
from sync.words import explained, said

KEEPERS = frozenset({Role.ADMINISTRATOR.value, Role.APPROVER.value})
COLLECTION = "operations"  # in the log
NAMES = {  # member of what is said → the collection of the document that it names
    "rectification_id": "rectifications",
    "inspection_id": "inspections",
    "site_id": "sites",
    "template_version_id": "templates",
    "task_id": "tasks",
}
ORDERS = {
    Why.REFUSED: ("-at", "-op_id"),
    Why.OUT_OF_ORDER: ("-raised_at", "-about_id"),
    Why.SET_ASIDE: ("-reported_at", "-id"),
}


@dataclass(frozen=True, slots=True)
class Orphan:
    """One operation that a person should look at. `id` is the operation's, or that of what was put aside."""

    id: UUID
    why: str
    op_id: UUID
    person: Person
    device: Device
    verb: str
    collection: str
    doc_id: UUID | None
    body_id: UUID
    at: datetime
    code: str
    words: str
    review: Review | None

    @property
    def said(self) -> str:
        return said(self.verb)

    @property
    def is_handled(self) -> bool:
        return self.review is not None and self.review.handled_at is not None


@dataclass(frozen=True, slots=True)
class OrphanPage:
    orphans: list[Orphan]
    next: str | None


def keeps(sight: Sight) -> bool:
    """Whether a person looks after what nobody could take in."""
    return sight.holds(KEEPERS)


def orphans(
    sight: Sight, *, why: str, handled: bool, code: str = "", now: datetime, limit: int, after: str | None = None
) -> OrphanPage:
    """One kind of them, newest first. Raises NotAllowed to whoever looks after nobody."""
    if not keeps(sight):
        raise NotAllowed("not-allowed", "没有办成的内容由系统管理员和审批人查看处理。")
    page = page_of(_rows(sight, why, handled, code, now), order=ORDERS[Why(why)], limit=limit, after=after)
    return OrphanPage(_shown(why, page.rows), page.next)


def orphan(sight: Sight, about: UUID, *, now: datetime) -> Orphan:
    """One of them, handled or not. Raises NotFound for what is not theirs, and for what is none."""
    if keeps(sight):
        for why, column in ((Why.OUT_OF_ORDER, "about_id"), (Why.REFUSED, "op_id"), (Why.SET_ASIDE, "id")):
            rows = _rows(sight, why, None, "", now).filter(**{column: about})
            if found := _shown(why, rows):
                return found[0]
    raise NotFound()


def to_look_at(sight: Sight, *, now: datetime) -> int:
    """How many wait to be looked at."""
    return sum(_rows(sight, why, False, "", now).count() for why in Why) if keeps(sight) else 0


def content_of(one: Orphan, sight: Sight) -> str | None:
    """What was said, as JSON text with indentation; None where it is not opened to this reader, or was erased."""
    raw = Body.objects.filter(pk=one.body_id).values_list("bytes", flat=True).first()
    if raw is None:
        return None
    raw = bytes(raw)
    try:
        members = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw.decode("utf-8", "replace") if _is_approver(one, sight) else None
    if not _opens(one, members, raw, sight):
        return None
    return msgspec.json.format(raw, indent=2).decode()


def handle(one: Orphan, *, note: str, by: Person, now: datetime) -> Orphan:
    """Marks it as dealt with, and how. Said again, it is answered with the first."""
    home = home_of(one.person.pk, on=today(now))
    with unit(actor=by.pk, source="web", now=now) as work:
        work.lock({home} if home else set())
        review = Review.objects.select_for_update().filter(pk=one.id).first()
        if review is not None and review.handled_at is not None:
            return _with(one, review)
        review = review or Review(about_id=one.id, why=one.why, raised_at=one.at)
        review.handled_at, review.handled_by, review.note = now, by.pk, note
        work.update(review)
        body = work.body(msgspec.json.encode({"operation": one.op_id, "why": one.why, "note": note}))
        work.say(Noted(COLLECTION, one.op_id, home), "operation.handled", body=body, urgency=None)
    return _with(one, review)


def _with(one: Orphan, review: Review) -> Orphan:
    return Orphan(**{name: getattr(one, name) for name in one.__slots__ if name != "review"}, review=review)


def _rows(sight: Sight, why: str, handled: bool | None, code: str, now: datetime) -> QuerySet:
    """Rows of one kind, of the persons covered; `handled` None for both."""
    persons = persons_under(covered(sight, KEEPERS), on=today(now)).values("pk")
    theirs = Operation.objects.filter(op_id=OuterRef("op_id"), person_id__in=persons)
    handled_ones = Review.objects.filter(handled_at__isnull=False)
    if why == Why.OUT_OF_ORDER:
        theirs = Operation.objects.filter(op_id=OuterRef("about_id"), person_id__in=persons)
        rows = Review.objects.filter(Exists(theirs), why=why)
        done = Q(handled_at__isnull=False)
    elif why == Why.SET_ASIDE:
        rows = SetAside.objects.filter(person_id__in=persons)
        done = Q(Exists(handled_ones.filter(about_id=OuterRef("id"))))
    else:
        rows = Verdict.objects.filter(Exists(theirs), status="rejected")
        rows = rows.filter(problem__code=code) if code else rows
        done = Q(Exists(handled_ones.filter(about_id=OuterRef("op_id"))))
    if handled is None:
        return rows
    return rows.filter(done) if handled else rows.exclude(done)


def _shown(why: str, rows: Iterable[Any]) -> list[Orphan]:
    rows = list(rows)
    if why == Why.SET_ASIDE:
        sources = {row.id: row for row in rows}
    else:
        key = "about_id" if why == Why.OUT_OF_ORDER else "op_id"
        operations = Operation.objects.in_bulk([getattr(row, key) for row in rows])
        sources = {getattr(row, key): operations[getattr(row, key)] for row in rows}
    devices = Device.objects.select_related("person").in_bulk({each.device_id for each in sources.values()})
    reviews = Review.objects.in_bulk(list(sources))
    return [
        _orphan(about, why, row, sources[about], devices, reviews) for row, about in zip(rows, sources, strict=True)
    ]


def _orphan(about: UUID, why: str, row: Any, source: Any, devices: dict, reviews: dict) -> Orphan:
    code, words, at = "", Why(why).label, None
    if why == Why.REFUSED:
        code, at = (row.problem or {}).get("code", ""), row.at
        words = explained(row.problem or {})
    elif why == Why.OUT_OF_ORDER:
        at, words = row.raised_at, "等了五天没有等到上一步，已按收到的内容先行办理。请核对前后是否一致。"
    else:
        at, words = row.reported_at, row.reason or "手机没有说明原因"
    device = devices[source.device_id]
    return Orphan(
        id=about,
        why=str(why),
        op_id=source.op_id,
        person=device.person,
        device=device,
        verb=source.verb,
        collection=source.collection,
        doc_id=source.doc_id,
        body_id=source.body_id,
        at=at,
        code=code,
        words=words,
        review=reviews.get(about),
    )


def _is_approver(one: Orphan, sight: Sight) -> bool:
    approves = covered(sight, [Role.APPROVER.value])
    posts = one.person.posts.filter(node__in=approves)
    return posts.exists()


def _opens(one: Orphan, members: Any, raw: bytes, sight: Sight) -> bool:
    named = _named(members)
    standing: dict[tuple[str, UUID], set[tuple[str, UUID]]] = {each: set() for each in named}
    for collection, ids in _by_collection(named).items():
        rows = Index.objects.filter(collection=collection, doc_id__in=ids, deleted=False)
        for doc_id, audience, key in rows.values_list("doc_id", "audience", "key"):
            standing[collection, doc_id].add((audience, key))
    if _is_approver(one, sight):
        closed = [pairs for pairs in standing.values() if {each for each, _ in pairs} == {Audience.RESTRICTED.value}]
        return all(sight.sees(pairs) for pairs in closed)
    if not isinstance(members, dict) or import_string(settings.NAMES_WITHHELD)(raw):
        return False
    own = (members.get("collection"), _uuid(members.get("id")))
    if members.get("kind") == "create" and not standing.get(own):
        standing.pop(own, None)
    return bool(standing) and all(sight.sees(pairs) for pairs in standing.values())


def _named(members: Any) -> set[tuple[str, UUID]]:
    """The documents that an operation names: its own, and those of its content."""
    if not isinstance(members, dict):
        return set()
    found = {(str(members.get("collection")), _uuid(members.get("id")))}
    for part in ("set", "args"):
        content = members.get(part)
        if isinstance(content, dict):
            found |= {(collection, _uuid(content.get(name))) for name, collection in NAMES.items()}
            found.add((str(content.get("subject_collection")), _uuid(content.get("subject_id"))))
    return {(collection, doc_id) for collection, doc_id in found if doc_id is not None}


def _by_collection(named: Iterable[tuple[str, UUID]]) -> dict[str, set[UUID]]:
    grouped: dict[str, set[UUID]] = {}
    for collection, doc_id in named:
        grouped.setdefault(collection[:24], set()).add(doc_id)
    return grouped


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
