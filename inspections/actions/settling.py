"""What the answers of a batch come to, judged once on its end state: findings, withdrawals proposed, flags of the record."""

from typing import Any

from inspections import inputs, rules
from inspections.actions.findings import Proposal, attach
from inspections.actions.rectification import derived, hear_statement
from inspections.actions.sharing import named_on_incidents
from inspections.actions.submissions import new_submission
from inspections.actions.withheld import Words, packed, words_withheld
from inspections.checklist import items_of
from inspections.frozen import FrozenItem, Printing
from inspections.loading import cure_of
from inspections.models import (
    Conflict,
    Inspection,
    InspectionState,
    RectificationItem,
    Statement,
    StatementKind,
)
from safety.models import Audience
from safety.verbs import Saying, World


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
        submission = new_submission(world, words.saying, visit, kind="withheld", content=packed(code, words.text))
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
            propose_withdrawal(world, saying, finding, "检查人更正了这一项的结果")


def _proposals(world: World, visit: Inspection, items: dict[str, FrozenItem]) -> list[Proposal]:
    """What the answers say is not in order, and what lost a merge at another place: it is a finding of its own."""
    said = [
        (code, answer["result"], answer["note"])
        for code, answer in visit.answers.items()
        if answer["result"] and answer["result"]["value"] in rules.FOUND
    ]
    for conflict in world.rows["conflicts"].values():
        open_here = conflict.target_id == visit.id and conflict.resolved_at is None
        if open_here and conflict.group.endswith(".result") and _of_two_places(conflict):
            said.append((conflict.group.split(".")[1], conflict.lost, ""))
    return [
        _proposal(world, visit, items[code], result, note)
        for code, result, note in said
        if result["value"] in rules.FOUND
    ]


def _of_two_places(conflict: Conflict) -> bool:
    """Two authors at two places are two findings; one author on two phones has thought again."""
    kept, lost = (rules.normalise_place(value.get("place", "")) for value in (conflict.kept, conflict.lost))
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


def propose_withdrawal(world: World, saying: Saying, finding, reason: str) -> None:
    """A withdrawal said on behalf of the correction; an approver decides. Once an item."""
    item = world.get("rectifications", finding.item_id)
    state = cure_of(world).states.get(finding.item_id)
    if item is None or state is None or not state.is_open or any(request.until is None for request in state.requests):
        return
    asked = inputs.CreateWithdrawal(rectification_id=item.id, reason=reason)
    hear_statement(world, derived(saying, "withdrawals.create", asked), StatementKind.WITHDRAWAL, item)


def _flag(world: World, visit: Inspection) -> None:
    """What the record lacks is said in the record; the server never refuses a submit for it (design §4)."""
    signatures = [{"author": each.author_id, **each.content} for each in signatures_of(world, visit)]
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


def signatures_of(world: World, visit: Inspection) -> list[Statement]:
    statements = world.rows["statements"].values()
    return [each for each in statements if (each.inspection_id, each.kind) == (visit.id, StatementKind.SIGNATURE)]
