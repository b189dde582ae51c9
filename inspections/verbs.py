"""VERBS: every word that may be said, with its shape, what it needs and who decides it. Both doors use this one table."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from inspections import inputs
from inspections.actions.hazards import decide_quick_hazard
from inspections.actions.photos import decide_photo, photo_needs
from inspections.actions.rectification import decide_comment, decide_signature, decide_statement
from inspections.actions.settling import settle_visits
from inspections.actions.visits import (
    decide_create,
    decide_delete,
    decide_join,
    decide_patch,
    decide_resolve,
    decide_submission,
    decide_submit,
    decide_void,
)
from inspections.loading import LOADERS, places_said
from inspections.models import StatementKind
from inspections.rules import normalise_place
from safety.verbs import VERBS as GROUND_VERBS
from safety.verbs import Need, Saying, Verb, World, needs_of, prepare


def ready(world: World, sayings: Sequence[Saying], *, organisations: Iterable[UUID]) -> None:
    """Locks and loads what these sayings need. Raises MoreToLock."""
    world.store["said"] = said = answers_said(sayings)
    needs = needs_of(VERBS, sayings)
    for saying in sayings:
        if isinstance(saying.input, inputs.CreateInspection):  # not there to be loaded, nor its later answers with it
            for answers in said[saying.doc_id]:
                needs["places"].update(place for _, place in places_said(saying.input.site_id, answers))
    prepare(world, LOADERS, needs, organisations=organisations)


def hear(world: World) -> None:
    """What follows from the batch's end state: findings of visits, judged once, not at every tap."""
    settle_visits(world)


def answers_said(sayings: Sequence[Saying]) -> dict[UUID, list[dict[str, inputs.AnswerPatch]]]:
    """What is said of each visit's answers in this batch: their places must be loaded before anything is decided."""
    said: dict[UUID, list] = defaultdict(list)
    for saying in sayings:
        if isinstance(saying.input, inputs.CreateInspection | inputs.PatchInspection):
            said[saying.doc_id].append(saying.input.answers)
        elif isinstance(saying.input, inputs.SubmitInspection):
            shown = inputs.snapshot_in(saying.input.snapshot)
            said[saying.doc_id].append(shown.answers if shown else {})
    return said


def _own(collection: str) -> Callable[[UUID, object], list[Need]]:
    return lambda doc_id, said: [(collection, doc_id)]


def _statement(struct: type, kind: StatementKind) -> Verb:
    def needs(doc_id: UUID, said) -> list[Need]:
        return [("statements", doc_id), ("rectifications", said.rectification_id)]

    return Verb(struct, needs, decide_statement(kind))


def _on_either(doc_id: UUID, said) -> list[Need]:
    return [("statements", doc_id), ("rectifications", said.rectification_id), ("inspections", said.inspection_id)]


def _creates_visit(doc_id: UUID, said: inputs.CreateInspection) -> list[Need]:
    return [
        ("inspections", doc_id),
        ("sites", said.site_id),
        ("versions", said.template_version_id),
        ("tasks", said.task_id),
    ]


def _creates_hazard(doc_id: UUID, said: inputs.CreateQuickHazard) -> list[Need]:
    place = (said.site_id, said.item_code, normalise_place(said.place))
    return [
        ("quick_hazards", doc_id),
        ("sites", said.site_id),
        ("places", place),
        ("inspections", said.inspection_id),
        ("catalogue", said.item_code or None),
    ]


VERBS: dict[str, Verb] = GROUND_VERBS | {
    "inspections.create": Verb(inputs.CreateInspection, _creates_visit, decide_create),
    "inspections.patch": Verb(inputs.PatchInspection, _own("inspections"), decide_patch),
    "inspections.submit": Verb(inputs.SubmitInspection, _own("inspections"), decide_submit),
    "inspections.join": Verb(inputs.JoinInspection, _own("inspections"), decide_join),
    "inspections.delete": Verb(inputs.DeleteInspection, _own("inspections"), decide_delete),
    "inspections.void": Verb(inputs.VoidInspection, _own("inspections"), decide_void),
    "submissions.create": Verb(
        inputs.CreateSubmission,
        lambda doc_id, said: [("submissions", doc_id), ("inspections", said.inspection_id)],
        decide_submission,
    ),
    "conflicts.resolve": Verb(inputs.ResolveConflict, _own("conflicts"), decide_resolve),
    "photos.create": Verb(inputs.CreatePhoto, photo_needs, decide_photo),
    "quick_hazards.create": Verb(inputs.CreateQuickHazard, _creates_hazard, decide_quick_hazard),
    "notices.create": _statement(inputs.CreateNotice, StatementKind.NOTICE),
    "receipts.create": _statement(inputs.CreateReceipt, StatementKind.RECEIPT),
    "reports.create": _statement(inputs.CreateReport, StatementKind.REPORT),
    "revisits.create": _statement(inputs.CreateRevisit, StatementKind.REVISIT),
    "extensions.create": _statement(inputs.CreateExtension, StatementKind.EXTENSION),
    "judgements.create": _statement(inputs.CreateJudgement, StatementKind.JUDGEMENT),
    "closures.create": _statement(inputs.CreateClosure, StatementKind.CLOSURE),
    "withdrawals.create": _statement(inputs.CreateWithdrawal, StatementKind.WITHDRAWAL),
    "transfers.create": _statement(inputs.CreateTransfer, StatementKind.TRANSFER),
    "transfer_replies.create": _statement(inputs.CreateTransferReply, StatementKind.TRANSFER_REPLY),
    "decisions.create": _statement(inputs.CreateDecision, StatementKind.DECISION),
    "signatures.create": Verb(inputs.CreateSignature, _on_either, decide_signature),
    "comments.create": Verb(inputs.CreateComment, _on_either, decide_comment),
}
