"""The two doors at which everything is said, under one handle: a phone's push and the web's POST."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.utils import timezone
from rest_framework.test import APIClient

from inspections.models import RectificationItem
from safety.authentication import issue_token
from safety.ids import new_id
from safety.models import Device, Person
from tests.sync.phone import Phone


@dataclass
class Answer:
    """What a door answered: the verdict of a phone's operation, or the web's status beside its body."""

    status: str | int
    doc_id: UUID
    code: str | None
    doc: dict | None
    detail: str = ""


class ByPhone:
    name = "phone"

    def __init__(self):
        self.phones: dict[UUID, Phone] = {}

    def of(self, person: Person) -> Phone:
        if person.id not in self.phones:
            self.phones[person.id] = Phone(person)
        return self.phones[person.id]

    def say(self, person: Person, key: str, said: dict, *, doc_id: UUID | None = None, **more: Any) -> Answer:
        phone = self.of(person)
        collection, kind = key.split(".")
        doc_id = phone.op(collection, kind, said, doc_id=doc_id, **more)
        result = phone.send()[0]
        problem = result.get("problem") or {}
        return Answer(result["status"], doc_id, problem.get("code"), result["doc"], problem.get("detail", ""))


class ByWeb:
    name = "web"

    def __init__(self):
        self.clients: dict[UUID, APIClient] = {}

    def of(self, person: Person) -> APIClient:
        if person.id not in self.clients:
            device = Device.objects.create(person=person, name="浏览器", registered_at=timezone.now())
            token = issue_token(device, now=timezone.now())
            self.clients[person.id] = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
        return self.clients[person.id]

    def say(self, person: Person, key: str, said: dict, *, doc_id: UUID | None = None, **more: Any) -> Answer:
        """POST for a new document or an action, PATCH and DELETE for those kinds."""
        doc_id = doc_id or new_id()
        collection, kind = key.split(".")
        address = f"/api/v1/{collection}"
        method = {"patch": "patch", "delete": "delete"}.get(kind, "post")
        if kind == "create":
            said = {"id": doc_id, **said}
        elif method == "post":
            address += f"/{doc_id}/{kind}"
        else:
            address += f"/{doc_id}"
        body = msgspec.json.encode({**said, **more})
        response = getattr(self.of(person), method)(address, body, content_type="application/json")
        told = response.json()
        code = told.get("code") if response.status_code >= 400 else None
        doc = None if code else told
        return Answer(response.status_code, doc_id, code, doc, told.get("detail", ""))


DOORS = {door.name: door for door in (ByPhone, ByWeb)}
HEARD = {"phone": "applied", "web": 201}


class Cure:
    """One rectification item on its way, and everybody who speaks of it."""

    def __init__(self, town, *, door=None, **hazard):
        self.town, self.door = town, door or ByPhone()
        told = {"site_id": town.canteen.id, "text": "冷库漏水", "item_code": "ST-11", "place": "冷库", **hazard}
        self.hazard = ByPhone().say(town.inspector, "quick_hazards.create", told)
        self.id = UUID(self.hazard.doc["rectification_id"])

    @property
    def item(self) -> RectificationItem:
        return RectificationItem.objects.get(pk=self.id)

    @property
    def judged(self) -> dict:
        """The round and evidence as they stand: what a revisit or a closure names."""
        return {"round": self.item.round, "evidence_hash": self.item.evidence_hash}

    def say(self, author: Person, collection: str, *, doc_id: UUID | None = None, **said: Any) -> Answer:
        return self.door.say(author, f"{collection}.create", {"rectification_id": self.id, **said}, doc_id=doc_id)

    def notify(self, **said):
        return self.say(self.town.safety, "notices", **said)

    def report(self, *, by=None, **said):
        return self.say(by or self.town.principal, "reports", **{"round": self.item.round, "text": "已修好", **said})

    def revisit(self, *, by=None, passed=True, **said):
        judged = {**self.judged, "passed": passed, "reason": "" if passed else "还在漏"}
        return self.say(by or self.town.inspector, "revisits", **{**judged, **said})

    def close(self, *, by=None, granted=True, **said):
        return self.say(by or self.town.approver, "closures", **{**self.judged, "granted": granted, **said})

    def transfer(self, *, by=None, **said):
        return self.say(
            by or self.town.safety, "transfers", **{"departments": ["城市管理"], "text": "校外占道", **said}
        )

    def to(self, state: str) -> "Cure":
        """Brings an item of an ordinary hazard, or of a candidate for `awaiting_closure`, to a state by what is said."""
        steps = {
            "registered": [],
            "notified": [self.notify],
            "rectifying": [self.notify, lambda: self.say(self.town.principal, "receipts")],
            "awaiting_revisit": [self.notify, self.report],
            "awaiting_closure": [self.notify, self.report, self.revisit],
            "closed": [self.notify, self.report, self.revisit],
            "transferred": [self.notify, self.transfer],
            "withdrawn": [self.notify, self.withdraw],
        }
        heard, self.door = self.door, ByPhone()
        for step in steps[state]:
            assert step().status == "applied"
        self.door = heard
        assert self.item.state == state, self.item.state
        return self

    def withdraw(self):
        asked = self.say(self.town.inspector, "withdrawals", reason="看错了")
        return self.say(self.town.approver, "decisions", target=asked.doc_id, granted=True)
