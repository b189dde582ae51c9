"""Everything that is read, by everybody: each document at its address, in its list, in its history, and in the pull.

✓ it is shown at all of these · 404 at none. What is not shown answers as an unknown id does, byte for byte.
"""

import hashlib
import io
from datetime import timedelta
from urllib.parse import urlencode

import msgspec
import pytest
from django.utils import timezone

from inspections import photos
from inspections.jobs import derive_photos
from inspections.models import (
    Finding,
    Inspection,
    QuickHazard,
    RectificationItem,
    Statement,
    StatementKind,
    TemplateVersion,
)
from inspections.reading import COLLECTIONS as OF_EVIDENCE
from safety.ids import new_id
from safety.models import DutyShift, Index
from safety.reading import COLLECTIONS as OF_THE_GROUND
from sync.jobs import drain_deferred
from tests.doors.arranged import Arranged
from tests.doors.people import make_town
from tests.doors.table import granted, read, status, tried
from tests.history import answer
from tests.inspections.photographs import encoded, scene
from tests.makers import make_checklist, make_task

pytestmark = pytest.mark.django_db

SHOWN = read("""
                                   督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
organisations the school            ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
organisations the bureau            ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
sites                               ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
people of the school                ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
people of the bureau               404  404   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
shifts                             404  404   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
alerts                              ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
alerts_mine of the officer         404  404  404  404  404   ✓   404  404  404  404  404  404  404  404  401
scope of the officer               404  404  404  404  404   ✓   404  404  404  404  404  404  404  404  401
sync_results of the inspector       ✓   404  404  404  404  404  404  404  404  404  404  404  404  404  401
templates                           ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
templates restricted                ✓    ✓   404  404  404  404  404  404  404  404  404  404  404  404  401
tasks                               ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
inspections draft                   ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
inspections submitted               ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
inspections restricted              ✓   404  404   ✓   404  404  404  404  404  404  404  404  404  404  401
conflicts of a draft                ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
submissions                         ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
photos of a draft                   ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
photos of a submitted visit         ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
photos of a cover                   ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
quick_hazards before a notice       ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
quick_hazards after a notice        ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
rectifications before a notice      ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
rectifications after a notice       ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
rectifications of an incident       ✓   404  404   ✓   404  404  404  404  404  404  404  404  404  404  401
findings before a notice            ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
findings after a notice             ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
findings of an incident             ✓   404  404   ✓   404  404  404  404  404  404  404  404  404  404  401
notices                             ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
receipts                            ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
reports                             ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
revisits                            ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
extensions                          ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
judgements                          ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
closures                            ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
withdrawals                         ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
transfers                           ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
transfer_replies                    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
decisions                           ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
signatures                          ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
comments                            ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
comments for the bureau             ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
""")
SHOWN_TO = 339  # columns with a ✓; counted, so that a table of refusals would not pass
NOT_PULLED = {"shifts", "alerts", "findings"}  # desks read these rows; phones read what is made from them
PULLED_ONLY = {"scope", "sync_results"}  # a phone's own affairs have no address
NO_HISTORY = {"shifts", "findings"}  # they have no changes of their own

BESIDE = read("""
                                   督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
history before a notice             ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
history after a notice              ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
history of an incident              ✓   404  404   ✓   404  404  404  404  404  404  404  404  404  404  401
chain of the school                 ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
chain of the bureau                404  404   ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
text of a template                  ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
text of a restricted template       ✓    ✓   404  404  404  404  404  404  404  404  404  404  404  404  401
copy of a draft's photo             ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
copy of a submitted visit's photo   ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  401
copy of a cover                     ✓    ✓    ✓    ✓    ✓    ✓    ✓   404  404  404  404  404  404  404  401
""")


