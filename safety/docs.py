"""The page at `/docs/`: the API's schema as people read it, drawn by the server out of the same document.

No script of strangers and nothing from elsewhere: it opens in a bureau's closed network as well.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from safety.access import may_administer
from safety.home import page
from safety.openapi import SCHEMAS, document

FORMATS = {"uuid": "编号", "date": "日期", "date-time": "时刻", "binary": "字节"}
TYPES = {
    "string": "文字",
    "integer": "整数",
    "number": "数",
    "boolean": "是否",
    "object": "对象",
    "array": "列表",
    "null": "空",
}
LIMITS = {"minimum": "≥", "maximum": "≤", "minLength": "长度 ≥", "maxLength": "长度 ≤", "minItems": "个数 ≥"}
METHODS = ("options", "get", "head", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Type:
    """What a value is, in words; `of` names a shape of the page to look at."""

    words: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One line of a shape or of the parameters."""

    name: str
    type: Type
    required: bool
    note: str
    choices: tuple[tuple[str, str], ...]  # (value, what it means)


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    note: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A body: where it stands, what it is, and an example."""

    title: str
    media: str
    type: Type
    example: str
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Door:
    id: str
    method: str
    path: str
    summary: str
    note: str
    open: bool  # whether it can be looked at in the browser as it is
    parameters: tuple[Member, ...]
    asked: tuple[Content, ...]
    answered: tuple[Content, ...]
    refused: tuple[tuple[str, str], ...]  # (status, words)


@dataclass(frozen=True, slots=True)
class Chapter:
    tag: str
    doors: tuple[Door, ...]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """GET /docs/."""
    person = request.user
    administers = person.is_authenticated and may_administer(person)
    told = document()["info"]
    context = {"here": "docs", "told": told, "chapters": chapters(), "shapes": shapes(), "administers": administers}
    return page(request, "safety/docs.html", context)


@cache
def chapters() -> tuple[Chapter, ...]:
    """The doors by tag, in the order in which the document names the tags."""
    found: dict[str, list[Door]] = {tag["name"]: [] for tag in document()["tags"]}
    for path, operations in document()["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                found.setdefault(operation["tags"][0], []).append(_door(method, path, operation))
    return tuple(Chapter(tag, tuple(doors)) for tag, doors in found.items() if doors)


@cache
def shapes() -> tuple[Shape, ...]:
    """The shapes that doors speak of, by name; pages are said at the doors."""
    named = document()["components"]["schemas"]
    return tuple(
        Shape(name, schema.get("description", ""), _members(schema))
        for name, schema in sorted(named.items())
        if not name.endswith("Page")
    )


def _door(method: str, path: str, operation: dict) -> Door:
    parameters = tuple(
        _member(each["name"], each["schema"], required=each.get("required", False), note=each.get("description", ""))
        for each in operation.get("parameters", [])
    )
    answers = operation["responses"].items()
    return Door(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        note=operation.get("description", ""),
        open=method == "get" and "{" not in path,
        parameters=parameters,
        asked=tuple(_contents("要说的", operation.get("requestBody", {}), whole=True)),
        answered=tuple(
            content
            for status, answer in answers
            if status.startswith("2")
            for content in _contents(f"{status} {answer.get('description', '')}", answer)
        ),
        refused=tuple((status, answer["description"]) for status, answer in answers if status[0] in "45"),
    )


def _contents(title: str, body: dict, *, whole: bool = False) -> list[Content]:
    """The contents of a body; `whole` shows the members of a named shape at once instead of pointing to it."""
    named = document()["components"]["schemas"]
    found = []
    for media, content in body.get("content", {}).items():
        examples = [each["value"] for each in content.get("examples", {}).values()]
        shown = json.dumps(examples[0], ensure_ascii=False, indent=2) if examples else ""
        kind = _type(content.get("schema", {}))
        members = _members(named[kind.of]) if whole and kind.of else ()
        found.append(Content(title, media, kind, shown, members))
    return found or ([Content(title, "", Type("没有内容"), "")] if body else [])


def _members(schema: dict) -> tuple[Member, ...]:
    required = set(schema.get("required", []))
    return tuple(
        _member(name, each, required=name in required, note=each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    )


def _member(name: str, schema: dict, *, required: bool, note: str) -> Member:
    choices = _choices(schema)
    words = "\n".join(line for line in note.split("\n") if not line.startswith("* `"))
    return Member(name, _type(schema), required, f"{words.strip()} {_limits(schema)}".strip(), choices)


def _choices(schema: dict) -> tuple[tuple[str, str], ...]:
    """The values of an enumeration with their words, which the generator writes as lines of its description."""
    inner = schema.get("items", schema)
    told = f"{schema.get('description', '')}\n{inner.get('description', '')}".split("\n")
    words = dict(line[3:].split("` - ", 1) for line in told if line.startswith("* `") and "` - " in line)
    values = [str(value) for value in inner.get("enum", []) if value not in ("", None)]
    return tuple((value, words.get(value, "")) for value in values)


def _limits(schema: dict) -> str:
    told = [f"{words} {schema[name]}" for name, words in LIMITS.items() if name in schema]
    if schema.get("default") not in (None, "", [], {}):
        told.append(f"默认 {json.dumps(schema['default'], ensure_ascii=False)}")
    return f"（{'，'.join(told)}）" if told else ""


def _type(schema: dict) -> Type:
    if "$ref" in schema:
        return _named(schema["$ref"].removeprefix(SCHEMAS))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            parts = [_type(each) for each in schema[choice]]
            return Type(" 或 ".join(part.words for part in parts), next((part.of for part in parts if part.of), ""))
    kind: Any = schema.get("type", "")
    if isinstance(kind, list):
        parts = [_type(schema | {"type": each}) for each in kind]
        return Type(" 或 ".join(part.words for part in parts), parts[0].of)
    if kind == "array":
        inner = _type(schema.get("items", {}))
        return Type("可取几项" if "enum" in schema.get("items", {}) else f"一列 {inner.words}", inner.of)
    if "enum" in schema:
        return Type("取其一")
    return Type(FORMATS.get(schema.get("format", ""), TYPES.get(kind, "任意")))


def _named(name: str) -> Type:
    if name.endswith("Page"):
        items = document()["components"]["schemas"][name]["properties"]["items"]
        inner = _type(items)
        return Type(f"一页 {inner.of}", inner.of)
    return Type(name, name)
