"""Findings become rectification items, or attach to the one that is open at their place; who must know is decided here."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from inspections import fold, rules
from inspections.loading import cure_of, neighbours, note_item
from inspections.models import Finding, Inspection, Photo, QuickHazard, RectificationItem, Statement
from inspections.sayings import said_by_finding
from safety import rows
from safety.access import today
from safety.alerts import Urgency
from safety.ids import following_id
from safety.models import Audience, Severity, Site
from safety.models.organisation import SITE_CODE_LETTERS
from safety.verbs import Saying, World

SEVERITIES = {rules.FindingKind.INCIDENT: Severity.INCIDENT}
LETTERS = bytes(ord(SITE_CODE_LETTERS[each % len(SITE_CODE_LETTERS)]) for each in range(256))
STATE_FACTS = ("extended", "suspended", "listed", "repeated", "looked_back", "rebound", "fixed_on_spot", "judged")


class Proposal(Struct, frozen=True, kw_only=True):
    """One thing not in order at one place, about to become a finding."""

    item_code: str
    kind: rules.FindingKind
    grade: rules.Grade
    place: str
    text: str
    fixed: bool = False
    requirement: str = ""
    bases: list = []
    restricted: bool = False


def attach(
    world: World,
    saying: Saying,
    proposal: Proposal,
    *,
    site: Site,
    visit: Inspection | None = None,
    hazard: QuickHazard | None = None,
    revisit: Statement | None = None,
    named: Iterable[str] = (),
) -> RectificationItem:
    """Makes the finding, on the open item of its place or on a new one, and tells whom it concerns.

    What only named persons may read always stands alone, on an item of their own.
    """
    place_key = rules.normalise_place(proposal.place)
    where = fold.Attachment()
    if not proposal.restricted:
        where = fold.where_to_attach(place_key, neighbours(world, site.id, proposal.item_code))
    if visit is not None:
        finding_id = following_id(visit.id, f"{proposal.item_code}/{place_key}/{proposal.fixed}")
    else:
        finding_id = following_id((hazard or revisit).id, "finding")
    item = world.get("rectifications", where.to)
    if item is None:
        item_id = _item_id(world, proposal, finding_id, site=site, place_key=place_key)
        item = _new_item(saying, proposal, where, item_id, site=site, place_key=place_key, named=named)
    finding = rows.new(
        Finding,
        id=finding_id,
        item_id=item.id,
        ordinal=item.next_ordinal,
        inspection_id=visit.id if visit else None,
        quick_hazard_id=hazard.id if hazard else None,
        revisit_id=revisit.id if revisit else None,
        item_code=proposal.item_code,
        kind=proposal.kind,
        grade=proposal.grade,
        place=proposal.place,
        place_key=place_key,
        text=proposal.text,
        fixed_on_spot=proposal.fixed,
        found_by_id=world.work.actor,
        found_at=saying.said_at,
    )
    effect = _hear(world, item, finding)
    moved = where.to is None or effect.verdict is fold.Verdict.MOVED
    word = f"rectification.{item.state}" if moved else "rectification.found_again"
    world.say(item, word, saying, urgency=urgency_of(world, saying, proposal, site=site, item=item))
    return item


def _hear(world: World, item: RectificationItem, finding: Finding) -> fold.Effect:
    """What the finding does to its item."""
    cure = cure_of(world)
    photos = photos_behind(world, finding) if finding.fixed_on_spot else ()
    said = said_by_finding(finding, photos=photos, repeat_of=item.repeats_id)
    state, effect = fold.step(cure.states.get(item.id), said)
    item.last_ordinal, item.next_ordinal = finding.ordinal, item.next_ordinal + 1
    finding.verdict = effect.verdict
    world.work.insert(finding)
    world.put("rectifications", item)
    cure.of_item[item.id].append(finding)
    if finding.inspection_id is not None:
        cure.of_visit[finding.inspection_id].append(finding)
    take_state(world, item, state)
    return effect


def photos_behind(world: World, finding: Finding) -> list[Photo]:
    """The photos of a finding's checklist item on its visit, and those of the quick hazard that told it."""
    photos_of = cure_of(world).photos_of
    of_visit = photos_of[finding.inspection_id] if finding.inspection_id else ()
    of_hazard = photos_of[finding.quick_hazard_id] if finding.quick_hazard_id else ()
    return [each for each in of_visit if each.item_code == finding.item_code] + [*of_hazard]


