"""What every reading door is made of: sight, filters, pages, wire forms, names.

A row is read if the person's sight of today reads it; anything else answers as an unknown id does, to the byte. What
is served of a document is its finished wire form out of the Index, the same that a phone pulls.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Model, Q, QuerySet
from django.urls import path
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from safety.access import SHANGHAI, Sight, sight_of, today
from safety.errors import NotFound
from safety.models import Index
from safety.models.document import readable
from safety.paging import asked_of, page_of
from safety.schema import ReadingSchema
from safety.serializers import Nothing


@dataclass(frozen=True, slots=True)
class Asked:
    """One question at a reading door: who asks, when, and for what."""

    sight: Sight
    now: datetime
    values: dict[str, Any]

    @property
    def day(self) -> date:
        return today(self.now)


Narrow = str | Callable[[QuerySet, Any, Asked], QuerySet]  # a lookup that takes the value, or what it does to the rows
Named = dict[str, tuple[type[Model], str]]  # field of a document → (model, path of its name)


@dataclass(frozen=True, kw_only=True)
class Readable:
    """One collection as it is read: its rows, its filters, its order, its shape."""

    name: str  # on the wire and in the address
    title: str
    model: type[Model]
    shape: type[Serializer]
    filters: type[Serializer]
    lookups: dict[str, Narrow] = field(default_factory=dict)
    only: Q = field(default_factory=Q)  # rows of the model that belong to this collection
    order: tuple[str, ...] = ("-id",)
    named: Named = field(default_factory=dict)
    needs: tuple[str, ...] | None = ()  # columns that `show` reads beside id and order; None for all of them
    related: tuple[str, ...] = ()  # rows that come along when all columns do
    show: Callable[["Readable", list, Asked], list[dict]] | None = None  # the wire forms, unless given
    tag: str = ""

    def visible(self, asked: Asked) -> QuerySet:
        rows = self.model.objects.filter(self.only).visible_to(asked.sight)
        if self.needs is None:
            return rows.select_related(*self.related) if self.related else rows
        return rows.only("id", *(column.removeprefix("-") for column in self.order), *self.needs)

    def narrowed(self, rows: QuerySet, asked: Asked) -> QuerySet:
        for name, value in asked.values.items():
            lookup = self.lookups.get(name)
            if isinstance(lookup, str):
                rows = rows.filter(**{lookup: value})
            elif lookup is not None:
                rows = lookup(rows, value, asked)
        return rows

    def shown(self, rows: list, asked: Asked) -> list[dict]:
        return (self.show or show_documents)(self, rows, asked)


class ReadingView(APIView):
    """A door that reads. `of` says what; the same two classes serve every collection."""

    of: Readable | None = None
    schema = ReadingSchema()

    def asked(self, filters: type[Serializer]) -> Asked:
        now = timezone.now()
        values = asked_of(filters, self.request.query_params)
        return Asked(sight_of(self.request.user, on=today(now)), now, values)


class ListView(ReadingView):
    def get(self, request, collection: str) -> Response:
        asked = self.asked(self.of.filters)
        rows = self.of.narrowed(self.of.visible(asked), asked)
        page = page_of(rows, order=self.of.order, limit=asked.values["limit"], after=asked.values.get("after"))
        return Response({"items": self.of.shown(page.rows, asked), "next": page.next})


class DetailView(ReadingView):
    def get(self, request, collection: str, doc_id: UUID) -> Response:
        asked = self.asked(Nothing)
        shown = self.of.shown(list(self.of.visible(asked).filter(pk=doc_id)), asked)
        if not shown:
            raise NotFound
        return Response(shown[0])


def urls_of(collections: list[Readable], *, lists: type = ListView, details: type = DetailView) -> list:
    """Two addresses a collection. A collection that also hears verbs at them brings views that do both."""
    return [
        address
        for of in collections
        for address in (
            path(of.name, lists.as_view(of=of), {"collection": of.name}),
            path(f"{of.name}/<uuid:doc_id>", details.as_view(of=of), {"collection": of.name}),
        )
    ]


def show_documents(of: Readable, rows: list, asked: Asked) -> list[dict]:
    """The wire forms of these rows, names beside them. Two readings: what left sight in between is left out."""
    wires = wires_of([(row.collection, row.pk) for row in rows], asked.sight)
    return with_names([wires[row.pk] for row in rows if row.pk in wires], of.named)


def wires_of(documents: Iterable[tuple[str, UUID]], sight: Sight) -> dict[UUID, dict]:
    """Wire forms by id, of those documents that the sight reads; one query."""
    documents = list(documents)
    if not documents:
        return {}
    collections, ids = {each[0] for each in documents}, [each[1] for each in documents]
    rows = Index.objects.filter(readable(sight), collection__in=sorted(collections), doc_id__in=ids)
    return {doc_id: msgspec.json.decode(bytes(wire)) for doc_id, wire in rows.values_list("doc_id", "wire")}


def with_names(documents: list[dict], named: Named) -> list[dict]:
    """Adds `names`: of each field that points somewhere, what it is called there. One query a model, for all rows."""
    wanted: dict[tuple[type[Model], str], set[str]] = defaultdict(set)
    for document in documents:
        for name, source in named.items():
            value = document.get(name)
            wanted[source].update(value if isinstance(value, list) else [value] if value else [])
    known = {source: _names(*source, keys) for source, keys in wanted.items() if keys}
    for document in documents:
        document["names"] = {
            name: [known[source].get(str(each), "") for each in value]
            if isinstance(value, list)
            else known[source].get(str(value), "")
            for name, source in named.items()
            if (value := document.get(name))
        }
    return documents


def _names(model: type[Model], name: str, keys: set[str]) -> dict[str, str]:
    return {str(key): value for key, value in model.objects.filter(pk__in=keys).values_list("pk", name)}


# Filters that are more than one lookup


def since(column: str) -> Narrow:
    """From the midnight with which a day begins (Asia/Shanghai), inclusive."""
    return lambda rows, day, asked: rows.filter(**{f"{column}__gte": _midnight(day)})


def until(column: str) -> Narrow:
    """Up to the midnight with which a day ends (Asia/Shanghai), the day included."""
    return lambda rows, day, asked: rows.filter(**{f"{column}__lt": _midnight(day + timedelta(days=1))})


def when(true: Narrow, false: Narrow) -> Narrow:
    """One of two, by a boolean parameter."""
    return lambda rows, value, asked: (true if value else false)(rows, value, asked)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=SHANGHAI)
