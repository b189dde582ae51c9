"""The pages of the server itself: what anybody is shown, what a duty officer is shown, and that nothing comes from elsewhere."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from safety import desk
from safety.docs import chapters
from safety.home import QUIET, said_ago, server_state
from safety.openapi import document
from safety.worker import beat, last_beat
from tests.makers import PASSWORD, make_school, raise_alert
from tests.sessions import signed_in

STATIC = Path(settings.BASE_DIR) / "safety" / "static" / "safety"


@pytest.mark.django_db
def test_anybody_is_shown_the_servers_state_and_never_an_alert(town):
    alert = raise_alert(site=town.canteen)
    page = Client().get("/").content.decode()
    assert alert.sentence not in page and town.school.name not in page
    assert "服务状态" in page and settings.VERSION in page and "待发通知" in page
    for link in ("/docs/", "/admin/", "/login/?next=/"):
        assert f'href="{link}"' in page
    assert "desk.js" not in page


@pytest.mark.django_db
def test_duty_officer_is_given_the_queue_that_the_socket_fills(town):
    alert = raise_alert(site=town.canteen)
    answer = signed_in(town.officer).get("/")
    page = answer.content.decode()
    assert "值班队列" in page and "safety/desk.js" in page and "csrftoken" in answer.cookies
    assert alert.sentence not in page  # alerts come by the socket alone, which asks anew who may have them
    assert "值班员" in page and "甲区教育局" in page


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["principal", "inspector"])
def test_person_without_the_desk_is_greeted_and_told_so(town, who):
    page = signed_in(getattr(town, who)).get("/").content.decode()
    assert getattr(town, who).name in page and "不含值班台" in page and "desk.js" not in page
    assert 'href="/admin/"' not in page


@pytest.mark.django_db
def test_duty_officer_signs_in_and_lands_on_the_queue(town):
    client = Client()
    said = {"username": town.officer.username, "password": PASSWORD, "next": "/"}
    answer = client.post("/login/", said, follow=True)
    assert answer.redirect_chain == [("/", 302)] and "值班队列" in answer.content.decode()


@pytest.mark.django_db
def test_button_of_the_page_acknowledges_through_the_api_with_its_csrf_token(town):
    alert = raise_alert(site=town.canteen)
    client = signed_in(town.officer, enforce_csrf_checks=True)
    token = client.get("/").cookies["csrftoken"].value
    address = f"/api/v1/alerts/{alert.id}/acknowledge"
    assert client.post(address, "{}", content_type="application/json").status_code == 403
    answer = client.post(address, "{}", content_type="application/json", headers={"X-CSRFToken": token})
    assert (answer.status_code, answer.json()["state"]) == (200, "acknowledged")


@pytest.mark.django_db
def test_script_of_the_queue_reads_only_what_a_row_has(town):
    [row] = desk.rows_of(desk.load([raise_alert(site=town.canteen).id]))
    read = set(re.findall(r"\balert\.(\w+)", (STATIC / "desk.js").read_text()))
    assert read <= set(json.loads(row.json))


@pytest.mark.django_db
def test_demonstration_is_marked_on_every_page(town):
    assert "演示数据" not in Client().get("/").content.decode()
    make_school(district=town.district, demo=True)
    for address in ("/", "/docs/", "/login/"):
        assert "演示数据" in Client().get(address).content.decode(), address


@pytest.mark.django_db
def test_state_says_whether_the_worker_turns(tmp_path, settings):
    settings.VAR = tmp_path
    assert server_state(now=timezone.now()).worker == "none"
    assert "没有启动" in Client().get("/").content.decode()
    beat()
    assert server_state(now=timezone.now()).worker == "alive"
    assert server_state(now=last_beat() + QUIET + timedelta(seconds=1)).worker == "quiet"


@pytest.mark.django_db
def test_state_counts_what_waits_to_be_done(town):
    raise_alert(site=town.canteen)
    state = server_state(now=timezone.now())
    assert state.queues == {"待发通知": 1, "待制照片副本": 0, "待存入远端的照片": 0, "等候前文的手机操作": 0}
    assert state.engine.split()[0] in ("SQLite", "PostgreSQL") and state.seq > 0


def test_length_of_time_is_said_as_people_say_it():
    said = [said_ago(timedelta(seconds=each)) for each in (-1, 3, 61, 7200, 400_000)]
    assert said == ["0 秒前", "3 秒前", "1 分前", "2 小时前", "4 天前"]


@pytest.mark.django_db
def test_documentation_tells_every_door():
    page = Client().get("/docs/").content.decode()
    doors = [door for chapter in chapters() for door in chapter.doors]
    assert len(doors) == sum(len(operations) for operations in document()["paths"].values())
    for door in doors:
        assert f'id="{door.id}"' in page
    for name in re.findall(r'href="#s-(\w+)"', page):
        assert f'id="s-{name}"' in page, name


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/docs/", "/login/"])
def test_page_takes_nothing_from_elsewhere_and_runs_nothing_inline(address):
    answer = Client().get(address)
    page = answer.content.decode()
    sources = re.findall(r'(?:src|href|action)="([^"#][^"]*)"', page)
    assert sources and all(source.startswith("/") for source in sources)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
    for name in re.findall(r"/static/(safety/[\w.-]+)", page):
        assert (STATIC.parent / name).is_file(), name


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/docs/"])
def test_page_allows_its_own_scripts_and_socket_alone(address):
    policy = Client().get(address)["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "ws://testserver" in policy


@pytest.mark.django_db
def test_pages_only_read():
    for address in ("/", "/docs/"):
        assert Client().post(address).status_code == 405


# The colours


def themes():
    """Tokens by theme; light is the ground on which the others stand."""
    text = re.sub(r"/\*.*?\*/", "", (STATIC / "tokens.css").read_text(), flags=re.S)
    found = {}
    for selector, block in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
        name = re.search(r'data-theme="(\w+)"', selector)
        if name:
            found[name[1]] = found.get("light", {}) | dict(re.findall(r"--([\w-]+):\s*(#[0-9A-Fa-f]{6})", block))
    return found


def contrast(one, other):
    def light(colour):
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


WORDS = [
    ("ink", "surface"),
    ("ink", "surface-2"),
    ("ink", "surface-3"),
    ("ink-2", "surface"),
    ("ink-2", "surface-2"),
    ("ink-2", "surface-3"),
    ("brand", "surface"),
    ("brand", "surface-2"),
    ("on-brand-fill", "brand-fill"),
    ("ok", "surface"),
    ("ok", "surface-2"),
    ("warn", "surface"),
    ("warn", "surface-2"),
    ("warn", "warn-tint"),
    ("ink", "warn-tint"),
    ("fail", "surface"),
    ("fail", "fail-tint"),
    ("fixed", "surface"),
    ("on-major", "major"),
    ("ink", "major-tint"),
    ("ink", "brand-tint"),
]


@pytest.mark.parametrize(("theme", "least"), [("light", 4.5), ("dark", 4.5), ("sunlight", 7)])
def test_words_stand_out_from_their_ground_in_every_theme(theme, least):
    tokens = themes()[theme]
    weak = {pair: contrast(*(tokens[name] for name in pair)) for pair in WORDS}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < least} == {}
    assert min(contrast(tokens["line-2"], tokens[ground]) for ground in ("surface", "surface-2")) >= 3
