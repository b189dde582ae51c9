"""What is not here yet: work that lies on phones, operations that wait, photos whose bytes have not come.

Read for those who look after a bureau's phones (administrators, safety officers, duty officers), over the persons whom
their posts cover; and for one phone, by its owner too. Documents are named only where the reader reads them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.module_loading import import_string

from safety.access import Sight, today
from safety.devices import OVERSEERS, covered, persons_under
from safety.held import Held, held_by
from safety.models import Device, Person, Post
from sync.models import Contact, Operation, SetAside, Verdict, Waiting
from sync.waiting import OPERATIONS
from sync.words import said, skew, waits_for

MOST = 500  # rows of each list; who has more has other worries than the order of the rest


@dataclass(frozen=True, slots=True)
class PhoneWork:
    """What one phone said of itself when it last called, less what has come since.

    `ops` and `blobs` are None where it never told: an app of somebody else's may not, and then nobody knows.
    """

    device: Device
    units: tuple[str, ...]  # where its owner's posts are
    ops: int | None
    blobs: int | None
    since: datetime | None  # of the oldest thing unsent, by our clock
    contact_at: datetime | None
    app_version: str
    skew_ms: int | None

    @property
    def skew(self) -> str:
        return skew(self.skew_ms)

    @property
    def tells(self) -> bool:
        """Whether it has ever told what lies on it."""
        return self.ops is not None

    @property
    def is_empty(self) -> bool:
        """It has told, and everything is here."""
        return self.tells and not self.ops and not self.blobs

    @property
    def amount(self) -> str:
        """12 条记录、30 张照片."""
        parts = [f"{self.ops} 条记录"] * bool(self.ops) + [f"{self.blobs} 张照片"] * bool(self.blobs)
        return "、".join(parts)

    def is_late(self, now: datetime) -> bool:
        """Beyond the limit at which it is told to people (UNSENT_ALERT_HOURS)."""
        return not self.is_empty and self.since is not None and now - self.since >= limit()


@dataclass(frozen=True, slots=True)
class Wait:
    """One operation that has come and waits: whose, from which phone, for what, since when."""

    op_id: UUID
    person: Person
    device: Device
    verb: str
    kind: str
    doc_id: UUID
    since: datetime
    said: str
    words: str


@dataclass(frozen=True, slots=True)
class MissingPhotos:
    """Photos of one person at one site whose bytes have not come."""

    person: Person
    unit: str
    site: str
    ids: tuple[UUID, ...]
    since: datetime | None

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Everything that is not here yet, worst first."""

    at: datetime
    phones: list[PhoneWork]
    waits: list[Wait]
    photos: list[MissingPhotos]

    @property
    def late(self) -> list[PhoneWork]:
        return [phone for phone in self.phones if phone.is_late(self.at)]

    @property
    def photos_missing(self) -> int:
        return sum(each.count for each in self.photos)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is probably on one phone and nowhere else, and what of it waits here."""

    at: datetime
    phone: PhoneWork
    waits: list[Wait]
    unanswered: int  # stored, and not heard yet
    drafts: list[Held]
    photos: list[MissingPhotos]
    tasks: list[Held]

    @property
    def photos_missing(self) -> int:
        return sum(each.count for each in self.photos)


def limit() -> timedelta:
    """How long work may lie unsent before people are told."""
    return timedelta(hours=settings.UNSENT_ALERT_HOURS)


def oversees(sight: Sight) -> bool:
    """Whether a person looks after anybody's phones but the own."""
    return sight.holds(OVERSEERS)


def backlog_of(sight: Sight, *, now: datetime) -> Backlog:
    """The backlog of those whom a reader oversees; empty for who oversees nobody. A dozen statements."""
    persons = persons_under(covered(sight, OVERSEERS), on=today(now))
    ids = list(persons.values_list("pk", flat=True))
    unsent = _contacts().filter(unsent_since__isnull=False, device_id__in=_phones_of(ids))
    phones = [each for each in _phones(unsent.order_by("unsent_since")[:MOST], now=now) if not each.is_empty]
    waits = _waits(Waiting.objects.filter(person_id__in=ids).order_by("since", "op_id")[:MOST])
    return Backlog(now, phones, waits, _missing(held_by(ids, "photos", sight=sight, now=now)))


def phones_of(person: Person, *, now: datetime) -> list[PhoneWork]:
    """A person's phones, those in use first, whether anything lies on them or not."""
    devices = Device.objects.filter(person=person).select_related("person", "revoked_by")
    return [phone_work(each, now=now) for each in devices.order_by(F("revoked_at").desc(nulls_first=True), "name")]


def phone_works(devices: Collection[UUID], *, now: datetime) -> list[PhoneWork]:
    """What these phones last said of themselves; those that never called are left out."""
    return _phones(_contacts().filter(device_id__in=devices), now=now)


