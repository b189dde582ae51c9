"""What every synced row has: an id, a revision, and who reads it. The rows themselves live where they are written."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q, Value

from safety.ids import REF, new_id, parsed
from safety.models.change import Index

if TYPE_CHECKING:
    from safety.access import Sight


class Audience(models.TextChoices):
    """Who reads a document; what a reader may not see is another document or another row, never a hidden field."""

    REF = "ref", "所有人"
    SHARED = "shared", "学校与教育局"
    BUREAU = "bureau", "教育局"
    RESTRICTED = "restricted", "指定人员"
    PERSON = "person", "本人"


def readable(sight: Sight) -> Q:
    """Index rows that a sight reads: any of its (audience, key) pairs, and not deleted."""
    keys: dict[str, list[UUID]] = {}
    for audience, key in sorted(sight.pairs):
        keys.setdefault(audience, []).append(key)
    pairs = Q()
    for audience, of_audience in keys.items():
        pairs |= Q(audience=audience, key__in=of_audience)
    return pairs & Q(deleted=False)


class DocumentSet(models.QuerySet):
    def visible_to(self, sight: Sight) -> DocumentSet:
        """The documents that a sight reads, by the Index: the same ones that a phone with this sight pulls.

        One correlated subquery that walks the Index's primary key from (collection, id): its cost is that of the rows
        looked at, whatever the size of the tree, and the order and filters of the outer query keep their index.
        """
        return self.filter(Exists(Index.objects.filter(readable(sight), **self.model.indexed_as())))


class Document(models.Model):
    """A row that phones mirror. It is written by `work.say` alone, which raises `rev` and re-renders `wire`.

    `keys` are the organisations whose readers see it under `audience`; `named` are persons who see it beside them
    (a co-inspector without a post there) or, for `restricted` and `person`, who alone see it.
    """

    collection: str  # the name on the wire; each concrete model sets its own

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    rev = models.IntegerField("版本", default=0, editable=False)
    audience = models.CharField("可见范围", max_length=10, choices=Audience.choices, editable=False)
    keys = models.JSONField("可见单位", default=list, editable=False)
    named = models.JSONField("指定人员", default=list, editable=False)

    objects = DocumentSet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def indexed_as(cls) -> dict[str, models.expressions.Combinable]:
        """Where a row of an outer query stands in the Index."""
        return {"collection": Value(cls.collection), "doc_id": OuterRef("pk")}

    @property
    def chain_id(self) -> UUID | None:
        """The organisation whose chain keeps this document's changes; None for personal documents."""
        raise NotImplementedError

    def wire(self) -> bytes:
        """The finished wire form, `rev` inside, of the newest schema."""
        raise NotImplementedError

    def readers(self) -> frozenset[tuple[str, UUID]]:
        """(audience, key) of each Index row; the personal rows of named co-readers included."""
        return _readers(str(self.audience), tuple(self.keys), tuple(self.named))


@lru_cache(maxsize=16384)  # asked of each document many times a push
def _readers(audience: str, keys: tuple[str, ...], named: tuple[str, ...]) -> frozenset[tuple[str, UUID]]:
    if audience == Audience.REF:
        return frozenset({(audience, REF)})
    if audience in (Audience.RESTRICTED, Audience.PERSON):
        return frozenset((audience, parsed(person)) for person in named)
    persons = {(Audience.PERSON.value, parsed(person)) for person in named}
    return frozenset({(audience, parsed(key)) for key in keys} | persons)
