"""An index of any size, written as fast as the engine takes it: photo records of schools near and far."""

from collections.abc import Iterator, Sequence
from itertools import count
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from safety import rows
from safety.changes import SCHEMA
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Change, Clock, Index

AT_ONCE = 20_000
WIRE = (
    b'{"id":"%b","rev":1,"subject_collection":"inspections","subject_id":"%b","item_code":"ST-04","capture":"camera",'
    b'"taken_at":"2026-03-01T08:15:00Z","latitude":35.07,"longitude":109.07,"accuracy_m":12.0,"datum":"WGS84",'
    b'"sha256":"%b%b","size_bytes":412332,"state":"stored","caption":null,"renditions":{"original":null}}'
)


def fill(keys: Sequence[UUID], wanted: int) -> None:
    """`wanted` more documents, one after the other for each of these schools, each with its change."""
    now = timezone.now()
    first = Clock.objects.get(id=1).seq + 1
    for start in range(0, wanted, AT_ONCE):
        numbers = range(first + start, first + min(start + AT_ONCE, wanted))
        index = [_row(seq, keys[seq % len(keys)]) for seq in numbers]
        log = [(row[4], "photos", row[1], "photo.said", None, None, None, now, now, *[None] * 6) for row in index]
        with lifted(), transaction.atomic():
            rows.insert(Index, index)
            rows.insert(Change, log)
            Clock.objects.filter(id=1).update(seq=numbers[-1])


def settle() -> None:
    """What an engine does by itself within a day: statistics, and on PostgreSQL the map of visible pages."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def documents() -> int:
    return Index.objects.count()


def strangers(number: int) -> list[UUID]:
    """Keys of schools that nobody here reads."""
    return [new_id() for _ in range(number)]


def mixed(near: Sequence[UUID], far: Sequence[UUID], *, share: int) -> list[UUID]:
    """Keys in turn: one near, then `share` far ones."""
    afar = _round(far)
    return [each for key in near for each in (key, *(next(afar) for _ in range(share)))]


def _round(keys: Sequence[UUID]) -> Iterator[UUID]:
    return (keys[n % len(keys)] for n in count())


def _row(seq: int, key: UUID) -> tuple:
    doc_id, subject, first, second = new_id(), new_id(), new_id().hex, new_id().hex
    wire = WIRE % tuple(str(each).encode() for each in (doc_id, subject, first, second))
    return ("photos", doc_id, "shared", key, seq, seq, 1, False, SCHEMA, wire)