def phone_work(device: Device, *, now: datetime) -> PhoneWork:
    """What one phone last said of itself; nothing yet when it never called."""
    found = phone_works([device.pk], now=now)
    return found[0] if found else PhoneWork(device, _units({device.person_id}, now)[device.person_id], *NEVER)


NEVER = (None, None, None, None, "", None)


def holdings_of(device: Device, sight: Sight, *, now: datetime) -> Holdings:
    """What was probably on a phone and unsent, as far as this reader reads it."""
    person = [device.person_id]
    ids = Operation.objects.filter(device_id=device.pk).values("op_id")
    return Holdings(
        at=now,
        phone=phone_work(device, now=now),
        waits=_waits(Waiting.objects.filter(op_id__in=ids).order_by("since", "op_id")[:MOST]),
        unanswered=_unanswered(device.pk).count(),
        drafts=held_by(person, "drafts", sight=sight, now=now),
        photos=_missing(held_by(person, "photos", sight=sight, now=now)),
        tasks=sorted(held_by(person, "tasks", sight=sight, now=now), key=lambda task: task.due_on),
    )


def _phones_of(persons: list[UUID]) -> QuerySet:
    return Device.objects.filter(person__in=persons).values("pk")


def _contacts() -> QuerySet[Contact]:
    """Contacts with how many operations of their outbox have come since: a phone counts before it sends."""
    later = Operation.objects.filter(device_id=OuterRef("device_id"), received_at__gte=OuterRef("at"))
    count = later.order_by().values("device_id").annotate(n=Count("op_id")).values("n")
    return Contact.objects.annotate(come=Coalesce(Subquery(count), 0))


def _phones(contacts: Iterable[Contact], *, now: datetime) -> list[PhoneWork]:
    contacts = list(contacts)
    devices = Device.objects.select_related("person", "revoked_by").in_bulk([each.device_id for each in contacts])
    units = _units({device.person_id for device in devices.values()}, now)
    with_photos = {devices[each.device_id].person_id: each.at for each in contacts if each.outbox_blobs}
    brought = import_string(settings.BYTES_BROUGHT)(with_photos)
    found = []
    for each in contacts:
        device = devices[each.device_id]
        found.append(
            PhoneWork(
                device=device,
                units=units[device.person_id],
                ops=None if each.outbox_ops is None else max(0, each.outbox_ops - each.come),
                blobs=None if each.outbox_blobs is None else max(0, each.outbox_blobs - brought[device.person_id]),
                since=each.unsent_since,
                contact_at=each.at,
                app_version=each.app_version,
                skew_ms=each.skew_ms,
            )
        )
    return found


def _units(persons: set[UUID], now: datetime) -> dict[UUID, tuple[str, ...]]:
    units = defaultdict(set)
    for post in Post.objects.on(today(now)).filter(person__in=persons).select_related("node"):
        units[post.person_id].add(str(post.node))
    return defaultdict(tuple, {person: tuple(sorted(names)) for person, names in units.items()})


def _waits(rows: Iterable[Waiting]) -> list[Wait]:
    rows = list(rows)
    operations = Operation.objects.in_bulk([row.op_id for row in rows])
    devices = Device.objects.select_related("person").in_bulk({each.device_id for each in operations.values()})
    needed = [row.doc_id for row in rows if row.kind == OPERATIONS]
    put_aside = set(SetAside.objects.filter(op_id__in=needed).values_list("op_id", flat=True))
    found = []
    for row in rows:
        operation = operations[row.op_id]
        device = devices[operation.device_id]
        words = "等候上一步操作：它被手机搁置了，要有人处理" if row.doc_id in put_aside else waits_for(row)
        verb, what = operation.verb, said(operation.verb)
        found.append(Wait(row.op_id, device.person, device, verb, row.kind, row.doc_id, row.since, what, words))
    return found


def _unanswered(device_id: UUID) -> QuerySet[Operation]:
    decided = Verdict.objects.filter(op_id=OuterRef("op_id"))
    waits = Waiting.objects.filter(op_id=OuterRef("op_id"))
    return Operation.objects.filter(~Exists(decided), ~Exists(waits), device_id=device_id)


def _missing(photos: list[Held]) -> list[MissingPhotos]:
    """Photos gathered by whose they are and where, oldest first."""
    groups: dict[tuple, list[Held]] = defaultdict(list)
    for photo in photos:
        groups[photo.person_id, photo.unit, photo.site].append(photo)
    people = Person.objects.in_bulk({person for person, _, _ in groups})
    return [
        MissingPhotos(people[person], unit, site, tuple(photo.id for photo in held), held[0].since)
        for (person, unit, site), held in groups.items()
    ]
