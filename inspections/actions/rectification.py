"""What is said about a rectification item: each a new document of its author, placed by the fold under the item's lock."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from inspections import fold, inputs, rules
from inspections.actions.findings import Proposal, attach, other_open, take_state
from inspections.actions.sharing import open_to_school
from inspections.loading import cure_of
from inspections.models import Inspection, RectificationItem, Statement, StatementKind
from inspections.sayings import said_by_statement
from safety.access import APPROVERS, GRANTS, today
from safety.alerts import Urgency
from safety.errors import IdTaken, Invalid, NotAllowed
from safety.ids import following_id
from safety.models import Audience
from safety.verbs import Outcome, Saying, World

STATUS = {fold.Verdict.SUPERSEDED: "superseded"}
TALK = (StatementKind.COMMENT, StatementKind.SIGNATURE)
FILLED_IN = ("due_on", "attached_to")
NOTICE_WORDS = {"rectify": "整改通知", "list": "挂牌督办通知", "delist": "摘牌通知"}


def decide_statement(kind: StatementKind) -> Callable[[World, Saying], Outcome]:
    """The decision of `<kind>.create`. Raises NotAllowed, Invalid, IdTaken, Wait; at the web also Stale and 422s."""

    def decide(world: World, saying: Saying) -> Outcome:
        existing = world.get("statements", saying.doc_id)
        if existing is not None:
            return _said_before(world, saying, kind, existing)
        item = world.seen("rectifications", saying.input.rectification_id, saying)
        world.require(item, saying)
        return hear_statement(world, saying, kind, item)

    return decide


def _said_before(world: World, saying: Saying, kind: StatementKind, existing: Statement) -> Outcome:
    """The same said again under another operation is what it was; anything else under that id is refused."""
    said = (kind, world.work.actor, *_subject_of(saying.input))
    if (existing.kind, existing.author_id, existing.item_id, existing.inspection_id) != said:
        raise IdTaken()
    if _spoken(existing.content, saying) != _spoken(content_of(saying), saying):
        raise IdTaken()
    return Outcome(STATUS.get(existing.verdict, "applied"), doc=existing)


def _subject_of(said) -> tuple[UUID | None, UUID | None]:
    return said.rectification_id, getattr(said, "inspection_id", None)


def _spoken(content: dict, saying: Saying) -> dict:
    """A content without what we filled in where the saying left it open."""
    left_open = {name for name in FILLED_IN if getattr(saying.input, name, None) is None}
    return {name: value for name, value in content.items() if name not in left_open}


def hear_statement(world: World, saying: Saying, kind: StatementKind, item: RectificationItem) -> Outcome:
    """Gives the statement its ordinal, asks the fold what it does, and says what moved."""
    before = cure_of(world).states[item.id]
    _require_person(world, saying, kind, item, before)
    statement = _statement(world, saying, kind, item, before)
    after, effect = fold.step(before, said_by_statement(statement), other_open=other_open(world, item))
    refused = fold.refusal(effect, item.rev)
    if refused is not None and saying.source == "web":
        raise refused
    if effect.attached_to:
        statement.content["attached_to"] = str(effect.attached_to)
    statement.verdict, statement.problem_code = effect.verdict, effect.code
    item.next_ordinal += 1
    if kind == StatementKind.NOTICE:
        open_to_school(world, item)
    _set_readers(world, statement, item)
    take_state(world, item, after)
    world.put("statements", statement)
    entry = world.say(statement, f"{kind.name.lower()}.said", saying, urgency=None)
    if effect.attached_to:
        _attach_elsewhere(world, saying, item, statement, effect.attached_to)
    if kind in TALK:
        world.work.update(item)  # what the bureau says to itself must not show in an item that the school reads
    else:
        item.last_ordinal = statement.ordinal
        world.say(item, _word(before, after, effect), saying, urgency=_urgency(world, saying, statement, item, effect))
    return Outcome(STATUS.get(effect.verdict, "applied"), doc=statement, entry=entry, problem=refused)


def _word(before: fold.ItemState, after: fold.ItemState, effect: fold.Effect) -> str:
    if effect.verdict is fold.Verdict.MOVED:
        return f"rectification.{effect.after}"
    return "rectification.spoken_of" if after == before else "rectification.added"


def _statement(
    world: World, saying: Saying, kind: StatementKind, item: RectificationItem, state: fold.ItemState
) -> Statement:
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
    )
    if kind == StatementKind.NOTICE and _wants_a_date(saying.input, state):
        due = rules.due_on(rules.Grade(item.grade), today(world.work.now))
        statement.content["due_on"] = due.isoformat()
    return statement


def _wants_a_date(notice: inputs.CreateNotice, state: fold.ItemState) -> bool:
    """The first notice of a round sets a date, ours where it names none; a later one would only seem to."""
    first = state.is_open and state.due_round < state.round
    return notice.due_on is None and notice.kind == fold.NoticeKind.RECTIFY and first


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
    elif kind == StatementKind.SIGNATURE and saying.input.capacity == "inspector":
        if not sight.roles_at(item.keys) & GRANTS["revisits.create"]:
            raise NotAllowed("not-an-inspector", "只有检查人员才能作为检查人签字。单位签字请选“被检查单位”。")
    elif kind == StatementKind.CLOSURE:
        fold.require_closure(is_approver=is_approver)
    elif kind == StatementKind.JUDGEMENT:
        fold.require_judgement(is_approver=is_approver)
    elif kind == StatementKind.DECISION:
        fold.require_decision(is_approver=is_approver)


def _set_readers(world: World, statement: Statement, item: RectificationItem) -> None:
    """A statement is read by whoever reads its item. A comment may be for the bureau alone, and for its author."""
    statement.audience, statement.keys, statement.named = item.audience, item.keys, item.named
    if statement.kind != StatementKind.COMMENT or statement.content["audience"] != Audience.BUREAU:
        return
    if item.audience == Audience.RESTRICTED:
        statement.named = sorted({*item.named} - cure_of(world).principals[item.site_id])
    else:
        statement.audience = Audience.BUREAU
    _let_author_read(world, statement, item)


def _let_author_read(world: World, statement: Statement, subject: RectificationItem | Inspection) -> None:
    """What a school says to the bureau alone, its author reads as well, who reads what it is about."""
    if world.sight.sees(subject.readers()) and not world.sight.sees(statement.readers()):
        statement.named = sorted({*statement.named, str(statement.author_id)})


def _attach_elsewhere(
    world: World, saying: Saying, item: RectificationItem, revisit: Statement, other_id: UUID
) -> None:
    """A failed revisit of an ended item, while another is open on its key, is a finding of that one (design §5 ²)."""
    other = world.get("rectifications", other_id)
    proposal = Proposal(
        item_code=item.item_code,
        kind=rules.FindingKind(item.kind),
        grade=min(rules.Grade(item.grade), rules.Grade.MAJOR_CANDIDATE, key=lambda grade: grade.rank),
        place=item.place,
        text=saying.input.reason,
    )
    attach(world, saying, proposal, site=world.get("sites", other.site_id), revisit=revisit)


def _urgency(
    world: World, saying: Saying, statement: Statement, item: RectificationItem, effect: fold.Effect
) -> Urgency | None:
    """Who must know: the school's people of a notice, the desk that an alert was mistaken."""
    if effect.verdict is fold.Verdict.MOVED and effect.after is fold.State.WITHDRAWN:
        return _telling(saying, "withdrawn", item, item.collection, item.id)
    if statement.kind != StatementKind.NOTICE or item.state in fold.ENDED:
        return None
    due = f",请于 {item.due_on.month}月{item.due_on.day}日前整改" if item.due_on else ""
    restricted = item.audience == Audience.RESTRICTED
    return _telling(
        saying,
        "notice",
        item,
        statement.collection,
        statement.id,
        sentence=f"{NOTICE_WORDS[saying.input.kind]} {item.number}{due}。",
        persons=frozenset(map(UUID, cure_of(world).principals[item.site_id])) if restricted else None,
    )


