"""Visits: created, patched by two phones at once, joined, submitted, made void; and what their answers come to."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from inspections import inputs, rules
from inspections.actions.findings import Proposal, attach
from inspections.actions.rectification import derived, hear_statement
from inspections.actions.sharing import let_read, named_on_incidents, share
from inspections.actions.withheld import Words, packed, speaks_of_incidents, withhold, words_withheld
from inspections.checklist import items_in, items_of
from inspections.frozen import FrozenItem, Printing
from inspections.loading import cure_of
from inspections.models import (
    Conflict,
    Inspection,
    InspectionState,
    RectificationItem,
    Statement,
    StatementKind,
    Submission,
    Task,
    TemplateVersion,
)
from safety.access import FIELD
from safety.errors import IdTaken, Invalid, NotAllowed, Problem, Stale
from safety.ids import new_id, visit_id
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


# Meta: who said which group of a visit, kept compact as a list of sources and group → its number.


@dataclass(slots=True)
class Meta:
    """The sources of a visit's groups, unpacked while a unit works on it."""

    sources: list[list]
    groups: dict[str, int]
    numbers: dict[tuple, int] = field(default_factory=dict)

    @classmethod
    def of(cls, visit: Inspection) -> "Meta":
        sources, groups = visit.field_meta or [[], {}]
        return cls(sources, groups, {tuple(source): number for number, source in enumerate(sources)})

    def get(self, group: str) -> rules.GroupMeta | None:
        number = self.groups.get(group)
        return None if number is None else msgspec.convert(self.sources[number], rules.GroupMeta)

    def number_of(self, meta: rules.GroupMeta) -> int:
        """The number of a source, new if it has none."""
        source = msgspec.to_builtins(meta)
        number = self.numbers.get(tuple(source))
        if number is None:
            number = self.numbers[tuple(source)] = len(self.sources)
            self.sources.append(source)
        return number

    def set(self, group: str, meta: rules.GroupMeta) -> None:
        self.groups[group] = self.number_of(meta)

    def packed(self) -> list:
        return [self.sources, self.groups]


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
    conflicts = merge_answers(world, saying, visit, answers)
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
    visit = Inspection(
        id=saying.doc_id,
        version=version,
        task=task,
        creator_id=world.work.actor,
        participants=participants,
        join_sha256=said.join_sha256,
        started_at=said.started_at + saying.skew,
        header=_set(said.header),
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
    return _patch(world, saying, visit, saying.input)


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


def _patch(world: World, saying: Saying, visit: Inspection, said) -> Outcome:
    answers = _only_changed(saying, said.answers)
    _require_codes(items_of(world, visit), answers)
    deleted = _revive(visit)
    if visit.state == InspectionState.VOID:
        return _keep_late(world, saying, visit, "这次检查已经作废,您的修改单独保存了,没有并入。")
    if visit.state == InspectionState.SUBMITTED:
        late = _says_anything_late(visit, said, answers)
        answers = {code: patch for code, patch in answers.items() if _is_open(visit, code)}
        if late:
            kept = _keep_late(world, saying, visit, "这次检查已经提交,您的修改单独保存了。需要改记录的,请提交更正。")
            if not answers:
                return kept
    before = (deleted, msgspec.json.encode(visit.answers), visit.header, visit.participants)
    visit.header = {**visit.header, **_set(said.header)} if visit.state == InspectionState.DRAFT else visit.header
    conflicts = merge_answers(world, saying, visit, answers)
    after = (False, msgspec.json.encode(visit.answers), visit.header, visit.participants)
    if before == after and not conflicts:
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


def _says_anything_late(visit: Inspection, said, answers: dict[str, inputs.AnswerPatch]) -> bool:
    """Whether a patch of a submitted visit would change its header or an item that was signed; what it only repeats says
    nothing."""
    signed = {code: patch for code, patch in answers.items() if not _is_open(visit, code)}
    groups = (
        (visit.answers[code], name, value)
        for code, patch in msgspec.to_builtins(signed).items()
        for name, value in patch.items()
    )
    header = {**visit.header, **_set(said.header)}
    return header != visit.header or any(answer.get(name) != value for answer, name, value in groups)


def _is_open(visit: Inspection, code: str) -> bool:
    """Whether the signed snapshot left this item unchecked: a co-inspector's answer still joins, marked as later."""
    answer = visit.answers.get(code) or {}
    result = answer.get("result")
    return bool(answer.get("late")) or result is None or result["value"] == "unchecked"


def _keep_late(world: World, saying: Saying, visit: Inspection, words: str) -> Outcome:
    """What comes after the record is closed is kept as a document of its own and shown, never merged in silence."""
    content = msgspec.json.encode(saying.input).decode()
    submission = _submission(world, saying, visit, kind="late", content=content)
    entry = world.say(submission, "submission.late", saying, urgency=None)
    return Outcome("superseded", doc=submission, entry=entry, problem=Problem("frozen", words))


def _submission(
    world: World,
    saying: Saying,
    visit: Inspection,
    *,
    kind: str,
    content: str,
    doc_id: UUID | None = None,
    reason: str = "",
):
    submission = Submission(
        id=doc_id or new_id(),
        inspection=visit,
        kind=kind,
        author_id=world.work.actor,
        reason=reason,
        content=content,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        said_at=saying.said_at,
        site_id=visit.site_id,
        unit_id=visit.unit_id,
        audience=visit.audience,
        keys=visit.keys,
        named=visit.named,
    )
    if speaks_of_incidents(items_of(world, visit), content):
        submission.audience, submission.named = Audience.RESTRICTED, named_on_incidents(world, visit)
    world.put("submissions", submission)
    return submission


def merge_answers(
    world: World, saying: Saying, visit: Inspection, patches: dict[str, inputs.AnswerPatch]
) -> list[Conflict]:
    """Merges each touched group; gives the conflicts that it wrote. Every code is of the checklist."""
    items = items_of(world, visit)
    patches = withhold(world, saying, visit, items, patches)
    merge, conflicts = Merge(visit, items, _source(world, saying, visit), saying.base_rev), []
    for code, said in msgspec.to_builtins(patches).items():
        for group, merged in merge.answer(code, said):
            conflicts.append(_conflict(world, saying, visit, group, merged))
    visit.field_meta = merge.meta.packed()
    return conflicts


class Merge:
    """The three-way merge of one saying into one visit's answers."""

    def __init__(self, visit: Inspection, items: dict[str, FrozenItem], mine: rules.GroupMeta, base_rev: int | None):
        self.visit, self.items, self.mine, self.base_rev = visit, items, mine, base_rev
        self.meta = Meta.of(visit)
        self.number = self.meta.number_of(mine)
        self.author = str(mine.by)
        self.late = visit.state == InspectionState.SUBMITTED

    def answer(self, code: str, said: dict) -> Iterator[tuple[str, rules.Merged]]:
        """Merges the groups of one answer that were said; yields those in which something lost."""
        answers = self.visit.answers
        answer = answers.get(code)
        if answer is None:
            answer = answers[code] = {"result": None, "note": ""}
        for name, by in (("result", "by"), ("note", "note_by")):
            if name not in said:
                continue
            incoming = said[name]
            if answer[name] == incoming:
                continue
            if by not in answer:  # nobody has said this group yet
                self._stand(answer, name, by, code, incoming, self.mine)
            else:
                group = f"answers.{code}.{name}"
                meta = self.meta.get(group)
                merged = self._group(code, name, answer[name], incoming, meta)
                if merged.meta is not meta:
                    self._stand(answer, name, by, code, merged.value, merged.meta)
                if merged.lost is not None:
                    yield group, merged

    def _stand(self, answer: dict, name: str, by: str, code: str, value: Any, meta: rules.GroupMeta) -> None:
        number = self.number if meta is self.mine else self.meta.number_of(meta)
        self.meta.groups[f"answers.{code}.{name}"] = number
        answer[name], answer[by] = value, self.author if meta is self.mine else str(meta.by)
        if self.late:
            answer["late"] = True

    def _group(self, code: str, name: str, current, incoming, meta: rules.GroupMeta | None) -> rules.Merged:
        if meta is None:
            return rules.Merged(incoming, self.mine)
        return rules.merge_group(
            name,
            current=current,
            meta=meta,
            incoming=incoming,
            mine=self.mine,
            base_rev=self.base_rev,
            default=rules.default_grade(self.items[code]),
        )


def _source(world: World, saying: Saying, visit: Inspection) -> rules.GroupMeta:
    return rules.GroupMeta(
        rev=visit.rev + 1,
        by=world.work.actor,
        device=saying.device,
        op_id=saying.op_id,
        hlc=rules.effective_hlc(saying.hlc, said_at=saying.said_at, received_at=world.work.now),
    )


def _conflict(world: World, saying: Saying, visit: Inspection, group: str, merged) -> Conflict:
    conflict = Conflict(
        id=new_id(),
        target_collection=visit.collection,
        target_id=visit.id,
        group=group,
        kept=merged.value,
        lost=merged.lost.value,
        kept_by=merged.meta.by if merged.meta else None,
        lost_by=merged.lost.meta.by,
        lost_op_id=merged.lost.meta.op_id,
        lost_at=saying.said_at,
        site_id=visit.site_id,
        unit_id=visit.unit_id,
        audience=visit.audience,
        keys=visit.keys,
        named=visit.named,
    )
    world.put("conflicts", conflict)
    world.say(conflict, "conflict.found", saying, urgency=None)
    return conflict


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
    conflicts = merge_answers(world, saying, visit, answers)
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
    alternative = _submission(world, saying, visit, kind="alternative", content=saying.input.snapshot)
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


def _signatures(world: World, visit: Inspection) -> list[Statement]:
    statements = world.rows["statements"].values()
    return [each for each in statements if (each.inspection_id, each.kind) == (visit.id, StatementKind.SIGNATURE)]


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
            _propose_withdrawal(world, saying, finding, f"所属检查已作废({visit.void_reason})")
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
    sources, groups = visit.field_meta or [[], {}]
    said = [sources[number] for number in {*groups.values()}]  # who made it and filled in nothing said nothing
    return any(rev > seen and (by, device) != mine for rev, by, device, *_ in said)


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
    submission = _submission(
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
        _, code, group = conflict.group.split(".")
        by = {"result": "by", "note": "note_by"}[group]
        meta = Meta.of(visit)
        visit.answers[code] = {**visit.answers[code], group: conflict.lost, by: str(conflict.lost_by)}
        meta.set(conflict.group, _source(world, saying, visit))
        visit.field_meta = meta.packed()
        _say(world, saying, visit, "inspection.patched")
    return Outcome("applied", doc=conflict, entry=world.say(conflict, "conflict.resolved", saying, urgency=None))


def _say(world: World, saying: Saying, visit: Inspection, kind: str):
    world.store.setdefault("touched", {})[visit.id] = (visit, saying)
    return world.say(visit, kind, saying, urgency=None)


def settle_visits(world: World) -> None:
    """Judges the batch's end state: major candidates and incidents become findings at once, the rest at submit.

    Fail then ok in one push wakes nobody. Once somebody was told, a corrected answer only proposes a withdrawal.
    """
    touched = world.store.pop("touched", {})
    for visit, saying in touched.values():
        if visit.state != InspectionState.VOID:
            _settle(world, saying, visit)
        if visit.state == InspectionState.SUBMITTED:
            _flag(world, visit)
    for (doc_id, code), words in world.store.pop("withheld", {}).items():
        _keep_withheld(world, words, world.get("inspections", doc_id), code)
    for doc_id, saying in world.store.pop("supplemented", {}).items():
        if doc_id not in touched:
            _flag_again(world, saying, world.get("inspections", doc_id))


def _keep_withheld(world: World, words: Words, visit: Inspection, code: str) -> None:
    """Words on incident items that no finding has taken up: a comment on its item, or a submission for the named."""
    finding = next((each for each in cure_of(world).of_visit[visit.id] if each.item_code == code), None)
    if finding is not None:
        _comment_once(world, words.saying, world.get("rectifications", finding.item_id), words.text)
    elif words.text != words_withheld(world, visit, code):
        submission = _submission(world, words.saying, visit, kind="withheld", content=packed(code, words.text))
        world.say(submission, "submission.withheld", words.saying, urgency=None)


def _comment_once(world: World, saying: Saying, item: RectificationItem, text: str) -> None:
    statements = world.rows["statements"].values()
    comments = [each for each in statements if (each.item_id, each.kind) == (item.id, StatementKind.COMMENT)]
    if text not in {item.text, *(comment.content["text"] for comment in comments)}:
        comment = inputs.CreateComment(rectification_id=item.id, text=text)
        hear_statement(world, derived(saying, "comments.create", comment), StatementKind.COMMENT, item)


def _flag_again(world: World, saying: Saying, visit: Inspection) -> None:
    """A signature or a photo that came after the submit: what it makes good is missing no more."""
    before = visit.flags
    if visit.state == InspectionState.SUBMITTED:
        _flag(world, visit)
    if visit.flags != before:
        world.say(visit, "inspection.supplemented", saying, urgency=None)


def _settle(world: World, saying: Saying, visit: Inspection) -> None:
    site, items = world.get("sites", visit.site_id), items_of(world, visit)
    found = {(f.item_code, f.place_key, f.fixed_on_spot): f for f in cure_of(world).of_visit[visit.id]}
    standing = set()
    for proposal in _proposals(world, visit, items):
        key = (proposal.item_code, rules.normalise_place(proposal.place), proposal.fixed)
        standing.add(key[:2])
        if key in found:
            continue
        if visit.state == InspectionState.SUBMITTED or rules.wakes_the_desk(proposal.kind, proposal.grade):
            attach(world, saying, proposal, site=site, visit=visit, named=_named(world, visit, proposal))
    for key, finding in found.items():
        if key[:2] not in standing and finding.quick_hazard_id is None:
            _propose_withdrawal(world, saying, finding, "检查人更正了这一项的结果")


def _proposals(world: World, visit: Inspection, items: dict[str, FrozenItem]) -> list[Proposal]:
    """What the answers say is not in order, and what lost a merge at another place: it is a finding of its own."""
    said = [(code, answer.get("result"), answer.get("note", "")) for code, answer in visit.answers.items()]
    for conflict in world.rows["conflicts"].values():
        open_here = conflict.target_id == visit.id and conflict.resolved_at is None
        if open_here and conflict.group.endswith(".result") and _of_two_places(conflict):
            said.append((conflict.group.split(".")[1], conflict.lost, ""))
    proposals = []
    for code, result, note in said:
        if result is not None and result["value"] in ("fail", "fixed"):
            proposals.append(_proposal(world, visit, items[code], result, note))
    return proposals


def _of_two_places(conflict: Conflict) -> bool:
    """Two authors at two places are two findings; one author on two phones has thought again."""
    kept, lost = (rules.normalise_place(value["place"]) for value in (conflict.kept, conflict.lost))
    return conflict.kept_by != conflict.lost_by and kept != lost


def _proposal(world: World, visit: Inspection, item: FrozenItem, result: dict[str, Any], note: str) -> Proposal:
    kind, grade = rules.kind_and_grade(item, result.get("grade"))
    restricted = kind == rules.FindingKind.INCIDENT or visit.audience == Audience.RESTRICTED
    text = words_withheld(world, visit, item.code) or note or result.get("reason") or item.text
    return Proposal(
        item_code=item.code,
        kind=kind,
        grade=grade,
        place=result.get("place", ""),
        text=text[:500],
        fixed=result["value"] == "fixed",
        requirement=item.text[:300],
        bases=[
            {"line": basis.line, "printing": basis.printing}
            for basis in item.bases
            if basis.printing is not Printing.NEVER
        ],
        restricted=restricted,
    )


def _named(world: World, visit: Inspection, proposal: Proposal) -> list[str]:
    return named_on_incidents(world, visit) if proposal.restricted else visit.named


def _propose_withdrawal(world: World, saying: Saying, finding, reason: str) -> None:
    """A withdrawal said on behalf of the correction; an approver decides. Once an item."""
    item = world.get("rectifications", finding.item_id)
    state = cure_of(world).states.get(finding.item_id)
    if item is None or state is None or not state.is_open or any(request.until is None for request in state.requests):
        return
    asked = inputs.CreateWithdrawal(rectification_id=item.id, reason=reason)
    hear_statement(world, derived(saying, "withdrawals.create", asked), StatementKind.WITHDRAWAL, item)


def _flag(world: World, visit: Inspection) -> None:
    """What the record lacks is said in the record; the server never refuses a submit for it (design §4)."""
    signatures = [{"author": each.author_id, **each.content} for each in _signatures(world, visit)]
    photos = {photo.item_code for photo in cure_of(world).photos_of[visit.id]}
    at_submit = [flag for flag in visit.flags if flag.partition(":")[0] in rules.SAID_AT_SUBMIT]
    visit.flags = at_submit + rules.record_flags(
        items_of(world, visit),
        visit.answers,
        photos=photos,
        participants=visit.participants,
        signatures=signatures,
        snapshot_sha256=visit.snapshot_sha256,
    )


def _ids(persons: set) -> list[str]:
    return sorted(set(map(str, persons)))  # said ids are UUIDs, kept ones are text


def _set(header: inputs.Header) -> dict[str, str]:
    return {name: value for name, value in msgspec.to_builtins(header).items() if value is not UNSET}
