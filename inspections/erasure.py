"""Which rows of visits and cure hold what was said, and how they stand once it is erased (see safety/erasure.py).

What something *did* stays: results, grades, states, rounds, hashes, dates. What was said in words goes: notes, reasons,
places, names, sentences. A finding keeps its place in the count under a mark, so that nothing is found anew.
"""

from collections.abc import Iterable, Iterator
from uuid import UUID

import msgspec
from django.db.models import Q

from inspections.actions.findings import dedupe_key
from inspections.actions.withheld import KIND, unpacked
from inspections.models import (
    Conflict,
    Finding,
    Inspection,
    QuickHazard,
    RectificationItem,
    Statement,
    StatementKind,
    Submission,
)
from inspections.rules import normalise_place
from inspections.verbs import VERBS
from safety.erasure import Erasure
from safety.models import Body, Change

CODE_LENGTH = 12  # what may be no longer is a code of the checklist, not text
BESIDE = ("kept", "lost")  # a conflict holds values of notes under these names


def erase_evidence(erasure: Erasure) -> None:
    """The first eraser: it knows which members of what was said are text."""
    erasure.learn(text_keys())
    visits = _visits(erasure)
    hazards = list(QuickHazard.objects.filter(id__in=erasure.moved(QuickHazard.collection)))
    _take_repeats(erasure, visits)
    findings = _erase_findings(erasure, visits, hazards)
    _erase_items(erasure, findings)
    _erase_visits(erasure, visits)
    for hazard in hazards:
        hazard.text = erasure.scrub(hazard.text)
        hazard.place, hazard.place_key = _place(erasure, hazard)
        erasure.say(hazard, "quick_hazard.erased")
    _erase_statements(erasure)


def text_keys() -> set[str]:
    """The names of members that hold free text, read off the shapes of all verbs: a new one cannot be forgotten."""
    names = {name for verb in VERBS.values() for name in _text_members(msgspec.inspect.type_info(verb.struct))}
    return names | set(BESIDE)


def _text_members(shape: msgspec.inspect.Type, name: str = "") -> Iterator[str]:
    if isinstance(shape, msgspec.inspect.StrType):
        if shape.pattern is None and shape.max_length != CODE_LENGTH:
            yield name
    elif isinstance(shape, msgspec.inspect.StructType):
        for member in shape.fields:
            yield from _text_members(member.type, member.name)
    elif isinstance(shape, msgspec.inspect.UnionType):
        for each in shape.types:
            yield from _text_members(each, name)
    elif isinstance(shape, msgspec.inspect.CollectionType):
        yield from _text_members(shape.item_type, name)
    elif isinstance(shape, msgspec.inspect.DictType):
        yield from _text_members(shape.value_type, name)


def _visits(erasure: Erasure) -> list[Inspection]:
    """The visits that were spoken of: themselves, or by what hangs on them."""
    submissions = Submission.objects.filter(id__in=erasure.moved(Submission.collection))
    conflicts = Conflict.objects.filter(id__in=erasure.moved(Conflict.collection))
    ids = erasure.moved(Inspection.collection)
    ids |= {*submissions.values_list("inspection_id", flat=True), *conflicts.values_list("target_id", flat=True)}
    return list(Inspection.objects.filter(id__in=ids).select_related("version"))


def _take_repeats(erasure: Erasure, visits: list[Inspection]) -> None:
    """A visit is told more than once: the snapshot of its submit, an alternative, repeat what a patch said."""
    of_visits = Q(inspection__in=visits)
    documents = {(Inspection.collection, visit.id) for visit in visits}
    documents |= {
        (Submission.collection, each) for each in Submission.objects.filter(of_visits).values_list("id", flat=True)
    }
    erasure.homes |= documents
    changes = Change.objects.filter(doc_id__in=[each for _, each in documents], body_id__isnull=False)
    erasure.take(erasure.repeats(Body.objects.filter(id__in=changes.values("body_id"))))


