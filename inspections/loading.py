"""How the rows that verbs need are found, locked and loaded, in bulk; one loader a collection."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from inspections import fold
from inspections.inputs import AnswerPatch
from inspections.models import (
    ENDED,
    Blob,
    BlobHolder,
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
from inspections.rules import FOUND, normalise_place
from inspections.sayings import said_by_finding, said_by_statement
from safety import rows
from safety.access import today
from safety.models import Audience, Organisation, Person, Post, Role, Site
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
        return rows.pick_one(model, column, id=ids)

    return where


def _load_sites(world: World, ids: set[UUID]) -> Iterable[Need]:
    """Sites with their units, the approvers over each unit and its principals: on what only named persons may read, the
    former are named from the start, the latter by a notice."""
    cure = cure_of(world)
    sites = _with_units(rows.find(Site, id=ids))
    named = _posts(Role.APPROVER, world), _posts(Role.PRINCIPAL, world)
    paths = dict(rows.pick(Organisation, "id", "path", id={node for node, _ in named[0]}))
    for site in sites:
        world.put("sites", site)
        over = {node for node, path in paths.items() if site.unit.path.startswith(path)}
        cure.approvers[site.id] = {str(person) for node, person in named[0] if node in over}
        cure.principals[site.id] = {str(person) for node, person in named[1] if node == site.unit_id}
    return []


def _with_units(documents: list) -> list:
    """The same documents, each with its unit at hand."""
    units = {unit.id: unit for unit in rows.find(Organisation, id={document.unit_id for document in documents})}
    for document in documents:
        document.unit = units[document.unit_id]
    return documents


def _posts(role: Role, world: World) -> list[tuple[UUID, UUID]]:
    """(node, person) of the posts of a role in force today."""
    day = today(world.work.now)
    posts = rows.pick(Post, "node_id", "person_id", "from_on", "to_on", role=role)
    return [(node, person) for node, person, begins, ends in posts if begins <= day <= (ends or day)]


def _load_places(world: World, keys: set[PlaceKey]) -> Iterator[Need]:
    """What has ended at these places and what is open there; of a blank place, what is open and a person may mean.

    What only named persons may read stands alone: nothing attaches to it, nothing points to it.
    """
    cure = cure_of(world)
    there = _items_at(("site_id", "item_code", "place_key"), {key for key in keys if key[2]})
    meant = _items_at(("site_id", "item_code"), {key[:2] for key in keys if not key[2]})
    ended = sorted((item for item in there if item.state not in OPEN), key=_by_end)
    for item in (*ended, *sorted((item for item in meant if item.state in OPEN), key=attrgetter("found_on", "id"))):
        _note(cure, item)
    still_open = rows.find(RectificationItem, id={item.id for item in there if item.state in OPEN})
    for item in sorted(still_open, key=attrgetter("found_on", "id")):
        world.put("rectifications", item)
        note_item(world, item)
        yield ("rectification_history", item.id)


class AtPlace(NamedTuple):
    """What must be known of an item to say whether a finding belongs to it."""

    id: UUID
    site_id: UUID
    item_code: str
    place_key: str
    state: str
    found_on: date
    closed_at: datetime | None
    audience: str


OPEN = {state.value for state in ItemState} - {state.value for state in ENDED}


def _by_end(item: AtPlace) -> tuple:
    """What was withdrawn ended at no known time: it says nothing, but that something stood here."""
    return (item.closed_at is not None, item.closed_at, item.id)


def _items_at(attributes: tuple[str, ...], keys: set[tuple]) -> list[AtPlace]:
    found = map(AtPlace._make, rows.pick_at(RectificationItem, *AtPlace._fields, at=attributes, keys=keys))
    return [item for item in found if item.audience != Audience.RESTRICTED]


def _note(cure: Cure, item: AtPlace | RectificationItem) -> None:
    there, now = cure.at[item.site_id, item.item_code], fold.Neighbour(item.id, item.place_key, fold.State(item.state))
    if item.id in there and there[item.id].is_open and not now.is_open:
        del there[item.id]  # what ended last is the newest of those that ended
    there[item.id] = now


def note_item(world: World, item: RectificationItem) -> None:
    """Files an item under its site and checklist item as it stands now: the next finding there goes by it."""
    if item.audience != Audience.RESTRICTED:
        _note(cure_of(world), item)


def neighbours(world: World, site_id: UUID, code: str) -> list[fold.Neighbour]:
    """The items of a site and checklist item that this unit knows of, oldest first."""
    return list(cure_of(world).at[site_id, code].values())


def places_in(site_id: UUID, answers: Mapping[str, Mapping]) -> list[Need]:
    """The places at which stored answers say that something is not in order."""
    return [
        ("places", (site_id, code, normalise_place(answer["result"].get("place", ""))))
        for code, answer in answers.items()
        if answer["result"] and answer["result"]["value"] in FOUND
    ]


def places_said(site_id: UUID, answers: Mapping[str, AnswerPatch]) -> list[Need]:
    """The places at which answers on their way say so."""
    return [
        ("places", (site_id, code, normalise_place(answer.result.place)))
        for code, answer in answers.items()
        if answer.result and answer.result.value in FOUND
    ]


def _load_items(world: World, ids: set[UUID]) -> Iterator[Need]:
    for item in _with_units(rows.find(RectificationItem, id=ids)):
        world.put("rectifications", item)
        yield ("rectification_history", item.id)
        yield ("places", (item.site_id, item.item_code, item.place_key))
        yield ("sites", item.site_id)


def _load_histories(world: World, ids: set[UUID]) -> Iterator[Need]:
    """Folds everything said about these items; what may have to open with them comes along."""
    cure = cure_of(world)
    said = defaultdict(list)
    for finding in sorted(rows.find(Finding, item_id=ids), key=lambda each: (each.item_id, each.ordinal)):
        item = world.get("rectifications", finding.item_id)
        cure.of_item[finding.item_id].append(finding)
        said[finding.item_id].append(said_by_finding(finding, repeat_of=item.repeats_id))
        if finding.quick_hazard_id:
            yield ("quick_hazards", finding.quick_hazard_id)
        if finding.inspection_id and finding.fixed_on_spot:
            yield ("photos_of", finding.inspection_id)
    for statement in sorted(rows.find(Statement, item_id=ids), key=attrgetter("ordinal")):
        world.put("statements", statement)
        said[statement.item_id].append(said_by_statement(statement))
        if world.get("rectifications", statement.item_id).audience != Audience.SHARED:
            yield ("photos_of", statement.id)
    for item_id in ids:
        cure.states[item_id] = fold.fold(said[item_id]).item


def _load_inspections(world: World, ids: set[UUID]) -> Iterator[Need]:
    cure = cure_of(world)
    for visit in _with_units(rows.find(Inspection, id=ids)):
        world.put("inspections", visit)
        yield ("sites", visit.site_id)
        yield from places_in(visit.site_id, visit.answers)
        for answers in world.store["said"].get(visit.id, ()):
            yield from places_said(visit.site_id, answers)
        yield ("versions", visit.version_id)
        yield ("photos_of", visit.id)
        yield ("beside", visit.id)
        if visit.task_id:
            yield ("tasks", visit.task_id)
    for finding in rows.find(Finding, inspection_id=ids):
        cure.of_visit[finding.inspection_id].append(finding)
        yield ("rectifications", finding.item_id)


def _load_photos_of(world: World, ids: set[UUID]) -> Iterable[Need]:
    cure = cure_of(world)
    for photo in rows.find(Photo, subject_id=ids):
        cure.photos_of[photo.subject_id].append(world.put("photos", photo))
    return []


def _load_beside(world: World, ids: set[UUID]) -> Iterator[Need]:
    """Conflicts, submissions and what was said of these visits: they open with the visit, and the record says which
    hands it lacks."""
    for conflict in rows.find(Conflict, target_id=ids, target_collection=Inspection.collection):
        world.put("conflicts", conflict)
        if conflict.group.endswith(".result"):  # what lost at another place is a finding there
            site_id, code = world.get("inspections", conflict.target_id).site_id, conflict.group.split(".")[1]
            yield from places_in(site_id, {code: {"result": conflict.lost}})
    for submission in rows.find(Submission, inspection_id=ids):
        world.put("submissions", submission)
    for statement in rows.find(Statement, inspection_id=ids):
        world.put("statements", statement)
        if statement.kind == StatementKind.SIGNATURE:
            yield ("photos_of", statement.id)


def _load_photos(world: World, ids: set[UUID]) -> Iterable[Need]:
    for photo in rows.find(Photo, id=ids):
        world.put("photos", photo)
    return []


def _load_quick_hazards(world: World, ids: set[UUID]) -> Iterator[Need]:
    for hazard in rows.find(QuickHazard, id=ids):
        world.put("quick_hazards", hazard)
        yield ("photos_of", hazard.id)
        yield ("rectifications", hazard.item_id)


def _load_hazard_items(world: World, ids: set[UUID]) -> Iterator[Need]:
    """The checklist items that quick hazards name: those of their visits, else the catalogue's."""
    for visit_id, code in rows.pick(QuickHazard, "inspection_id", "item_code", id=ids):
        yield ("inspections", visit_id)
        yield ("catalogue", code or None)


