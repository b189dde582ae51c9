"""Visits: created, patched by two phones at once, joined, submitted, made void; and what their answers come to."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import timedelta

import msgspec
from msgspec import UNSET

from inspections import inputs, rules
from inspections.actions.merging import GROUPS, HEADER, Meta, merge_answers, merge_header, source_of, write_conflict
from inspections.actions.settling import propose_withdrawal
from inspections.actions.sharing import let_read, named_on_incidents, share
from inspections.actions.submissions import new_submission
from inspections.checklist import items_in, items_of
from inspections.frozen import FrozenItem
from inspections.loading import cure_of
from inspections.models import Conflict, Inspection, InspectionState, Task, TemplateVersion
from safety import rows
from safety.access import FIELD
from safety.errors import IdTaken, Invalid, NotAllowed, Problem, Stale
from safety.ids import visit_id
from safety.models import Audience, Document, Site
from safety.verbs import Outcome, Saying, Wait, World

VOID_WORDS = {
    "closed": "未开门",
    "refused": "拒绝检查",
    "wrong_school": "选错单位",
    "duplicate": "重复建立",
    "other": "其他",
}
DELETED = "由检查人删除"
WRONG_CLOCK = timedelta(minutes=2)


def decide_create(world: World, saying: Saying) -> Outcome:
    """`inspections.create`. Raises Wait, NotAllowed, IdTaken; again by the author, or by another assignee, it is a patch."""
    said = saying.input
    existing = world.get("inspections", saying.doc_id)
    if existing is not None:
        return _create_again(world, saying, existing)
    site = world.seen("sites", said.site_id, saying)
    version = _published(world, saying)
    world.require(site, saying)
    answers = _only_changed(saying, said.answers)
    _require_codes(items_in(version), answers)
    task = world.seen("tasks", said.task_id, saying) if said.task_id else None
    if task is not None and (task.site_id, visit_id(task.id)) != (site.id, saying.doc_id):
        raise Problem("not-of-this-task", "这次检查与任务对不上:场所或编号不同。请从任务里重新开始。")
    visit = _new_visit(world, saying, site, version, task)
    world.put("inspections", visit)
    merge_header(world, saying, visit, _header_said(saying, said))
    _, conflicts = merge_answers(world, saying, visit, answers)
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.created"), conflicts=conflicts)


def _published(world: World, saying: Saying) -> TemplateVersion:
    """A draft of a checklist is nobody's to inspect by: it waits as an unknown one does."""
    wanted = saying.input.template_version_id
    version = world.seen("versions", wanted, saying, collection="templates")
    if version.state != TemplateVersion.PUBLISHED:
        raise Wait(("templates", wanted))
    return version


def _new_visit(world: World, saying: Saying, site: Site, version: TemplateVersion, task: Task | None) -> Inspection:
    said = saying.input
    restricted = version.audience == Audience.RESTRICTED
    participants = _ids({world.work.actor, *said.participants})
    visit = rows.new(
        Inspection,
        id=saying.doc_id,
        version_id=version.id,
        task_id=task.id if task else None,
        creator_id=world.work.actor,
        participants=participants,
        join_sha256=said.join_sha256,
        started_at=said.started_at + saying.skew,
        header={},
        audience=Audience.RESTRICTED if restricted else Audience.BUREAU,
    )
    visit.stand_at(site)
    visit.named = named_on_incidents(world, visit) if restricted else []
    return visit


def _create_again(world: World, saying: Saying, visit: Inspection) -> Outcome:
    actor, task = str(world.work.actor), world.get("tasks", visit.task_id)
    mine, assigned = actor in visit.participants, task is not None and actor in task.assignees
    if not (mine or assigned) or visit.site_id != saying.input.site_id or not world.sight_for(visit, saying):
        raise IdTaken()
    _require_codes(items_of(world, visit), saying.input.answers)
    if not mine:
        visit.participants = _ids({*visit.participants, world.work.actor})
    return _patch(world, saying, visit, saying.input, joined=not mine)


def decide_patch(world: World, saying: Saying) -> Outcome:
    """`inspections.patch`. Three-way per group; what loses stays visible. Raises Wait, NotAllowed."""
    visit = _my_visit(world, saying)
    return _patch(world, saying, visit, saying.input)


