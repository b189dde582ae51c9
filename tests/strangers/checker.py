"""What must hold after strangers have synced, asked of the database and of a fresh snapshot; no client is believed."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import httpx

from inspections.models import Conflict, Inspection, QuickHazard, Submission
from safety.models import Body, Change, Clock
from sync.models import Operation, Verdict
from tests.strangers.crowd import Play

TOLD = ("rejected", "superseded")


def wrongs_of(play: Play, url: str) -> list[str]:
    """What one seed shows that it must not, in sentences; empty when all is well."""
    if play.failed:
        return [play.failed]
    wrong = [sentence for report in play.reports for sentence in wrongs(report, url)]
    return wrong + [f"lost {word}" for word in lost_words(play.reports)]


def wrongs(report: dict[str, Any], url: str) -> list[str]:
    """What one phone's report has that it must not have, in sentences; empty when all is well."""
    label = f"{report['label']} ({report['library']})"
    return [f"{label}: {each}" for each in (*_mirror(report, url), *_told(report), *map(str, report["errors"]))]


def _mirror(report: dict[str, Any], url: str) -> Iterator[str]:
    """I3: at rest the mirror is what a new phone of the same person would be given."""
    fresh = snapshot(url, token=report["token"], collections=report["mirror"])
    for name, docs in report["mirror"].items():
        for doc_id in docs.keys() | fresh[name].keys():
            mine, theirs = docs.get(doc_id), fresh[name].get(doc_id)
            if mine != theirs:
                yield f"{name} {doc_id} is {mine}, and a fresh snapshot has {theirs}"


def snapshot(url: str, *, token: str, collections: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a phone without a cursor is given of these collections, straight from the server: {collection: {id: doc}}."""
    found: dict[str, dict[str, Any]] = {name: {} for name in collections}
    query = {"collections": ",".join(found), "limit": "1000"}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as door:
        while True:
            page = door.get("/api/v1/sync/pull", params=query).raise_for_status().json()
            for change in page["changes"]:
                if change["op"] == "put":
                    found[change["collection"]][change["id"]] = change["doc"]
                else:
                    found[change["collection"]].pop(change["id"], None)
            if not page["has_more"]:
                return found
            query["cursor"] = page["cursor"]


def _told(report: dict[str, Any]) -> Iterator[str]:
    """Every refusal reached the phone that is to show it, and nothing waits any more."""
    devices = {each["device"] for each in report["devices"]}
    said = set(Operation.objects.filter(device_id__in=devices).values_list("op_id", flat=True))
    refused = set(Verdict.objects.filter(op_id__in=said, status__in=TOLD).values_list("op_id", flat=True))
    for op_id in refused - {UUID(each["op"]["op_id"]) for each in report["quarantine"]}:
        yield f"operation {op_id} was refused, and the phone was not told"
    yield from (f"operation {op} still waits" for op in report["waiting"])


def lost_words(reports: Iterable[dict[str, Any]]) -> list[str]:
    """I10: what was typed and is in no document, conflict or submission, in nothing that was refused, and that nobody
    wrote over who had it before them."""
    reports = list(reports)
    typed = [each for report in reports for each in report["typed"]]
    devices = {each["device"] for report in reports for each in report["devices"]}
    kept = "\n".join(_kept(devices))
    replaced = {each["over"] for each in typed}
    return [each["word"] for each in typed if each["word"] not in kept and each["word"] not in replaced]


def _kept(devices: set[str]) -> Iterator[str]:
    """Everything that these phones made or moved, as text."""
    touched = set(Change.objects.filter(device_id__in=devices).values_list("doc_id", flat=True))
    for visit in Inspection.objects.filter(id__in=touched):
        yield json.dumps([visit.answers, visit.header], ensure_ascii=False)
    for conflict in Conflict.objects.filter(target_id__in=touched):
        yield json.dumps([conflict.kept, conflict.lost], ensure_ascii=False)
    yield from Submission.objects.filter(inspection_id__in=touched).values_list("content", flat=True)
    yield from QuickHazard.objects.filter(id__in=touched).values_list("text", flat=True)
    said = Operation.objects.filter(device_id__in=devices).values_list("op_id", "body_id")
    refused = set(
        Verdict.objects.filter(op_id__in=[op for op, _ in said], status__in=TOLD).values_list("op_id", flat=True)
    )
    bodies = Body.objects.filter(id__in=[body for op, body in said if op in refused])
    for raw in bodies.values_list("bytes", flat=True):
        yield bytes(raw).decode()


def repeated_effects() -> list[tuple]:
    """I2: (operation, document, kind) that moved a document more than once."""
    moved = Change.objects.exclude(operation_id=None).values_list("operation_id", "doc_id", "kind")
    return [each for each, times in Counter(moved).items() if times > 1]


def gaps_in_the_clock() -> set[int]:
    """I11: numbers of the clock that no change has."""
    return {*range(1, Clock.objects.get(id=1).seq + 1)} - set(Change.objects.values_list("seq", flat=True))
