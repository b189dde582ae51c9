"""What waits: how long, how often it is asked again, and how a fault of ours waits as well. The asking is in jobs.py."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from safety.errors import Problem
from sync.models import Waiting

FAULTS = "faults"  # the kind under which an operation waits that we failed to hear
OPERATIONS = "operations"
FIVE_DAYS = timedelta(days=5)  # design §7; sync.md §1.4
TEN_DAYS = 2 * FIVE_DAYS  # what then still waits for each other in a circle, or behind a fault of ours, waits no more
LONGEST = timedelta(hours=1)


class NeverCame(Problem):
    """The five-day rule: the same words for what is unknown and for what is not the author's to see."""

    code, status = "not-found", 404
    message = (
        "等了五天,它所说的材料一直没有送到,或不在您的范围内,所以没有办理。内容仍保存在服务器上,请告诉系统管理员处理。"
    )


def put_off(attempts: int) -> timedelta:
    """How long to leave alone what was heard in vain so many times: 1, 2, 4 … minutes, at most an hour. Our default."""
    return min(timedelta(minutes=1) * 2 ** min(max(attempts - 1, 0), 10), LONGEST)


def wait_after_fault(op_id: UUID, doc_id: UUID, *, person: UUID, now: datetime) -> None:
    """An operation that we could not hear is heard again by the job, with growing pauses, until we can."""
    row = Waiting(op_id=op_id, person_id=person, kind=FAULTS, doc_id=doc_id, since=now, attempts=1)
    row.try_at = now + put_off(row.attempts)
    Waiting.objects.bulk_create([row], update_conflicts=True, unique_fields=["op_id"], update_fields=["kind", "doc_id"])


def free(now: datetime) -> Q:
    """Nobody is hearing it at this moment, and it is time to ask again."""
    unleased = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    return unleased & (Q(try_at__isnull=True) | Q(try_at__lte=now))


def overdue(now: datetime) -> Q:
    """Waits to which the five-day rule puts an end.

    A fault of ours ends no operation of theirs. What waits for an operation that waits itself goes after it: only what
    is in a circle, or behind a fault, is let go after ten days.
    """
    needed = Waiting.objects.filter(op_id=OuterRef("doc_id"))
    behind = Q(kind=OPERATIONS) & Exists(needed)
    return ~Q(kind=FAULTS) & (Q(since__lte=now - FIVE_DAYS) & ~behind | Q(since__lte=now - TEN_DAYS))