def _my_visit(world: World, saying: Saying) -> Inspection:
    visit = world.seen("inspections", saying.doc_id, saying)
    require_participant(world, saying, visit)
    return visit


def require_participant(world: World, saying: Saying, visit: Inspection) -> None:
    """A visit is its participants' own, wherever their posts are (design §3). Raises NotAllowed."""
    world.require_held(visit, saying)
    if str(world.work.actor) not in visit.participants:
        raise NotAllowed("not-a-participant", "您没有参加这次检查。请先扫同事的二维码加入。")


def _patch(world: World, saying: Saying, visit: Inspection, said, *, joined: bool = False) -> Outcome:
    answers = _only_changed(saying, said.answers)
    _require_codes(items_of(world, visit), answers)
    deleted = _revive(visit)
    if visit.state == InspectionState.VOID:
        return _keep_late(world, saying, visit, "这次检查已经作废,您的修改单独保存了,没有并入。")
    if visit.state == InspectionState.SUBMITTED:
        late = _says_anything_late(saying, visit, said, answers)
        answers = {code: patch for code, patch in answers.items() if _is_open(visit, code)}
        if late:
            kept = _keep_late(world, saying, visit, "这次检查已经提交,您的修改单独保存了。需要改记录的,请提交更正。")
            if not answers:
                return kept
    header = _header_said(saying, said) if visit.state == InspectionState.DRAFT else {}
    headed, lost = merge_header(world, saying, visit, header)
    moved, conflicts = merge_answers(world, saying, visit, answers)
    conflicts += lost
    if not (deleted or joined or headed or moved or conflicts):
        return Outcome("applied", doc=visit)
    entry = _say(world, saying, visit, "inspection.patched")
    return Outcome("merged" if conflicts else "applied", doc=visit, entry=entry, conflicts=conflicts)


def _only_changed(saying: Saying, answers: dict[str, inputs.AnswerPatch]) -> dict[str, inputs.AnswerPatch]:
    """A flat client sends the whole `answers` field with its `base`: only what it changed was said."""
    spoken = {code: patch.spoken() for code, patch in answers.items()}
    base = (saying.base or {}).get("answers")
    if isinstance(base, dict):
        return rules.take_apart(spoken, base)
    return {code: patch for code, patch in spoken.items() if patch.result is not UNSET or patch.note is not UNSET}


def _require_codes(items: dict[str, FrozenItem], answers: Iterable[str]) -> None:
    """Raises Invalid for codes that the checklist lacks, before anything is touched."""
    unknown = [
        {"field": f"answers.{code}", "code": "unknown-item", "detail": "检查表里没有这一项。"}
        for code in answers
        if code not in items
    ]
    if unknown:
        raise Invalid(errors=unknown)


def _revive(visit: Inspection) -> bool:
    """Whoever deletes a draft does not delete what a colleague did to it off-line: an edit takes it up again."""
    deleted = visit.state == InspectionState.VOID and visit.void_reason == DELETED
    if deleted:
        visit.state, visit.void_reason = InspectionState.DRAFT, ""
    return deleted


def _says_anything_late(saying: Saying, visit: Inspection, said, answers: dict[str, inputs.AnswerPatch]) -> bool:
    """Whether a patch of a submitted visit would change its header or an item that was signed; what it only repeats says
    nothing."""
    signed = {code: patch for code, patch in answers.items() if not _is_open(visit, code)}
    groups = (
        (visit.answers[code], name, value)
        for code, patch in msgspec.to_builtins(signed).items()
        for name, value in patch.items()
    )
    header = {**visit.header, **_header_said(saying, said)}
    return header != visit.header or any(answer.get(name) != value for answer, name, value in groups)


def _is_open(visit: Inspection, code: str) -> bool:
    """Whether the signed snapshot left this item unchecked: a co-inspector's answer still joins, marked as later."""
    answer = visit.answers.get(code) or {}
    result = answer.get("result")
    return bool(answer.get("late")) or result is None or result["value"] == "unchecked"


