"""Findings become rectification items, or attach to the one that is open at their place; who must know is decided here."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from inspections import fold, rules
from inspections.loading import Cure, cure_of, note_open
from inspections.models import Finding, Inspection, QuickHazard, RectificationItem
from inspections.sayings import said_by_finding
from safety.access import today
from safety.alerts import Urgency
from safety.ids import new_id
from safety.models import Audience, Severity, Site
from safety.models.organisation import SITE_CODE_LETTERS
from safety.verbs import Saying, World

SEVERITIES = {rules.FindingKind.INCIDENT: Severity.INCIDENT}
STATE_FACTS = ("extended", "suspended", "listed", "repeated", "looked_back", "rebound", "fixed_on_spot")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One thing not in order at one place, about to become a finding."""

    item_code: str
    kind: rules.FindingKind
    grade: rules.Grade
    place: str
    text: str
    fixed: bool = False
    requirement: str = ""
    bases: list = field(default_factory=list)
    restricted: bool = False


def attach(
    world: World,
    saying: Saying,
    proposal: Proposal,
    *,
    site: Site,
    visit: Inspection | None = None,
    hazard: QuickHazard | None = None,
    named: list[str] = (),
) -> RectificationItem:
    """Makes the finding, on the open item of its place or on a new one, and tells whom it concerns."""
    cure = cure_of(world)
    key = (site.id, proposal.item_code, rules.normalise_place(proposal.place))
    item = cure.open_at.get(key) if key[2] and not proposal.restricted else None
    finding = Finding(
        id=new_id(),
        inspection=visit,
        quick_hazard=hazard,
        item_code=proposal.item_code,
        kind=proposal.kind,
        grade=proposal.grade,
        place=proposal.place,
        place_key=key[2],
        text=proposal.text,
        fixed_on_spot=proposal.fixed,
        found_by_id=world.work.actor,
        found_at=saying.said_at,
    )
    fresh = item is None
    if fresh:
        item = _new_item(world, saying, proposal, site=site, place_key=key[2], named=list(named))
    finding.item, finding.ordinal = item, item.next_ordinal
    item.next_ordinal += 1
    state, effect = fold.step(cure.states.get(item.id), said_by_finding(finding))
    finding.verdict = effect.verdict
    world.work.insert(finding)
    cure.states[item.id] = state
    cure.of_item[item.id].append(finding)
    if visit is not None:
        cure.of_visit[visit.id].append(finding)
    take_state(item, state, now=world.work.now)
    if item.state not in fold.ENDED:
        note_open(world, item)
    word = (
        f"rectification.{item.state}" if fresh or effect.verdict is fold.Verdict.MOVED else "rectification.found_again"
    )
    world.say(item, word, saying, urgency=urgency_of(world, saying, proposal, site=site, item=item))
    return item


def _new_item(world: World, saying: Saying, proposal: Proposal, *, site: Site, place_key: str, named: list[str]):
    cure = cure_of(world)
    older = cure.newest_at.get((site.id, proposal.item_code)) if not place_key else None
    item = RectificationItem(
        id=new_id(),
        number=new_number(saying.said_at),
        item_code=proposal.item_code,
        place=proposal.place,
        place_key=place_key,
        text=proposal.text,
        requirement=proposal.requirement,
        bases=proposal.bases,
        found_on=today(saying.said_at),
        repeats_id=cure.ended_at.get((site.id, proposal.item_code, place_key)) if place_key else None,
        suggests_id=older,
        audience=Audience.RESTRICTED if proposal.restricted else Audience.BUREAU,
        named=named,
    )
    item.stand_at(site)
    world.put("rectifications", item)
    return item


def new_number(found_at: datetime) -> str:
    """ZG, the day, eight letters that can be read aloud; 39 bits a day, and the table is unique."""
    letters = "".join(SITE_CODE_LETTERS[each % len(SITE_CODE_LETTERS)] for each in secrets.token_bytes(8))
    return f"ZG{today(found_at):%y%m%d}-{letters}"


def take_state(item: RectificationItem, state: fold.ItemState, *, now: datetime) -> None:
    """Writes the fold's result into the item's columns."""
    was_closed = item.state == fold.State.CLOSED
    item.state, item.grade, item.kind = state.state, state.grade, state.kind
    item.round, item.evidence_hash, item.due_on = state.round, state.evidence_hash, state.due
    item.facts = {name: True for name in STATE_FACTS if getattr(state, name)}
    if item.repeats_id:
        item.facts["repeated"] = True
    if state.departments:
        item.facts["departments"] = list(state.departments)
    if state.extended_to:
        item.facts["extended_to"] = state.extended_to.isoformat()
    if state.linked:
        item.facts["linked"] = [str(each) for each in state.linked]
    if item.state == fold.State.CLOSED:
        item.closed_at = item.closed_at if was_closed else now
    else:
        item.closed_at = None


def urgency_of(
    world: World, saying: Saying, proposal: Proposal, *, site: Site, item: RectificationItem
) -> Urgency | None:
    """Whether the duty desk must know of this finding at once (regulations §2.2 no. 2)."""
    if not rules.wakes_the_desk(proposal.kind, proposal.grade):
        return None
    place = f" · {proposal.place}" if proposal.place else ""
    told = f"{site.unit.name} · {site.name}{place}:{proposal.text}"
    if proposal.restricted:
        told = f"{site.unit.name}:{proposal.item_code},请到系统内查看。"
    return Urgency(
        level="alert",
        severity=SEVERITIES.get(proposal.kind, Severity.MAJOR),
        organisation_id=item.unit_id,
        site_id=site.id,
        dedupe_key=dedupe_key(item),
        sentence=told[:300],
        subject_collection=item.collection,
        subject_id=item.id,
        said_at=saying.said_at,
        body=saying.body,
        operation=saying.op_id,
        fixed_since=True if proposal.fixed else None,
    )


def dedupe_key(item: RectificationItem) -> str:
    """Under which an alert of this item's place is told once (design §6)."""
    return f"{item.unit_id}/{item.site_id}/{item.item_code}/{item.place_key or item.id}"


def other_open(cure: Cure, item: RectificationItem) -> UUID | None:
    """Another open item on the key of an ended one."""
    if not item.place_key:
        return None
    other = cure.open_at.get((item.site_id, item.item_code, item.place_key))
    return other.id if other is not None and other.id != item.id else None
