"""A client as sync.md §6 describes it, kept small: mirror and outbox on one disk, push before pull, a journal of what was
acknowledged, a quarantine of what was refused. It dies and comes back with what was committed, and with nothing else.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from django.utils import timezone

from safety.authentication import issue_token, register_device
from tests.model.road import NoNetwork, Road, Sent, members_of
from tests.sync.mirror import URL, Mirror
from tests.sync.phone import operation

Key = tuple[str, str]  # collection, id

PUSH_URL = "/api/v1/sync/push"
RESNAPSHOT = ("epoch-changed", "cursor-ahead", "cursor-expired")
PATIENCE = 5  # tries after which an operation that alone is never heard is set aside


class Died(Exception):
    """The phone was switched off; only what was committed is still there."""


class SignedOut(Exception):
    """The token opens the door no more: everything is kept until the same person signs in."""


class Blocked(Exception):
    """The phone is to drop what it holds, at once or after sending it."""


@dataclass(frozen=True)
class Kept:
    """One operation in the outbox's database. Its bytes never change once it has left the phone."""

    op_id: UUID
    key: Key  # the document it moves: one aggregate, heard in order
    wire: bytes
    n: int  # in order of saying, on this phone
    sent: bool = False
    status: str = ""  # the verdict, once there is one
    seq: int | None = None
    problem: str = ""
    tries: int = 0

    @property
    def said(self) -> dict:
        return msgspec.json.decode(self.wire)

    @property
    def verb(self) -> str:
        return f"{self.key[0]}.{self.said['action'] or self.said['kind']}"


@dataclass
class Disk:
    """What was committed: each commit is whole or not at all.

    With a fuse of 2k - 1 the phone dies before the k-th commit from now, with 2k after it.
    """

    fuse: int | None = None
    parts: dict[str, Any] = field(default_factory=dict)

    def commit(self, **parts: Any) -> None:
        if self.fuse == 1:
            raise Died
        self.parts |= {name: _copy(part) for name, part in parts.items()}
        if self.fuse == 2:
            raise Died
        if self.fuse is not None:
            self.fuse -= 2


def _copy(part: Any) -> Any:
    return part.copy() if isinstance(part, list | dict | set) else part


