"""How often one phone may call within a minute: against a client that runs wild, not to ration honest ones.

Counted in this process and forgotten with it; what a phone has to say it may say a moment later.
"""

from collections import Counter
from datetime import datetime
from uuid import UUID

_counted: dict[int, Counter[UUID]] = {}  # of the minute that runs, by its number


def over_pace(device_id: UUID, *, limit: int, now: datetime) -> int:
    """Counts one call. Gives 0, or the seconds to wait when the device has called more than `limit` times; 0: never."""
    if not limit:
        return 0
    minute, second = divmod(int(now.timestamp()), 60)
    if minute not in _counted:
        _counted.clear()
    counted = _counted.setdefault(minute, Counter())
    counted[device_id] += 1
    return 60 - second if counted[device_id] > limit else 0