def _load_versions(world: World, ids: set[UUID]) -> Iterable[Need]:
    for version in rows.find(TemplateVersion, id=ids):
        world.put("versions", version)
    return []


def _load_catalogue(world: World, codes: set[str]) -> Iterable[Need]:
    """Items as the catalogue has them today, for what names an item outside any visit."""
    cure_of(world).catalogue |= {item.code: item for item in rows.find(ChecklistItem, code=codes)}
    return []


def _load_tasks(world: World, ids: set[UUID]) -> Iterable[Need]:
    for task in rows.find(Task, id=ids):
        world.put("tasks", task)
    return []


def _load_statements(world: World, ids: set[UUID]) -> Iterator[Need]:
    for statement in rows.find(Statement, id=ids):
        world.put("statements", statement)
        yield ("rectifications", statement.item_id)
        yield ("inspections", statement.inspection_id)


def _load_conflicts(world: World, ids: set[UUID]) -> Iterator[Need]:
    for conflict in rows.find(Conflict, id=ids):
        world.put("conflicts", conflict)
        if conflict.target_collection == "inspections":
            yield ("inspections", conflict.target_id)


def _load_submissions(world: World, ids: set[UUID]) -> Iterable[Need]:
    for submission in rows.find(Submission, id=ids):
        world.put("submissions", submission)
    return []


def meet_bytes(person_id: UUID) -> None:
    """A person's photos and the bytes of them queue here, whichever comes first: each must see the other."""
    rows.lock(Person, id=person_id)


def _load_blobs(world: World, hashes: set[str]) -> Iterable[Need]:
    """Bytes that the author has brought; those that no photo shows may be sealed."""
    meet_bytes(world.sight.person_id)
    cure = cure_of(world)
    brought = rows.pick_one(BlobHolder, "blob_id", blob_id=hashes, person_id=world.sight.person_id)
    held = rows.find(Blob, sha256=brought, destroyed_at=None, lock=True)  # what is linked now is not swept meanwhile
    linked = rows.pick_one(Photo, "sha256", sha256={blob.sha256 for blob in held})
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
