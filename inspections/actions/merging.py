"""Two phones, one visit: the answers and the header of a saying merged into those that stand, and what lost kept as a
conflict."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec

from inspections import inputs, rules
from inspections.actions.withheld import withhold
from inspections.checklist import items_of
from inspections.frozen import FrozenItem
from inspections.models import Conflict, Inspection, InspectionState
from safety import rows
from safety.ids import following_id, new_id
from safety.verbs import Saying, World

GROUPS = (("result", "by"), ("note", "note_by"))  # each with where the answer says whose it is
NOBODYS = {"result": None, "note": ""}
HEADER = "header"


class Meta:
    """Who said which group of a visit, unpacked while a unit works on it: sources, and the number of one by group name
    and item code (of the header: by member)."""

    def __init__(self, visit: Inspection):
        self.sources, self.groups = visit.field_meta or ([], {name: {} for name, _ in GROUPS})
        self.last: rules.GroupMeta | None = None
        self.numbers = {tuple(source): number for number, source in enumerate(self.sources)}

    def get(self, name: str, code: str) -> rules.GroupMeta | None:
        number = self.groups.get(name, {}).get(code)
        return None if number is None else msgspec.convert(self.sources[number], rules.GroupMeta)

    def set(self, name: str, code: str, meta: rules.GroupMeta) -> None:
        if meta is not self.last:  # one saying sets many
            self.last, self.number = meta, self.number_of(meta)
        self.groups.setdefault(name, {})[code] = self.number

    def number_of(self, meta: rules.GroupMeta) -> int:
        """The place of a source among the visit's, as a new one if it is not there."""
        source = msgspec.to_builtins(meta)
        number = self.numbers.get(tuple(source))
        if number is None:
            number = self.numbers[tuple(source)] = len(self.sources)
            self.sources.append(source)
        return number

    def packed(self) -> list:
        return [self.sources, self.groups]

    def speakers(self) -> list[list]:
        """The sources of what stands; who made the visit and filled in nothing said nothing."""
        return [self.sources[number] for number in {n for codes in self.groups.values() for n in codes.values()}]


def merge_answers(
    world: World, saying: Saying, visit: Inspection, patches: dict[str, inputs.AnswerPatch]
) -> tuple[bool, list[Conflict]]:
    """Merges each touched group; gives whether an answer moved, and the conflicts that it wrote.

    Every code is of the checklist.
    """
    items = items_of(world, visit)
    patches = withhold(world, saying, visit, items, patches)
    # a submit repeats what its patches have said
    told = {
        code: said
        for code, said in msgspec.to_builtins(patches).items()
        if not said.items() <= visit.answers.get(code, NOBODYS).items()
    }
    merge, conflicts = Merge(world, saying, visit, items), []
    first = {code: said for code, said in told.items() if code not in visit.answers}
    if first:
        merge.begin(first)
    for code, said in told.items():
        if code in first:
            continue
        for group, merged in merge.answer(code, said):
            conflicts.append(write_conflict(world, saying, visit, group, merged))
    if merge.moved:
        visit.field_meta = merge.meta.packed()
    return merge.moved, conflicts


def merge_header(world: World, saying: Saying, visit: Inspection, said: dict[str, str]) -> tuple[bool, list[Conflict]]:
    """Merges the members of the header that were said, each a group of its own; gives whether one moved, and the conflicts."""
    told = {name: text for name, text in said.items() if text != visit.header.get(name, "")}
    if not told:
        return False, []
    meta, mine, before, conflicts = Meta(visit), source_of(world, saying, visit), visit.header, []
    for name, text in told.items():
        known = meta.get(HEADER, name)
        merged = rules.merge_group(
            HEADER, current=before.get(name, ""), meta=known, incoming=text, mine=mine, base_rev=saying.base_rev
        )
        if merged.meta is not known:
            visit.header = {**visit.header, name: merged.value}
            meta.set(HEADER, name, merged.meta)
        if merged.lost is not None:
            conflicts.append(write_conflict(world, saying, visit, f"{HEADER}.{name}", merged))
    visit.field_meta = meta.packed()
    return visit.header is not before, conflicts


