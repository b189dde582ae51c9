"""What the road keeps of a thing said, and how it stands once that is erased (see safety/erasure.py).

An operation keeps its id, author and verdict: sent again, it is answered as before and applied no second time.
"""

from uuid import UUID

from django.db.models import Q

from safety.erasure import Erasure
from safety.errors import Problem
from safety.models import Body, Index
from sync.jobs import SyncResult
from sync.models import Operation, Review, SetAside, Verdict, Waiting, Why


class Erased(Problem):
    code, status = "erased", 422
    message = "这条内容已由管理员删除,没有办理。"


def erase_operations(erasure: Erasure) -> None:
    """Operations by which it was said, their verdicts, and the verdicts that quote it to a colleague."""
    homes = {doc_id for _, doc_id in erasure.homes}
    told = Operation.objects.filter(doc_id__in=homes).values("body_id")
    erasure.take(erasure.repeats(Body.objects.filter(id__in=told)))
    _erase_set_aside(erasure, homes | {change.doc_id for change in erasure.changes})
    gone = Operation.objects.select_for_update().filter(body_id__in=list(erasure.bodies)).order_by("op_id")
    operations = {operation.op_id: operation for operation in gone}
    beside = Operation.objects.filter(doc_id__in=homes).exclude(op_id__in=operations).values("op_id")
    verdicts = {verdict.op_id: verdict for verdict in Verdict.objects.filter(op_id__in=list(operations))}
    for operation in operations.values():
        operation.payload_sha256 = b""  # without salt, a short text could be guessed from its hash
        erasure.update(operation)
        _erase_verdict(erasure, operation, verdicts.get(operation.op_id))
    for verdict in Verdict.objects.filter(op_id__in=beside):
        conflicts = erasure.scrub(verdict.conflicts)
        if conflicts != verdict.conflicts:
            verdict.conflicts = conflicts
            erasure.update(verdict)


def _erase_set_aside(erasure: Erasure, homes: set[UUID]) -> None:
    """What a phone put aside and reported may say it again; what was noted on dealing with it may quote it."""
    rows = list(SetAside.objects.filter(doc_id__in=homes))
    erasure.take(erasure.repeats(Body.objects.filter(id__in=[row.body_id for row in rows])))
    for row in rows:
        if row.body_id in erasure.bodies:
            row.payload_sha256 = b""
            row.reason = erasure.mark if erasure.is_held_in(row.reason) else row.reason
            erasure.update(row)
    about = Operation.objects.filter(doc_id__in=homes).values("op_id")
    for review in Review.objects.filter(Q(about_id__in=about) | Q(about_id__in=[row.id for row in rows])):
        if erasure.is_held_in(review.note):
            review.note = erasure.mark
            erasure.update(review)


def _erase_verdict(erasure: Erasure, operation: Operation, verdict: Verdict | None) -> None:
    """What was refused may be quoted in the refusal; what still waits is never heard."""
    if verdict is None:
        Waiting.objects.filter(op_id=operation.op_id).delete()
        refused = Erased().as_json()
        erasure.work.insert(Verdict(op_id=operation.op_id, status="rejected", problem=refused, at=erasure.work.now))
        return
    if verdict.problem is not None:
        kept = ("type", "title", "status", "code", "retryable")
        verdict.problem = {name: verdict.problem[name] for name in kept} | {"detail": erasure.mark}
    verdict.conflicts = erasure.scrub(verdict.conflicts)
    erasure.update(verdict)
    told = Index.objects.filter(collection=SyncResult.collection, doc_id=operation.op_id).first()
    if told is not None:
        flagged = Review.objects.filter(about_id=operation.op_id, why=Why.OUT_OF_ORDER).exists()
        result = SyncResult(verdict, person=operation.person_id, rev=told.rev, out_of_order=flagged)
        erasure.say(result, "operation.erased")