class Gallery:
    """One of each document, in each state that decides who reads it: (row of the table) → id."""

    def __init__(self, town, blobs):
        self.town, self.arranged, self.blobs = town, Arranged(town), blobs
        self.ids = {
            "organisations the school": town.school.id,
            "organisations the bureau": town.district.id,
            "sites": town.canteen.id,
            "people of the school": town.one("校长").id,
            "people of the bureau": town.one("审批").id,
            "shifts": DutyShift.objects.get(node=town.district).id,
            "scope of the officer": town.one("值班").id,
            "templates": town.checklist.id,
            "tasks": self._task(),
        }
        self._visits()
        self._photos()
        self._cure_to_the_end()
        self._cure_with_everything_asked()
        self._before_a_notice()
        self._incident()
        self._restricted()
        self._result_that_waited()

    def say(self, *args, **more):
        return self.arranged.say(*args, **more)

    def _task(self):
        assignees = (self.town.one("督学"),)
        return make_task(site=self.town.canteen, checklist=self.town.checklist, assignees=assignees).id

    def _visits(self):
        self.ids["inspections draft"] = self.arranged.visit()
        self.ids["inspections submitted"] = submitted = self.arranged.submitted()
        amendment = {"inspection_id": submitted, "kind": "amendment", "content": "{}", "reason": "漏写"}
        self.ids["submissions"] = self.say("督学", "submissions", "create", amendment)
        self.ids["conflicts of a draft"] = self.arranged.conflict()

    def _photos(self):
        taken = encoded(scene(64, 48))
        self.sha256 = hashlib.sha256(taken).hexdigest()
        author = self.town.one("督学")
        photos.receive(io.BytesIO(taken), sha256=self.sha256, claimed="image/jpeg", person=author.id, device=None)
        of = {"sha256": self.sha256, "size_bytes": len(taken)}
        draft, submitted = self.ids["inspections draft"], self.ids["inspections submitted"]
        self.ids["photos of a draft"] = self.arranged.photo(draft, **of)
        self.ids["photos of a submitted visit"] = self.arranged.photo(submitted, item_code="ST-15", **of)
        self.ids["photos of a cover"] = self.arranged.photo(submitted, item_code="ST-05", **of)
        while derive_photos(timezone.now()):
            pass

    def _cure_to_the_end(self):
        """A major from its alarm to its striking off."""
        item = self.arranged.reported(code="ST-21", place="灶间")
        self.ids["alerts"] = self._alert_of(item)
        self.ids["receipts"] = self.say("校长", "receipts", "create", {"rectification_id": item})
        judged = {"rectification_id": item, "grade": "major", "clauses": ["第一条"], "reason": "属实"}
        self.ids["judgements"] = self.say("审批", "judgements", "create", judged)
        for who in ("督学", "同事"):
            passed = {**self.arranged.judged(item), "passed": True}
            self.ids["revisits"] = self.say(who, "revisits", "create", passed)
        granted_ = {**self.arranged.judged(item), "granted": True}
        self.ids["closures"] = self.say("审批", "closures", "create", granted_)
        self.ids["notices"], self.ids["reports"] = (self._said_of(item, kind) for kind in ("notices", "reports"))

    def _alert_of(self, item):
        row = self.arranged.town.one("值班").deliveries.get(subject_collection="alerts")
        self.ids["alerts_mine of the officer"] = row.id
        return row.subject_id

    def _said_of(self, item, kind):
        return Statement.objects.filter(item=item, kind=kind).first().id

    def _cure_with_everything_asked(self):
        item = self.ids["rectifications after a notice"] = self.arranged.notified(place="门厅")
        self.ids["findings after a notice"] = Finding.objects.get(item=item).id
        until = str((timezone.now() + timedelta(days=60)).date())
        of = {"rectification_id": item}
        asked = self.say("校长", "extensions", "create", {**of, "until": until, "reason": "等设备"})
        decision = {**of, "target": asked, "granted": True, "until": until}
        self.ids["extensions"] = asked
        self.ids["decisions"] = self.say("审批", "decisions", "create", decision)
        self.ids["withdrawals"] = self.say("督学", "withdrawals", "create", {**of, "reason": "误报"})
        self.ids["transfers"] = self.say("安全", "transfers", "create", {**of, "departments": ["城管"], "text": "请办"})
        reply = {**of, "done": False, "text": "不属我局"}
        self.ids["transfer_replies"] = self.say("安全", "transfer_replies", "create", reply)
        signed = {**of, "capacity": "unit", "opinion": "true", "signer": "校长"}
        self.ids["signatures"] = self.say("校长", "signatures", "create", signed)
        self.ids["comments"] = self.say("督学", "comments", "create", {**of, "text": "知道了"})
        whispered = {**of, "text": "留意", "audience": "bureau"}
        self.ids["comments for the bureau"] = self.say("督学", "comments", "create", whispered)
        told = {"site_id": self.town.canteen.id, "text": "漏水", "place": "后门"}
        hazard = self.ids["quick_hazards after a notice"] = self.say("督学", "quick_hazards", "create", told)
        self.say("安全", "notices", "create", {"rectification_id": QuickHazard.objects.get(pk=hazard).item_id})

    def _before_a_notice(self):
        item = self.ids["rectifications before a notice"] = self.arranged.registered(place="库房")
        self.ids["findings before a notice"] = Finding.objects.get(item=item).id
        told = {"site_id": self.town.canteen.id, "text": "漏水", "place": "前门"}
        self.ids["quick_hazards before a notice"] = self.say("督学", "quick_hazards", "create", told)

    def _incident(self):
        visit = self.arranged.visit(answers={"WS-04": answer("fail", note="三例发热")})
        item = RectificationItem.objects.get(findings__inspection=visit)
        self.ids["rectifications of an incident"] = item.id
        self.ids["findings of an incident"] = item.findings.get().id

    def _restricted(self):
        named = (self.town.one("督学"), self.town.one("同事"))
        version = make_checklist(audience="restricted", named=named)
        self.ids["templates restricted"] = version.id
        self.ids["inspections restricted"] = self.arranged.visit(version=version)

    def _result_that_waited(self):
        phone = self.arranged.phones["督学"]
        visit = new_id()
        phone.op("comments", "create", {"inspection_id": visit, "text": "早到的话"})
        op_id = phone.outbox[-1]["op_id"]
        assert phone.send()[0]["status"] == "deferred"
        said = {"site_id": self.town.canteen.id, "template_version_id": self.town.checklist.id}
        self.say("督学", "inspections", "create", {**said, "started_at": timezone.now()}, doc_id=visit)
        drain_deferred(timezone.now())
        self.ids["sync_results of the inspector"] = op_id

    def beside(self):
        """Addresses that show a document in another way, each with that of an unknown one."""
        ids, unknown = self.ids, new_id()
        restricted = TemplateVersion.objects.get(pk=ids["templates restricted"])
        texts = {"text of a template": self.town.checklist.sha256, "text of a restricted template": restricted.sha256}
        history = "rectifications/{}/history"
        shown = {
            "history before a notice": (history, ids["rectifications before a notice"]),
            "history after a notice": (history, ids["rectifications after a notice"]),
            "history of an incident": (history, ids["rectifications of an incident"]),
            "chain of the school": ("chains/{}", self.town.school.id),
            "chain of the bureau": ("chains/{}", self.town.district.id),
            "copy of a draft's photo": ("photos/{}/320.jpg", ids["photos of a draft"]),
            "copy of a submitted visit's photo": ("photos/{}/1600.jpg", ids["photos of a submitted visit"]),
            "copy of a cover": ("photos/{}/320.jpg", ids["photos of a cover"]),
        }
        found = {row: (pattern.format(doc_id), pattern.format(unknown)) for row, (pattern, doc_id) in shown.items()}
        for row, sha256 in texts.items():
            found[row] = (f"ref/templates/{sha256}.json", f"ref/templates/{'0' * 64}.json")
        return found


