"""What came after or beside a submitted record, kept as a document of its own."""

import hashlib
from uuid import UUID

from inspections.actions.sharing import named_on_incidents
from inspections.actions.withheld import speaks_of_incidents
from inspections.checklist import items_of
from inspections.models import Inspection, Submission
from safety import rows
from safety.ids import following_id
from safety.models import Audience
from safety.verbs import Saying, World


def new_submission(
    world: World,
    saying: Saying,
    visit: Inspection,
    *,
    kind: str,
    content: str,
    doc_id: UUID | None = None,
    reason: str = "",
) -> Submission:
    """Not said yet. `content` is JSON, kept verbatim; what speaks of incidents is for named persons alone."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    submission = rows.new(
        Submission,
        id=doc_id or following_id(saying.op_id, f"{kind}/{digest}"),
        inspection_id=visit.id,
        kind=kind,
        author_id=world.work.actor,
        reason=reason,
        content=content,
        sha256=digest,
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
