"""Phones that come back at once after a day: each pushes its visits, pulls what it missed, and brings its photos.

    python -m bench.coming_back.phones CAST.json --port 8000 --visits 10 --photos 40 --kilobytes 60-300 --seconds 900

prints JSON: what was answered and when. A phone takes 429 and 503 with `Retry-After` as it is told; anything else that
is not a success is an error.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from PIL import Image

from bench.coming_back.wire import Answer, Wire

MAX_OPS = 100  # a client's batch


class Failed(Exception):
    """An answer that no phone should get."""


class Album:
    """Photographs that differ: a few drawn ones of ordinary size, each copy with a comment of its own."""

    def __init__(self, kilobytes: tuple[int, int]):
        self.least, self.most = (each * 1000 for each in kilobytes)
        self.drawn = [self._draw(edge) for edge in (900, 1200, 1600)]

    def _draw(self, edge: int) -> bytes:
        noise = Image.frombytes("RGB", (edge // 8, edge * 3 // 32), os.urandom(edge // 8 * (edge * 3 // 32) * 3))
        file = io.BytesIO()
        noise.resize((edge, edge * 3 // 4), Image.Resampling.BICUBIC).save(file, "JPEG", quality=75)
        return file.getvalue()

    def photo(self, size: int, seed: int) -> bytes:
        """A JPEG of about so many bytes: comments before the picture make up what it lacks."""
        picture, comments, random_bytes = self.drawn[seed % len(self.drawn)], b"", random.Random(seed).randbytes
        while not comments or len(comments) + len(picture) < size:
            missing = min(65_000, max(16, size - len(comments) - len(picture)))
            comments += b"\xff\xfe" + (missing + 2).to_bytes(2, "big") + random_bytes(missing)
        return picture[:2] + comments + picture[2:]

    def sizes(self, n: int, seed: int) -> list[int]:
        chance = random.Random(seed)
        return [chance.randint(self.least, self.most) for _ in range(n)]


class Phone:
    def __init__(self, n: int, cast: dict, album: Album, *, port: int, visits: int, photos: int, report: dict):
        self.n, self.cast, self.mine, self.album, self.report = n, cast, cast["phones"][n], album, report
        self.wire = Wire(port, Authorization=f"Bearer {self.mine['token']}")
        self.photos = [(size, n * 1000 + k) for k, size in enumerate(album.sizes(photos, n))]
        self.hashes = [hashlib.sha256(album.photo(*each)).hexdigest() for each in self.photos]
        self.operations = self._day(visits)

    def _day(self, visits: int) -> list[dict]:
        """Visits with thirty answers and two findings; in the first of them something that wakes the desk."""
        said, shares = [], [list(zip(self.hashes, self.photos, strict=True))[k::visits] for k in range(visits)]
        began = datetime.now(UTC) - timedelta(hours=9)
        for k in range(visits):
            visit, at = str(uuid4()), (began + timedelta(minutes=45 * k)).isoformat()
            codes = self.cast["codes"]
            answers = {code: {"result": {"value": "ok"}, "note": ""} for code in codes}
            for code in (codes[3], codes[20]):
                result = {"value": "fail", "place": f"{self.n}-{k}-{code}", "reason": "不达标"}
                answers[code] = {"result": result, "note": "已当场告知负责人"}
            if k == 0:
                answers[codes[-1]] = {"result": {"value": "fail", "place": f"phone{self.n}end"}, "note": "燃气泄漏"}
            created = {"site_id": self.mine["site"], "template_version_id": self.cast["checklist"], "started_at": at}
            said.append(
                op("inspections", visit, "create", at, set={**created, "answers": dict(list(answers.items())[:15])})
            )
            said.append(
                op("inspections", visit, "patch", at, set={"answers": dict(list(answers.items())[15:])}, base_rev=1)
            )
            for sha256, (size, _) in shares[k]:
                photo = {
                    "subject_collection": "inspections",
                    "subject_id": visit,
                    "item_code": codes[3],
                    "sha256": sha256,
                }
                said.append(op("photos", str(uuid4()), "create", at, set={**photo, "size_bytes": size}))
            snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
            submitted = {"snapshot": snapshot, "participants": [self.mine["person"]], "finished_at": at}
            said.append(op("inspections", visit, "action", at, action="submit", args=submitted))
        return said

    async def come_back(self) -> None:
        for start in range(0, len(self.operations), MAX_OPS):
            await self._push(self.operations[start : start + MAX_OPS])
        await self._pull()
        self.report["synced"].append(time.monotonic())
        for each, sha256 in zip(self.photos, self.hashes, strict=True):
            await self._ask(
                "blob", "PUT", f"/api/v1/blobs/{sha256}", self.album.photo(*each), Content_Type="image/jpeg"
            )
        self.report["done"].append(time.monotonic())
        self.wire.close()

    async def _push(self, operations: list[dict]) -> None:
        body = {"protocol": 1, "schema": 1, "device_id": self.mine["device"], "ops": operations}
        raw = json.dumps(body, ensure_ascii=False).encode()
        answer = await self._ask("push", "POST", "/api/v1/sync/push", raw, Content_Type="application/json")
        if any(each["place"] for each in self._majors(operations)):
            self.report["majors"][f"phone{self.n}end"] = time.monotonic()
        statuses = Counter(each["status"] for each in json.loads(answer.body)["results"])
        self.report["verdicts"].update(statuses)
        if statuses["retry"]:
            await asyncio.sleep(1)
            await self._push(operations)

    def _majors(self, operations: list[dict]) -> list[dict]:
        last = self.cast["codes"][-1]
        patched = [each["set"].get("answers", {}) for each in operations if each["kind"] == "patch"]
        return [answers[last]["result"] for answers in patched if "place" in answers.get(last, {}).get("result", {})]

    async def _pull(self) -> None:
        cursor, more = "", True
        while more:
            page = json.loads((await self._ask("pull", "GET", f"/api/v1/sync/pull?limit=200{cursor}")).body)
            cursor, more = f"&cursor={page['cursor']}", page["has_more"]

    async def _ask(self, kind: str, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Asks until it is taken; waits as it is told to."""
        began = time.monotonic()
        while True:
            try:
                answer = await self.wire.ask(method, path, body, **headers)
            except (OSError, asyncio.IncompleteReadError) as lost:
                self.wire.close()
                self._error(f"{kind}: {type(lost).__name__} {lost}")
                await asyncio.sleep(1)
                continue
            if answer.status in (429, 503) and "retry-after" in answer.headers:
                self.report["told to wait"][kind] = self.report["told to wait"].get(kind, 0) + 1
                # not all at the same moment again
                await asyncio.sleep(float(answer.headers["retry-after"]) * random.uniform(0.8, 1.4))
                continue
            if answer.status >= 300:
                self._error(f"{kind}: {answer.status} {answer.body.decode(errors='replace')[:200]}")
                await asyncio.sleep(1)
                continue
            self.report["seconds"].setdefault(kind, []).append(time.monotonic() - began)
            return answer

    def _error(self, words: str) -> None:
        self.report["errors"][words] = self.report["errors"].get(words, 0) + 1
        if sum(self.report["errors"].values()) > 2000:
            raise Failed(words)


