"""Visits: created, patched by two phones at once, joined, submitted, made void; and what their answers come to."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from inspections import inputs, rules
from inspections.actions.findings import Proposal, attach
from inspections.actions.rectification import hear_statement, share_document, share_photo
from inspections.checklist import items_in
from inspections.frozen import FrozenItem, Printing
from inspections.loading import cure_of
from inspections.models import Conflict, Inspection, InspectionState, Statement, StatementKind, Submission
from safety.access import FIELD
from safety.errors import IdTaken, Invalid, NotAllowed, Problem
from safety.ids import new_id, visit_id
from safety.models import Audience
from safety.verbs import Outcome, Saying, Wait, World

VOID_WORDS = {
    "closed": "未开门",
    "refused": "拒绝检查",
    "wrong_school": "选错单位",
    "duplicate": "重复建立",
    "other": "其他",
}


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
    version = world.seen("versions", said.template_version_id, saying, collection="templates")
    world.require(site, saying)
    task = world.seen("tasks", said.task_id, saying) if said.task_id else None
    if task is not None and (task.site_id, visit_id(task.id)) != (site.id, saying.doc_id):
        raise Problem("not-of-this-task", "这次检查与任务对不上:场所或编号不同。请从任务里重新开始。")
    restricted = version.audience == Audience.RESTRICTED
    participants = _ids({world.work.actor, *said.participants})
    visit = Inspection(
        id=saying.doc_id,
        version=version,
        task=task,
        creator_id=world.work.actor,
        participants=participants,
        join_sha256=said.join_sha256,
        started_at=said.started_at,
        header=_set(said.header),
        audience=Audience.RESTRICTED if restricted else Audience.BUREAU,
    )
    visit.stand_at(site)
    visit.named = sorted({*participants, *cure_of(world).approvers[site.id]}) if restricted else []
    world.put("inspections", visit)
    conflicts = merge_answers(world, saying, visit, said.answers)
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.created"), conflicts=conflicts)


def _create_again(world: World, saying: Saying, visit: Inspection) -> Outcome:
    mine = str(world.work.actor) in visit.participants
    assigned = visit.task is not None and str(world.work.actor) in visit.task.assignees
    if not (mine or assigned) or visit.site_id != saying.input.site_id or not world.sight_for(visit, saying):
        raise IdTaken()
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
    if visit.state == InspectionState.VOID:
        return _keep_late(world, saying, visit, "这次检查已经作废,您的修改单独保存了,没有并入。")
    if visit.state == InspectionState.SUBMITTED:
        late = {code: patch for code, patch in answers.items() if not _is_open(visit, code)}
        answers = {code: patch for code, patch in answers.items() if code not in late}
        if not answers:
            return _keep_late(world, saying, visit, "这次检查已经提交,您的修改单独保存了。需要改记录的,请提交更正。")
        if late:
            _keep_late(world, saying, visit, "")
    before = (visit.rev, msgspec.json.encode(visit.answers), visit.header, visit.participants)
    visit.header = {**visit.header, **_set(said.header)} if visit.state == InspectionState.DRAFT else visit.header
    conflicts = merge_answers(world, saying, visit, answers)
    after = (visit.rev, msgspec.json.encode(visit.answers), visit.header, visit.participants)
    if before == after and not conflicts:
        return Outcome("applied", doc=visit)
    entry = _say(world, saying, visit, "inspection.patched")
    return Outcome("merged" if conflicts else "applied", doc=visit, entry=entry, conflicts=conflicts)


def _only_changed(saying: Saying, answers: dict[str, inputs.AnswerPatch]) -> dict[str, inputs.AnswerPatch]:
    """A flat client sends the whole `answers` field with its `base`: only what it changed was said."""
    base = (saying.base or {}).get("answers")
    return rules.take_apart(answers, base) if base else answers


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
    return Outcome("superseded", doc=submission, entry=entry, problem=Problem("frozen", words) if words else None)


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
    world.put("submissions", submission)
    return submission


def merge_answers(
    world: World, saying: Saying, visit: Inspection, patches: dict[str, inputs.AnswerPatch]
) -> list[Conflict]:
    """Merges each touched group; gives the conflicts that it wrote. Raises Invalid for codes that the checklist lacks."""
    items = items_in(visit.version)
    unknown = [code for code in patches if code not in items]
    if unknown:
        raise Invalid(
            errors=[
                {"field": f"answers.{code}", "code": "unknown-item", "detail": "检查表里没有这一项。"}
                for code in unknown
            ]
        )
    for code in [code for code in patches if items[code].grade == "incident"]:
        patches = {**patches, code: _withhold(world, visit, items[code], patches[code])}
    merge, conflicts = Merge(visit, _source(world, saying, visit), saying.base_rev), []
    for code, said in msgspec.to_builtins(patches).items():
        for group, merged in merge.answer(code, said):
            conflicts.append(_conflict(world, saying, visit, group, merged))
    visit.field_meta = merge.meta.packed()
    return conflicts


class Merge:
    """The three-way merge of one saying into one visit's answers."""

    def __init__(self, visit: Inspection, mine: rules.GroupMeta, base_rev: int | None):
        self.visit, self.mine, self.base_rev = visit, mine, base_rev
        self.items = items_in(visit.version)
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
            if by not in answer:  # nobody has said this group yet
                self._stand(answer, name, by, code, incoming, self.mine)
            elif answer[name] != incoming:
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