class Engine(Mirror):
    """One phone of one person, driven by hand: `say` while off-line, `sync` where there is a network."""

    def __init__(self, name: str, person, road: Road, **more):
        super().__init__(person, **more)
        self.name, self.person, self.road, self.disk = name, person, road, Disk()
        self.epoch, self.n = "", 0
        self.outbox: list[Kept] = []
        self.journal: dict[UUID, Kept] = {}
        self.quarantine: dict[UUID, Kept] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploaded: set[str] = set()
        self.wiped: set[UUID] = set()  # what was said here and dropped by order
        self.signed_out = self.complete = False
        self.watch = lambda kind, answer: None  # told of each answer as it comes, and of a mirror that is complete
        self._keep_outbox()
        self._keep_mirror()

    # The disk

    def _keep_outbox(self) -> None:
        self.disk.commit(
            outbox=self.outbox,
            journal=self.journal,
            quarantine=self.quarantine,
            blobs=self.blobs,
            uploaded=self.uploaded,
            n=self.n,
        )

    def _keep_mirror(self) -> None:
        """Page and cursor in one transaction (P2)."""
        self.disk.commit(docs=self.docs, cursor=self.cursor, seq=self.seq, epoch=self.epoch)

    def restart(self) -> None:
        """Comes up with what the disk holds."""
        self.disk.fuse = None
        for name, part in self.disk.parts.items():
            setattr(self, name, _copy(part))
        self.answers, self.complete = [], False

    # Off-line

    def say(self, collection: str, kind: str, said: dict, *, doc_id=None, **more) -> Kept:
        """Keeps an operation, durably, before anything else is tried. Consecutive patches of one document become one."""
        base = self.docs.get((collection, str(doc_id)), {}).get("rev") if doc_id else None
        op = operation(collection, kind, said, doc_id=doc_id, base_rev=base, **more)
        key = (collection, str(op["id"]))
        waiting = [each for each in self.outbox if each.key == key]
        op["after"] = [*op.get("after", []), *self._before(key)]
        if kind == "patch" and waiting and self._may_coalesce(waiting[-1]):
            return self._coalesce(waiting[-1], op)
        self.n += 1
        kept = Kept(op["op_id"], key, msgspec.json.encode(op), self.n)
        self.outbox.append(kept)
        self._keep_outbox()
        return kept

    def _before(self, key: Key) -> list[UUID]:
        """The last operation on the same document that is not known to be heard."""
        waiting = [*(each for each in self.journal.values() if each.status == "deferred"), *self.outbox]
        return [each.op_id for each in waiting if each.key == key][-1:]

    def _may_coalesce(self, last: Kept) -> bool:
        return not last.sent and last.said["kind"] == "patch"

    def _coalesce(self, last: Kept, op: dict) -> Kept:
        """Two patches of one document that never left the phone become one, under an id of its own."""
        merged = msgspec.json.decode(msgspec.json.encode(op))
        merged |= {name: last.said[name] for name in ("base_rev", "after")}
        answers = dict(last.said["set"].get("answers", {}))
        for code, answer in merged["set"].get("answers", {}).items():
            answers[code] = answers.get(code, {}) | answer
        header = last.said["set"].get("header", {}) | merged["set"].get("header", {})
        merged["set"] = {"answers": answers} | ({"header": header} if header else {})
        kept = Kept(UUID(merged["op_id"]), last.key, msgspec.json.encode(merged), last.n)
        self.outbox[self.outbox.index(last)] = kept
        self._keep_outbox()
        return kept

    def take_photo(self, content: bytes) -> str:
        """Keeps the bytes of a photo until they are uploaded; gives their SHA-256."""
        digest = sha256(content).hexdigest()
        self.blobs[digest] = content
        self._keep_outbox()
        return digest

    def screen(self, doc_id: str) -> dict:
        """The answers of a visit as the person sees them: the mirror, and over it what waits."""
        answers = {
            code: {name: answer[name] for name in ("result", "note") if answer.get(name) is not None}
            for code, answer in self.docs.get(("inspections", doc_id), {}).get("answers", {}).items()
        }
        for kept in self.outbox:
            if kept.key == ("inspections", doc_id):
                for code, answer in kept.said.get("set", {}).get("answers", {}).items():
                    answers[code] = answers.get(code, {}) | answer
        return answers

    # On-line

    def sync(
        self, *, limits: Iterable[int] = (1000,), pages: int | None = None, most: int = 100, first: int = 0
    ) -> bool:
        """Push, then pull, then photos; whether all of it came through. `pages`: no more of them than this.

        `first` says at which document the pushing begins: order holds within a document, not among them.
        """
        if self.signed_out:
            return False
        try:
            self.push(most=most, first=first)
            self.pull(limits=limits, pages=pages)
            self.upload()
        except NoNetwork:
            return False
        except SignedOut:
            self.signed_out = True
            return False
        except Blocked as told:
            self._obey(str(told))
            return False
        return self.complete

    def _obey(self, action: str) -> None:
        """Drops everything, where it may after its last words; what of them cannot be sent now is tried again."""
        with suppress(NoNetwork, Blocked):
            if action == "push-then-wipe":
                self.upload()
                if self.outbox:
                    return
            self.wiped |= {kept.op_id for kept in (*self.outbox, *self.journal.values(), *self.quarantine.values())}
            self.outbox, self.journal, self.quarantine, self.blobs, self.uploaded = [], {}, {}, {}, set()
            self.docs, self.cursor, self.seq, self.epoch = {}, None, 0, ""
            self.signed_out = True
            self._keep_outbox()
            self._keep_mirror()
            self._ask("POST", "/api/v1/devices/wiped")

    def push(self, *, most: int, first: int) -> None:
        tried: set[UUID] = set()
        while batch := self._batch(tried, most=most, first=first):
            tried |= {kept.op_id for kept in batch}
            ids = {kept.op_id for kept in batch}
            self.outbox = [replace(kept, sent=True) if kept.op_id in ids else kept for kept in self.outbox]
            self._keep_outbox()
            self._settle(self._send(batch))

    def _batch(self, tried: set[UUID], *, most: int, first: int) -> list[Kept]:
        left = [kept for kept in self.outbox if kept.op_id not in tried]
        order = list(dict.fromkeys(kept.key for kept in self.outbox))
        turned = [*order[first % len(order) :], *order[: first % len(order)]] if order else []
        return sorted(left, key=lambda kept: turned.index(kept.key))[:most]

    def _send(self, batch: list[Kept]) -> dict:
        body = {"protocol": 1, "schema": 1, "device_id": self.device.id, "epoch": self.epoch}
        body |= {"sent_at": timezone.now(), "ops": [msgspec.Raw(kept.wire) for kept in batch]}
        response = self._ask("POST", PUSH_URL, msgspec.json.encode(body))
        members = members_of(response)
        self._require_signed_in(response, members)
        assert response.status_code == 200, members
        return members

    def _require_signed_in(self, response, members: dict) -> None:
        if response.status_code == 401:
            raise SignedOut
        if members.get("code") == "device-blocked":
            raise Blocked(members["action"])

    def _settle(self, answer: dict) -> None:
        """Each verdict moves its operation to where it belongs; the documents of the answer go into the mirror if newer."""
        self.watch("push", answer)
        same_epoch = answer["epoch"] == (self.epoch or answer["epoch"])
        self.epoch = self.epoch or answer["epoch"]
        for result in answer["results"]:
            self._verdict(UUID(result["op_id"]), result)
        if same_epoch:  # after a restore the numbers mean other operations than those in the journal
            self._purge(answer["durable_seq"])
        self._keep_outbox()
        for result in answer["results"]:
            if result["doc"] is not None:
                kept = self.journal.get(UUID(result["op_id"])) or self.quarantine.get(UUID(result["op_id"]))
                self._take_document(kept, result["doc"])
        self._keep_mirror()

    def _take_document(self, kept: Kept | None, doc: dict) -> None:
        if kept is None:
            return
        put = {"collection": kept.key[0], "id": kept.key[1], "op": "put", "rev": doc["rev"], "doc": doc}
        self.apply(put)

    def _verdict(self, op_id: UUID, result: dict) -> None:
        kept = next((each for each in self.outbox if each.op_id == op_id), None)
        if kept is None:
            return
        status = result["status"]
        heard = replace(
            kept,
            status=status,
            seq=result["seq"],
            problem=(result.get("problem") or {}).get("code", ""),
            tries=kept.tries + 1,
        )
        self.outbox = [each for each in self.outbox if each.op_id != op_id]
        if status == "rejected" or (status == "retry" and heard.tries >= PATIENCE):
            self.quarantine[op_id] = heard
        elif status == "retry":
            self.outbox.append(replace(heard, status=""))
        else:
            self.journal[op_id] = heard

    def _purge(self, durable_seq: int | None) -> None:
        """What a verified backup holds need not be kept; what has no number is not known to be in it."""
        if durable_seq is not None:
            self.journal = {
                op_id: kept for op_id, kept in self.journal.items() if kept.seq is None or kept.seq > durable_seq
            }

    def pull(self, *, limits: Iterable[int], pages: int | None) -> None:
        self.complete = False
        for limit in islice(cycle(limits), pages):
            answer = self.page(limit=limit)
            if answer is not None and not answer["has_more"]:
                self.complete = True
                self.watch("complete", answer)
                return

    def ask(self, *, cursor=None, limit=None, headers=None, **query):
        query |= {name: value for name, value in (("cursor", cursor), ("limit", limit)) if value is not None}
        return self._ask("GET", f"{URL}?{urlencode(query)}")

    def page(self, *, limit=None) -> dict | None:
        """One page, applied and kept with its cursor; None where the phone must begin anew instead."""
        response = self.ask(cursor=self.cursor, limit=limit)
        members = members_of(response)
        self._require_signed_in(response, members)
        if response.status_code in (409, 410) and members["code"] in RESNAPSHOT:
            self._begin_anew(members)
            return None
        assert response.status_code == 200, members
        if self.epoch not in ("", members["epoch"]):
            # a phone without a cursor is not told that the history is another: it sees it by the epoch
            self._begin_anew({"code": "epoch-changed"})
            return None
        self.epoch = members["epoch"]
        self.watch("pull", members)
        answer = self.take(response.content, limit=limit)
        self._hear_results(answer)
        self._keep_mirror()
        return answer

    def _hear_results(self, answer: dict) -> None:
        """What had waited comes back as a document of one's own."""
        decided = [change for change in answer["changes"] if change["collection"] == "sync_results"]
        moved = False
        for change in decided:
            op_id = UUID(change["id"])
            kept = self.journal.get(op_id)
            if kept is not None and kept.status == "deferred" and change["op"] == "put":
                doc, moved = change["doc"], True
                problem = (doc["problem"] or {}).get("code", "")
                heard = replace(kept, status=doc["status"], seq=doc["change_seq"], problem=problem)
                home = self.quarantine if doc["status"] == "rejected" else self.journal
                del self.journal[op_id]
                home[op_id] = heard
        if moved:
            self._keep_outbox()

    def _begin_anew(self, problem: dict) -> None:
        """Another history: the mirror is fetched again, and what was acknowledged since is offered again, id and bytes alike."""
        if problem["code"] != "cursor-expired":
            since = problem.get("replay_after_seq") or 0
            again = [kept for kept in self.journal.values() if kept.seq is None or kept.seq > since]
            for kept in again:
                del self.journal[kept.op_id]
            again = [replace(kept, status="", seq=None, tries=0) for kept in again]
            self.outbox = sorted([*again, *self.outbox], key=lambda kept: kept.n)
            self.uploaded = set()
            self._keep_outbox()
        self.docs, self.cursor, self.seq, self.epoch = {}, None, 0, ""
        self._keep_mirror()

    def upload(self) -> None:
        """Bytes that the server does not know of us; asked first, as a phone that resumes does."""
        for digest, content in self.blobs.items():
            if digest in self.uploaded:
                continue
            url = f"/api/v1/blobs/{digest}"
            if self._ask("HEAD", url).status_code != 200:
                status = self._ask("PUT", url, content, kind="image/jpeg").status_code
                if status not in (200, 201):
                    raise NoNetwork
            self.uploaded.add(digest)
            self._keep_outbox()

    def sign_in(self) -> None:
        """The same person, on the same phone; what waits in the outbox stays its own."""
        now = timezone.now()
        self.device = register_device(self.person, name=self.name, device_id=self.device.id, now=now)
        self.token, self.signed_out = issue_token(self.device, now=now), False

    def _ask(self, method: str, url: str, body: bytes = b"", kind: str = "application/json"):
        return self.road.ask(Sent(method, url, self.token, self.person.id, body, kind))

    def holds(self, op_id: UUID) -> bool:
        """Whether an operation is still on this phone, waiting, acknowledged or set aside."""
        return op_id in self.journal or op_id in self.quarantine or any(each.op_id == op_id for each in self.outbox)
