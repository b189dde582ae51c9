"""What stands between the marks of docs/protocol.md: a conversation with the real doors, and the catalogue of refusals.

    REDRAW=1 .venv/bin/pytest tests/test_protocol.py      writes the page anew

Ids, numbers, tokens and cursors are put in the place of the ones that each run makes anew, so that the page moves only
when an answer does.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.test import Client
from django.utils import timezone

from safety.changes import clock_now
from safety.errors import Problem
from sync.jobs import drain_deferred
from tests.makers import PASSWORD

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "protocol.md"
MARK = re.compile(r"(<!-- drawn: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
SHOWN_MOMENT = "2026-03-02T00:15:00Z"
SHOWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
FIRST_NUMBER = 10480  # the clock on the page when the conversation begins
OURS = ("safety", "inspections", "sync")


def drawn_into(page: str, pieces: dict[str, str]) -> str:
    """The text of the page with every piece between its marks drawn anew. Raises KeyError for an unknown mark."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{pieces[mark[2]]}\n\n{mark[4]}", page)


# --- the conversation ------------------------------------------------------------------------------------------------


@dataclass
class Stable:
    """Names that stay: the n-th id of the conversation is always shown as the same one."""

    begun_at: int
    ids: dict[str, str] = field(default_factory=dict)

    def shown(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self.shown(key): self.shown(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.shown(each) for each in value]
        if name in ("seq", "change_seq") and isinstance(value, int):
            return value - self.begun_at + FIRST_NUMBER
        if name == "cursor" and value:
            return "eyJ2IjoxLCJlIjoi…"
        if name == "token" and value:
            return "Qk3v…"
        if name == "username":
            return "duxue01"
        if isinstance(value, str):
            return SHOWN.sub(lambda found: self._id(found[0]), MOMENT.sub(SHOWN_MOMENT, value))
        return value

    def _id(self, real: str) -> str:
        return self.ids.setdefault(real, str(UUID(int=0x0195_55C0_0000_7000_8000_0000_0000_0000 + len(self.ids) + 1)))


class Speaker:
    """One phone of the conversation."""

    def __init__(self, stable: Stable, person, name: str):
        self.stable, self.client, self.person = stable, Client(), person
        said = {"username": person.username, "password": PASSWORD, "device": name}
        self.login = (said, self._post("auth/login", said))
        self.token, self.device = self.login[1]["token"], self.login[1]["device"]["id"]

    def push(self, *ops: dict) -> tuple[dict, dict]:
        """(what was sent, what was answered)"""
        said = {"protocol": 1, "schema": 1, "device_id": self.device, "sent_at": _now(), "ops": list(ops)}
        return said, self._post("sync/push", said)

    def pull(self, **query: Any) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {self.token}"}
        response = self.client.get(f"/api/v1/sync/pull?{urlencode(query)}", headers=headers)
        return response.status_code, response.json()

    def _post(self, path: str, said: dict) -> dict:
        headers = {"Authorization": f"Bearer {self.token}"} if hasattr(self, "token") else {}
        response = self.client.post(
            f"/api/v1/{path}", json.dumps(said), content_type="application/json", headers=headers
        )
        assert response.status_code == 200, response.content.decode()
        return response.json()


def conversation(town: SimpleNamespace) -> dict[str, str]:
    """The examples of the page by the names of their marks: what two inspectors' phones said and heard."""
    return dict(_examples(town, Stable(clock_now()[0])))


def _examples(town: SimpleNamespace, stable: Stable) -> Iterator[tuple[str, str]]:
    one, other = (Speaker(stable, person, "手机") for person in (town.inspector, town.colleague))
    one.pull(limit=1)  # the day's scope is written down by the first pull; the numbers of the page begin after it
    other.pull(limit=1)
    stable.begun_at = clock_now()[0]
    visit, photo = _id(1), _id(2)
    said, heard = one.login
    yield "login", _exchange(stable, "POST /api/v1/auth/login", said | {"password": "……"}, heard)

    create = {"site_id": str(town.canteen.id), "template_version_id": str(town.checklist.id)}
    create |= {"started_at": _now(), "participants": [str(town.colleague.id)], "header": {"weather": "晴"}}
    first = _op(3, "inspections", visit, "create", set=create | {"answers": {"ST-11": {"result": {"value": "ok"}}}})
    second = _op(4, "inspections", visit, "patch", base_rev=1, set={"answers": {"ST-15": {"note": "留样 130 克"}}})
    said, heard = one.push(first, second | {"after": [first["op_id"]]})
    _shortened({"results": heard["results"][1:]}, {"results"})
    yield "push", _exchange(stable, "POST /api/v1/sync/push", said, heard)

    patch = {"answers": {"ST-15": {"note": "留样不足 125 克"}}}
    merged = _op(5, "inspections", visit, "patch", base_rev=1, set=patch)
    yield "conflict", _exchange(stable, "POST /api/v1/sync/push", *other.push(merged), only={"results"})

    wrong = _op(
        6, "inspections", visit, "patch", base_rev=3, set={"answers": {"ST-11": {"result": {"value": "banana"}}}}
    )
    early = _op(7, "comments", photo, "create", set={"inspection_id": _id(8), "text": "见照片"})
    yield "refused", _exchange(stable, "POST /api/v1/sync/push", *one.push(wrong, early), only={"results"})

    _, heard = one.push(second | {"after": [first["op_id"]]})
    yield "again", _exchange(stable, "POST /api/v1/sync/push", None, heard, only={"results"})

    one.push(_op(9, "inspections", _id(8), "create", set=create | {"answers": {}}))
    drain_deferred(timezone.now())
    _, page = one.pull(collections="conflicts,sync_results", limit=50)
    yield "pull", _exchange(stable, "GET /api/v1/sync/pull?collections=conflicts,sync_results&limit=50", None, page)
    _, problem = one.pull(collections="photos", cursor=page["cursor"])
    answer = _as_json(stable, problem)
    asked = "GET /api/v1/sync/pull?collections=photos&cursor=eyJ2IjoxLCJlIjoi…"
    yield (
        "problem",
        f"```http\n{asked}\n\nHTTP/1.1 {problem['status']}\nContent-Type: application/problem+json\n\n{answer}\n```",
    )


def _now() -> str:
    return timezone.now().isoformat()


def _id(number: int) -> str:
    return str(UUID(int=0x0195_55C0_1111_7000_8000_0000_0000_0000 + number))


def _op(number: int, collection: str, doc_id: str, kind: str, **more: Any) -> dict:
    return {"op_id": _id(number), "collection": collection, "id": doc_id, "kind": kind, "at": _now(), **more}


def _exchange(stable: Stable, line: str, said: dict | None, heard: dict, *, only: set[str] | None = None) -> str:
    request = f"{line}\n\n{_as_json(stable, _shortened(said, only and {'ops'}))}" if said else line
    return f"```http\n{request}\n```\n```json\n{_as_json(stable, _shortened(heard, only))}\n```"


def _shortened(members: dict, only: set[str] | None) -> dict:
    """The members that matter; of documents that were shown before, id and rev."""
    if not only:
        return members
    kept = {name: each for name, each in members.items() if name in only}
    for result in kept.get("results", []):
        if result.get("doc"):
            result["doc"] = {"id": result["doc"]["id"], "rev": result["doc"]["rev"], "…": "…"}
    return kept


def _as_json(stable: Stable, value: Any) -> str:
    """One line for what fits into one, as a person would write it."""
    return _laid_out(stable.shown(value), indent=0)


def _laid_out(value: Any, *, indent: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= 110 or not isinstance(value, dict | list) or not value:
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(key)}: {_laid_out(each, indent=indent + 2)}" for key, each in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    lines = [f"{pad}{_laid_out(each, indent=indent + 2)}" for each in value]
    return "[\n" + ",\n".join(lines) + "\n" + " " * indent + "]"


# --- the catalogue ---------------------------------------------------------------------------------------------------


# What a client does of itself; the others are for a person to read.
TO_DO = {
    "malformed": "a fault of the client's: stop this lane, report",
    "unknown-verb": "put aside; the app is older than the person's wish",
    "other-device": "sign in again on this phone",
    "cursor-filter-mismatch": "a fault of the client's",
    "unauthenticated": "keep everything, sign in",
    "token-expired": "keep everything, sign in, repeat",
    "device-blocked": "do its `action`",
    "account-disabled": "keep everything, offer an export",
    "cursor-ahead": "resnapshot",
    "cursor-expired": "resnapshot, then drop what did not come",
    "epoch-changed": "resnapshot, offer again what is above `replay_after_seq`",
    "client-too-old": "ask for an update; go on pushing",
    "batch-too-large": "smaller batches: `max_ops`, `max_bytes`",
    "op-id-reused": "put aside; its id was given twice",
    "id-taken": "put aside; a new id for the document",
    "dependency-failed": "put aside with what it needed",
    "slow-down": "wait `retry_after`",
    "too-many-logins": "wait `retry_after`",
    "busy": "wait, repeat",
    "server-error": "wait, repeat",
    "maintenance": "wait, repeat",
    "upload-locked": "wait, ask for the offset",
    "offset-differs": "ask for the offset",
    "chunk-differs": "send the chunk again",
    "file-differs": "begin at 0, at the same address",
    "upload-stalled": "ask for the offset",
    "storage-full": "wait, long",
    "sha256-differs": "send again",
}


@dataclass(frozen=True, order=True)
class Refusal:
    """One code of the product, as the source has it. `words` may have {members} in them, and be empty where they vary."""

    status: int
    code: str
    retryable: bool
    words: str


def catalogue() -> str:
    """A table of all refusals, by status."""
    rows = ["| status | `code` | again | a client | a person reads |", "| --- | --- | --- | --- | --- |"]
    for each in sorted(refusals()):
        again = "yes" if each.retryable else ""
        rows.append(f"| {each.status} | `{each.code}` | {again} | {TO_DO.get(each.code, '')} | {each.words or '—'} |")
    return "\n".join(rows)


def refusals() -> set[Refusal]:
    """Every code that a Problem of ours can carry: those of the classes, and those given where one is raised."""
    for path in _sources():
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    classes = {each.__name__: each for each in _family(Problem)}
    found = {
        each.code: Refusal(each.status, each.code, each.retryable, each.message)
        for each in classes.values()
        if each is not Problem
    }
    for path in _sources():
        for code, name, words in _given_in(ast.parse(path.read_text(encoding="utf-8")), classes):
            known = classes[name]
            told = words or ("" if known is Problem else known.message)
            found.setdefault(code, Refusal(known.status, code, known.retryable, told))
    return set(found.values())


def _sources() -> list[Path]:
    """Every module of ours but the migrations and the packages' own files."""
    paths = [path for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in paths if path.stem != "__init__" and not {"migrations", "fonts"} & set(path.parts)]


def _family(root: type) -> Iterator[type]:
    yield root
    for each in root.__subclasses__():
        if each.__module__.partition(".")[0] in OURS:
            yield from _family(each)


def _given_in(tree: ast.AST, classes: dict[str, type]) -> Iterator[tuple[str, str, str]]:
    """(code, name of the class, words) of each call that names a code itself."""
    for node in ast.walk(tree):
        name = getattr(getattr(node, "func", None), "id", "")
        if not isinstance(node, ast.Call) or name not in classes:
            continue
        given = [*node.args, *(each.value for each in node.keywords if each.arg == "code")]
        texts = [each.value if isinstance(each, ast.Constant) else "" for each in given]
        if texts and isinstance(texts[0], str) and re.fullmatch(r"[a-z][a-z0-9-]+", texts[0]):
            yield texts[0], name, texts[1] if len(texts) > 1 and isinstance(texts[1], str) else ""