class Merge:
    """The three-way merge of one saying into one visit's answers."""

    def __init__(self, world: World, saying: Saying, visit: Inspection, items: dict[str, FrozenItem]):
        self.world, self.saying, self.visit, self.items = world, saying, visit, items
        self.late = visit.state == InspectionState.SUBMITTED
        self.moved = False

    @cached_property
    def meta(self) -> Meta:
        return Meta(self.visit)

    @cached_property
    def mine(self) -> rules.GroupMeta:
        return source_of(self.world, self.saying, self.visit)

    @cached_property
    def author(self) -> str:
        return str(self.mine.by)

    def begin(self, said: dict[str, dict]) -> None:
        """Answers where there was none: nearly all that is ever said, and nothing to compare it with."""
        number = self.meta.number_of(self.mine)
        for code, patch in said.items():
            answer = self.visit.answers[code] = NOBODYS | patch
            for name, by in GROUPS:
                if answer[name]:
                    answer[by], self.meta.groups[name][code] = self.author, number
            if self.late:
                answer["late"] = True
        self.moved = True

    def answer(self, code: str, said: dict) -> Iterator[tuple[str, rules.Merged]]:
        """Merges the groups of one answer that were said; yields those in which something lost."""
        answer = self.visit.answers[code]
        for name, by in GROUPS:
            if name not in said or answer[name] == said[name]:
                continue
            if by not in answer:  # nobody has said this group yet
                self._stand(code, answer, name, by, said[name], self.mine)
                continue
            meta = self.meta.get(name, code)
            merged = self._group(code, name, answer[name], said[name], meta)
            if merged.meta is not meta:
                self._stand(code, answer, name, by, merged.value, merged.meta)
            if merged.lost is not None:
                yield f"answers.{code}.{name}", merged

    def _stand(self, code: str, answer: dict, name: str, by: str, value: Any, meta: rules.GroupMeta) -> None:
        self.meta.set(name, code, meta)
        answer[name], answer[by] = value, self.author if meta is self.mine else str(meta.by)
        if self.late:
            answer["late"] = True
        self.visit.answers[code] = answer
        self.moved = True

    def _group(self, code: str, name: str, current, incoming, meta: rules.GroupMeta | None) -> rules.Merged:
        if meta is None:
            return rules.Merged(incoming, self.mine)
        return rules.merge_group(
            name,
            current=current,
            meta=meta,
            incoming=incoming,
            mine=self.mine,
            base_rev=self.saying.base_rev,
            default=rules.default_grade(self.items[code]),
        )


def source_of(world: World, saying: Saying, visit: Inspection) -> rules.GroupMeta:
    """Who says what this saying changes in a visit."""
    return rules.GroupMeta(
        rev=visit.rev + 1,
        by=world.work.actor,
        device=saying.device,
        op_id=saying.op_id,
        hlc=rules.effective_hlc(saying.hlc, said_at=saying.said_at, received_at=world.work.now),
    )


def write_conflict(world: World, saying: Saying, visit: Inspection, group: str, merged: rules.Merged) -> Conflict:
    """Keeps what lost as a document of its own, for a participant to pick from."""
    conflict = rows.new(
        Conflict,
        id=_conflict_id(saying, visit, group, merged),
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


def _conflict_id(saying: Saying, visit: Inspection, group: str, merged: rules.Merged) -> UUID:
    """The same two sayings meet under one id, whichever of them comes first."""
    if saying.op_id is None:
        return new_id()
    met = {merged.lost.meta.op_id, *([merged.meta.op_id] if merged.meta else [])}
    return following_id(visit.id, "/".join([group, *sorted(map(str, met))]))
