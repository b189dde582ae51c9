"""Jobs about phones: work that lies unsent for too long is told to its owner and the bureau; what was pulled has arrived."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID

from safety.access import SHANGHAI, today
from safety.alerts import UNSENT, end_owed, mark, owe_daily
from safety.changes import unit
from safety.devices import COLLECTION, home_of
from safety.duty import nearest_of
from safety.models import Channel, Delivery, DeliveryState, Device, Index, Organisation, Role
from sync.backlog import PhoneWork, limit, phone_works
from sync.models import Contact
from sync.words import length, when

BATCH = 50
TOLD = (Role.ADMINISTRATOR, Role.SAFETY_OFFICER)
LATELY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Subject:
    collection: str
    id: UUID
    organisation_id: UUID


def remind_unsent(now: datetime) -> int:
    """One delivery a day to the owner of a phone whose work lies unsent beyond the limit, and to those who look after it.

    It ends by itself when the work has come, or the phone is revoked (then there is the list of what was on it).
    """
    open_ones = Delivery.objects.filter(subject_collection=COLLECTION).exclude(state=DeliveryState.OVER)
    reminded = set(open_ones.values_list("subject_id", flat=True))
    in_use = Device.objects.filter(revoked_at__isnull=True)
    late = Contact.objects.filter(unsent_since__lte=now - limit(), device_id__in=in_use.values("pk"))
    ids = set(late.values_list("device_id", flat=True))
    if not reminded and not ids:
        return 0
    told_today = Delivery.objects.filter(subject_collection=COLLECTION, subject_id__in=ids, owed_at__gte=_midnight(now))
    to_tell = ids - set(told_today.values_list("subject_id", flat=True))
    works = {each.device.pk: each for each in phone_works(to_tell | (reminded & ids), now=now) if each.is_late(now)}
    ended = sorted(reminded - works.keys())[:BATCH]
    told = sorted(to_tell & works.keys())[:BATCH]
    return sum(_end(device_id, now) for device_id in ended) + sum(_tell(works[each], now) for each in told)


def mark_arrived(now: datetime) -> int:
    """Deliveries to phones have arrived when a pull came back with a cursor beyond them. Looks at recent contacts."""
    lately = Contact.objects.filter(at__gt=now - LATELY, pulled_seq__isnull=False)
    contacts = {each.device_id: each for each in lately}
    devices = Device.objects.filter(pk__in=contacts, revoked_at__isnull=True).values_list("pk", "person_id")
    of_person = defaultdict(list)
    for device_id, person_id in devices:
        of_person[person_id].append(contacts[device_id])
    owed = Delivery.objects.filter(
        person__in=of_person, channel=Channel.APP, state__in=(DeliveryState.PENDING, DeliveryState.SENT)
    )
    waiting = list(owed.only("person_id", "owed_at").order_by("-owed_at")[: 10 * BATCH])
    if not waiting:
        return 0
    wires = Index.objects.filter(collection=Delivery.collection, doc_id__in=[each.pk for each in waiting])
    seqs = dict(wires.values_list("doc_id", "seq"))
    reached = {
        each.pk: DeliveryState.ARRIVED
        for each in waiting
        if any(
            contact.at >= each.owed_at and contact.pulled_seq >= seqs[each.pk] for contact in of_person[each.person_id]
        )
    }
    if not reached:
        return 0
    with unit(actor=None, source="job", now=now) as work:
        return mark(work, reached)


def _tell(work_on: PhoneWork, now: datetime) -> int:
    device = work_on.device
    home = home_of(device.person_id, on=today(now))
    if home is None:
        return 0
    node = Organisation.objects.get(pk=home)
    bureau = {person for role in TOLD for person in nearest_of(node, role, at=now)} - {device.person_id}
    subject = _Subject(COLLECTION, device.pk, home)
    with unit(actor=None, source="job", now=now) as work:
        told = owe_daily(work, subject, {device.person_id: UNSENT}, sentence=_to_owner(work_on, now))
        return told + owe_daily(work, subject, dict.fromkeys(sorted(bureau), UNSENT), sentence=_to_bureau(work_on, now))


def _end(device_id: UUID, now: datetime) -> int:
    with unit(actor=None, source="job", now=now) as work:
        return end_owed(work, COLLECTION, device_id)


def _midnight(now: datetime) -> datetime:
    return datetime.combine(today(now), time(), tzinfo=SHANGHAI)


def _to_owner(work: PhoneWork, now: datetime) -> str:
    age = length(now - work.since)
    return f"您的手机“{work.device.name}”里还有 {work.amount}没有上传,最早的已有 {age}。请在有网络的地方打开应用,等它传完。"


def _to_bureau(work: PhoneWork, now: datetime) -> str:
    age, seen = length(now - work.since), when(work.contact_at, now)
    owner = f"{work.device.person.name}的手机“{work.device.name}”"
    return f"{owner}里还有 {work.amount}没有上传,最早的已有 {age},最后联络是{seen}。请提醒本人上传。"
