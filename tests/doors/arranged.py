"""What stands at the school before somebody tries a door: told through phones, by those whose affair it is."""

import json
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import msgspec
from django.utils import timezone

from inspections.models import Conflict, RectificationItem
from safety.models import Alert, Delivery
from tests.doors.people import Town
from tests.history import answer
from tests.sync.phone import Phone

SECRET = "qr-secret-of-the-visit"
PICTURE = sha256(b"picture").hexdigest()


class Arranged:
    """States of documents at the own school; each gives the id that a door is tried with."""

    def __init__(self, town: Town):
        self.town = town
        self.phones: dict[str, Phone] = {}

    def say(self, who: str, collection: str, kind: str, said: dict, *, doc_id: UUID | None = None, **more) -> UUID:
        """One thing said by the person of a column; it must have its effect."""
        phone = self.phones.setdefault(who, Phone(self.town.one(who)))
        doc_id = phone.op(collection, kind, said, doc_id=doc_id, **more)
        result = phone.send()[0]
        assert result["status"] in ("applied", "merged"), (who, collection, kind, result)
        return doc_id

    # Visits

    def visit(self, *, by: str = "督学", version=None, **more) -> UUID:
        said = {"site_id": self.town.canteen.id, "template_version_id": (version or self.town.checklist).id}
        return self.say(by, "inspections", "create", {**said, "started_at": timezone.now(), **more})

    def joinable(self) -> UUID:
        return self.visit(join_sha256=sha256(SECRET.encode()).hexdigest())

    def submitted(self, answers: dict | None = None, **more) -> UUID:
        visit = self.visit(**more)
        self.submit(visit, answers or {"ST-15": answer("ok")})
        return visit

    def submit(self, visit: UUID, answers: dict) -> None:
        said = {"snapshot": json.dumps({"answers": answers}), "participants": [], "finished_at": timezone.now()}
        self.say("督学", "inspections", "submit", said, doc_id=visit)

    def conflict(self) -> UUID:
        visit = self.visit(participants=[self.town.one("同事").id])
        for who, value in (("督学", "fail"), ("同事", "ok")):
            patch = {"answers": {"ST-11": {"result": {"value": value}}}}
            self.say(who, "inspections", "patch", patch, doc_id=visit, base_rev=1)
        return Conflict.objects.get(target_id=visit).id

    def photo(self, subject: UUID, *, by: str = "督学", collection: str = "inspections", **more) -> UUID:
        said = {"subject_collection": collection, "subject_id": subject, "sha256": PICTURE, "size_bytes": 9}
        return self.say(by, "photos", "create", said | more)

    # Cure

    def registered(self, place: str = "冷库", code: str = "ST-11") -> UUID:
        visit = self.submitted({code: answer("fail", place=place)})
        return RectificationItem.objects.get(findings__inspection=visit).id

    def notified(self, **more) -> UUID:
        item = self.registered(**more)
        self.say("安全", "notices", "create", {"rectification_id": item})
        return item

    def reported(self, **more) -> UUID:
        item = self.notified(**more)
        self.say("校长", "reports", "create", {"rectification_id": item, "round": 1, "text": "已整改"})
        return item

    def report(self) -> UUID:
        item = self.notified()
        return self.say("校长", "reports", "create", {"rectification_id": item, "round": 1, "text": "已整改"})

    def judged(self, item: UUID) -> dict:
        """The round and evidence as they stand, for a revisit or a closure."""
        stands = RectificationItem.objects.get(pk=item)
        return {"rectification_id": item, "round": stands.round, "evidence_hash": stands.evidence_hash}

    def awaiting_closure(self) -> UUID:
        item = self.reported(code="ST-21", place="灶间")
        self.say(
            "审批",
            "judgements",
            "create",
            {"rectification_id": item, "grade": "major", "clauses": ["第一条"], "reason": "属实"},
        )
        for who in ("督学", "同事"):
            self.say(who, "revisits", "create", {**self.judged(item), "passed": True})
        assert RectificationItem.objects.get(pk=item).state == "awaiting_closure"
        return item

    def extension(self) -> UUID:
        until = str((timezone.now() + timedelta(days=60)).date())
        return self.say(
            "校长", "extensions", "create", {"rectification_id": self.notified(), "until": until, "reason": "等设备"}
        )

    def transferred(self) -> UUID:
        item = self.notified()
        said = {"rectification_id": item, "departments": ["城管"], "text": "请处理"}
        self.say("安全", "transfers", "create", said)
        return item

    # Who must know

    def alert(self) -> UUID:
        self.visit(answers={"ST-21": answer("fail", place="灶间")})
        return Alert.objects.get(organisation=self.town.school).id

    def delivery(self) -> UUID:
        self.alert()
        return Delivery.objects.get(person=self.town.one("值班")).id


def encoded(said: dict) -> bytes:
    return msgspec.json.encode(said)