def _erase_visits(erasure: Erasure, visits: list[Inspection]) -> None:
    for visit in visits:
        visit.answers, visit.header = erasure.scrub(visit.answers), erasure.scrub(visit.header)
        if erasure.is_held_in(visit.void_reason):
            visit.void_reason = erasure.mark
        erasure.say(visit, "inspection.erased")
    for conflict in Conflict.objects.filter(target_id__in=[visit.id for visit in visits]):
        kept, lost = erasure.scrub(conflict.kept), erasure.scrub(conflict.lost)
        if (kept, lost) != (conflict.kept, conflict.lost):
            conflict.kept, conflict.lost = kept, lost
            erasure.say(conflict, "conflict.erased")
    for submission in Submission.objects.filter(inspection__in=visits):
        if _repeats(erasure, submission):
            submission.content, submission.reason = "", erasure.scrub(submission.reason)
            erasure.say(submission, "submission.erased")


def _repeats(erasure: Erasure, submission: Submission) -> bool:
    """Whether a submission holds a word whole; what was withheld for named persons is put together from several."""
    if submission.kind == KIND:
        return any(erasure.is_held_in(text) for _, text in unpacked(submission)) if submission.content else False
    return submission.content in erasure.words or bool(erasure.repeats([Body(bytes=submission.content.encode())]))


def _erase_findings(erasure: Erasure, visits: Iterable[Inspection], hazards: Iterable[QuickHazard]) -> list[Finding]:
    """Findings that came of what is erased: of these visits and hazards, or of a failed revisit."""
    told = Q(inspection__in=visits) | Q(quick_hazard__in=hazards)
    items = erasure.moved(RectificationItem.collection)
    for change in erasure.changes:
        told |= Q(item__in=items, found_by=change.actor_id, found_at=change.said_at)
    erased = []
    for finding in Finding.objects.filter(told):
        if finding.place not in erasure.words and not erasure.is_held_in(finding.text):
            continue
        if erasure.is_held_in(finding.text):
            finding.text = erasure.words.get(finding.text, erasure.mark)
        finding.place, finding.place_key = _place(erasure, finding)
        erasure.update(finding)
        erased.append(finding)
    return erased


def _place(erasure: Erasure, row: Finding | QuickHazard | RectificationItem) -> tuple[str, str]:
    """The mark that stands for a place, and its key: answers and findings of one place still agree."""
    if row.place not in erasure.words:
        return row.place, row.place_key
    mark = erasure.words[row.place]
    return mark, normalise_place(mark)


def _erase_items(erasure: Erasure, findings: list[Finding]) -> None:
    """An item takes its text and place from its first finding; what was said of it may stand in its facts."""
    erased = {finding.id for finding in findings}
    items = {finding.item_id for finding in findings} | erasure.moved(RectificationItem.collection)
    firsts = _first_findings(items)
    for item in RectificationItem.objects.filter(id__in=items):
        before = (item.text, item.place, item.facts)
        if firsts.get(item.id) in erased:
            if erasure.is_held_in(item.text):
                item.text = erasure.words.get(item.text, erasure.mark)
            item.place, item.place_key = _place(erasure, item)
        item.facts = erasure.scrub(item.facts)
        erasure.subjects[item.id] = dedupe_key(item)
        if before != (item.text, item.place, item.facts) or item.id in {finding.item_id for finding in findings}:
            erasure.say(item, "rectification.erased")


def _first_findings(items: set[UUID]) -> dict[UUID, UUID]:
    firsts: dict[UUID, UUID] = {}
    for item_id, finding_id in (
        Finding.objects.filter(item__in=items).order_by("item_id", "ordinal").values_list("item_id", "id")
    ):
        firsts.setdefault(item_id, finding_id)
    return firsts


def _erase_statements(erasure: Erasure) -> None:
    """What was said about an item or a visit: the words go, what the fold reads stays."""
    ids = {doc_id for kind in StatementKind.values for doc_id in erasure.moved(kind)}
    for statement in Statement.objects.filter(id__in=ids):
        statement.content = {name: _scrubbed(erasure, name, value) for name, value in statement.content.items()}
        erasure.say(statement, f"{StatementKind(statement.kind).name.lower()}.erased")


def _scrubbed(erasure: Erasure, name: str, value):
    """A reason that a rule wrote may quote what was said (a void visit proposes a withdrawal)."""
    if isinstance(value, str) and name in erasure.keys and value not in erasure.words and erasure.is_held_in(value):
        return erasure.mark
    return erasure.scrub(value, name)
