"""The API's schema as a whole: OpenAPI 3.1, made once a process; the doors that say verbs come from their table.

The ground does not know who stands on it: the table of verbs, other bodies that msgspec decodes, and the examples are
named by dotted strings in the settings.
"""

import hashlib
import json
from copy import deepcopy
from functools import cache
from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from drf_spectacular.generators import SchemaGenerator

from safety.schema import PROBLEM, REFUSALS, examples

SCHEMAS = "#/components/schemas/"
SECURITY = [{"deviceToken": []}, {"deskSession": []}]
WORDS = {
    "acknowledge": "签收",
    "take": "处置中",
    "resolve": "办结",
    "dismiss": "误报",
    "open": "打开",
    "create": "新建",
    "patch": "补充",
    "submit": "提交",
    "join": "加入",
    "void": "作废",
    "delete": "删除",
    "conflicts.resolve": "选定",
}
TAGS = {"auth": "登录 Sign-in"}  # doors that name none are filed under the first part of their address
METHODS = {"patch": "patch", "delete": "delete"}  # said by a method of their own; all other verbs by POST
BESIDE = {
    "id": {"type": "string", "format": "uuid", "description": "自己定的编号（UUIDv7）；不给则由服务器定。"},
    "base_rev": {
        "anyOf": [{"type": "integer"}, {"type": "null"}],
        "default": None,
        "description": "说话时看到的版本；已不是它时回答 409 stale。",
    },
    "base": {
        "anyOf": [{"type": "object"}, {"type": "null"}],
        "default": None,
        "description": "改动前所见的值，用来分辨您真正改了什么。",
    },
}


@cache
def document() -> dict:
    """The schema."""
    return SchemaGenerator().get_schema(request=None, public=True)


@cache
def _served() -> tuple[bytes, str]:
    content = json.dumps(document(), ensure_ascii=False).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def schema_json(request: HttpRequest) -> HttpResponse:
    """GET /api/v1/schema.json, for everybody: it tells how to ask, and nothing of anybody."""
    content, etag = _served()
    if request.headers.get("If-None-Match") == etag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(content, content_type="application/vnd.oai.openapi+json; charset=utf-8")
    response["ETag"], response["Cache-Control"] = etag, "no-cache"
    return response


def add_said(result: dict, generator, request, public) -> dict:
    """drf-spectacular's hook: a door for every verb, its shape from msgspec, so that no second copy can drift."""
    verbs = import_string(settings.SCHEMA_VERBS)
    bodies = {at: _shown(name, parts) for at, (name, parts) in settings.SCHEMA_BODIES.items()}
    structs = list(dict.fromkeys([*(verb.struct for verb in verbs.values()), *bodies.values()]))
    refs, components = msgspec.json.schema_components(structs, ref_template=SCHEMAS + "{name}")
    ref_of = dict(zip(structs, refs, strict=True))
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    clash = schemas.keys() & components.keys()
    if clash:
        raise ValueError(f"two shapes of one name: {sorted(clash)}")
    schemas |= deepcopy(components)
    for at, struct in bodies.items():
        method, path = at.split(" ")
        content = {"application/json": {"schema": ref_of[struct]}}
        result["paths"][path][method]["requestBody"] = {"required": True, "content": content}
    for beside in settings.SCHEMA_BESIDE:
        result["paths"] |= deepcopy(import_string(beside))
    for name, verb in verbs.items():
        _add_verb(result, name, ref_of[verb.struct])
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"].setdefault("default", _refusal("其他拒绝，都是同一种形状"))
            operation["tags"] = [TAGS.get(tag, tag) for tag in operation.get("tags", [])]
    return _without_marks(result)


def _without_marks(part: Any) -> Any:
    """The generator's own marks on enumerations tell a reader nothing."""
    if isinstance(part, dict):
        return {name: _without_marks(value) for name, value in part.items() if name != "x-spec-enum-id"}
    return [_without_marks(value) for value in part] if isinstance(part, list) else part


def _shown(name: str, parts: dict[str, str]) -> type[msgspec.Struct]:
    """A struct whose parts are decoded later (Raw) with those parts in their place; `parts` names lists' members."""
    struct = import_string(name)
    fields = []
    for each in msgspec.structs.fields(struct):
        kind = dict[str, Any] if each.type is msgspec.Raw else each.type
        kind = list[_shown(parts[each.name], {})] if each.name in parts else kind
        if each.required:
            fields.append((each.name, kind))
        elif each.type is msgspec.Raw:
            fields.append((each.name, kind, msgspec.field(default_factory=dict)))
        else:
            fields.append((each.name, kind, msgspec.field(default=each.default, default_factory=each.default_factory)))
    return msgspec.defstruct(struct.__name__, fields)


def _add_verb(result: dict, name: str, shape: dict) -> None:
    collection, kind = name.split(".")
    create, method = kind == "create", METHODS.get(kind, "post")
    path = f"/api/v1/{collection}" if create else f"/api/v1/{collection}/{{doc_id}}"
    own = result["paths"].get(path, {}).get("get", {})
    if not create and kind not in METHODS:
        path = f"{path}/{kind}"
    properties = result["components"]["schemas"][shape["$ref"].removeprefix(SCHEMAS)]["properties"]
    properties |= {word: schema for word, schema in BESIDE.items() if create or word != "id"}
    result["paths"].setdefault(path, {})[method] = _operation(name, shape, own, create=create)


def _operation(name: str, shape: dict, own: dict, *, create: bool) -> dict:
    """One door that says a verb; `own` is the reading of the same document, whose shape is answered."""
    collection, kind = name.split(".")
    title = own.get("summary", collection).split(" · ")[0]
    content: dict = {"schema": shape}
    if name in examples():
        content["examples"] = {name: {"value": examples()[name]}}
    answer = {"description": "已记下；文档现在的样子", "content": {"application/json": {"schema": {"type": "object"}}}}
    operation = {
        "operationId": name.replace(".", "_"),
        "summary": f"{title} · {WORDS.get(name) or WORDS.get(kind, kind)}",
        "description": f"动作 {name}。与手机推送用同一张动作表；再说一次同样的话没有第二个效果。",
        "tags": own.get("tags", ["办理 Verbs"]),
        "requestBody": {"required": True, "content": {"application/json": content}},
        "security": SECURITY,
        "responses": {"201" if create else "200": answer} | _refused(400, 401, 403, 404, 409, 413, 422),
    }
    if not create:
        identity = {"type": "string", "format": "uuid"}
        operation["parameters"] = [{"in": "path", "name": "doc_id", "required": True, "schema": identity}]
    return operation


def _refused(*statuses: int) -> dict:
    return {str(status): _refusal(REFUSALS[status]) for status in statuses}


def _refusal(words: str) -> dict:
    return {"description": words, "content": {PROBLEM: {"schema": {"$ref": f"{SCHEMAS}Problem"}}}}