@pytest.fixture
def gallery(tmp_path, settings):
    settings.BLOBS = tmp_path
    return Gallery(make_town(), tmp_path)


def collection_of(row):
    return row.split()[0]


def compare(gallery, table, rows, attempt):
    """Tries each row with everybody; all differences from the table at once."""
    differ = {}
    for row in rows:
        got = tried(gallery.town, lambda caller, row=row: attempt(caller, row))
        wrong = {column: (got[column], cell) for column, cell in table[row].items() if got[column] != cell}
        if wrong:
            differ[row] = wrong
    return differ


def get(caller, address, **query):
    return caller.call("GET", f"/api/v1/{address}" + (f"?{urlencode(query)}" if query else ""))


def test_tables_have_every_collection_that_is_read_or_pulled(gallery):
    in_index = set(Index.objects.values_list("collection", flat=True))
    read_at_doors = {of.name for of in [*OF_EVIDENCE, *OF_THE_GROUND]}
    assert {collection_of(row) for row in SHOWN} == in_index | read_at_doors | PULLED_ONLY
    assert set(StatementKind.values) <= {collection_of(row) for row in SHOWN}
    assert set(gallery.ids) == set(SHOWN) and set(gallery.beside()) == set(BESIDE)
    assert (granted(SHOWN), all("✓" in cells.values() for cells in [*SHOWN.values(), *BESIDE.values()])) == (
        SHOWN_TO,
        True,
    )


def test_each_document_is_shown_at_its_address_to_whom_it_concerns(gallery):
    rows = [row for row in SHOWN if collection_of(row) not in PULLED_ONLY]

    unknown = Unknown()

    def attempt(caller, row):
        known = get(caller, f"{collection_of(row)}/{gallery.ids[row]}")
        unknown.require_alike(known, caller, f"{collection_of(row)}/{{}}")
        return status(known.status_code)

    assert compare(gallery, SHOWN, rows, attempt) == {}


