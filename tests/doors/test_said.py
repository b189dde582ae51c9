"""Every verb at both doors that hear it, the web's and the push's, by everybody."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from django.utils import timezone

from inspections.models import RectificationItem, Statement
from inspections.verbs import VERBS
from safety.ids import new_id
from safety.models import Clock
from sync.jobs import drain_deferred
from tests.doors.arranged import PICTURE, SECRET, Arranged, encoded
from tests.doors.people import Caller, make_town
from tests.doors.table import granted, read, status, tried

pytestmark = pytest.mark.django_db

SAID = read("""
                                       督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
inspections.create                      ✓    ✓    ✓   403  403  403  403  403  403  403  404  404  404  404  401
inspections.patch                       ✓   403  403  403  403  403  403  404  404  404  404  404  404  404  401
inspections.submit                      ✓   403  403  403  403  403  403  404  404  404  404  404  404  404  401
inspections.join with its secret        ✓    ✓    ✓   403  403  403  403  404  404  404   ✓    ✓   404  404  401
inspections.join with another secret   404  404  404  403  403  403  403  404  404  404  404  404  404  404  401
inspections.delete                      ✓   403  403  403  403  403  403  404  404  404  404  404  404  404  401
inspections.void                        ✓   403  403  403  403  403  403  404  404  404  404  404  404  404  401
submissions.create                      ✓   403  403  403  403  403  403  403  403  403  404  404  404  404  401
conflicts.resolve                       ✓    ✓   403  403  403  403  403  404  404  404  404  404  404  404  401
photos.create of a visit                ✓   403  403  403  403  403  403  404  404  404  404  404  404  404  401
photos.create of a report              403  403  403  403  403  403  403   ✓   403  403  404  404  404  404  401
quick_hazards.create                    ✓    ✓    ✓   403  403   ✓   403  403  403  403  404  404  404  404  401
notices.create                         403  403   ✓    ✓   403  403  403  404  404  404  404  404  404  404  401
receipts.create                        403  403  403  403  403  403  403   ✓    ✓    ✓   404  404  404  404  401
reports.create                         403  403  403  403  403  403  403   ✓    ✓    ✓   404  404  404  404  401
revisits.create                         ✓    ✓    ✓   403  403  403  403  403  403  403  404  404  404  404  401
extensions.create                      403  403  403  403  403  403  403   ✓    ✓    ✓   404  404  404  404  401
judgements.create                      403  403  403   ✓   403  403  403  403  403  403  404  404  404  404  401
closures.create                        403  403  403   ✓   403  403  403  403  403  403  404  404  404  404  401
withdrawals.create                      ✓    ✓    ✓   403  403  403  403  403  403  403  404  404  404  404  401
decisions.create                       403  403  403   ✓   403  403  403  403  403  403  404  404  404  404  401
transfers.create                        ✓    ✓    ✓    ✓   403  403  403  403  403  403  404  404  404  404  401
transfer_replies.create                403  403   ✓    ✓   403  403  403  403  403  403  404  404  404  404  401
signatures.create as inspector          ✓   403  403  403  403  403  403  403  403  403  404  404  404  404  401
signatures.create of the unit           ✓    ✓    ✓   403  403  403  403   ✓    ✓    ✓   404  404  404  404  401
comments.create of a visit              ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
comments.create of an item              ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
alerts.acknowledge                     403  403   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
alerts.take                            403  403   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
alerts.resolve                         403  403   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
alerts.dismiss                         403  403   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
alerts_mine.open                       404  404  404  404  404   ✓   404  404  404  404  404  404  404  404  401
""")
DOORS_OPEN = 95  # of both kinds each; counted, so that a table of refusals would not pass

# Before the notice an item is the bureau's; a school that does not see it yet is answered as a stranger.


def on_item(**more) -> Callable[[Arranged, UUID], dict]:
    return lambda arranged, target: {"rectification_id": target, **more}


def judging(**more) -> Callable[[Arranged, UUID], dict]:
    """What names the round and the evidence; of an unknown item any do."""

    def said(arranged: Arranged, target: UUID) -> dict:
        item = RectificationItem.objects.get()
        return {**arranged.judged(item.id), **more, "rectification_id": target}

    return said


def at_site(**more) -> Callable[[Arranged, UUID], dict]:
    return lambda arranged, target: {"site_id": target, **more}


def of_visit(**more) -> Callable[[Arranged, UUID], dict]:
    return lambda arranged, target: {"inspection_id": target, **more}


def always(**said) -> Callable[[Arranged, UUID], dict]:
    return lambda arranged, target: said


def picture_of(collection: str) -> Callable[[Arranged, UUID], dict]:
    return lambda arranged, target: {
        "subject_collection": collection,
        "subject_id": target,
        "sha256": PICTURE,
        "size_bytes": 9,
    }


def visit_at(arranged: Arranged, target: UUID) -> dict:
    return {
        "site_id": target,
        "template_version_id": arranged.town.checklist.id,
        "started_at": timezone.now(),
    }


def extension_of(arranged: Arranged, target: UUID) -> dict:
    asked = Statement.objects.get(kind="extensions")
    until = str((timezone.now() + timedelta(days=60)).date())
    return {"rectification_id": target, "target": asked.id, "granted": True, "until": until}


def item_of_the_extension(arranged: Arranged) -> UUID:
    return Statement.objects.get(pk=arranged.extension()).item_id


SUBMIT = always(snapshot='{"answers":{}}', participants=[], finished_at="2026-11-20T08:00:00Z")
UNTIL = str((timezone.now() + timedelta(days=60)).date())

# What each row stands on, and what is said: (the id that the door is tried with, content for that id).
CASES: dict[str, tuple[Callable[[Arranged], UUID], Callable[[Arranged, UUID], dict]]] = {
    "inspections.create": (lambda a: a.town.canteen.id, visit_at),
    "inspections.patch": (Arranged.visit, always(answers={"ST-11": {"note": "看过"}})),
    "inspections.submit": (Arranged.visit, SUBMIT),
    "inspections.join with its secret": (Arranged.joinable, always(secret=SECRET)),
    "inspections.join with another secret": (Arranged.joinable, always(secret="some-other-secret")),
    "inspections.delete": (Arranged.visit, always()),
    "inspections.void": (Arranged.visit, always(cause="closed")),
    "submissions.create": (Arranged.submitted, of_visit(kind="amendment", content="{}", reason="漏写")),
    "conflicts.resolve": (Arranged.conflict, always(pick="lost")),
    "photos.create of a visit": (Arranged.visit, picture_of("inspections")),
    "photos.create of a report": (Arranged.report, picture_of("reports")),
    "quick_hazards.create": (lambda a: a.town.canteen.id, at_site(text="漏水")),
    "notices.create": (Arranged.registered, on_item()),
    "receipts.create": (Arranged.notified, on_item()),
    "reports.create": (Arranged.notified, on_item(round=1, text="已整改")),
    "revisits.create": (Arranged.reported, judging(passed=True)),
    "extensions.create": (Arranged.notified, on_item(until=UNTIL, reason="等设备")),
    "judgements.create": (Arranged.notified, on_item(grade="serious", reason="属实")),
    "closures.create": (Arranged.awaiting_closure, judging(granted=True)),
    "withdrawals.create": (Arranged.notified, on_item(reason="误报")),
    "decisions.create": (item_of_the_extension, extension_of),
    "transfers.create": (Arranged.notified, on_item(departments=["城管"], text="请处理")),
    "transfer_replies.create": (Arranged.transferred, on_item(done=True, text="已处理")),
    "signatures.create as inspector": (Arranged.submitted, of_visit(capacity="inspector", signer="某人")),
    "signatures.create of the unit": (Arranged.submitted, of_visit(capacity="unit", opinion="true", signer="某人")),
    "comments.create of a visit": (Arranged.submitted, of_visit(text="知道了")),
    "comments.create of an item": (Arranged.notified, on_item(text="知道了")),
    "alerts.acknowledge": (Arranged.alert, always()),
    "alerts.take": (Arranged.alert, always()),
    "alerts.resolve": (Arranged.alert, always(reason="已处置")),
    "alerts.dismiss": (Arranged.alert, always(reason="误报")),
    "alerts_mine.open": (Arranged.delivery, always()),
}


def verb_of(row: str) -> tuple[str, str]:
    collection, _, kind = row.split()[0].partition(".")
    return collection, kind


@dataclass
class Said:
    """One row on its way: what stands, what is said, and for which document."""

    arranged: Arranged
    row: str
    target: UUID

    def content(self, target: UUID) -> dict:
        return CASES[self.row][1](self.arranged, target)

    def web(self, caller: Caller, target: UUID):
        collection, kind = verb_of(self.row)
        content = encoded(self.content(target))
        if kind == "create":
            return caller.call("POST", f"/api/v1/{collection}", content)
        if kind in ("patch", "delete"):
            return caller.call(kind.upper(), f"/api/v1/{collection}/{target}", content)
        return caller.call("POST", f"/api/v1/{collection}/{target}/{kind}", content)

    def push(self, caller: Caller, target: UUID) -> dict:
        """The one result of a batch with this operation; who has no phone gets no further than the door."""
        collection, kind = verb_of(self.row)
        action = kind not in ("create", "patch", "delete")
        op = {
            "op_id": new_id(),
            "collection": collection,
            "id": new_id() if kind == "create" else target,
            "kind": "action" if action else kind,
            "action": kind if action else "",
            "args" if action else "set": self.content(target),
            "at": timezone.now(),
            "base_rev": 1 if kind == "delete" else None,  # what the phone had seen: another's later word would stay
        }
        response = caller.call("POST", "/api/v1/sync/push", encoded({"ops": [op]}))
        if response.status_code != 200:
            return {"status": str(response.status_code)}
        return msgspec.json.decode(response.content)["results"][0]


@pytest.fixture
def said(request):
    town = make_town()
    arranged = Arranged(town)
    return Said(arranged, request.param, CASES[request.param][0](arranged))


each_row = pytest.mark.parametrize("said", SAID, indirect=True)


def test_table_has_every_verb_and_every_verb_is_open_to_somebody():
    assert {".".join(verb_of(row)) for row in SAID} == set(VERBS)
    assert set(SAID) == set(CASES)
    open_to = {".".join(verb_of(row)) for row, cells in SAID.items() if "✓" in cells.values()}
    assert (open_to, granted(SAID)) == (set(VERBS), DOORS_OPEN)


@each_row
def test_web_hears_each_verb_from_those_whose_affair_it_is(said):
    effects = []

    def attempt(caller):
        before = Clock.objects.get().seq
        known = said.web(caller, said.target)
        moved = Clock.objects.get().seq > before
        effects.append(moved)
        assert known.status_code < 300 or not moved, f"{caller} was answered {known.status_code} and something moved"
        if known.status_code == 404:
            other = said.web(caller, new_id())
            assert (known.content, known.status_code) == (other.content, other.status_code)
            assert dict(known.headers) == dict(other.headers)
        return status(known.status_code)

    assert tried(said.arranged.town, attempt) == SAID[said.row]
    assert any(effects) == ("✓" in SAID[said.row].values())


@each_row
def test_push_hears_each_verb_from_those_whose_affair_it_is(said):
    in_push = {"403": "403", "404": "deferred", "401": "401", "✓": "✓"}
    if said.row == "inspections.delete":
        in_push["404"] = "nothing"  # what is not there is deleted already, for who may not see it as well

    def attempt(caller):
        before = Clock.objects.get().seq
        result = said.push(caller, said.target)
        drain_deferred(timezone.now())
        moved = Clock.objects.get().seq > before
        if result["status"] in ("applied", "merged") and (moved or result["doc"] is not None):
            return "✓"
        assert not moved, f"{caller} was answered {result['status']} and something moved"
        if result["status"] in ("applied", "deferred") and (said.row, caller.column) not in SEEN_ALL_THE_SAME:
            unknown = new_id()
            assert blank(result, said.target) == blank(said.push(caller, unknown), unknown)
        if result["status"] == "applied":
            return "nothing"
        return str(result["problem"]["status"]) if result["status"] == "rejected" else result["status"]

    assert tried(said.arranged.town, attempt) == {column: in_push[cell] for column, cell in SAID[said.row].items()}


# They see the visit as it is, and are told no more than that their secret opens nothing.
SEEN_ALL_THE_SAME = {("inspections.join with another secret", column) for column in ("督学", "同事", "安全")}


def blank(result: dict, target: UUID) -> str:
    """A result without what the phone itself has named."""
    return str(result).replace(str(target), "").replace(result["op_id"], "")
