"""What may lie on an inspector's phone and nowhere else: photos without bytes, visits not submitted, tasks not done."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Min
from msgspec.json import decode

from inspections.frozen import FrozenTemplate
from inspections.models import (
    BlobHolder,
    ChecklistItem,
    Inspection,
    InspectionState,
    Photo,
    PhotoState,
    Task,
    TemplateVersion,
)
from safety.access import Sight, today
from safety.held import Held
from safety.models import Change, Site

INCIDENT = "incident"
LOOK_BACK = timedelta(days=180)  # an older draft is no phone's any more


def photos_not_here(persons: Collection[UUID], sight: Sight, now: datetime) -> Iterator[Held]:
    """Photos that these persons declared and whose bytes have not come."""
    declared = Photo.objects.visible_to(sight).filter(state=PhotoState.DECLARED, author__in=persons)
    photos = list(declared.select_related("unit"))
    sites = _sites(photo.site_id for photo in photos)
    changes = Change.objects.filter(collection=Photo.collection, doc_id__in=[photo.id for photo in photos])
    since = dict(changes.values_list("doc_id").annotate(Min("received_at")))
    for photo in photos:
        what = f"照片 {photo.item_code}".strip()
        unit, site = str(photo.unit), sites.get(photo.site_id, "")
        yield Held(photo.author_id, Photo.collection, photo.id, unit, site, what, since.get(photo.id))


def drafts(persons: Collection[UUID], sight: Sight, now: datetime) -> Iterator[Held]:
    """Visits in which these persons take part and which nobody has submitted."""
    begun = Inspection.objects.visible_to(sight).filter(started_at__gt=now - LOOK_BACK, state=InspectionState.DRAFT)
    for visit in begun.select_related("unit", "site", "version__template"):
        for person in _among(persons, visit.participants):
            what = f"未提交的检查《{visit.version.template.name}》"
            yield Held(
                person, Inspection.collection, visit.id, str(visit.unit), str(visit.site), what, visit.started_at
            )


def tasks_due(persons: Collection[UUID], sight: Sight, now: datetime) -> Iterator[Held]:
    """Open tasks of these persons whose window has begun: the visit may exist on the phone alone."""
    opened = Task.objects.visible_to(sight).filter(state="open", opens_on__lte=today(now))
    opened = opened.filter(due_on__gt=today(now) - LOOK_BACK)
    for task in opened.select_related("unit", "site"):
        for person in _among(persons, task.assignees):
            what = f"任务“{task.title}”"
            yield Held(person, Task.collection, task.id, str(task.unit), str(task.site), what, due_on=task.due_on)


def bytes_brought(since: Mapping[UUID, datetime]) -> Counter[UUID]:
    """How many photos' bytes each of these persons has brought since a moment of their own, by whichever phone."""
    if not since:
        return Counter()
    held = BlobHolder.objects.filter(person__in=since, at__gte=min(since.values())).values_list("person_id", "at")
    return Counter(person for person, at in held if at >= since[person])


def names_withheld(said: bytes) -> bool:
    """Whether something said (JSON bytes) speaks of an item of which only named persons may read (design §2).

    By its code, wherever it stands, also within a snapshot; in doubt it does.
    """
    codes = ChecklistItem.objects.filter(grade=INCIDENT).values_list("code", flat=True)
    return any(code.encode() in said for code in {*codes, *_incidents_published()})


def _incidents_published() -> Iterator[str]:
    for content in TemplateVersion.objects.values_list("content", flat=True):
        yield from (item.code for item in decode(bytes(content), type=FrozenTemplate).items if item.grade == INCIDENT)


def _among(persons: Collection[UUID], named: Iterable[str]) -> list[UUID]:
    return [person for person in persons if str(person) in named]


def _sites(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    return {site.id: site.name for site in Site.objects.filter(id__in={each for each in ids if each})}
