"""A phone in a process of its own. Standard library only, so that ten of them start in a moment.

    python -m tests.concurrency.actor CONFIG.json

It keeps a mirror as a client is held to (docs/pull.md), says one batch after another as its role does, repeats a batch
until it is answered, and writes down what it sent, heard and read; whether that was right is judged afterwards.
"""

import http.client
import json
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

ANSWER_SECONDS = 30
PAUSE = 0.05
BATCHES = 12  # that an inspector says at least, however slow the machine is
FINAL_TRIES = 400
CODES = ("ST-11", "ST-15", "ST-05", "SS-11")
VALUES = ("ok", "fail", "na")


class Phone:
    def __init__(self, config: dict):
        self.config = config
        self.random = random.Random(config["seed"])
        self.history = open(config["history"], "w", buffering=1)  # noqa: SIM115 (for the life of the process)
        self.wire: http.client.HTTPConnection | None = None
        self.cursor: str | None = None
        self.docs: dict[tuple[str, str], dict] = {}
        self.own: list[str] = []  # visits that this phone opened and has not submitted
        self.deaths, self.said = 0, 0

    def note(self, event: str, **members) -> None:
        self.history.write(json.dumps({"e": event, **members}, ensure_ascii=False) + "\n")

    # The wire

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes] | None:
        """Status, headers and body; None when the answer got lost, whatever became of the request."""
        self.wire = self.wire or http.client.HTTPConnection("127.0.0.1", self.config["port"], timeout=ANSWER_SECONDS)
        known = {"Authorization": f"Bearer {self.config['token']}", "Content-Type": "application/json"}
        try:
            self.wire.request(method, path, body, known | headers)
            response = self.wire.getresponse()
            return response.status, dict(response.headers), response.read()
        except (OSError, http.client.HTTPException):
            self.wire.close()
            self.wire = None
            return None

    def push(self, operations: list[dict]) -> list[dict]:
        """Sends a batch as often as it takes; now and then one that is answered, again."""
        raw = [json.dumps(operation, ensure_ascii=False) for operation in operations]
        body = f'{{"protocol":1,"schema":1,"device_id":"{self.config["device"]}","ops":[{",".join(raw)}]}}'.encode()
        batch, self.said = str(uuid4()), self.said + 1
        self.note("sent", batch=batch, ops=raw)
        results = self._until_answered(batch, body, dying=self._fate())
        if self.random.random() < 0.1:
            self._until_answered(batch, body, dying="")
        return results

    def _until_answered(self, batch: str, body: bytes, *, dying: str) -> list[dict]:
        while True:
            headers = {"X-Die": f"{dying}; {batch}"} if dying else {}
            answer = self.ask("POST", "/api/v1/sync/push", body, **headers)
            dying = ""
            if answer is None:
                self.note("lost", batch=batch)
                self.deaths = self.deaths_seen()
            elif answer[0] in (429, 503):
                time.sleep(float(answer[1].get("Retry-After", PAUSE)))
            elif answer[0] != 200:
                raise SystemExit(f"push was answered {answer[0]}: {answer[2].decode()}")
            else:
                results = json.loads(answer[2])["results"]
                kept = [[one["op_id"], one["status"], one["seq"], (one["doc"] or {}).get("rev")] for one in results]
                self.note("answered", batch=batch, results=kept)
                if all(one["status"] != "retry" for one in results):
                    return results
            time.sleep(PAUSE * self.random.random())

    def _fate(self) -> str:
        if self.deaths >= self.config["deaths"]:
            return ""
        chance = self.random.random()
        return "answer" if chance < 0.7 else f"statement {self.random.randint(1, 40)}" if chance < 0.74 else ""

    def deaths_seen(self) -> int:
        """How often the server died between commit and answer, whoever asked for it."""
        return Path(self.config["witness"]).read_text().count('"e": "killed"')

    # The mirror

    def page(self, limit: int) -> bool:
        """Pulls a page and applies it; whether there is more."""
        asked = {"limit": limit} | ({"cursor": self.cursor} if self.cursor else {})
        answer = self.ask("GET", f"/api/v1/sync/pull?{urlencode(asked)}")
        if answer is None or answer[0] == 503:
            time.sleep(PAUSE)
            return True
        if answer[0] != 200:
            raise SystemExit(f"pull was answered {answer[0]}: {answer[2].decode()}")
        page = json.loads(answer[2])
        changes = [[c["collection"], c["id"], c["op"], c.get("rev"), c["seq"]] for c in page["changes"]]
        self.note("page", seq=page["seq"], phase=page["phase"], changes=changes)
        for change in page["changes"]:
            key = (change["collection"], change["id"])
            if change["op"] == "del":
                self.docs.pop(key, None)
            elif key not in self.docs or change["rev"] > self.docs[key]["rev"]:
                self.docs[key] = change["doc"]
        self.cursor = page["cursor"]
        return page["has_more"]

    def of(self, collection: str, **members) -> list[dict]:
        """Documents of the mirror whose members are these."""
        found = [doc for (name, _), doc in self.docs.items() if name == collection]
        return [doc for doc in found if all(doc.get(name) == value for name, value in members.items())]

    # What is said

    def op(self, collection: str, kind: str, said: dict, *, doc_id: str = "", **more) -> dict:
        action = kind not in ("create", "patch", "delete")
        return {
            "op_id": str(uuid4()),
            "collection": collection,
            "id": doc_id or str(uuid4()),
            "kind": "action" if action else kind,
            "action": kind if action else "",
            "args" if action else "set": said,
            "at": now(),
            **more,
        }

    def answer(self) -> dict:
        result = {"value": self.random.choice(VALUES), "place": f"{self.random.randint(1, 6)}号位"}
        return {"result": result, "note": f"看过 {self.random.random():.6f}"}

    def answers(self) -> dict:
        return {code: self.answer() for code in self.random.sample(CODES, 2)}

    def new_visit(self) -> list[dict]:
        said = {"template_version_id": self.config["checklist"], "participants": self.config["colleagues"]}
        site = self.random.choice(self.config["sites"])
        created = self.op("inspections", "create", {**said, "site_id": site, "started_at": now()})
        self.own.append(created["id"])
        patch = self.op("inspections", "patch", {"answers": self.answers()}, doc_id=created["id"], base_rev=1)
        photo = {"subject_collection": "inspections", "subject_id": created["id"], "sha256": f"{uuid4().hex * 2}"}
        return [created, patch, self.op("photos", "create", {**photo, "size_bytes": 9})]

    def patches(self) -> list[dict]:
        drafts = self.of("inspections", state="draft")
        chosen = self.random.sample(drafts, min(3, len(drafts)))
        return [
            self.op("inspections", "patch", {"answers": self.answers()}, doc_id=doc["id"], base_rev=doc["rev"])
            for doc in chosen
        ]

    def submission(self) -> list[dict]:
        if not self.own:
            return []
        visit = self.own.pop(0)
        answers = (self.docs.get(("inspections", visit)) or {}).get("answers") or {}
        shown = {code: {"result": {"value": a["result"]["value"]}} for code, a in answers.items() if a.get("result")}
        said = {"snapshot": json.dumps({"answers": shown}), "participants": [], "finished_at": now()}
        return [self.op("inspections", "submit", said, doc_id=visit)]

    def hazards(self) -> list[dict]:
        grade = self.random.choice(["general", "serious", "major_candidate"])
        return [
            self.op(
                "quick_hazards",
                "create",
                {"site_id": site, "text": "通道堵塞", "place": f"{self.random.randint(1, 30)}号", "grade": grade},
            )
            for site in self.config["sites"]
        ]

    def revisits(self) -> list[dict]:
        return [
            self.op("revisits", "create", judged(item) | {"passed": passed, "reason": "" if passed else "仍未到位"})
            for item in self.of("rectifications", state="awaiting_revisit")[:3]
            for passed in [self.random.random() < 0.7]
        ]

    def notices(self) -> list[dict]:
        items = self.of("rectifications", state="registered")[:5]
        return [self.op("notices", "create", {"rectification_id": item["id"], "text": "请整改"}) for item in items]

    def reports(self) -> list[dict]:
        items = self.of("rectifications", state="notified") + self.of("rectifications", state="rectifying")
        return [
            self.op("reports", "create", {"rectification_id": item["id"], "round": item["round"], "text": "已整改"})
            for item in items[:5]
        ]

    def inspect(self) -> list[dict]:
        """Two inspectors open visits and work on each other's."""
        do = [self.new_visit, self.patches, self.patches, self.submission, self.hazards, self.revisits]
        return self.random.choice(do)()

    def read(self) -> list[dict]:
        """Says nothing."""
        return []


