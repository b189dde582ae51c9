"""Phones, what lies on them and what nobody took in: told to their owner and to those who look after them.

Cells: ✓ told of the inspector's · – told nothing of them, by whichever refusal · else the status.
"""

import json

import pytest

from safety.ids import new_id
from tests.doors.arranged import Arranged
from tests.doors.people import make_town
from tests.doors.table import granted, read, status, tried
from tests.doors.test_road import session_of
from tests.sync.phone import Phone
from tests.sync.test_imports import exported
from tests.sync.test_push import photo

pytestmark = pytest.mark.django_db

TOLD = read("""
                           督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
GET devices of=covered      –    –    ✓    –    ✓    ✓    –    –    –    –    –    –    –    –   –
GET sync/backlog            –    –    ✓    –    ✓    ✓    –    –    –    –    –    –    –    –   –
GET sync/orphans            –    –    –    ✓    ✓    –    –    –    –    –    –    –    –    –   –
POST sync/import            –    –    –    –    ✓    –    –    –    –    –    –    –    –    –   –
GET /phones/                ✓    –    ✓    –    ✓    ✓    –    –    –    –    –    –    –    –   –
GET /phones/left/           –    –    –    ✓    ✓    –    –    –    –    –    –    –    –    –   –
POST /phones/import/        –    –    –    –    ✓    –    –    –    –    –    –    –    –    –   –
""")
OPENED = read("""
                           督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
GET devices holdings        ✓   404   ✓   404   ✓    ✓   404  404  404  404  404  404  404  404  401
GET sync/orphans one       404  404  404   ✓    ✓   404  404  404  404  404  404  404  404  404  401
POST sync/orphans handle   404  404  404   ✓    ✓   404  404  404  404  404  404  404  404  404  401
POST sync/quarantine-report ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
GET /phones/one             ✓   404   ✓   404   ✓    ✓   404  404  404  404  404  404  404  404  302
POST /phones/one lose      302  404  404  404  302  404  404  404  404  404  404  404  404  404  302
GET /phones/left/one       404  404  404   ✓    ✓   404  404  404  404  404  404  404  404  404  302
POST /phones/left/one      404  404  404  302  302  404  404  404  404  404  404  404  404  404  302
""")
TOLD_CELLS, OPEN_CELLS = 16, 28


class Phones:
    """The inspector's phone with something that waits, and an operation of theirs that was refused."""

    def __init__(self, town, tmp_path):
        self.town = town
        self.phone = Phone(town.one("督学"))
        self.phone.op("photos", "create", photo(new_id()))
        self.phone.op("quick_hazards", "create", {"site_id": town.canteen.id})
        self.refused = self.phone.send()[1]["op_id"]
        self.phone.op("comments", "create", {"inspection_id": Arranged(town).visit(), "text": "一句话"})
        self.export = exported(self.phone)
        self.file = tmp_path / "outbox.zip"
        self.file.write_bytes(self.export)

    def told(self):
        """Row → what a caller is told; the needle stands in it when it is told of the inspector's."""
        phone, refused = str(self.phone.device.id), self.refused
        return {
            "GET devices of=covered": (lambda caller: caller.call("GET", "/api/v1/devices?of=covered"), phone),
            "GET sync/backlog": (lambda caller: caller.call("GET", "/api/v1/sync/backlog"), phone),
            "GET sync/orphans": (lambda caller: caller.call("GET", "/api/v1/sync/orphans"), refused),
            "POST sync/import": (lambda caller: caller.call("POST", "/api/v1/sync/import", self.export), phone),
            "GET /phones/": (lambda caller: session_of(caller).get("/phones/"), phone),
            "GET /phones/left/": (lambda caller: session_of(caller).get("/phones/left/"), refused),
            "POST /phones/import/": (self.post_file, "已导入"),
        }

    def post_file(self, caller):
        with self.file.open("rb") as file:
            return session_of(caller).post("/phones/import/", {"file": file})

    def opened(self):
        note = json.dumps({"note": "x"}).encode()
        report = b'{"ops": [{"op": {}, "reason": "x"}]}'
        device, refused = self.phone.device.id, self.refused
        return {
            "GET devices holdings": self.call("GET", "/api/v1/devices/{}/holdings", device),
            "GET sync/orphans one": self.call("GET", "/api/v1/sync/orphans/{}", refused),
            "POST sync/orphans handle": self.call("POST", "/api/v1/sync/orphans/{}/handle", refused, note),
            "POST sync/quarantine-report": self.call("POST", "/api/v1/sync/quarantine-report", device, report),
            "GET /phones/one": self.page("get", "/phones/{}/", device),
            "POST /phones/one lose": self.page("post", "/phones/{}/", device, do="lose"),
            "GET /phones/left/one": self.page("get", "/phones/left/{}/", refused),
            "POST /phones/left/one": self.page("post", "/phones/left/{}/", refused, note="x"),
        }

    def call(self, method, address, known, body=b""):
        return lambda caller: self.alike(lambda pk: caller.call(method, address.format(pk), body), known)

    def page(self, method, address, known, **form):
        return lambda caller: self.alike(
            lambda pk: getattr(session_of(caller), method)(address.format(pk), form or None), known
        )

    def alike(self, ask, known):
        """The answer; a 404 must be that of an unknown one."""
        answer = ask(known)
        if answer.status_code == 404:
            assert answer.content == ask(new_id()).content
        return answer


@pytest.fixture
def phones(tmp_path, settings):
    settings.BLOBS = tmp_path
    return Phones(make_town(), tmp_path)


def differing(table, ask):
    differ = {}
    for row, cells in table.items():
        got = ask(row)
        wrong = {column: (got[column], cell) for column, cell in cells.items() if got[column] != cell}
        if wrong:
            differ[row] = wrong
    return differ


def test_tables_are_tried_whole(phones):
    assert (set(phones.told()), set(phones.opened())) == (set(TOLD), set(OPENED))
    assert (granted(TOLD), granted(OPENED)) == (TOLD_CELLS, OPEN_CELLS)


def test_lists_tell_of_a_phone_those_who_look_after_it(phones):
    told = phones.told()

    def ask(row):
        door, needle = told[row]
        return tried(phones.town, lambda caller: "✓" if needle in door(caller).content.decode() else "–")

    assert differing(TOLD, ask) == {}


def test_one_phone_and_one_operation_are_opened_to_those_alone(phones):
    opened = phones.opened()

    def ask(row):
        return tried(phones.town, lambda caller: status(opened[row](caller).status_code))

    assert differing(OPENED, ask) == {}
