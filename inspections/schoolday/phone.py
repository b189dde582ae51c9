"""A person with a phone: signed in, with an outbox, a mirror of what was pulled, and photos to bring."""

import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from inspections.schoolday.camera import Photograph
from inspections.schoolday.wire import Answer, Server, Unexpected, asking

SHANGHAI = ZoneInfo("Asia/Shanghai")
DEVICE = "演练终端"
Op = dict[str, Any]
Doc = dict[str, Any]


def new_id() -> str:
    """A UUIDv7: 48 bits of this millisecond, then chance."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def now() -> datetime:
    return datetime.now(SHANGHAI)


def op(collection: str, kind: str, said: dict, *, doc_id: str = "", at: datetime | None = None, **more) -> Op:
    """One operation of an outbox; kinds beside create, patch and delete are actions. `more`: after, base_rev."""
    action = kind not in ("create", "patch", "delete")
    return {
        "op_id": new_id(),
        "collection": collection,
        "id": doc_id or new_id(),
        "kind": "action" if action else kind,
        "action": kind if action else "",
        "args" if action else "set": said,
        "at": (at or now()).isoformat(),
        **more,
    }


def photo_op(photo: Photograph, collection: str, subject_id: str, *, item_code: str = "", moment: str = "", **more):
    """The document of a photograph; `doc_id` may be given where a report already lists it."""
    said = {
        "subject_collection": collection,
        "subject_id": subject_id,
        "sha256": photo.sha256,
        "size_bytes": photo.size_bytes,
        "item_code": item_code,
        "moment": moment,
        "taken_at": photo.taken_at.isoformat(),
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        "accuracy_m": photo.accuracy_m,
        "datum": "WGS84",
    }
    return op("photos", "create", said, at=photo.taken_at, **more)


class Nobody:
    """Who has not signed in: the doors all the same."""

    name = title = "未登录者"
    token = ""

    def __init__(self, server: Server):
        self.server = server

    def get(self, path: str, **query) -> Answer:
        return self.server.call("GET", asking(path, query), token=self.token)

    def head(self, path: str) -> Answer:
        return self.server.call("HEAD", path, token=self.token)

    def post(self, path: str, content: dict) -> Answer:
        return self.server.call("POST", path, token=self.token, content=content)

    def patch(self, path: str, content: dict) -> Answer:
        return self.server.call("PATCH", path, token=self.token, content=content)

    def offer(self, ops: Iterable[Op]) -> Answer:
        """The door of the push, with these operations as one batch."""
        return self.post("sync/push", self._envelope(ops))

    def bring(self, photo: Photograph) -> Answer:
        """Uploads the bytes of a photograph under their SHA-256."""
        path = f"blobs/{photo.sha256}"
        return self.server.call("PUT", path, token=self.token, body=photo.jpeg, media_type="image/jpeg")

    def _envelope(self, ops: Iterable[Op]) -> dict:
        return {"protocol": 1, "schema": 1, "sent_at": now().isoformat(), "ops": list(ops)}


class Phone(Nobody):
    """Who has signed in. `mirror` holds what was pulled, by (collection, id)."""

    def __init__(self, server: Server, *, role: str, username: str, password: str):
        super().__init__(server)
        said = {"username": username, "password": password, "device": DEVICE}
        answer = server.call("POST", "auth/login", content=said)
        if answer.status != 200:
            raise Unexpected(f"{role} {username} 登录不上:{answer.brief}")
        signed = answer.json
        self.role, self.username, self.token = role, username, signed["token"]
        self.name, self.person_id, self.device_id = (
            signed["person"]["name"],
            signed["person"]["id"],
            signed["device"]["id"],
        )
        self.mirror: dict[tuple[str, str], Doc] = {}
        self.cursor = ""

    @property
    def title(self) -> str:
        return f"{self.role}{self.name}"

    def read(self, path: str, **query) -> Any:
        """What a reading door shows. Raises Unexpected when it does not."""
        answer = self.get(path, **query)
        if answer.status != 200:
            raise Unexpected(f"{self.title} 读不到 {path}:{answer.brief}")
        return answer.json

    def rows(self, collection: str, **query) -> list[Doc]:
        """All rows of a list, page after page."""
        found, after = [], {}
        while True:
            page = self.read(collection, limit=200, **query, **after)
            found += page["items"]
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    def push(self, ops: Iterable[Op]) -> list[dict]:
        """Sends a batch; one result an operation. Raises Unexpected when the batch itself is refused."""
        answer = self.offer(ops)
        if answer.status != 200:
            raise Unexpected(f"{self.title} 的上传没有被接受:{answer.brief}")
        return answer.json["results"]

    def push_and_lose_the_answer(self, ops: Iterable[Op]) -> None:
        self.server.call_and_hang_up("POST", "sync/push", token=self.token, content=self._envelope(ops))

    def pull(self) -> list[dict]:
        """Pulls until there is no more; gives the entries and keeps them in the mirror."""
        entries = []
        while True:
            page = self.read("sync/pull", limit=1000, **({"cursor": self.cursor} if self.cursor else {}))
            entries += page["changes"]
            self.cursor = page["cursor"]
            if not page["has_more"]:
                break
        for entry in entries:
            key = (entry["collection"], entry["id"])
            if entry["op"] == "put":
                self.mirror[key] = entry["doc"]
            else:
                self.mirror.pop(key, None)
        return entries

    def held(self, collection: str) -> list[Doc]:
        """What the mirror holds of a collection."""
        return [doc for (each, _), doc in self.mirror.items() if each == collection]

    def _envelope(self, ops: Iterable[Op]) -> dict:
        return super()._envelope(ops) | {"device_id": self.device_id}
