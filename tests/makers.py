"""Keyword-only makers of rows for tests; each goes through the unit of work, as the product does."""

from datetime import date, datetime, timedelta
from hashlib import sha256
from itertools import count
from uuid import UUID

from django.utils import timezone
from msgspec import convert
from msgspec.json import encode as json_encode

from inspections.frozen import FrozenItem, FrozenTemplate
from inspections.models import ChecklistTemplate, Task, TemplateVersion
from safety.access import today
from safety.alerts import Urgency
from safety.authentication import issue_token
from safety.changes import unit
from safety.ids import new_id
from safety.models import (
    Alert,
    Audience,
    Device,
    DutyShift,
    Organisation,
    OrganisationKind,
    Person,
    Post,
    Role,
    Seat,
    Severity,
    Site,
    SiteKind,
)
from safety.models.organisation import BUREAU_KINDS
from tests.taint.canary import marked

_number = count(1)
PASSWORD = "correct-horse-battery"


def make_organisation(
    *, kind: str = OrganisationKind.SCHOOL, parent: Organisation | None = None, name: str = "", **more
):
    n, organisation_id = next(_number), new_id()
    called = name or f"单位{n}"
    if kind not in BUREAU_KINDS:
        called = marked(called, organisation_id)
    organisation = Organisation(id=organisation_id, kind=kind, parent=parent, code=f"n{n}", name=called, **more)
    organisation.place_in_tree()
    with unit(actor=None, source="test") as work:
        work.lock({organisation.id})
        work.say(organisation, "organisation.created", body=work.body(b"{}"), urgency=None)
    return organisation


def make_district(*, name: str = ""):
    """A district bureau under a city and a province of its own."""
    province = make_organisation(kind=OrganisationKind.PROVINCE, name="省")
    city = make_organisation(kind=OrganisationKind.CITY, parent=province, name="市")
    return make_organisation(kind=OrganisationKind.DISTRICT, parent=city, name=name or "某区教育局")


def make_school(*, district: Organisation, name: str = "", **more):
    """A school with its site "whole unit"."""
    school = make_organisation(parent=district, name=name, **more)
    make_site(unit=school, kind=SiteKind.WHOLE, name="全校")
    return school


def make_site(*, unit: Organisation, kind: str = SiteKind.CANTEEN, name: str = "", serves: tuple = (), **more):
    site = Site(id=new_id(), unit=unit, kind=kind, name=name or f"{unit.name}食堂", **more)
    site.share_with([school.id for school in serves])
    with _unit() as work:
        work.lock({unit.id})
        work.say(site, "site.created", body=work.body(b"{}"), urgency=None)
    site.serves.set(serves)
    return site


def make_person(
    *,
    role: str | None = None,
    at: Organisation | None = None,
    name: str = "",
    username: str = "",
    since: date | None = None,
):
    """A person, with a post from a month ago when a role is given. The password is `PASSWORD`, hashed by the test hasher."""
    n = next(_number)
    person = Person(id=new_id(), username=username or f"p{n}", name=name or f"人员{n}")
    person.set_password(PASSWORD)
    posts = []
    if role is not None:
        posts = [Post(person=person, role=role, node=at, from_on=since or today(timezone.now()) - timedelta(days=30))]
    person.meet(posts)
    with _unit() as work:
        work.say(person, "person.created", body=None, urgency=None)
    for post in posts:
        post.save(force_insert=True)
    return person


def make_shift(*, person: Person, node: Organisation, seat: int = Seat.OFFICER, hours: float = 12, begun: bool = True):
    """A shift that began an hour ago."""
    start = timezone.now() - timedelta(hours=1)
    return DutyShift.objects.create(
        person=person, node=node, seat=seat, starts_at=start, ends_at=start + timedelta(hours=hours), begun=begun
    )


def make_token(*, person: Person, name: str = "手机"):
    """A phone of a person and the secret by which it signs in."""
    device = Device.objects.create(person=person, name=name, registered_at=timezone.now())
    return device, issue_token(device, now=timezone.now())