def _keep_late(world: World, saying: Saying, visit: Inspection, words: str) -> Outcome:
    """What comes after the record is closed is kept as a document of its own and shown, never merged in silence."""
    content = msgspec.json.encode(saying.input).decode()
    submission = new_submission(world, saying, visit, kind="late", content=content)
    entry = world.say(submission, "submission.late", saying, urgency=None)
    return Outcome("superseded", doc=submission, entry=entry, problem=Problem("frozen", words))


def decide_submit(world: World, saying: Saying) -> Outcome:
    """`inspections.submit`: self-contained, and never refused for what is missing; the record says what is.

    Raises Wait, NotAllowed, Invalid (an unreadable snapshot). A second, different one is kept as an alternative.
    """
    visit = _my_visit(world, saying)
    said = saying.input
    sha256 = hashlib.sha256(said.snapshot.encode()).hexdigest()
    if visit.state == InspectionState.SUBMITTED:
        return _submit_again(world, saying, visit, sha256)
    snapshot = inputs.snapshot_in(said.snapshot)
    if snapshot is None:
        raise Invalid(
            errors=[{"field": "snapshot", "code": "unreadable", "detail": "提交的快照读不懂,请更新应用后重试。"}]
        )
    _revive(visit)
    if visit.state == InspectionState.VOID:
        return _keep_late(world, saying, visit, "这次检查已经作废,您的提交单独保存了。")
    answers = _known(items_of(world, visit), snapshot.answers)
    _, conflicts = merge_answers(world, saying, visit, answers)
    visit.state, visit.finished_at = InspectionState.SUBMITTED, said.finished_at + saying.skew
    visit.submitted_by_id, visit.submitted_at = world.work.actor, saying.said_at
    visit.snapshot_sha256, visit.snapshot_body_id = sha256, saying.body.id
    visit.participants = _ids({*visit.participants, *said.participants})
    visit.flags = [*_departures(visit, answers), *(["phone-clock-wrong"] if abs(saying.skew) > WRONG_CLOCK else [])]
    if visit.audience == Audience.BUREAU:
        _share_visit(world, visit)
    task = world.get("tasks", visit.task_id)
    if task is not None and task.state == "open":
        task.state = "done"
        world.say(task, "task.done", saying, urgency=None)
    entry = _say(world, saying, visit, "inspection.submitted")
    return Outcome("merged" if conflicts else "applied", doc=visit, entry=entry, conflicts=conflicts)


def _submit_again(world: World, saying: Saying, visit: Inspection, sha256: str) -> Outcome:
    if visit.snapshot_sha256 == sha256:
        return Outcome("applied", doc=visit)
    alternative = new_submission(world, saying, visit, kind="alternative", content=saying.input.snapshot)
    entry = world.say(alternative, "submission.alternative", saying, urgency=None)
    problem = Problem("already-submitted", "同事已经提交了这次检查。您的这一份另外保存了,可以对照后提交更正。")
    return Outcome("superseded", doc=alternative, entry=entry, problem=problem)


def _known(items: dict[str, FrozenItem], answers: dict[str, inputs.AnswerPatch]) -> dict[str, inputs.AnswerPatch]:
    """A snapshot is kept verbatim; of what it shows, the record takes the items of its own checklist."""
    return {code: patch.spoken() for code, patch in answers.items() if code in items}


def _departures(visit: Inspection, answers: dict[str, inputs.AnswerPatch]) -> list[str]:
    """Where a colleague's safer answer stands in the record instead of the one that was signed."""
    codes = []
    for code, patch in answers.items():
        stands = visit.answers.get(code, {}).get("result")
        if patch.result is not UNSET and stands and stands["value"] != patch.result.value:
            codes.append(code)
    return [f"differs-from-snapshot:{code}" for code in codes]


def _share_visit(world: World, visit: Inspection) -> None:
    """Submitting opens the visit and what hangs on it to the school, but for what was said to the bureau alone."""
    visit.audience = Audience.SHARED
    for document in _hanging_on(world, visit):
        share(world, document)


def _hanging_on(world: World, visit: Inspection) -> Iterator[Document]:
    """Photos, conflicts, submissions, signatures with their photos, and comments of a visit."""
    photos_of = cure_of(world).photos_of
    yield from photos_of[visit.id]
    for kind, column in (("conflicts", "target_id"), ("submissions", "inspection_id"), ("statements", "inspection_id")):
        for document in [*world.rows[kind].values()]:
            if getattr(document, column) == visit.id:
                yield document
                yield from photos_of[document.id]