ROLES = {"inspector": Phone.inspect, "office": Phone.notices, "principal": Phone.reports, "reader": Phone.read}


def judged(item: dict) -> dict:
    return {"rectification_id": item["id"], "round": item["round"], "evidence_hash": item["evidence_hash"]}


def now() -> str:
    return datetime.now(UTC).isoformat()


def main(path: str) -> None:
    config = json.loads(Path(path).read_text())
    phone, say = Phone(config), ROLES[config["role"]]
    until, patience = (time.monotonic() + config[name] for name in ("seconds", "patience"))
    enough = BATCHES if config["role"] == "inspector" else 0
    while time.monotonic() < until or phone.deaths < config["deaths"] or phone.said < enough:
        if time.monotonic() > patience:
            raise SystemExit(f"the server died {phone.deaths} times of {config['deaths']}: too slow")
        phone.page(phone.random.choice([5, 50, 1000]))
        operations = say(phone)
        if operations:
            phone.push(operations)
        else:
            time.sleep(PAUSE)
            phone.deaths = phone.deaths_seen()
    for _ in range(FINAL_TRIES):
        if not phone.page(1000):
            break
    docs = [[collection, doc_id, doc] for (collection, doc_id), doc in phone.docs.items()]
    phone.note("mirror", cursor=phone.cursor, docs=docs)


if __name__ == "__main__":
    main(sys.argv[1])