def _item_id(world: World, proposal: Proposal, finding_id: UUID, *, site: Site, place_key: str) -> UUID:
    """One item after the other stands at a place, whoever tells first; what stands alone follows from its finding."""
    if proposal.restricted or not place_key:
        return following_id(finding_id, "item")
    before = [each for each in neighbours(world, site.id, proposal.item_code) if each.place_key == place_key]
    return following_id(site.id, f"{proposal.item_code}/{place_key}/{len(before)}")


def _new_item(
    saying: Saying,
    proposal: Proposal,
    where: fold.Attachment,
    item_id: UUID,
    *,
    site: Site,
    place_key: str,
    named: Iterable[str],
) -> RectificationItem:
    item = rows.new(
        RectificationItem,
        id=item_id,
        number=number_of(item_id, saying.said_at),
        item_code=proposal.item_code,
        place=proposal.place,
        place_key="" if proposal.restricted else place_key,
        text=proposal.text,
        requirement=proposal.requirement,
        bases=proposal.bases,
        found_on=today(saying.said_at),
        repeats_id=where.repeat_of,
        suggests_id=where.suggests,
        audience=Audience.RESTRICTED if proposal.restricted else Audience.BUREAU,
        named=sorted(named),
    )
    item.stand_at(site)
    return item


def number_of(item_id: UUID, found_at: datetime) -> str:
    """ZG, the day, eight letters that can be read aloud; 39 bits a day, and the table is unique.

    They follow from the id: what stands on a printed notice stays true when the item is told again.
    """
    letters = hashlib.sha256(item_id.bytes).digest()[:8].translate(LETTERS).decode()
    return f"ZG{today(found_at).isoformat()[2:].replace('-', '')}-{letters}"


def take_state(world: World, item: RectificationItem, state: fold.ItemState) -> None:
    """The fold's result becomes the item's, in its columns and for what this unit decides next."""
    was_closed = item.state == fold.State.CLOSED
    cure_of(world).states[item.id] = state
    item.state, item.grade, item.kind = state.state, state.grade, state.kind
    item.round, item.evidence_hash, item.due_on = state.round, state.evidence_hash, state.due
    item.facts = facts_of(world, item, state)
    if item.state != fold.State.CLOSED:
        item.closed_at = None
    elif not was_closed:
        item.closed_at = world.work.now
    note_item(world, item)


def facts_of(world: World, item: RectificationItem, state: fold.ItemState) -> dict[str, Any]:
    """What stands beside the state, as JSON: only what is so. `flags` are codes, worded by `rules.flag_words`."""
    facts: dict[str, Any] = {name: True for name in STATE_FACTS if getattr(state, name)}
    if state.departments:
        facts["departments"] = list(state.departments)
    if state.extended_to:
        facts["extended_to"] = state.extended_to.isoformat()
    if state.linked:
        facts["linked"] = [str(each) for each in state.linked]
    if state.passes and state.is_open:
        facts["passed_by"] = [str(each) for each in state.passed_by]
    if flags := _flags(world, item):
        facts["flags"] = flags
    return facts


def _flags(world: World, item: RectificationItem) -> list[str]:
    """What the findings of an item lack: those fixed on the spot show it by photos from before and after."""
    fixed = [finding for finding in cure_of(world).of_item[item.id] if finding.fixed_on_spot]
    told = [said_by_finding(finding, photos=photos_behind(world, finding)) for finding in fixed]
    return sorted({flag for said in told for flag in fold.step(None, said)[1].flags})


def supplement(world: World, saying: Saying, items: Iterable[UUID]) -> None:
    """A photo that came later may be the one that a finding lacked: its item says so."""
    for item_id in {*items}:
        item = world.get("rectifications", item_id)
        facts = facts_of(world, item, cure_of(world).states[item_id])
        if facts != item.facts:
            item.facts = facts
            world.say(item, "rectification.supplemented", saying, urgency=None)


def urgency_of(
    world: World, saying: Saying, proposal: Proposal, *, site: Site, item: RectificationItem
) -> Urgency | None:
    """Whether the duty desk must know of this finding at once (regulations §2.2 no. 2)."""
    if not rules.wakes_the_desk(proposal.kind, proposal.grade):
        return None
    place = f" · {proposal.place}" if proposal.place else ""
    told = f"{site.unit.name} · {site.name}{place}:{proposal.text}"
    if proposal.restricted:
        told = f"{site.unit.name}:{proposal.item_code or '有情况上报'},请到系统内查看。"
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


def other_open(world: World, item: RectificationItem) -> UUID | None:
    """Another open item on the key of an ended one."""
    return fold.open_on_key(item.place_key, neighbours(world, item.site_id, item.item_code), but=item.id)