def decide_join(world: World, saying: Saying) -> Outcome:
    """`inspections.join`: sighted by its secret alone; a wrong secret and an unknown visit wait alike (design §7)."""
    visit = world.get("inspections", saying.doc_id)
    secret = hashlib.sha256(saying.input.secret.encode()).hexdigest()
    if not world.sight.holds(FIELD):
        # no inspector: who sees the visit is told so, others are told nothing
        world.seen("inspections", saying.doc_id, saying)
        raise NotAllowed(verb=saying.verb)
    if visit is None or not visit.join_sha256 or visit.join_sha256 != secret:
        raise Wait(("inspections", saying.doc_id))
    actor, sees = str(world.work.actor), world.sight.sees(visit.readers())
    if actor in visit.participants and sees:
        return Outcome("applied", doc=visit)
    visit.participants = _ids({*visit.participants, actor})
    if not sees:
        _let_read(world, visit, actor)
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.joined"))


def _let_read(world: World, visit: Inspection, person: str) -> None:
    """A co-inspector without a post there reads the visit, what hangs on it, its task, site and unit.

    What was said to named persons before they came stays with those.
    """
    site, task = world.get("sites", visit.site_id), world.get("tasks", visit.task_id)
    visit.named = sorted({*visit.named, person})
    children = [each for each in _hanging_on(world, visit) if each.audience in (visit.audience, Audience.BUREAU)]
    for document in [*children, *([task] if task else []), site, site.unit]:
        let_read(world, document, [person])


def decide_void(world: World, saying: Saying) -> Outcome:
    """`inspections.void`: a visit that could not happen. Once somebody was told of a finding, that is only proposed away."""
    visit = _my_visit(world, saying)
    said = saying.input
    if visit.state == InspectionState.SUBMITTED:
        raise Problem("already-submitted", "已经提交的检查不能作废。有误的请提交更正,发现的问题请申请撤销。")
    if visit.state == InspectionState.VOID and visit.void_reason != DELETED:
        return Outcome("applied", doc=visit)
    visit.state = InspectionState.VOID
    visit.void_reason = f"{VOID_WORDS[said.cause]}:{said.reason}"[:200] if said.reason else VOID_WORDS[said.cause]
    for finding in cure_of(world).of_visit[visit.id]:
        if finding.quick_hazard_id is None:
            propose_withdrawal(world, saying, finding, f"所属检查已作废({visit.void_reason})")
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.voided"))


def decide_delete(world: World, saying: Saying) -> Outcome:
    """`inspections.delete`, the one thing that a phone may delete: a draft of its own that has told nobody anything.

    The visit becomes void with 由检查人删除 as its reason and stays readable; an edit of another phone takes it up again
    (`_revive`), and one that is here already, unseen by who deletes, makes the deletion superseded. Deleting what is
    not there, or is not the author's to see, is done, alike and without effect: clients repeat it until it is.
    Raises NotAllowed, Problems for what is submitted or has findings; at the web Stale. Source: sync.md §3, §5.2.
    """
    visit = world.get("inspections", saying.doc_id)
    if visit is None or world.sight_for(visit, saying) is None:
        return Outcome("applied")
    require_participant(world, saying, visit)
    if visit.creator_id != world.work.actor:
        raise NotAllowed("not-the-creator", "这次检查是同事建立的,只有建立人能删除。您没有填写的内容不会受影响。")
    if visit.state == InspectionState.SUBMITTED:
        raise Problem("already-submitted", "已经提交的检查不能删除。有误的请提交更正。")
    if visit.state == InspectionState.VOID:
        return Outcome("applied", doc=visit)
    if cure_of(world).of_visit[visit.id]:
        raise Problem("has-findings", "这次检查里的问题已经上报,不能删除。没有查成的请作废并写明原因。")
    if _moved_unseen(world, saying, visit):
        if saying.source == "web":
            raise Stale(current=visit.rev)
        return Outcome(
            "superseded", doc=visit, problem=Problem("edited-since", "同事已经在这次检查里填写了内容,没有删除。")
        )
    visit.state, visit.void_reason = InspectionState.VOID, DELETED
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.deleted"))


