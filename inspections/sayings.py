"""Rows to the fold's structs: what a stored finding or statement says, as `inspections.fold` reads it."""

from collections.abc import Collection
from uuid import UUID

import msgspec

from inspections import fold
from inspections.models import Finding, Photo, Statement, StatementKind
from inspections.rules import FindingKind, Grade

_STRUCTS: dict[str, type[fold.Said]] = {
    StatementKind.NOTICE.value: fold.Notice,
    StatementKind.RECEIPT.value: fold.Receipt,
    StatementKind.REPORT.value: fold.Report,
    StatementKind.REVISIT.value: fold.Revisit,
    StatementKind.EXTENSION.value: fold.Extension,
    StatementKind.JUDGEMENT.value: fold.Judgement,
    StatementKind.CLOSURE.value: fold.Closure,
    StatementKind.WITHDRAWAL.value: fold.Withdrawal,
    StatementKind.TRANSFER.value: fold.Transfer,
    StatementKind.TRANSFER_REPLY.value: fold.TransferReply,
    StatementKind.DECISION.value: fold.Decision,
    StatementKind.SIGNATURE.value: fold.Signature,
    StatementKind.COMMENT.value: fold.Comment,
}


def said_by_finding(finding: Finding, *, photos: Collection[Photo] = (), repeat_of: UUID | None = None) -> fold.Finding:
    """`photos` are those of what it was found on, whatever their moment; `repeat_of` is the ended item that its own repeats."""
    return fold.Finding(
        id=finding.id,
        ordinal=finding.ordinal,
        by=finding.found_by_id,
        said_at=finding.found_at,
        finding=finding.id,
        kind=FindingKind(finding.kind),
        grade=Grade(finding.grade),
        fixed_on_spot=finding.fixed_on_spot,
        before=tuple(fold.Photo(each.id, each.sha256) for each in photos if each.moment == "before"),
        after=tuple(fold.Photo(each.id, each.sha256) for each in photos if each.moment == "after"),
        repeat_of=repeat_of,
    )


def said_by_statement(statement: Statement) -> fold.Said:
    """The content carries more than the fold reads; its struct takes what it names."""
    struct = _STRUCTS[statement.collection]
    content = {
        **statement.content,
        "photos": [[photo["id"], photo["sha256"]] for photo in statement.content.get("photos", [])],
        "said": struct.__struct_config__.tag,
        "id": statement.id,
        "ordinal": statement.ordinal,
        "by": statement.author_id,
        "said_at": statement.said_at,
        "source": statement.source,
    }
    return msgspec.convert(content, struct, strict=False)