def test_each_document_is_in_the_list_of_those_to_whom_it_is_shown(gallery):
    rows = [row for row in SHOWN if collection_of(row) not in PULLED_ONLY]
    lists = {}

    def ids_in(caller, collection):
        listed = get(caller, collection, limit=200)
        if listed.status_code != 200:
            return str(listed.status_code)
        page = msgspec.json.decode(listed.content)
        assert page["next"] is None
        return {item["id"] for item in page["items"]}

    def attempt(caller, row):
        key = (str(caller), collection_of(row))
        if key not in lists:
            lists[key] = ids_in(caller, collection_of(row))
        if isinstance(lists[key], str):
            return lists[key]
        return "✓" if str(gallery.ids[row]) in lists[key] else "404"

    assert compare(gallery, SHOWN, rows, attempt) == {}


def test_changes_of_each_document_are_told_to_whom_it_is_shown(gallery):
    rows = [row for row in SHOWN if collection_of(row) not in NO_HISTORY | PULLED_ONLY]

    unknown = Unknown()

    def attempt(caller, row):
        address = f"changes/{collection_of(row)}/{{}}"
        known = get(caller, address.format(gallery.ids[row]))
        unknown.require_alike(known, caller, address)
        return status(known.status_code)

    assert compare(gallery, SHOWN, rows, attempt) == {}


def test_pull_gives_each_document_to_whom_it_is_shown(gallery):
    pulled = {}

    def everything(caller):
        got, cursor = set(), None
        while True:
            page = get(caller, "sync/pull", limit=1000, **({"cursor": cursor} if cursor else {}))
            if page.status_code != 200:
                return str(page.status_code)
            answer_ = msgspec.json.decode(page.content)
            got |= {(change["collection"], change["id"]) for change in answer_["changes"] if change["op"] == "put"}
            cursor = answer_["cursor"]
            if not answer_["has_more"]:
                return got

    def attempt(caller, row):
        if str(caller) not in pulled:
            pulled[str(caller)] = everything(caller)
        got = pulled[str(caller)]
        if isinstance(got, str):
            return got
        return "✓" if (collection_of(row), str(gallery.ids[row])) in got else "404"

    rows = [row for row in SHOWN if collection_of(row) not in NOT_PULLED]
    assert compare(gallery, SHOWN, rows, attempt) == {}


def test_history_chain_text_and_copies_are_shown_to_whom_they_concern(gallery):
    addresses, unknown = gallery.beside(), Unknown()

    def attempt(caller, row):
        known, other = addresses[row]
        response = get(caller, known)
        unknown.require_alike(response, caller, other)
        return status(response.status_code)

    assert compare(gallery, BESIDE, BESIDE, attempt) == {}


def test_document_without_an_address_is_nowhere_to_be_read(gallery):
    for caller in gallery.town.callers:
        for row in (row for row in SHOWN if collection_of(row) in PULLED_ONLY):
            address = f"{collection_of(row)}/{gallery.ids[row]}"
            assert get(caller, address).status_code in (401, 404, 405)
            assert get(caller, collection_of(row)).status_code in (401, 404, 405)


class Unknown:
    """What an unknown id is answered, to each caller at each kind of address; asked once."""

    def __init__(self):
        self.answers = {}

    def require_alike(self, known, caller, address):
        """What is not to be seen answers as what is not there."""
        if known.status_code != 404:
            return
        key = (str(caller), address)
        if key not in self.answers:
            self.answers[key] = get(caller, address.format(new_id()))
        other = self.answers[key]
        assert (known.status_code, known.content) == (other.status_code, other.content)
        assert dict(known.headers) == dict(other.headers)


def test_gallery_stands_as_its_rows_say(gallery):
    """The states that decide who reads: without them the tables would prove nothing."""
    audiences = {
        row: model.objects.get(pk=gallery.ids[row]).audience
        for model, row in [
            (Inspection, "inspections draft"),
            (Inspection, "inspections submitted"),
            (Inspection, "inspections restricted"),
            (RectificationItem, "rectifications before a notice"),
            (RectificationItem, "rectifications after a notice"),
            (RectificationItem, "rectifications of an incident"),
        ]
    }
    assert list(audiences.values()) == ["bureau", "shared", "restricted", "bureau", "shared", "restricted"]
