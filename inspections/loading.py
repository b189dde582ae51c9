"""How the rows that verbs need are found, locked and loaded, in bulk; one loader a collection."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from inspections import fold
from inspections.models import (
    ENDED,
    Blob,
    ChecklistItem,
    Conflict,
    Finding,
    Inspection,
    ItemState,
    Photo,
    QuickHazard,
    RectificationItem,
    Statement,
    StatementKind,
    Submission,
    Task,
    TemplateVersion,
)
from inspections.rules import normalise_place
from inspections.sayings import said_by_finding, said_by_statement
from safety.access import today
from safety.models import Audience, Person, Post, Role, Site
from safety.verbs import LOADERS as GROUND_LOADERS
from safety.verbs import Loader, Need, World

PlaceKey = tuple[UUID, str, str]  # site, checklist item, place


@dataclass(slots=True)
class Cure:
    """What is known of rectification while a unit decides: states by item, items by place, photos by subject."""

    states: dict[UUID, fold.ItemState] = field(default_factory=dict)
    at: dict[tuple[UUID, str], dict[UUID, fold.Neighbour]] = field(default_factory=lambda: defaultdict(dict))
    of_visit: dict[UUID, list[Finding]] = field(default_factory=lambda: defaultdict(list))
    of_item: dict[UUID, list[Finding]] = field(default_factory=lambda: defaultdict(list))
    photos_of: dict[UUID, list[Photo]] = field(default_factory=lambda: defaultdict(list))
    approvers: dict[UUID, set[str]] = field(default_factory=dict)  # by site
    principals: dict[UUID, set[str]] = field(default_factory=dict)  # by site
    catalogue: dict[str, ChecklistItem] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)  # SHA-256 of bytes that the author has brought
    sealable: dict[str, Blob] = field(default_factory=dict)


def cure_of(world: World) -> Cure:
    """The unit's one Cure."""
    cure = world.store.get("cure")
    if cure is None:
        cure = world.store["cure"] = Cure()
    return cure


def _where(model, column: str):
    def where(ids: set[UUID]) -> set[UUID]:
        return set(model.objects.filter(id__in=ids).values_list(column, flat=True))

    return where


def _load_sites(world: World, ids: set[UUID]) -> Iterable[Need]:
    """Sites with their units, the approvers over each unit and its principals: on what only named persons may read, the
    former are named from the start, the latter by a notice."""
    cure = cure_of(world)
    posts = Post.objects.on(today(world.work.now)).filter(role__in=(Role.APPROVER, Role.PRINCIPAL))
    named = list(posts.values_list("role", "person_id", "node_id", "node__path"))
    for site in Site.objects.filter(id__in=ids).select_related("unit"):
        world.put("sites", site)
        cure.approvers[site.id], cure.principals[site.id] = set(), set()
        for role, person, node, path in named:
            if role == Role.APPROVER and site.unit.path.startswith(path):
                cure.approvers[site.id].add(str(person))
            elif role == Role.PRINCIPAL and node == site.unit_id:
                cure.principals[site.id].add(str(person))
    return []


def _load_places(world: World, keys: set[PlaceKey]) -> Iterator[Need]:
    """What was closed at these places and what is open there; of a blank place, what is open and a person may mean.

    What only named persons may read stands alone: nothing attaches to it, nothing points to it.
    """
    cure = cure_of(world)
    closed = _at(keys, with_place=True).filter(state=ItemState.CLOSED).order_by("closed_at", "id")
    blank = {key for key in keys if not key[2]}
    meant = _at(blank, with_place=False).exclude(state__in=ENDED).order_by("found_on", "id")
    for row in (*closed.values_list(*NEIGHBOUR), *(meant.values_list(*NEIGHBOUR) if blank else ())):
        _note(cure, *row)
    for item in _at(keys, with_place=True).exclude(state__in=ENDED).order_by("found_on", "id"):
        if (item.site_id, item.item_code, item.place_key) in keys:
            world.put("rectifications", item)
            note_item(world, item)
            yield ("rectification_history", item.id)


NEIGHBOUR = ("id", "site_id", "item_code", "place_key", "state")


def _at(keys: set[PlaceKey], *, with_place: bool):
    items = RectificationItem.objects.filter(site__in={key[0] for key in keys}, item_code__in={key[1] for key in keys})
    items = items.exclude(audience=Audience.RESTRICTED)
    return items.filter(place_key__in={key[2] for key in keys if key[2]}) if with_place else items