def op(collection: str, doc_id: str, kind: str, at: str, **more) -> dict:
    return {"op_id": str(uuid4()), "collection": collection, "id": doc_id, "kind": kind, "at": at, **more}


async def all_at_once(phones: list[Phone], *, seconds: float) -> bool:
    """Whether all were done within this time."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(phone.come_back() for phone in phones))
    except TimeoutError:
        return False
    return True


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("cast", type=Path)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--visits", type=int, required=True)
    options.add_argument("--photos", type=int, required=True)
    options.add_argument("--kilobytes", required=True)
    options.add_argument("--seconds", type=float, required=True)
    wanted = options.parse_args()
    cast = json.loads(wanted.cast.read_text())
    report = {
        "verdicts": Counter(),
        "errors": {},
        "told to wait": {},
        "seconds": {},
        "majors": {},
        "synced": [],
        "done": [],
    }
    least, most = map(int, wanted.kilobytes.split("-"))
    album = Album((least, most))
    more = {"port": wanted.port, "visits": wanted.visits, "photos": wanted.photos, "report": report}
    phones = [Phone(n, cast, album, **more) for n in range(len(cast["phones"]))]
    report["began"] = time.monotonic()
    report["all done"] = asyncio.run(all_at_once(phones, seconds=wanted.seconds))
    report["ended"] = time.monotonic()
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
