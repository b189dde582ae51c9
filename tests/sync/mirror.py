"""A phone's mirror, fed through the pull's real door by the rules that a client is held to (sync.md §1.3)."""

from hashlib import sha256
from itertools import cycle
from urllib.parse import urlencode

import msgspec
from django.test import Client
from django.utils import timezone

from safety.authentication import issue_token
from safety.models import Device

URL = "/api/v1/sync/pull"
CLIENT = Client()  # one for all: each builds the whole stack of middleware; a phone is known by its token alone


class Mirror:
    def __init__(self, person, *, collections=None):
        self.device = Device.objects.create(person=person, name="手机", registered_at=timezone.now())
        self.token = issue_token(self.device, now=timezone.now())
        self.collections = collections
        self.cursor, self.docs, self.seq = None, {}, 0
        self.answers, self.bytes = [], b""

    def sign_in_again(self):
        """A token ends after ninety days."""
        self.token = issue_token(self.device, now=timezone.now())

    def ask(self, *, cursor=None, limit=None, headers=None, **query):
        """One request as it is; nothing is applied."""
        query |= {
            name: value
            for name, value in (("cursor", cursor), ("limit", limit), ("collections", self.collections))
            if value is not None
        }
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return CLIENT.get(f"{URL}?{urlencode(query)}", headers=headers)

    def post_push(self, body, **headers):
        """A push through its door, as bytes."""
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return CLIENT.post("/api/v1/sync/push", body, content_type="application/json", headers=headers)

    def page(self, *, limit=None):
        """Pulls one page and applies it: a put unless ours has a higher rev, a del whatever it is."""
        response = self.ask(cursor=self.cursor, limit=limit)
        assert response.status_code == 200, response.content.decode()
        return self.take(response.content, limit=limit)

    def take(self, content, *, limit=None):
        """Applies one page as it came."""
        self.bytes += content
        answer = msgspec.json.decode(content)
        self.check(answer, limit=limit or 200, size=len(content))
        for change in answer["changes"]:
            self.apply(change)
        self.cursor, self.seq = answer["cursor"], answer["seq"]
        self.answers.append(answer)
        return answer

    def apply(self, change):
        key = (change["collection"], change["id"])
        if change["op"] == "del":
            self.docs.pop(key, None)
        elif key not in self.docs or change["rev"] >= self.docs[key]["rev"]:
            self.docs[key] = change["doc"]

    def check(self, answer, *, limit, size):
        """What holds of every page."""
        changes = answer["changes"]
        assert len(changes) <= limit
        assert size <= 512 * 1024 or len(changes) == 1
        assert len({(change["collection"], change["id"]) for change in changes}) == len(changes)
        assert changes or not answer["has_more"] or self.answers and self.answers[-1]["has_more"]
        assert answer["seq"] >= self.seq
        assert len(answer["cursor"]) <= 512
        if answer["phase"] == "delta":
            numbers = [change["seq"] for change in changes]
            assert numbers == sorted(numbers) and all(number > self.seq for number in numbers)

    def sync(self, *, limits=(1000,)):
        """Pages until there is no more; gives the answers of this time."""
        begun = len(self.answers)
        for limit in cycle(limits):
            if not self.page(limit=limit)["has_more"]:
                return self.answers[begun:]

    def digest(self):
        """What this mirror holds, added up as any client would: see docs/pull.md."""
        found = {}
        for (collection, doc_id), doc in self.docs.items():
            of = found.setdefault(collection, {"count": 0, "sum": 0})
            of["count"] += 1
            first = int(sha256(f"{doc_id}|{doc['rev']}".encode()).hexdigest()[:13], 16)
            of["sum"] = (of["sum"] + first) % 2**53
        return found

    def servers_digest(self, **query):
        """What the server says that this mirror must hold."""
        response = self.ask(cursor=self.cursor, digest=1, **query)
        assert response.status_code == 200, response.content.decode()
        return msgspec.json.decode(response.content)["digest"]

    def ids(self, collection):
        return {doc_id for each, doc_id in self.docs if each == collection}


def fresh(person, **more):
    """What a new phone of this person would hold."""
    mirror = Mirror(person, **more)
    mirror.sync()
    return mirror.docs