def _moved_unseen(world: World, saying: Saying, visit: Inspection) -> bool:
    """Whether another phone has said something here that the author had not before them (a web page without a
    `base_rev` has what is there)."""
    if saying.base_rev is None and saying.source == "web":
        return False
    mine, seen = (str(world.work.actor), saying.device and str(saying.device)), saying.base_rev or 0
    return any(rev > seen and (by, device) != mine for rev, by, device, *_ in Meta(visit).speakers())


def decide_submission(world: World, saying: Saying) -> Outcome:
    """`submissions.create`: an alternative or an amendment by a participant. Raises Wait, NotAllowed, IdTaken, Invalid."""
    said = saying.input
    existing = world.get("submissions", saying.doc_id)
    if existing is not None:
        if (existing.author_id, existing.content) != (world.work.actor, said.content):
            raise IdTaken()
        return Outcome("applied", doc=existing)
    visit = world.seen("inspections", said.inspection_id, saying)
    require_participant(world, saying, visit)
    if said.kind == "amendment" and not said.reason:
        raise Invalid(errors=[{"field": "reason", "code": "required", "detail": "更正须写明原因。"}])
    submission = new_submission(
        world, saying, visit, kind=said.kind, content=said.content, doc_id=saying.doc_id, reason=said.reason
    )
    return Outcome(
        "applied", doc=submission, entry=world.say(submission, f"submission.{said.kind}", saying, urgency=None)
    )


def decide_resolve(world: World, saying: Saying) -> Outcome:
    """`conflicts.resolve`: a participant picks; the other value stays in the document. Raises Wait, NotAllowed."""
    conflict = world.seen("conflicts", saying.doc_id, saying)
    visit = world.get("inspections", conflict.target_id)
    require_participant(world, saying, visit)
    if conflict.resolved_at is not None:
        return Outcome("applied", doc=conflict)
    conflict.pick = saying.input.pick
    conflict.resolved_by_id, conflict.resolved_at = world.work.actor, world.work.now
    if conflict.pick == "lost" and visit.state == InspectionState.DRAFT:
        _put_back(world, saying, visit, conflict)
        _say(world, saying, visit, "inspection.patched")
    return Outcome("applied", doc=conflict, entry=world.say(conflict, "conflict.resolved", saying, urgency=None))


def _put_back(world: World, saying: Saying, visit: Inspection, conflict: Conflict) -> None:
    """The value that lost stands after all. What was said since over the one that was kept does not vanish with it: it is
    kept as what this pick took the place of."""
    place, *member, name = conflict.group.split(".")
    meta, picked = Meta(visit), source_of(world, saying, visit)
    group, code = (HEADER, name) if place == HEADER else (name, member[0])
    stands = visit.header.get(name, "") if place == HEADER else visit.answers[code][name]
    said = meta.get(group, code)
    if stands not in (conflict.kept, conflict.lost) and said is not None:
        write_conflict(
            world, saying, visit, conflict.group, rules.Merged(conflict.lost, picked, rules.Lost(stands, said))
        )
    if place == HEADER:
        visit.header = {**visit.header, name: conflict.lost}
    else:
        visit.answers[code] = {**visit.answers[code], name: conflict.lost, dict(GROUPS)[name]: str(conflict.lost_by)}
    meta.set(group, code, picked)
    visit.field_meta = meta.packed()


def _say(world: World, saying: Saying, visit: Inspection, kind: str):
    world.store.setdefault("touched", {})[visit.id] = (visit, saying)
    return world.say(visit, kind, saying, urgency=None)


def _ids(persons: set) -> list[str]:
    return sorted(set(map(str, persons)))  # said ids are UUIDs, kept ones are text


def _header_said(saying: Saying, said) -> dict[str, str]:
    """The members of the header that were said; what a flat client only repeats of its `base` says nothing."""
    base = (saying.base or {}).get("header")
    seen = base if isinstance(base, dict) else {}
    told = {name: text for name, text in msgspec.to_builtins(said.header).items() if text is not UNSET}
    return {name: text for name, text in told.items() if name not in seen or seen[name] != text}