def _note(cure: Cure, item_id: UUID, site_id: UUID, code: str, place_key: str, state: str) -> None:
    there, now = cure.at[site_id, code], fold.Neighbour(item_id, place_key, fold.State(state))
    if item_id in there and there[item_id].is_open and not now.is_open:
        del there[item_id]  # what ended last is the newest of those that ended
    there[item_id] = now


def note_item(world: World, item: RectificationItem) -> None:
    """Files an item under its site and checklist item as it stands now: the next finding there goes by it."""
    if item.audience != Audience.RESTRICTED:
        _note(cure_of(world), item.id, item.site_id, item.item_code, item.place_key, item.state)


def neighbours(world: World, site_id: UUID, code: str) -> list[fold.Neighbour]:
    """The items of a site and checklist item that this unit knows of, oldest first."""
    return list(cure_of(world).at[site_id, code].values())


def places_in(site_id: UUID, answers: dict) -> Iterator[Need]:
    """The places at which these answers (structs or stored) say that something is not in order."""
    for code, answer in answers.items():
        result = answer.get("result") if isinstance(answer, dict) else (answer.result or None)
        if not result:
            continue
        value, where = (result["value"], result["place"]) if isinstance(result, dict) else (result.value, result.place)
        if value in ("fail", "fixed"):
            yield ("places", (site_id, code, normalise_place(where)))


def _load_items(world: World, ids: set[UUID]) -> Iterator[Need]:
    for item in RectificationItem.objects.filter(id__in=ids).select_related("unit"):
        world.put("rectifications", item)
        yield ("rectification_history", item.id)
        yield ("places", (item.site_id, item.item_code, item.place_key))
        yield ("sites", item.site_id)


def _load_histories(world: World, ids: set[UUID]) -> Iterator[Need]:
    """Folds everything said about these items; what may have to open with them comes along."""
    cure = cure_of(world)
    said = defaultdict(list)
    for finding in Finding.objects.filter(item__in=ids).order_by("item_id", "ordinal"):
        item = world.get("rectifications", finding.item_id)
        cure.of_item[finding.item_id].append(finding)
        said[finding.item_id].append(said_by_finding(finding, repeat_of=item.repeats_id))
        if finding.quick_hazard_id:
            yield ("quick_hazards", finding.quick_hazard_id)
        if finding.inspection_id and finding.fixed_on_spot:
            yield ("photos_of", finding.inspection_id)
    for statement in Statement.objects.filter(item__in=ids).order_by("ordinal"):
        world.put("statements", statement)
        said[statement.item_id].append(said_by_statement(statement))
        if world.get("rectifications", statement.item_id).audience != Audience.SHARED:
            yield ("photos_of", statement.id)
    for item_id in ids:
        cure.states[item_id] = fold.fold(said[item_id]).item


def _load_inspections(world: World, ids: set[UUID]) -> Iterator[Need]:
    cure = cure_of(world)
    for visit in Inspection.objects.filter(id__in=ids).select_related("unit"):
        world.put("inspections", visit)
        yield ("sites", visit.site_id)
        yield from places_in(visit.site_id, visit.answers)
        for answers in world.store["said"].get(visit.id, ()):
            yield from places_in(visit.site_id, answers)
        yield ("versions", visit.version_id)
        yield ("photos_of", visit.id)
        yield ("beside", visit.id)
        if visit.task_id:
            yield ("tasks", visit.task_id)
    for finding in Finding.objects.filter(inspection__in=ids):
        cure.of_visit[finding.inspection_id].append(finding)
        yield ("rectifications", finding.item_id)


def _load_photos_of(world: World, ids: set[UUID]) -> Iterable[Need]:
    cure = cure_of(world)
    for photo in Photo.objects.filter(subject_id__in=ids):
        cure.photos_of[photo.subject_id].append(world.put("photos", photo))
    return []


def _load_beside(world: World, ids: set[UUID]) -> Iterator[Need]:
    """Conflicts, submissions and what was said of these visits: they open with the visit, and the record says which
    hands it lacks."""
    for conflict in Conflict.objects.filter(target_collection=Inspection.collection, target_id__in=ids):
        world.put("conflicts", conflict)
    for submission in Submission.objects.filter(inspection__in=ids):
        world.put("submissions", submission)
    for statement in Statement.objects.filter(inspection__in=ids):
        world.put("statements", statement)
        if statement.kind == StatementKind.SIGNATURE:
            yield ("photos_of", statement.id)