def _telling(
    saying: Saying,
    level: str,
    item: RectificationItem,
    collection: str,
    doc_id: UUID,
    *,
    sentence: str = "",
    persons: frozenset[UUID] | None = None,
) -> Urgency:
    return Urgency(
        level=level,
        severity="",
        organisation_id=item.unit_id,
        site_id=item.site_id,
        dedupe_key="",
        sentence=sentence,
        subject_collection=collection,
        subject_id=doc_id,
        said_at=saying.said_at,
        body=saying.body,
        operation=saying.op_id,
        persons=persons,
    )


def derived(saying: Saying, verb: str, said: inputs.OnItem | inputs.CreateComment) -> Saying:
    """What follows from a saying, said by its author in a document of its own; never refused, as a phone's is not."""
    return Saying(
        verb=verb,
        doc_id=following_id(saying.op_id, f"{verb}/{msgspec.json.encode(said).decode()}"),
        input=said,
        body=saying.body,
        said_at=saying.said_at,
        source="phone",
        op_id=saying.op_id,
        device=saying.device,
    )


def decide_comment(world: World, saying: Saying) -> Outcome:
    """A comment on an item, or on a visit."""
    return _on_either(world, saying, StatementKind.COMMENT)


def decide_signature(world: World, saying: Saying) -> Outcome:
    """A hand under a visit (each inspector's own, the school's with its opinion, or its refusal), or under an item.

    The school's may be given on the inspector's phone, so it names who signed. Raises Invalid, NotAllowed beside what
    any statement does.
    """
    said = saying.input
    if said.opinion == "refused" and not (said.text and said.witness):
        missing = "witness" if said.text else "text"
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
        return _said_before(world, saying, kind, existing)
    visit = world.seen("inspections", saying.input.inspection_id, saying)
    if str(world.work.actor) in visit.participants:
        world.require_held(visit, saying)
    else:
        world.require(visit, saying)
        _require_own_capacity(saying, kind)
    return _hear_on_visit(world, saying, kind, visit)


def _require_own_capacity(saying: Saying, kind: StatementKind) -> None:
    if kind == StatementKind.SIGNATURE and saying.input.capacity == "inspector":
        raise NotAllowed("not-a-participant", "您没有参加这次检查,不能作为检查人签字。")


def _hear_on_visit(world: World, saying: Saying, kind: StatementKind, visit: Inspection) -> Outcome:
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
        audience=visit.audience,
        keys=visit.keys,
        named=visit.named,
    )
    for_bureau = kind == StatementKind.COMMENT and statement.content["audience"] == Audience.BUREAU
    if for_bureau and visit.audience == Audience.SHARED:
        statement.audience = Audience.BUREAU
        _let_author_read(world, statement, visit)
    world.put("statements", statement)
    entry = world.say(statement, f"{kind.name.lower()}.said", saying, urgency=None)
    if kind == StatementKind.SIGNATURE:
        world.store.setdefault("supplemented", {})[visit.id] = saying
    return Outcome("applied", doc=statement, entry=entry)
