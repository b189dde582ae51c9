"""随手拍: a hazard told by itself. It becomes a finding at once, or stands behind the one that its visit has made of it."""

from inspections import rules
from inspections.actions.findings import Proposal, attach
from inspections.catalogue import RESTRICTED_AREAS
from inspections.checklist import items_of
from inspections.frozen import FrozenItem
from inspections.loading import cure_of
from inspections.models import ChecklistItem, Finding, Inspection, QuickHazard, RectificationItem
from safety.errors import IdTaken
from safety.models import Audience, Site
from safety.verbs import Outcome, Saying, World


def decide_quick_hazard(world: World, saying: Saying) -> Outcome:
    """`quick_hazards.create`. Raises Wait (site unknown or unseen), NotAllowed, IdTaken.

    It may name a visit and a checklist item. A visit that is not there yet, or not the author's, holds nothing up: who
    must know of a hazard does not wait for it.
    """
    said = saying.input
    existing = world.get("quick_hazards", saying.doc_id)
    if existing is not None:
        if (existing.author_id, existing.text, existing.site_id) != (world.work.actor, said.text, said.site_id):
            raise IdTaken()
        return Outcome("applied", doc=existing)
    site = world.seen("sites", said.site_id, saying)
    visit = _own_visit(world, saying, site)
    if visit is None:
        world.require(site, saying)
    else:  # who takes part in the visit there needs no post over the site
        world.require_held(site, saying)
    proposal = _proposal(world, saying, visit)
    hazard = _hazard(world, saying, site, visit, proposal)
    world.put("quick_hazards", hazard)
    entry = world.say(hazard, "quick_hazard.told", saying, urgency=None)
    item = _find(world, saying, proposal, site, visit, hazard)
    hazard.item_id = item.id
    if item.audience == Audience.SHARED:
        hazard.audience = item.audience  # the school has had its notice already
    return Outcome("applied", doc=hazard, entry=entry)


def _own_visit(world: World, saying: Saying, site: Site) -> Inspection | None:
    visit = world.get("inspections", saying.input.inspection_id)
    if visit is None or visit.site_id != site.id or world.sight_for(visit, saying) is None:
        return None
    return visit if str(world.work.actor) in visit.participants else None


def named_item(world: World, visit: Inspection | None, code: str) -> FrozenItem | ChecklistItem | None:
    """The checklist item that a code means: of the visit's own checklist, else as the catalogue has it today."""
    of_visit = items_of(world, visit).get(code) if visit is not None else None
    return of_visit or cure_of(world).catalogue.get(code)


def _proposal(world: World, saying: Saying, visit: Inspection | None) -> Proposal:
    """What the author says, but for what a checklist has settled: what is listed in the guide (◎) is a candidate, what
    is an incident stays one, and what only named persons may read stays with them (regulations §2.2, design §2)."""
    said = saying.input
    kind, grade = rules.FindingKind(said.kind), rules.Grade(said.grade)
    item = named_item(world, visit, said.item_code)
    if item is not None and item.grade == rules.FindingKind.INCIDENT:
        kind = rules.FindingKind.INCIDENT
    elif item is not None and item.listed and kind is rules.FindingKind.HAZARD:
        grade = rules.higher(grade, rules.Grade.MAJOR_CANDIDATE)
    restricted = kind is rules.FindingKind.INCIDENT or (item is not None and item.area in RESTRICTED_AREAS)
    return Proposal(
        item_code=said.item_code,
        kind=kind,
        grade=grade,
        place=said.place,
        text=said.text,
        fixed=said.fixed,
        requirement=item.text[:300] if item is not None else "",
        restricted=restricted or (visit is not None and visit.audience == Audience.RESTRICTED),
    )


def _hazard(world: World, saying: Saying, site: Site, visit: Inspection | None, proposal: Proposal) -> QuickHazard:
    said = saying.input
    hazard = QuickHazard(
        id=saying.doc_id,
        inspection_id=said.inspection_id,
        item_code=said.item_code,
        kind=proposal.kind,
        grade=proposal.grade,
        place=said.place,
        place_key=rules.normalise_place(said.place),
        text=said.text,
        fixed=said.fixed,
        author_id=world.work.actor,
        said_at=saying.said_at,
        audience=Audience.RESTRICTED if proposal.restricted else Audience.BUREAU,
    )
    hazard.stand_at(site)
    if proposal.restricted:
        others = visit.participants if visit is not None else ()
        hazard.named = sorted({str(world.work.actor), *others, *cure_of(world).approvers[site.id]})
    return hazard


def _find(
    world: World, saying: Saying, proposal: Proposal, site: Site, visit: Inspection | None, hazard: QuickHazard
) -> RectificationItem:
    """Its item. A visit finds a thing at a place once: what it has found there already stands for the hazard as well,
    unless the hazard is the graver; what names no item or no place is a finding of its own (design §4)."""
    of_visit = visit if hazard.item_code and hazard.place_key else None
    found = _found_in(world, of_visit, hazard) if of_visit is not None else None
    if found is None:
        return attach(world, saying, proposal, site=site, visit=of_visit, hazard=hazard, named=hazard.named)
    says_it = found.kind == proposal.kind and rules.Grade(found.grade).rank >= proposal.grade.rank
    if found.quick_hazard_id is not None or not says_it:
        return attach(world, saying, proposal, site=site, hazard=hazard, named=hazard.named)
    found.quick_hazard_id = hazard.id
    world.work.update(found)
    return world.get("rectifications", found.item_id)


def _found_in(world: World, visit: Inspection, hazard: QuickHazard) -> Finding | None:
    key = (hazard.item_code, hazard.place_key, hazard.fixed)
    found = cure_of(world).of_visit[visit.id]
    return next((each for each in found if (each.item_code, each.place_key, each.fixed_on_spot) == key), None)
