"""The horizon: how long it is remembered what was deleted, what left a reader, and who was served what.

A phone that stayed away longer starts from a snapshot. The promise is taken back first (`Clock.kept_after`), then rows
go in small units: a pull that still sees the old promise reads a snapshot in which nothing is gone yet.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef

from safety.changes import unit
from safety.models import Change, Clock, Exit, Index, ScopeServed, ScopeSet

LOOK_EVERY = timedelta(hours=12)
NUMBERS = 5_000  # of the log that one unit goes through
ROWS = 500


def sweep_tombstones(now: datetime, *, numbers: int = NUMBERS, rows: int = ROWS) -> int:
    """Moves the horizon twice a day, and sweeps what lies before it a step at a time.

    Gives how many numbers of the log it passed, and how many served scopes went.
    """
    clock = Clock.objects.get(id=1)
    if clock.swept_at is None or now - clock.swept_at >= LOOK_EVERY:
        return _move_horizon(now - timedelta(days=settings.SYNC_KEEP_DAYS), clock, now=now)
    if clock.swept_seq < clock.kept_after:
        return _sweep_numbers(clock, min(clock.swept_seq + numbers, clock.kept_after), rows=rows, now=now)
    return 0


def _move_horizon(oldest: datetime, clock: Clock, *, now: datetime) -> int:
    kept_after = max(clock.kept_after, last_before(oldest, upto=clock.seq))
    Clock.objects.filter(id=1).update(kept_after=kept_after, swept_at=now)
    return kept_after - clock.kept_after + _sweep_scopes(oldest, now=now)


def last_before(moment: datetime, *, upto: int) -> int:
    """The last number of the log that was given before a moment; 0 if none was.

    Found by halving, for numbers grow with time and the log has no index by time.
    """
    low, high = 0, upto
    while low < high:
        middle = (low + high + 1) // 2
        given = Change.objects.filter(seq__gte=middle).order_by("seq").values_list("received_at", flat=True).first()
        if given is not None and given < moment:
            low = middle
        else:
            high = middle - 1
    return low


def _sweep_numbers(clock: Clock, upto: int, *, rows: int, now: datetime) -> int:
    """Exits and deleted documents of the next few thousand numbers; live ones stay, however old."""
    while _sweep_exits(upto, rows=rows, now=now) == rows:
        pass
    with unit(actor=None, source="job", now=now):
        Index.objects.filter(seq__gt=clock.swept_seq, seq__lte=upto, deleted=True).delete()
        Clock.objects.filter(id=1, swept_seq=clock.swept_seq).update(swept_seq=upto)
    return upto - clock.swept_seq


def _sweep_exits(upto: int, *, rows: int, now: datetime) -> int:
    """The oldest first, by their own key: it grows as their numbers do, and they have no index by number alone."""
    with unit(actor=None, source="job", now=now):
        oldest = list(Exit.objects.order_by("id").values_list("id", flat=True)[:rows])
        return Exit.objects.filter(id__in=oldest, seq__lte=upto).delete()[0]


def _sweep_scopes(oldest: datetime, *, now: datetime) -> int:
    """What was served until then, and the sets that nothing served names any more."""
    with unit(actor=None, source="job", now=now):
        intervals, _ = ScopeServed.objects.filter(to_at__lt=oldest).delete()
        named = ScopeServed.objects.filter(set_hash=OuterRef("hash"))
        sets, _ = ScopeSet.objects.filter(~Exists(named)).delete()
    return intervals + sets
