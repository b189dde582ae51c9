"""Every page that the server draws, held to what a person may expect: its language, its title, names on its controls,
words that are Chinese, and nothing from anybody else's host."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.http import Http404
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse
from django.utils import timezone

from inspections.models import RectificationItem
from safety.handlers import page_not_found, server_error
from safety.models import Change, DutyShift, Organisation, Person, Site
from safety.unit_admin import UnitAdmin
from sync.contacts import Heard, note_contact
from tests.doors.test_listed import addresses
from tests.inspections.test_reading import item_of
from tests.sessions import signed_in
from tests.sync.phone import Phone
from tests.sync.test_orphans import refuse

ROOT = Path(settings.BASE_DIR)
APPS = ("safety", "inspections", "sync")
TEMPLATES = sorted(path for app in APPS for path in (ROOT / app / "templates").rglob("*.html"))
SHEETS = sorted(path for app in APPS for path in (ROOT / app / "static").rglob("*.css"))
SCRIPTS = sorted(path for app in APPS for path in (ROOT / app / "static").rglob("*.js"))
FOR_ENGINEERS = {"docs.html", "members.html", "type.html"}  # the API's documentation speaks of English names
SAME_IN_CHINESE = {"zip", "SQLite", "PostgreSQL"}  # words that are the same in Chinese
CONTROLS = {"input", "select", "textarea"}
SILENT = {"hidden", "submit", "button", "reset", "image"}  # inputs that want no label


class Read(HTMLParser):
    """A page as a reading machine meets it."""

    def __init__(self, page):
        super().__init__()
        self.attributes, self.labelled, self.controls, self.unnamed = [], set(), [], []
        self.title, self.inside, self.words = "", [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.attributes.append((tag, attrs))
        if tag == "label" and "for" in attrs:
            self.labelled.add(attrs["for"])
        if tag in CONTROLS and attrs.get("type") not in SILENT:
            self.controls.append((tag, attrs, "label" in self.inside))
        if tag in ("title", "label", "button", "a"):
            self.inside.append(tag)
            self.words = [] if tag in ("button", "a") else self.words
            if "aria-label" in attrs or "title" in attrs:
                self.words.append(attrs.get("aria-label") or attrs.get("title"))
        if tag == "img":
            self.words.append(attrs.get("alt", ""))

    def handle_endtag(self, tag):
        if tag not in self.inside:
            return
        self.inside.remove(tag)
        if tag in ("button", "a") and not "".join(self.words).strip():
            self.unnamed.append(tag)

    def handle_data(self, data):
        self.words.append(data)
        if "title" in self.inside:
            self.title += data

    def of(self, name):
        return [attrs for tag, attrs in self.attributes if tag == name]

    def unlabelled(self):
        return [
            attrs
            for _, attrs, within in self.controls
            if not within and attrs.get("id") not in self.labelled and not attrs.get("aria-label")
        ]

    def foreign(self):
        """Addresses that a browser would fetch or send to, and that are not ours."""
        named = ("src", "href", "action", "srcset", "poster", "data")
        told = [attrs[name] for _, attrs in self.attributes for name in named if attrs.get(name)]
        return [address for address in told if re.match(r"\s*(\w+:)?//", address) or address.startswith("javascript:")]


def judge(answer, status=200):
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("text/html")
    page = answer.content.decode()
    read = Read(page)
    [html] = read.of("html")
    assert html["lang"] in ("zh-CN", "zh-hans")
    assert any("width=device-width" in meta.get("content", "") for meta in read.of("meta"))
    assert "校安巡检" in read.title
    assert read.foreign() == []
    assert read.unlabelled() == []
    assert read.unnamed == []
    assert not re.search(r"[！!]", re.sub(r"<!--.*?-->|<!doctype", "", page, flags=re.S | re.I))
    return page


@pytest.fixture
def here(town):
    """A phone with work on it, and something that nobody took in."""
    town.phone = Phone(town.inspector)
    told = Heard(3, 4, timezone.now() - timedelta(hours=50), 600_000, "1.4")
    note_contact(town.phone.device.id, told, now=timezone.now())
    town.refused = refuse(town)["op_id"]
    return town


PAGES = [
    ("/", None),
    ("/", "officer"),
    ("/", "principal"),
    ("/", "administrator"),
    ("/login/", None),
    ("/docs/", None),
    ("/docs/", "officer"),
    ("/phones/", "inspector"),
    ("/phones/", "safety"),
    ("/phones/<uuid:device_id>/", "inspector"),
    ("/phones/<uuid:device_id>/", "administrator"),
    ("/phones/left/", "administrator"),
    ("/phones/left/?why=set-aside&handled=1", "administrator"),
    ("/phones/left/<uuid:about>/", "administrator"),
    ("/phones/import/", "administrator"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "who"), PAGES)
def test_page_is_chinese_names_its_controls_and_takes_nothing_from_elsewhere(here, address, who):
    client = signed_in(getattr(here, who)) if who else Client()
    for part, value in (("<uuid:device_id>", here.phone.device.id), ("<uuid:about>", here.refused)):
        address = address.replace(part, str(value))
    judge(client.get(address))


def test_every_address_that_draws_a_page_is_in_the_list():
    found = {f"/{address}" for address, _ in addresses(get_resolver().url_patterns)}
    drawn = {address for address in found if not address.startswith(("/api/", "/admin/", "/logout/"))}
    assert drawn == {address.partition("?")[0] for address, _ in PAGES}


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Organisation, Site, Person, DutyShift, RectificationItem, Change])
def test_administrators_pages_are_held_to_the_same(here, model):
    item_of(here)
    rows = {Organisation: here.school, Person: here.principal}
    client, row = signed_in(here.administrator), rows.get(model) or model.objects.order_by("pk").last()
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    judge(client.get(reverse(f"{name}_changelist")))
    judge(client.get(reverse(f"{name}_change", args=[row.pk])))
    judge(client.get(reverse(f"{name}_history", args=[row.pk])))
    if isinstance(admin.site._registry[model], UnitAdmin):
        judge(client.get(reverse(f"{name}_add")))


@pytest.mark.django_db
def test_administrators_front_page_and_sign_in_are_held_to_the_same(here):
    judge(signed_in(here.administrator).get("/admin/"))
    judge(signed_in(here.administrator).get("/admin/password_change/"))
    judge(signed_in(here.officer).get("/admin/login/"))
    judge(Client().get("/admin/login/"))


@pytest.mark.django_db
def test_refusals_are_pages_that_say_what_next(here):
    assert "没有找到" in judge(Client().get("/nothing/of/the/kind/"), 404)
    assert "不由您办理" in judge(signed_in(here.principal).get("/phones/import/"), 403)
    stale = Client(enforce_csrf_checks=True).post("/login/", {"username": "a", "password": "b"})
    assert "页面太旧" in judge(stale, 403)
    assert "请求没有接受" in judge(Client(headers={"host": "elsewhere.example"}).get("/login/"), 400)
    for _ in range(settings.AXES_FAILURE_LIMIT):
        locked = Client().post("/login/", {"username": here.principal.username, "password": "wrong"})
    assert "暂时锁定" in judge(locked, 429)


def test_fault_of_ours_is_a_page_that_needs_no_database():
    assert "服务器出了问题" in judge(server_error(RequestFactory().get("/")), 500)


def test_fault_and_the_unknown_stay_problems_for_programs():
    request = RequestFactory().get("/api/v1/nothing")
    for answer, status in ((server_error(request), 500), (page_not_found(request, Http404()), 404)):
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("path", [*TEMPLATES, *SCRIPTS], ids=lambda path: path.name)
def test_words_of_a_page_do_not_shout(path):
    assert re.findall(r"！|[\u4e00-\u9fff”」）]\s*!(?!=)", path.read_text()) == []


@pytest.mark.parametrize(
    "path", [each for each in TEMPLATES if each.name not in FOR_ENGINEERS], ids=lambda path: path.name
)
def test_words_of_a_page_are_chinese(path):
    bare = re.sub(
        r"{% block (?:body|bodyclass|coltype) %}.*?{% endblock %}|{#.*?#}|{%.*?%}|{{.*?}}|<(script|style|code)\b.*?</\1>|<[^>]*>|&\w+;",
        " ",
        path.read_text(),
        flags=re.S,
    )
    assert set(re.findall(r"[A-Za-z]{2,}", bare)) <= SAME_IN_CHINESE


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.name)
def test_style_sheet_fetches_nothing_and_leaves_colours_to_the_tokens(path):
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    assert re.findall(r"url\(|@import", text) == []
    if path.name != "tokens.css":
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*[;}])|\b(?:rgba?|hsla?)\(", text) == []
