"""What is done to a phone: revoked, reported lost, told to wipe itself. Each is recorded with who and when.

A phone's owner may do all but order a wipe; an administrator may do all to the phones of those whom today's posts
cover. Revoking ends every token at once, and the change rings: open sockets are closed by the hub's next look. Only a
phone that is to wipe itself is told more than that its token has ended (403 `device-blocked`, safety/authentication.py).
"""

import logging
from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec
from django.db.models import Exists, OuterRef, Q, QuerySet

from safety.access import Sight, sight_of, today
from safety.authentication import end_tokens
from safety.changes import unit
from safety.errors import NotAllowed, NotFound
from safety.models import Device, Person, Post, Role
from safety.unit_admin import Noted

log = logging.getLogger(__name__)

COLLECTION = "devices"  # in the log; phones mirror no devices
RESCUE = timedelta(days=7)  # for how long a phone that is to be wiped may still send what lies on it; our default
OVERSEERS = frozenset({Role.ADMINISTRATOR.value, Role.SAFETY_OFFICER.value, Role.DUTY_OFFICER.value})


def persons_under(organisations: Collection[UUID], *, on: date) -> QuerySet[Person]:
    """Persons whose posts of a day lie within these organisations; of those without any, whose past posts did."""
    posts = Post.objects.filter(person=OuterRef("pk"))
    within = posts.filter(node__in=organisations)
    left = ~Exists(posts.on(on)) & Exists(within)
    return Person.objects.filter(Exists(within.on(on)) | left)


def covered(sight: Sight, roles: Collection[str]) -> list[UUID]:
    """The organisations over which any of these roles is held."""
    return sorted(each for each, held in sight.roles.items() if not held.isdisjoint(roles))


def devices_under(sight: Sight, roles: Collection[str], *, on: date) -> QuerySet[Device]:
    """Phones of those persons over whom any of these roles is held."""
    return Device.objects.filter(person__in=persons_under(covered(sight, roles), on=on).values("pk"))


def device_for(person: Person, device_id: UUID, *, roles: Collection[str], now: datetime) -> Device:
    """One's own phone, or one that these roles cover. Raises NotFound for any other, and for an unknown one."""
    day = today(now)
    theirs = devices_under(sight_of(person, on=day), roles, on=day)
    mine = Q(person=person) | Q(pk__in=theirs.values("pk"))
    device = Device.objects.filter(mine, pk=device_id).select_related("person", "revoked_by").first()
    if device is None:
        raise NotFound()
    return device


def revoke(device: Device, *, by: Person, now: datetime) -> Device:
    """Ends a phone for good. A second time changes nothing."""

    def change(row: Device) -> bool:
        return _end(row, by, now)

    return _record(device, "device.revoked", change, by=by, now=now)


def lose(device: Device, *, by: Person, now: datetime) -> Device:
    """挂失: revoked at once, and noted as lost. A phone that was revoked before may still be reported lost, once."""

    def change(row: Device) -> bool:
        ended = _end(row, by, now)
        news = row.lost_at is None
        row.lost_at = row.lost_at or now
        return ended or news

    return _record(device, "device.lost", change, by=by, now=now)


def order_wipe(device: Device, *, rescue: bool, by: Person, now: datetime) -> Device:
    """Tells a phone, at its next contact, to drop what it holds; with `rescue` it may first send what lies on it.

    Revokes it if it was not. An order may be given again to allow or to end the rescue. Raises NotAllowed to anybody but
    an administrator over the phone's owner.
    """
    day = today(now)
    administered = devices_under(sight_of(by, on=day), (Role.ADMINISTRATOR.value,), on=day)
    if not administered.filter(pk=device.pk).exists():
        raise NotAllowed("not-allowed", "清除手机要由系统管理员下令。您可以先挂失,并联系管理员。")

    def change(row: Device) -> bool:
        ended = _end(row, by, now)
        if row.wiped_at is not None:
            return ended
        until = (now + RESCUE if row.rescue_until is None else row.rescue_until) if rescue else None
        news = row.wipe_ordered_at is None or until != row.rescue_until
        row.wipe_ordered_at, row.rescue_until = row.wipe_ordered_at or now, until
        return ended or news

    return _record(device, "device.wipe_ordered", change, by=by, now=now, rescue=rescue)


def confirm_wipe(device: Device, *, now: datetime) -> Device:
    """The phone's own word that it has dropped everything; the rescue is over. A second time changes nothing."""

    def change(row: Device) -> bool:
        news = row.wiped_at is None
        row.wiped_at = row.wiped_at or now
        return news

    return _record(device, "device.wiped", change, by=device.person, now=now)


def home_of(person_id: UUID, *, on: date) -> UUID | None:
    """The organisation in whose chain a person's phones are recorded: of the newest post of a day, else of any."""
    posts = Post.objects.filter(person=person_id).order_by("-from_on", "id")
    standing = posts.on(on).values_list("node_id", flat=True).first()
    return standing or posts.values_list("node_id", flat=True).first()


def _end(row: Device, by: Person, now: datetime) -> bool:
    """Revokes it if it is not. The tokens go in any case: what was missed once is not missed twice."""
    end_tokens(row, now=now)
    if row.revoked_at is not None:
        return False
    row.revoked_at, row.revoked_by = now, by
    return True


def _record(
    device: Device, kind: str, change: Callable[[Device], bool], *, by: Person, now: datetime, **said: bool
) -> Device:
    """Does it to the locked row, and logs it in the chain of the owner's unit if it changed anything."""
    home = home_of(device.person_id, on=today(now))
    with unit(actor=by.pk, source="devices", now=now) as work:
        work.lock({home} if home else set())
        row = Device.objects.select_for_update(of=("self",)).select_related("person", "revoked_by").get(pk=device.pk)
        if not change(row):
            return row
        work.update(row)
        content = msgspec.json.encode({"device": row.pk, "person": row.person_id, **said}, order="deterministic")
        work.say(Noted(COLLECTION, row.pk, home), kind, body=work.body(content), urgency=None)
    log.info("%s device=%s person=%s by=%s", kind, row.pk, row.person_id, by.pk)
    return row
