"""随手拍: a hazard told by itself. It becomes a finding at once."""

from inspections import rules
from inspections.actions.findings import Proposal, attach
from inspections.loading import cure_of
from inspections.models import QuickHazard
from safety.errors import IdTaken
from safety.models import Audience, Site
from safety.verbs import Outcome, Saying, World


def decide_quick_hazard(world: World, saying: Saying) -> Outcome:
    """`quick_hazards.create`. Raises Wait (site unknown or unseen), NotAllowed, IdTaken."""
    said = saying.input
    existing = world.get("quick_hazards", saying.doc_id)
    if existing is not None:
        if (existing.author_id, existing.text, existing.site_id) != (world.work.actor, said.text, said.site_id):
            raise IdTaken()
        return Outcome("applied", doc=existing)
    site = world.seen("sites", said.site_id, saying)
    _require_there(world, saying, site)
    kind, grade = rules.FindingKind(said.kind), rules.Grade(said.grade)
    hazard = QuickHazard(
        id=saying.doc_id,
        inspection_id=said.inspection_id,
        item_code=said.item_code,
        kind=kind,
        grade=grade,
        place=said.place,
        place_key=rules.normalise_place(said.place),
        text=said.text,
        fixed=said.fixed,
        author_id=world.work.actor,
        said_at=saying.said_at,
        audience=Audience.BUREAU,
    )
    hazard.stand_at(site)
    restricted = kind == rules.FindingKind.INCIDENT
    if restricted:
        hazard.audience, hazard.named = (
            Audience.RESTRICTED,
            sorted({str(world.work.actor), *cure_of(world).approvers[site.id]}),
        )
    world.put("quick_hazards", hazard)
    entry = world.say(hazard, "quick_hazard.told", saying, urgency=None)
    proposal = Proposal(
        item_code=said.item_code,
        kind=kind,
        grade=grade,
        place=said.place,
        text=said.text,
        fixed=said.fixed,
        restricted=restricted,
    )
    hazard.item_id = attach(world, saying, proposal, site=site, hazard=hazard, named=hazard.named).id
    return Outcome("applied", doc=hazard, entry=entry)


def _require_there(world: World, saying: Saying, site: Site) -> None:
    """A post over the site, or a part in the visit there that the hazard names. Raises NotAllowed."""
    visit = world.get("inspections", saying.input.inspection_id)
    if visit is not None and visit.site_id == site.id and str(world.work.actor) in visit.participants:
        world.require_held(site, saying)
    else:
        world.require(site, saying)