def _withhold(world, visit: Inspection, item: FrozenItem, patch: inputs.AnswerPatch) -> inputs.AnswerPatch:
    """What is said on an incident item goes where only named persons read it; the answer keeps the result alone."""
    words = [patch.note if patch.note is not UNSET else ""]
    result = patch.result
    if result is not UNSET:
        words += [result.place, result.reason]
        result = inputs.Result(value=result.value, grade=result.grade)
    text = ";".join(word for word in words if word)
    if text:
        world.store.setdefault("withheld", {})[visit.id, item.code] = text
    return inputs.AnswerPatch(result=result)


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
        if visit.snapshot_sha256 == sha256:
            return Outcome("applied", doc=visit)
        alternative = _submission(world, saying, visit, kind="alternative", content=said.snapshot)
        entry = world.say(alternative, "submission.alternative", saying, urgency=None)
        problem = Problem("already-submitted", "同事已经提交了这次检查。您的这一份另外保存了,可以对照后提交更正。")
        return Outcome("superseded", doc=alternative, entry=entry, problem=problem)
    if visit.state == InspectionState.VOID:
        return _keep_late(world, saying, visit, "这次检查已经作废,您的提交单独保存了。")
    snapshot = inputs.snapshot_in(said.snapshot)
    if snapshot is None:
        raise Invalid(
            errors=[{"field": "snapshot", "code": "unreadable", "detail": "提交的快照读不懂,请更新应用后重试。"}]
        )
    conflicts = merge_answers(world, saying, visit, _known(visit, snapshot.answers))
    visit.state, visit.finished_at = InspectionState.SUBMITTED, said.finished_at
    visit.submitted_by_id, visit.submitted_at = world.work.actor, saying.said_at
    visit.snapshot_sha256, visit.snapshot_body_id = sha256, saying.body.id
    visit.participants = _ids({*visit.participants, *said.participants})
    if visit.audience == Audience.BUREAU:
        _share_visit(world, visit)
    if visit.task is not None and visit.task.state == "open":
        visit.task.state = "done"
        world.say(visit.task, "task.done", saying, urgency=None)
    entry = _say(world, saying, visit, "inspection.submitted")
    return Outcome("merged" if conflicts else "applied", doc=visit, entry=entry, conflicts=conflicts)


def _known(visit: Inspection, answers: dict[str, inputs.AnswerPatch]) -> dict[str, inputs.AnswerPatch]:
    """A snapshot is kept verbatim; of what it shows, the record takes the items of its own checklist."""
    items = items_in(visit.version)
    return {code: patch for code, patch in answers.items() if code in items}


def _share_visit(world: World, visit: Inspection) -> None:
    """Submitting opens the visit, its photos, conflicts and signatures to the school."""
    visit.audience = Audience.SHARED
    for photo in cure_of(world).photos_of[visit.id]:
        share_photo(world, photo)
    for document in _beside(world, visit):
        share_document(world, document, "visit.shared")


def _beside(world: World, visit: Inspection) -> list[Conflict | Statement]:
    """The conflicts and signatures of a visit; comments choose their readers themselves."""
    conflicts = [each for each in world.rows["conflicts"].values() if each.target_id == visit.id]
    return conflicts + _signatures(world, visit)


def _signatures(world: World, visit: Inspection) -> list[Statement]:
    statements = world.rows["statements"].values()
    return [each for each in statements if (each.inspection_id, each.kind) == (visit.id, StatementKind.SIGNATURE)]


def decide_join(world: World, saying: Saying) -> Outcome:
    """`inspections.join`: sighted by its secret alone; a wrong secret and an unknown visit wait alike (design §7)."""
    visit = world.get("inspections", saying.doc_id)
    secret = hashlib.sha256(saying.input.secret.encode()).hexdigest()
    if visit is None or not visit.join_sha256 or visit.join_sha256 != secret or not world.sight.holds(FIELD):
        raise Wait(("inspections", saying.doc_id))
    actor = str(world.work.actor)
    if actor in visit.participants:
        return Outcome("applied", doc=visit)
    visit.participants = _ids({*visit.participants, actor})
    if not world.sight.sees(visit.readers()):
        _let_read(world, visit, actor)
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.joined"))