def _load_photos(world: World, ids: set[UUID]) -> Iterable[Need]:
    for photo in Photo.objects.filter(id__in=ids):
        world.put("photos", photo)
    return []


def _load_quick_hazards(world: World, ids: set[UUID]) -> Iterator[Need]:
    for hazard in QuickHazard.objects.filter(id__in=ids):
        world.put("quick_hazards", hazard)
        yield ("photos_of", hazard.id)
        yield ("rectifications", hazard.item_id)


def _load_hazard_items(world: World, ids: set[UUID]) -> Iterator[Need]:
    """The checklist items that quick hazards name: those of their visits, else the catalogue's."""
    for visit_id, code in QuickHazard.objects.filter(id__in=ids).values_list("inspection_id", "item_code"):
        yield ("inspections", visit_id)
        yield ("catalogue", code or None)


def _load_versions(world: World, ids: set[UUID]) -> Iterable[Need]:
    for version in TemplateVersion.objects.filter(id__in=ids).select_related("template"):
        world.put("versions", version)
    return []


def _load_catalogue(world: World, codes: set[str]) -> Iterable[Need]:
    """Items as the catalogue has them today, for what names an item outside any visit."""
    cure_of(world).catalogue |= {item.code: item for item in ChecklistItem.objects.filter(code__in=codes)}
    return []


def _load_tasks(world: World, ids: set[UUID]) -> Iterable[Need]:
    for task in Task.objects.filter(id__in=ids):
        world.put("tasks", task)
    return []


def _load_statements(world: World, ids: set[UUID]) -> Iterator[Need]:
    for statement in Statement.objects.filter(id__in=ids):
        world.put("statements", statement)
        yield ("rectifications", statement.item_id)
        yield ("inspections", statement.inspection_id)


def _load_conflicts(world: World, ids: set[UUID]) -> Iterator[Need]:
    for conflict in Conflict.objects.filter(id__in=ids):
        world.put("conflicts", conflict)
        if conflict.target_collection == "inspections":
            yield ("inspections", conflict.target_id)


def _load_submissions(world: World, ids: set[UUID]) -> Iterable[Need]:
    for submission in Submission.objects.filter(id__in=ids):
        world.put("submissions", submission)
    return []


def meet_bytes(person_id: UUID) -> None:
    """A person's photos and the bytes of them queue here, whichever comes first: each must see the other."""
    list(Person.objects.select_for_update(no_key=True).filter(pk=person_id).values_list("pk"))


def _load_blobs(world: World, hashes: set[str]) -> Iterable[Need]:
    """Bytes that the author has brought; those that no photo shows may be sealed."""
    meet_bytes(world.sight.person_id)
    cure = cure_of(world)
    held = Blob.objects.filter(sha256__in=hashes, holders__person=world.sight.person_id, destroyed_at__isnull=True)
    held = held.select_for_update(of=("self",)).order_by("sha256")  # what is linked now is not swept meanwhile
    linked = set(Photo.objects.filter(sha256__in=hashes).values_list("sha256", flat=True))
    for blob in held:
        cure.held.add(blob.sha256)
        if blob.sha256 not in linked:
            cure.sealable[blob.sha256] = blob
    return []


def _nowhere(ids: set[UUID]) -> set[UUID]:
    return set()


LOADERS: dict[str, Loader] = GROUND_LOADERS | {
    "sites": Loader(_where(Site, "unit_id"), _load_sites),
    "places": Loader(_nowhere, _load_places),
    "versions": Loader(_nowhere, _load_versions),
    "catalogue": Loader(_nowhere, _load_catalogue),
    "tasks": Loader(_where(Task, "unit_id"), _load_tasks),
    "inspections": Loader(_where(Inspection, "unit_id"), _load_inspections),
    "photos": Loader(_where(Photo, "unit_id"), _load_photos),
    "blobs": Loader(_nowhere, _load_blobs),
    "photos_of": Loader(_nowhere, _load_photos_of),
    "beside": Loader(_nowhere, _load_beside),
    "quick_hazards": Loader(_where(QuickHazard, "unit_id"), _load_quick_hazards),
    "hazard_items": Loader(_nowhere, _load_hazard_items),
    "rectifications": Loader(_where(RectificationItem, "unit_id"), _load_items),
    "rectification_history": Loader(_nowhere, _load_histories),
    "statements": Loader(_where(Statement, "unit_id"), _load_statements),
    "conflicts": Loader(_where(Conflict, "unit_id"), _load_conflicts),
    "submissions": Loader(_where(Submission, "unit_id"), _load_submissions),
}