def raise_alert(
    *,
    site: Site,
    place: str = "灶间",
    severity: str = Severity.MAJOR,
    said_at: datetime | None = None,
    now: datetime | None = None,
):
    """Something at a site that somebody must know, said by nobody in particular; gives the open alert."""
    key = f"{site.unit_id}:{site.id}:ST-21:{place}"
    with unit(actor=None, source="test", now=now) as work:
        work.lock({site.unit_id})
        body = work.body(b"{}")
        urgency = Urgency(
            level="alert",
            severity=severity,
            organisation_id=site.unit_id,
            site_id=site.id,
            dedupe_key=key,
            sentence=f"{site.name}{place}疑似重大隐患",
            subject_collection="sites",
            subject_id=site.id,
            said_at=said_at or work.now,
            body=body,
        )
        work.say(site, "site.looked_at", body=body, urgency=urgency)
    return Alert.objects.open().get(dedupe_key=key)


def make_task(*, site: Site, checklist: TemplateVersion, assignees: tuple = (), days: int = 7) -> Task:
    """What somebody is to look at; due `days` from today."""
    day = today(timezone.now())
    task = Task(
        id=new_id(),
        version=checklist,
        title="冬季食堂检查",
        opens_on=day - timedelta(days=30),
        due_on=day + timedelta(days=days),
        assignees=[str(person.id) for person in assignees],
        audience=Audience.BUREAU,
    )
    task.stand_at(site)
    with unit(actor=None, source="test") as work:
        work.lock({task.chain_id})
        work.say(task, "task.planned", body=work.body(b"{}"), urgency=None)
    return task


def make_checklist(
    *,
    items: tuple[dict, ...] = (),
    code: str = "",
    audience: str = "ref",
    named: tuple = (),
    version_id: UUID | None = None,
):
    """A published template version with items of our own: ordinary, listed, photo always, photo banned, incident."""
    n = next(_number)
    wanted = items or (
        {"code": "ST-11", "text": "冷藏温度达标", "grade": "general", "photo": "on_fail"},
        {"code": "ST-15", "text": "食品留样", "grade": "serious", "photo": "always"},
        {"code": "ST-21", "text": "燃气报警有效", "grade": "major_candidate", "photo": "always"},
        {"code": "ST-05", "text": "健康证明有效", "grade": "serious", "photo": "ban", "ban_mode": "cover_only"},
        {"code": "SS-11", "text": "就寝清点", "grade": "serious", "photo": "ban", "ban_mode": "camera"},
        {
            "code": "WS-04",
            "text": "按时报告疫情",
            "grade": "incident",
            "photo": "ban",
            "ban_mode": "camera",
            "finding": "incident",
        },
    )
    template = ChecklistTemplate.objects.create(code=code or f"X{n}", name=f"检查表{n}", kind="fixed")
    frozen = FrozenTemplate(
        schema=1,
        code=template.code,
        name=template.name,
        version=1,
        kind="fixed",
        audience=audience,
        as_of=date(2026, 11, 1),
        items=tuple(convert(_ITEM | item, FrozenItem) for item in wanted),
    )
    content = json_encode(frozen)
    version = TemplateVersion(
        id=version_id or new_id(),
        template=template,
        version=1,
        state=TemplateVersion.PUBLISHED,
        content=content,
        sha256=sha256(content).hexdigest(),
        published_at=timezone.now(),
        audience=audience,
        named=[str(person.id) for person in named],
    )
    with _unit() as work:
        work.lock({version.chain_id})
        work.say(version, "template.published", body=work.body(content), urgency=None)
    return version


_ITEM = {"area": "ST", "finding": "hazard", "disposition": "rectify", "confidence": "certain"}


def _unit():
    return unit(actor=None, source="test")


__all__ = [
    "PASSWORD",
    "Role",
    "make_district",
    "make_organisation",
    "make_person",
    "make_school",
    "make_shift",
    "make_site",
    "make_token",
    "raise_alert",
]