def _let_read(world: World, visit: Inspection, person: str) -> None:
    """A co-inspector without a post there reads the visit, what hangs on it, its task, site and unit."""
    site = world.get("sites", visit.site_id)
    children = [*cure_of(world).photos_of[visit.id], *_beside(world, visit)]
    for document in [visit, *children, visit.task, site, site.unit]:
        if document is None or person in document.named:
            continue
        document.named = sorted({*document.named, person})
        if document is not visit:
            world.work.say(document, "scope.moved", body=None, urgency=None)


def decide_void(world: World, saying: Saying) -> Outcome:
    """`inspections.void`: a visit that could not happen. Once somebody was told of a finding, that is only proposed away."""
    visit = _my_visit(world, saying)
    said = saying.input
    if visit.state == InspectionState.SUBMITTED:
        raise Problem("already-submitted", "已经提交的检查不能作废。有误的请提交更正,发现的问题请申请撤销。")
    if visit.state == InspectionState.VOID:
        return Outcome("applied", doc=visit)
    visit.state = InspectionState.VOID
    visit.void_reason = f"{VOID_WORDS[said.cause]}:{said.reason}"[:200] if said.reason else VOID_WORDS[said.cause]
    for finding in cure_of(world).of_visit[visit.id]:
        _propose_withdrawal(world, saying, finding, f"所属检查已作废({visit.void_reason})")
    return Outcome("applied", doc=visit, entry=_say(world, saying, visit, "inspection.voided"))


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
    conflict.resolved_by_id, conflict.resolved_at = world.work.actor, world.work.now
    if saying.input.pick == "lost" and visit.state == InspectionState.DRAFT:
        _, code, name = conflict.group.split(".")
        meta = Meta.of(visit)
        visit.answers[code] = {**visit.answers[code], name: conflict.lost}
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
    for visit, saying in world.store.pop("touched", {}).values():
        if visit.state != InspectionState.VOID:
            _settle(world, saying, visit)
        if visit.state == InspectionState.SUBMITTED:
            _flag(world, visit)
    for supplemented, saying in world.store.pop("supplemented", {}).items():
        _flag_again(world, saying, world.get("inspections", supplemented))


def _flag_again(world: World, saying: Saying, visit: Inspection) -> None:
    """A signature or a photo that came after the submit: what it makes good is missing no more."""
    before = visit.flags
    if visit.state == InspectionState.SUBMITTED:
        _flag(world, visit)
    if visit.flags != before:
        world.say(visit, "inspection.supplemented", saying, urgency=None)


def _settle(world: World, saying: Saying, visit: Inspection) -> None:
    site, items = world.get("sites", visit.site_id), items_in(visit.version)
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
    withheld = world.store.get("withheld", {}).get((visit.id, item.code), "")
    text = withheld or note or result.get("reason") or item.text
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
    if not proposal.restricted:
        return visit.named
    return sorted({*visit.participants, *cure_of(world).approvers[visit.site_id]})


def _propose_withdrawal(world: World, saying: Saying, finding, reason: str) -> None:
    """A withdrawal said on behalf of the correction; an approver decides. Once an item."""
    item = world.get("rectifications", finding.item_id)
    state = cure_of(world).states.get(finding.item_id)
    if item is None or state is None or not state.is_open or any(request.until is None for request in state.requests):
        return
    asked = inputs.CreateWithdrawal(rectification_id=item.id, reason=reason)
    hear_statement(world, _derived(saying, asked), StatementKind.WITHDRAWAL, item)


def _derived(saying: Saying, asked) -> Saying:
    return Saying(
        verb="withdrawals.create",
        doc_id=new_id(),
        input=asked,
        body=saying.body,
        said_at=saying.said_at,
        source="phone",
        op_id=saying.op_id,
        device=saying.device,
    )


def _flag(world: World, visit: Inspection) -> None:
    """What the record lacks is said in the record; the server never refuses a submit for it (design §4)."""
    signatures = [signature.content for signature in _signatures(world, visit)]
    photos = {photo.item_code for photo in cure_of(world).photos_of[visit.id]}
    visit.flags = rules.record_flags(
        items_in(visit.version), visit.answers, photos=photos, participants=visit.participants, signatures=signatures
    )


def _ids(persons: set) -> list[str]:
    return sorted(set(map(str, persons)))  # said ids are UUIDs, kept ones are text


def _set(header: inputs.Header) -> dict[str, str]:
    return {name: value for name, value in msgspec.to_builtins(header).items() if value is not UNSET}
