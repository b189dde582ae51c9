"""The admin's addresses, all of them, by everybody: administrators come in, and see what lies under their own posts.

Columns: 管理 the administrator of the school's district · 外管 that of another · 其余 everybody else with an account · 无
nobody. Cells: ✓ shown · unknown: as an id that is none · 403 not to be done here at all · 302 to the sign-in.
"""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.urls import get_resolver, reverse

from inspections.models import Basis, ChecklistItem
from safety.ids import new_id
from safety.models import Change, Clock, Organisation, Role
from tests.doors.people import NOBODY, make_town
from tests.doors.table import undone
from tests.doors.test_listed import addresses
from tests.doors.test_read import Gallery
from tests.doors.test_road import session_of

pytestmark = pytest.mark.django_db

COLUMNS = ["管理", "外管", "其余", "无"]
FORMS = ["safety.organisation", "safety.site", "safety.person", "safety.post", "safety.dutyshift"]
CHECKLISTS = ["inspections.checklisttemplate", "inspections.templateversion"]  # the same for every district
CATALOGUE = ["inspections.basis", "inspections.checklistitem"]
EVIDENCE = [
    "safety.alert",
    "safety.delivery",
    "safety.device",
    "safety.change",
    "inspections.task",
    "inspections.inspection",
    "inspections.finding",
    "inspections.rectificationitem",
    "inspections.statement",
    "inspections.quickhazard",
    "inspections.photo",
    "inspections.submission",
    "inspections.conflict",
    "sync.operation",
    "sync.verdict",
]
GROUPS = {"forms": FORMS, "checklists": CHECKLISTS, "catalogue": CATALOGUE, "evidence": EVIDENCE}

TABLE = """
                          管理      外管      其余   无
forms changelist           ✓        ✓       302   302
forms add                  ✓        ✓       302   302
forms change               ✓     unknown    302   302
forms history              ✓     unknown    302   302
forms delete              403      403      302   302
checklists changelist      ✓        ✓       302   302
checklists add             ✓        ✓       302   302
checklists change          ✓        ✓       302   302
checklists history         ✓        ✓       302   302
checklists delete         403      403      302   302
catalogue changelist       ✓        ✓       302   302
catalogue add             403      403      302   302
catalogue change           ✓        ✓       302   302
catalogue history          ✓        ✓       302   302
catalogue delete          403      403      302   302
evidence changelist        ✓        ✓       302   302
evidence add              403      403      302   302
evidence change            ✓     unknown    302   302
evidence history           ✓     unknown    302   302
evidence delete           403      403      302   302
"""
BESIDE = """
                                   管理   外管   其余   无
admin/                              ✓     ✓    302   302
admin/safety/                       ✓     ✓    302   302
admin/inspections/                  ✓     ✓    302   302
admin/sync/                         ✓     ✓    302   302
admin/password_change/              ✓     ✓    302   302
admin/password_change/done/         ✓     ✓    302   302
admin/jsi18n/                       ✓     ✓    302   302
admin/autocomplete/                403   403   302   302
admin/login/                       302   302    ✓     ✓
admin/nothing/of/the/kind/         404   404   302   302
admin/r/<type>/<school>/           404   404   302   302
"""
PAGES = ["changelist", "add", "change", "history", "delete"]
OPEN_PAGES = 24


def read(text):
    head, *lines = text.strip().splitlines()
    assert head.split() == COLUMNS
    rows = (line.rsplit(maxsplit=len(COLUMNS)) for line in lines)
    return {name.strip(): dict(zip(COLUMNS, cells, strict=True)) for name, *cells in rows}


class Desk:
    """One object of each model at the school, and a session for everybody."""

    def __init__(self, gallery):
        self.town, self.ids = gallery.town, gallery.ids
        administrators = [each for each in self.town.of("外局") if self.is_administrator(each)]
        columns = {"管理": self.town.of("管理"), "外管": administrators, "无": self.town.of(NOBODY)}
        taken = {str(each) for callers in columns.values() for each in callers}
        columns["其余"] = [each for each in self.town.callers if str(each) not in taken]
        self.clients = {column: [session_of(each) for each in columns[column]] for column in COLUMNS}
        self.objects = {name: self.object_of(name) for group in GROUPS.values() for name in group}

    def is_administrator(self, caller):
        return caller.person.posts.filter(role=Role.ADMINISTRATOR).exists()

    def object_of(self, name):
        """The id of the object that is tried: it belongs to the school where that can be said."""
        model = apps.get_model(name)
        inspector = self.town.one("督学")
        own = {
            "safety.organisation": {"pk": self.town.school.pk},
            "safety.site": {"pk": self.town.canteen.pk},
            "safety.person": {"pk": self.town.one("校长").pk},
            "safety.post": {"person": self.town.one("校长")},
            "safety.dutyshift": {"node": self.town.district},
            "safety.device": {"person": inspector},
            "safety.change": {"chain_id": self.town.school.pk},
            "inspections.templateversion": {"pk": self.town.checklist.pk},
            "inspections.checklisttemplate": {"pk": self.town.checklist.template_id},
            "inspections.inspection": {"pk": self.ids["inspections submitted"]},
            "inspections.rectificationitem": {"pk": self.ids["rectifications after a notice"]},
            "inspections.finding": {"pk": self.ids["findings after a notice"]},
            "inspections.statement": {"pk": self.ids["notices"]},
            "sync.operation": {"person_id": inspector.pk},
        }
        return model.objects.filter(**own.get(name, {})).order_by("pk").first().pk

    def address(self, name, page, pk=None):
        args = [] if page in ("changelist", "add") else [pk or self.objects[name]]
        return reverse(f"admin:{name.replace('.', '_')}_{page}", args=args)


