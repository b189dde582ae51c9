"""What is said about a rectification item: each a new document of its author, placed by the fold under the item's lock."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from inspections import fold, rules
from inspections.actions.findings import Proposal, attach, other_open, take_state
from inspections.loading import cure_of
from inspections.models import RectificationItem, Statement, StatementKind
from inspections.sayings import said_by_statement
from safety.access import APPROVERS, today
from safety.alerts import Urgency
from safety.errors import IdTaken, Invalid
from safety.models import Audience, Site
from safety.verbs import Outcome, Saying, World

STATUS = {fold.Verdict.SUPERSEDED: "superseded"}


def decide_statement(kind: StatementKind) -> Callable[[World, Saying], Outcome]:
    """The decision of `<kind>.create`. Raises NotAllowed, Invalid, IdTaken, Wait; at the web also Stale and 422s."""

    def decide(world: World, saying: Saying) -> Outcome:
        existing = world.get("statements", saying.doc_id)
        if existing is not None:
            return _said_before(world, saying, existing)
        item = world.seen("rectifications", saying.input.rectification_id, saying)
        world.require(item, saying)
        return hear_statement(world, saying, kind, item)

    return decide


def _said_before(world: World, saying: Saying, existing: Statement) -> Outcome:
    if existing.author_id != world.work.actor or existing.content != content_of(saying):
        raise IdTaken()
    return Outcome("applied", doc=existing)


def hear_statement(world: World, saying: Saying, kind: StatementKind, item: RectificationItem) -> Outcome:
    """Gives the statement its ordinal, asks the fold what it does, and says what moved."""
    cure = cure_of(world)
    state = cure.states[item.id]
    _require_person(world, saying, kind, item, state)
    statement = Statement(
        id=saying.doc_id,
        kind=kind,
        item=item,
        unit_id=item.unit_id,
        ordinal=item.next_ordinal,
        author_id=world.work.actor,
        said_at=saying.said_at,
        source=saying.source,
        content=content_of(saying),
        audience=_audience(saying, kind, item),
        keys=item.keys,
        named=item.named,
    )
    if kind == StatementKind.NOTICE and statement.content.get("due_on") is None:
        statement.content["due_on"] = rules.due_on(rules.Grade(item.grade), today(world.work.now)).isoformat()
    after, effect = fold.step(state, said_by_statement(statement), other_open=other_open(cure, item))
    refused = fold.refusal(effect, item.rev)
    if refused is not None and saying.source == "web":
        raise refused
    if effect.attached_to:
        statement.content["attached_to"] = str(effect.attached_to)
    statement.verdict, statement.problem_code = effect.verdict, effect.code
    item.next_ordinal += 1
    cure.states[item.id] = after
    take_state(item, after, now=world.work.now)
    world.put("statements", statement)
    entry = world.say(statement, f"{kind.name.lower()}.said", saying, urgency=None)
    if kind == StatementKind.NOTICE:
        _share(world, saying, item)
    if effect.attached_to:
        _attach_elsewhere(world, saying, item, effect.attached_to)
    if after == state and kind != StatementKind.NOTICE:
        world.work.update(item)
    else:
        word = effect.after if effect.verdict is fold.Verdict.MOVED else "added"
        world.say(item, f"rectification.{word}", saying, urgency=_urgency(saying, kind, item))
    return Outcome(STATUS.get(effect.verdict, "applied"), doc=statement, entry=entry, problem=refused)


def content_of(saying: Saying) -> dict:
    """The input as JSON values, without the item that a column names."""
    content = msgspec.to_builtins(saying.input)
    content.pop("rectification_id", None)
    content.pop("inspection_id", None)
    return content


def _require_person(world: World, saying: Saying, kind: StatementKind, item, state: fold.ItemState) -> None:
    sight = world.sight_for(item, saying) or world.sight
    is_approver = bool(sight.roles_at(item.keys or [item.unit_id]) & APPROVERS)
    if kind == StatementKind.REVISIT:
        own_side = [post.node_id for post in sight.posts if post.side == "unit"]
        units = [UUID(key) for key in item.keys] + [item.unit_id]
        fold.require_revisit(state, by=world.work.actor, units=units, unit_side_posts=own_side)
        if not saying.input.passed and not saying.input.reason:
            raise Invalid(errors=[{"field": "reason", "code": "required", "detail": "复查不合格须写明原因。"}])
    elif kind == StatementKind.CLOSURE:
        fold.require_closure(is_approver=is_approver)
    elif kind == StatementKind.JUDGEMENT:
        fold.require_judgement(is_approver=is_approver)
    elif kind == StatementKind.DECISION:
        fold.require_decision(is_approver=is_approver)


def _audience(saying: Saying, kind: StatementKind, item: RectificationItem) -> str:
    if item.audience == Audience.RESTRICTED:
        return Audience.RESTRICTED
    if kind == StatementKind.NOTICE:
        return Audience.SHARED
    if kind == StatementKind.COMMENT and saying.input.audience == "bureau":
        return Audience.BUREAU
    return item.audience


def _share(world: World, saying: Saying, item: RectificationItem) -> None:
    """A notice shows the school the item, what else was said of it, the quick hazards behind it and their photos."""
    if item.audience != Audience.BUREAU:
        return
    cure = cure_of(world)
    item.audience = Audience.SHARED
    hazards = {
        finding.quick_hazard_id: finding.quick_hazard for finding in cure.of_item[item.id] if finding.quick_hazard_id
    }
    for hazard_id in hazards:
        hazard = world.get("quick_hazards", hazard_id) or hazards[hazard_id]
        share_document(world, hazard, "quick_hazard.shared")
        for photo in cure.photos_of[hazard_id]:
            share_photo(world, photo)
    for statement in list(world.rows["statements"].values()):
        mine = statement.item_id == item.id and statement.audience == Audience.BUREAU
        if mine and statement.kind != StatementKind.COMMENT:
            share_document(world, statement, "statement.shared")


def share_document(world: World, doc, kind: str) -> None:
    """Opens a document of the bureau to the school: a technical change, nothing of what was said moves."""
    if doc.audience == Audience.BUREAU:
        doc.audience = Audience.SHARED
        world.work.say(doc, kind, body=None, urgency=None)


def share_photo(world: World, photo) -> None:
    """Photos of covers (`cover_only` items) stay with the bureau (design §2)."""
    if not photo.cover_only:
        share_document(world, photo, "photo.shared")


def _attach_elsewhere(world: World, saying: Saying, item: RectificationItem, other_id: UUID) -> None:
    other = world.get("rectifications", other_id)
    site: Site = world.get("sites", other.site_id)
    proposal = Proposal(
        item_code=item.item_code,
        kind=rules.FindingKind(item.kind),
        grade=min(rules.Grade(item.grade), rules.Grade.MAJOR_CANDIDATE, key=lambda grade: grade.rank),
        place=item.place,
        text=saying.input.reason,
    )
    newest = cure_of(world).of_item[item.id][-1]
    attach(world, saying, proposal, site=site, hazard=newest.quick_hazard, visit=newest.inspection)


def _urgency(saying: Saying, kind: StatementKind, item: RectificationItem) -> Urgency | None:
    if kind != StatementKind.NOTICE:
        return None
    due = f",请于 {item.due_on.month}月{item.due_on.day}日前整改" if item.due_on else ""
    return Urgency(
        level="notice",
        severity="",
        organisation_id=item.unit_id,
        site_id=item.site_id,
        dedupe_key="",
        sentence=f"整改通知 {item.number}{due}。",
        subject_collection="rectifications",
        subject_id=item.id,
        said_at=saying.said_at,
        body=saying.body,
        operation=saying.op_id,
    )


def decide_comment(world: World, saying: Saying) -> Outcome:
    """A comment on an item, or on a visit."""
    return _on_either(world, saying, StatementKind.COMMENT)


def decide_signature(world: World, saying: Saying) -> Outcome:
    """A hand under a visit (each inspector's own, the school's with its opinion, or its refusal), or under an item."""
    if saying.input.opinion == "refused" and not (saying.input.text and saying.input.witness):
        missing = "witness" if saying.input.text else "text"
        raise Invalid(errors=[{"field": missing, "code": "required", "detail": "拒签须写明理由和见证人。"}])
    return _on_either(world, saying, StatementKind.SIGNATURE)


def _on_either(world: World, saying: Saying, kind: StatementKind) -> Outcome:
    if (saying.input.inspection_id is None) == (saying.input.rectification_id is None):
        raise Invalid(
            errors=[{"field": "inspection_id", "code": "one-of", "detail": "须指明一次检查或一个整改项,只能一个。"}]
        )
    if saying.input.rectification_id is not None:
        return decide_statement(kind)(world, saying)
    existing = world.get("statements", saying.doc_id)
    if existing is not None:
        return _said_before(world, saying, existing)
    visit = world.seen("inspections", saying.input.inspection_id, saying)
    if str(world.work.actor) in visit.participants:
        world.require_held(visit, saying)
    else:
        world.require(visit, saying)
    audience = visit.audience
    if kind == StatementKind.COMMENT and audience == Audience.SHARED:
        audience = saying.input.audience
    statement = Statement(
        id=saying.doc_id,
        kind=kind,
        inspection=visit,
        unit_id=visit.unit_id,
        author_id=world.work.actor,
        said_at=saying.said_at,
        source=saying.source,
        verdict=fold.Verdict.KEPT,
        content=content_of(saying),
        audience=audience,
        keys=visit.keys,
        named=visit.named,
    )
    world.put("statements", statement)
    entry = world.say(statement, f"{kind.name.lower()}.said", saying, urgency=None)
    if kind == StatementKind.SIGNATURE:
        world.store.setdefault("supplemented", {})[visit.id] = saying
    return Outcome("applied", doc=statement, entry=entry)
