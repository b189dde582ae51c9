"""What a reading door may be asked, and where a page goes on: query parameters, and keyset pages over a stable order."""

from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from django.core import signing
from django.db.models import Model, Q, QuerySet
from django.http import QueryDict
from rest_framework import serializers

from safety.errors import Invalid, Malformed


class UnknownParameter(Malformed):
    code, message = "unknown-parameter", "这个地址没有查询参数 {parameters},请对照接口文档改正。"


@dataclass(frozen=True, slots=True)
class Page:
    rows: list
    next: str | None  # the cursor of the next page, None on the last one


def asked_of(shape: type[serializers.Serializer], query: QueryDict) -> dict[str, Any]:
    """The query parameters that a door knows, checked; only those that were given, or have a default.

    Raises UnknownParameter (400) for a name that the door does not know, Invalid (422) for values, by field.
    """
    asking = shape()
    unknown = sorted(set(query) - set(asking.fields))
    if unknown:
        raise UnknownParameter(parameters="、".join(unknown))
    many = {name for name, field in asking.fields.items() if isinstance(field, serializers.MultipleChoiceField)}
    twice = [name for name in query if name not in many and len(query.getlist(name)) > 1]
    if twice:
        raise Invalid(errors=[{"field": name, "code": "repeated", "detail": "只能给一次。"} for name in twice])
    # a plain dict: in a QueryDict, DRF reads an absent boolean as false
    asking = shape(data={name: query.getlist(name) if name in many else query[name] for name in query})
    asking.is_valid(raise_exception=True)
    return dict(asking.validated_data)


def page_of(rows: QuerySet, *, order: tuple[str, ...], limit: int, after: str | None = None) -> Page:
    """The `limit` rows after a cursor. Its cost does not grow with the pages before it.

    `order` names columns that are never null, all in one direction, the last of them unique; values that a row keeps
    for life make pages that neither skip nor repeat. Raises Invalid for a cursor that was not made for this order.
    """
    if after is not None:
        rows = rows.filter(_beyond(order, _opened(after, rows.model, order)))
    found = list(rows.order_by(*order)[: limit + 1])
    return Page(found[:limit], _sealed(found[limit - 1], rows.model, order) if len(found) > limit else None)


def merged_page_of(parts: list[QuerySet], *, column: str, limit: int, after: str | None = None) -> Page:
    """A page over several tables that share one ascending numbering in `column`."""
    model, order = parts[0].model, (column,)
    if after is not None:
        beyond = _beyond(order, _opened(after, model, order))
        parts = [part.filter(beyond) for part in parts]
    rows = chain.from_iterable(part.order_by(column)[: limit + 1] for part in parts)
    found = sorted(rows, key=attrgetter(column))
    return Page(found[:limit], _sealed(found[limit - 1], model, order) if len(found) > limit else None)


def _beyond(order: tuple[str, ...], values: list) -> Q:
    """Rows after these values: (a, b) < (x, y) as a range on the first column, which an index walks, and the rest."""
    column = order[0].removeprefix("-")
    way = "lt" if order[0].startswith("-") else "gt"
    if len(order) == 1:
        return Q(**{f"{column}__{way}": values[0]})
    further = Q(**{f"{column}__{way}": values[0]}) | _beyond(order[1:], values[1:])
    return Q(**{f"{column}__{way}e": values[0]}) & further


def _sealed(row: Model, model: type[Model], order: tuple[str, ...]) -> str:
    """Signed, so that only a cursor of ours comes back and its values need no suspicion; it grants nothing."""
    columns = [column.removeprefix("-") for column in order]
    values = [row._meta.get_field(column).value_to_string(row) for column in columns]
    return signing.dumps(values, salt=_salt(model, order))


def _opened(after: str, model: type[Model], order: tuple[str, ...]) -> list:
    try:
        values = signing.loads(after, salt=_salt(model, order))
    except signing.BadSignature as foreign:
        error = {"field": "after", "code": "invalid", "detail": "这不是本列表给出的页标，请从第一页重新读起。"}
        raise Invalid(errors=[error]) from foreign
    columns = [column.removeprefix("-") for column in order]
    return [model._meta.get_field(column).to_python(value) for column, value in zip(columns, values, strict=True)]


def _salt(model: type[Model], order: tuple[str, ...]) -> str:
    return f"page:{model._meta.label}:{','.join(order)}"