@pytest.fixture
def desk(tmp_path, settings):
    settings.BLOBS = tmp_path
    Basis.objects.create(short="某标准", title="某标准", confidence="certain")
    ChecklistItem.objects.create(
        code="ZZ-01",
        area="ZZ",
        position=1,
        kind="item",
        text="某项",
        grade="general",
        photo="optional",
        disposition="rectify",
        confidence="certain",
    )
    return Desk(Gallery(make_town(), tmp_path))


def unknown_of(pk):
    return 10**9 if isinstance(pk, int) else new_id()


def told(client, response, pk):
    """What a person is told: status, where to, and the words on the page that they come to, whatever the id."""
    where = response.get("Location", "")
    page = client.get(where).content.decode() if where and "login" not in where else ""
    words = re.findall(r'<li class="(?:warning|error|success)">.*?</li>', page)
    return response.status_code, where, [each.replace(str(pk), "…") for each in words]


def cell(client, method, address, pk=None, unknown_address="", unknown=None):
    with undone():
        response = getattr(client, method)(address)
        if response.status_code == 302 and "login" not in response["Location"] and pk is not None:
            known = told(client, response, pk)
            assert known == told(client, getattr(client, method)(unknown_address), unknown)
            return "unknown"
        return "✓" if response.status_code == 200 else str(response.status_code)


def tried(desk, ask):
    """Each column's cell; where sessions of one column differ, all of them."""
    got = {column: {ask(client) for client in clients} for column, clients in desk.clients.items()}
    return {column: cells.pop() if len(cells) == 1 else str(sorted(cells)) for column, cells in got.items()}


def test_every_address_of_the_admin_is_in_the_list():
    found = {address for address, _ in addresses(get_resolver().url_patterns) if address.startswith("admin/")}
    names = [name for group in GROUPS.values() for name in group]
    pages = ["", "add/", "<path:object_id>/history/", "<path:object_id>/delete/", "<path:object_id>/change/"]
    pages += ["<path:object_id>/"]  # Django's own way from an old address to /change/
    listed = {f"admin/{name.replace('.', '/')}/{page}" for name in names for page in pages}
    beside = ["", "login/", "logout/", "password_change/", "password_change/done/", "autocomplete/", "jsi18n/"]
    beside += ["r/<path:content_type_id>/<path:object_id>/", "^(?P<app_label>safety|inspections|sync)/$"]
    beside += ["(?P<url>.*)$"]
    assert found == listed | {f"admin/{each}" for each in beside}
    assert {model._meta.label_lower for model in admin.site._registry} == set(names)


def test_pages_are_open_to_administrators_over_what_they_cover(desk):
    table = read(TABLE)
    assert set(table) == {f"{group} {page}" for group in GROUPS for page in PAGES}
    assert sum(each == "✓" for cells in table.values() for each in cells.values()) == OPEN_PAGES
    differ = {}
    for group, names in GROUPS.items():
        for name in names:
            for page in PAGES:
                pk = None if page in ("changelist", "add") else desk.objects[name]
                unknown = unknown_of(pk)
                known_page, unknown_page = desk.address(name, page), desk.address(name, page, unknown)
                got = tried(
                    desk,
                    lambda client, page=known_page, pk=pk, other=unknown_page, unknown=unknown: cell(
                        client, "get", page, pk, other, unknown
                    ),
                )
                if got != table[f"{group} {page}"]:
                    differ[name, page] = got
    assert differ == {}


def test_pages_beside_the_forms_are_open_to_administrators(desk):
    places = {"<type>": ContentType.objects.get_for_model(Organisation).pk, "<school>": desk.town.school.pk}
    differ = {}
    for row, cells in read(BESIDE).items():
        address = row
        for name, value in places.items():
            address = address.replace(name, str(value))
        got = tried(desk, lambda client, address=address: cell(client, "get", f"/{address}"))
        if got != cells:
            differ[row] = got
    assert differ == {}


@pytest.mark.parametrize("page", ["change", "delete"])
def test_nothing_moves_when_a_form_is_sent_by_whoever_it_is_not_for(desk, page):
    before = (Clock.objects.get().seq, Change.objects.count())
    for name in [*FORMS, *CATALOGUE, *EVIDENCE]:
        pk = desk.objects[name]
        unknown = unknown_of(pk)
        columns = ["其余", "无"] if name in CATALOGUE else ["外管", "其余", "无"]
        for client in [each for column in columns for each in desk.clients[column]]:
            got = cell(client, "post", desk.address(name, page), pk, desk.address(name, page, unknown), unknown)
            assert got in ("unknown", "302", "403"), (name, got)
            assert (Clock.objects.get().seq, Change.objects.count()) == before


def test_list_of_an_administrator_of_another_district_names_nothing_of_this_one(desk):
    [client] = desk.clients["外管"]
    for name in [*FORMS, *EVIDENCE]:
        page = client.get(desk.address(name, "changelist")).content.decode()
        assert f"/{desk.objects[name]}/change/" not in page, name
        assert "甲校" not in page, name
