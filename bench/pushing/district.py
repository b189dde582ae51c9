"""A district to push at: one inspector, fifty canteens, a checklist of thirty items, and batches of new visits."""

import json
from secrets import token_hex
from uuid import UUID

import msgspec
from django.utils import timezone

from safety.ids import new_id
from sync.push import push
from tests.makers import make_checklist, make_district, make_person, make_school, make_site, make_token

NOTE = "冷库温度偏高,已当场告知食堂负责人"


class District:
    def __init__(self, *, schools: int = 10):
        district = make_district()
        self.schools = [make_school(district=district) for _ in range(schools)]
        self.sites = [make_site(unit=self.schools[n % schools]) for n in range(50)]
        self.codes = [f"ST-{n:02d}" for n in range(1, 31)]
        items = [
            {"code": code, "text": f"检查项 {code}", "grade": "general", "photo": "on_fail"} for code in self.codes
        ]
        self.checklist = make_checklist(items=tuple(items))
        self.inspector = make_person(role="inspector", at=district)
        self.device, self.secret = make_token(person=self.inspector, name="bench")

    def batch(self, visits: int) -> bytes:
        """JSON of a push of so many visits, 5 operations each."""
        operations = [operation for n in range(visits) for operation in self._visit(self.sites[n % 50])]
        return msgspec.json.encode({"protocol": 1, "schema": 1, "device_id": self.device.id, "ops": operations})

    def push(self, body: bytes) -> list[dict]:
        """The results, one an operation, and the answer's bytes made as the door makes them."""
        answer = push(body, person=self.inspector.id, device=self.device.id, now=timezone.now())
        msgspec.json.encode(answer)
        return answer["results"]

    def send(self, visits: int) -> None:
        """A batch that must be applied whole."""
        wrong = [result for result in self.push(self.batch(visits)) if result["status"] != "applied"]
        if wrong:
            raise SystemExit(f"a batch was not applied: {wrong[0]}")

    def _visit(self, site) -> list[dict]:
        visit, now = new_id(), timezone.now()
        answers = {code: {"result": {"value": "ok"}, "note": ""} for code in self.codes}
        for code in (self.codes[3], self.codes[20]):
            place = f"部位{visit.hex[-8:]}"
            answers[code] = {"result": {"value": "fail", "place": place, "reason": "不达标"}, "note": NOTE}
        first, second = dict(list(answers.items())[:15]), dict(list(answers.items())[15:])
        created = {"site_id": site.id, "template_version_id": self.checklist.id, "started_at": now, "answers": first}
        snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
        submitted = {"snapshot": snapshot, "participants": [self.inspector.id], "finished_at": now}
        return [
            _operation("inspections", visit, "create", set=created),
            _operation("inspections", visit, "patch", set={"answers": second}, base_rev=1),
            _operation("photos", new_id(), "create", set=_photo(visit, self.codes[3])),
            _operation("photos", new_id(), "create", set=_photo(visit, self.codes[20])),
            _operation("inspections", visit, "action", action="submit", args=submitted, base_rev=2),
        ]


def _operation(collection: str, doc_id: UUID, kind: str, **more) -> dict:
    now = timezone.now()
    return {"op_id": new_id(), "collection": collection, "id": doc_id, "kind": kind, "at": now, **more}


def _photo(visit: UUID, code: str) -> dict:
    return {
        "subject_collection": "inspections",
        "subject_id": visit,
        "sha256": token_hex(32),
        "size_bytes": 412_332,
        "item_code": code,
        "taken_at": timezone.now(),
        "latitude": 35.07,
        "longitude": 109.07,
        "accuracy_m": 12.0,
        "datum": "WGS84",
    }
