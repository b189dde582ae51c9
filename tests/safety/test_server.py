"""The server itself: uvicorn in a process of its own, on a free port of loopback."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.core.checks import run_checks
from django.db import connection
from django.utils import timezone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from safety import checks
from safety.backups import begin_epoch
from safety.guard import lifted
from safety.highwater import note_highwater
from safety.lifespan import Lifespan, only_process
from safety.models import Clock, Organisation
from safety.threads import in_thread
from tests.engines import free_port
from tests.makers import make_token, raise_alert

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60
PATIENCE = 10


class Server:
    """A running server: its address, and what it said."""

    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)

    def started(self):
        return "Uvicorn running on" in self.said()

    def said(self):
        return self.log.read_text(errors="replace")

    def desk(self, secret):
        return connect(
            f"ws://127.0.0.1:{self.port}/api/v1/ws/desk",
            subprotocols=["campus.v1", f"bearer.{secret}"],
            open_timeout=PATIENCE,
        )

    def end(self):
        """SIGTERM; gives (exit code, seconds that it took)."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE * 2), time.monotonic() - began


@pytest.fixture
def serve(tmp_path):
    """Starts servers, and waits until each serves or has ended."""
    servers = []

    @contextmanager
    def start(*options, var="var", **env):
        port, log = free_port(), tmp_path / f"log{len(servers)}"
        command = [sys.executable, "-m", "uvicorn", "safety.asgi:application", "--port", str(port)]
        settings = {"SAFETY_VAR": str(tmp_path / var), "DJANGO_SETTINGS_MODULE": "safety.settings", **env}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("SAFETY_")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--timeout-graceful-shutdown", "3", *options],
                cwd=ROOT,
                env=outside | settings,
                stdout=output,
                stderr=output,
            )
        server = Server(process, port, log)
        servers.append(server)
        until = time.monotonic() + START_SECONDS
        while process.poll() is None and not server.started() and time.monotonic() < until:
            time.sleep(0.05)
        yield server
        if process.poll() is None:
            server.end()

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def frame(socket):
    return json.loads(socket.recv(timeout=PATIENCE))


def alert_frame(socket, state):
    while (said := frame(socket))["t"] != "alert" or said["alert"]["state"] != state:
        pass
    return said


@pytest.mark.django_db(transaction=True)
def test_server_carries_a_verb_to_an_open_desk_within_a_second_and_ends_on_sigterm(serve, town, database_url):
    alert = raise_alert(site=town.canteen)
    _, secret = make_token(person=town.officer)
    with serve(SAFETY_DATABASE_URL=database_url) as server:
        with server.desk(secret) as desk:
            waiting = frame(desk)
            assert str(alert.id) in {row["id"] for row in waiting["alerts"]}
            began = time.monotonic()
            answer = server.http.post(
                f"/api/v1/alerts/{alert.id}/acknowledge", headers={"Authorization": f"Bearer {secret}"}
            )
            said = alert_frame(desk, "acknowledged")
            assert time.monotonic() - began < 1
            assert (answer.status_code, said["alert"]["acknowledged"]["person"]["name"]) == (200, "值班员")
            assert eventually(town.elsewhere.alerts.exists)  # 无人值班 there: the worker works beside the server
            code, seconds = server.end()
            with pytest.raises(ConnectionClosed):
                while True:
                    frame(desk)
        assert seconds < 8
        assert code in (0, -signal.SIGTERM)
        assert "Application shutdown complete" in server.said()


@pytest.mark.django_db(transaction=True)
def test_two_servers_with_redis_ring_each_other(serve, town, database_url, redis_url):
    alert = raise_alert(site=town.canteen)
    _, secret = make_token(person=town.officer)
    settings = {"SAFETY_DATABASE_URL": database_url, "SAFETY_REDIS_URL": redis_url}
    with serve(**settings) as one, serve(**settings, SAFETY_WORK_IN_SERVER="0") as other, other.desk(secret) as desk:
        frame(desk)
        began = time.monotonic()
        one.http.post(f"/api/v1/alerts/{alert.id}/acknowledge", headers={"Authorization": f"Bearer {secret}"})
        alert_frame(desk, "acknowledged")
        assert time.monotonic() - began < 1


@pytest.mark.django_db(transaction=True)
def test_second_process_without_redis_is_refused_and_told_why(serve, town, database_url):
    with serve(SAFETY_DATABASE_URL=database_url) as first, serve(SAFETY_DATABASE_URL=database_url) as second:
        assert second.process.wait(PATIENCE) == 3
        assert "已有一个服务进程在使用" in second.said() and f"进程号 {first.process.pid}" in second.said()
        assert first.http.get("/api/v1/auth/me").status_code == 401


def eventually(question):
    """Whether something comes true before patience ends."""
    until = time.monotonic() + PATIENCE
    while not question() and time.monotonic() < until:
        time.sleep(0.1)
    return question()


async def start(*members, said=None):
    """What a server says on starting with these members of the lifespan; it ends them when it was let in."""
    said = [] if said is None else said
    messages = asyncio.Queue()
    for kind in ("lifespan.startup", "lifespan.shutdown"):
        messages.put_nowait({"type": kind})

    async def send(message):
        said.append(message)

    await Lifespan(list(members))({"type": "lifespan"}, messages.get, send)
    return said


begun: list[str] = []


@asynccontextmanager
async def first():
    begun.append("first")
    yield
    begun.append("first ended")


@asynccontextmanager
async def faulty():
    raise KeyError("our own")
    yield


async def test_members_end_in_the_order_opposite_to_their_beginning():
    begun.clear()
    said = await start("tests.safety.test_server.first")
    assert [each["type"] for each in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert begun == ["first", "first ended"]


async def test_server_whose_member_fails_says_so_and_does_not_serve():
    """uvicorn takes a lifespan that only raises for one that is not there, and would serve without a hub."""
    said = []
    with pytest.raises(KeyError):
        await start("tests.safety.test_server.faulty", said=said)
    assert [each["type"] for each in said] == ["lifespan.startup.failed"]
    assert "our own" in said[0]["message"]


async def test_second_holder_of_the_lock_is_told_what_to_do(settings, tmp_path):
    settings.VAR = tmp_path
    async with only_process():
        said = await start("safety.lifespan.only_process")
    assert said[0]["type"] == "lifespan.startup.failed"
    assert f"进程号 {os.getpid()}" in said[0]["message"] and "SAFETY_REDIS_URL" in said[0]["message"]
    assert (await start("safety.lifespan.only_process"))[0]["type"] == "lifespan.startup.complete"


@pytest.mark.django_db(transaction=True)
async def test_server_without_a_clock_says_what_to_run():
    await in_thread(Clock.objects.all().delete)()
    said = await start("safety.lifespan.ready_database")
    assert "manage.py migrate" in said[0]["message"]


BEHIND = "safety.highwater.clock_not_behind"


@pytest.mark.django_db(transaction=True)
async def test_server_on_a_backup_that_was_put_back_does_not_start_until_it_is_told_so(settings, tmp_path):
    settings.VAR = tmp_path
    clock = Clock.objects.filter(id=1)
    await in_thread(clock.update)(seq=9)
    await in_thread(note_highwater)(timezone.now())
    assert (await start(BEHIND))[0]["type"] == "lifespan.startup.complete"
    await in_thread(clock.update)(seq=4)
    refused = (await start(BEHIND))[0]
    assert refused["type"] == "lifespan.startup.failed"
    assert "第 4 号" in refused["message"] and "第 9 号" in refused["message"]
    assert "manage.py restored" in refused["message"]
    await in_thread(begin_epoch)(now=timezone.now())
    assert (await start(BEHIND))[0]["type"] == "lifespan.startup.complete"


@pytest.mark.django_db(transaction=True)
def test_clock_that_goes_back_under_a_running_server_is_cried_out_and_not_forgotten(settings, tmp_path, caplog):
    settings.VAR = tmp_path
    clock, later = Clock.objects.filter(id=1), timezone.now() + timedelta(minutes=2)
    clock.update(seq=9)
    note_highwater(timezone.now())
    clock.update(seq=4)
    note_highwater(timezone.now())
    assert not caplog.records
    note_highwater(later)
    assert "clock.gone_back seq=4 seen=9" in caplog.text
    assert json.loads((tmp_path / "clock.json").read_text())["seq"] == 9


@pytest.mark.parametrize("words", ["", "[]", "{}", '{"epoch": "e-of another house", "seq": 99}'])
@pytest.mark.django_db(transaction=True)
async def test_note_that_says_nothing_of_this_clock_stops_no_start(settings, tmp_path, words):
    settings.VAR = tmp_path
    (tmp_path / "clock.json").write_text(words)
    assert (await start(BEHIND))[0]["type"] == "lifespan.startup.complete"


@pytest.mark.django_db(transaction=True)
async def test_server_for_other_machines_refuses_the_key_that_comes_with_the_source(settings):
    settings.ALLOWED_HOSTS = ["anquan.example"]
    assert "SAFETY_SECRET_KEY" in (await start("safety.lifespan.sound_settings"))[0]["message"]
    settings.SECRET_KEY = "k" * 50
    assert "SAFETY_SECRET_KEY" not in (await start("safety.lifespan.sound_settings"))[0].get("message", "")


def errors(databases=None):
    return {each.id for each in run_checks(tags=[checks.TAG], databases=databases)}


def test_settings_of_a_laptop_are_sound(settings):
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
    assert errors() == set()


def test_several_processes_are_an_error_without_redis_and_none_with_it(settings, monkeypatch):
    settings.ALLOWED_HOSTS = ["localhost"]
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert errors() == {"safety.E003"}
    settings.REDIS_URL = "redis://127.0.0.1:6379/0"
    assert errors() == set()


@pytest.fixture
def throwaway():
    """What a bureau's server would be told of this engine: the tests' PostgreSQL runs without fsync."""
    return {"safety.E006"} if connection.vendor == "postgresql" else set()


@pytest.mark.django_db
def test_demonstration_beyond_loopback_must_be_wanted(settings, town, throwaway):
    settings.ALLOWED_HOSTS, settings.SECRET_KEY = ["anquan.example"], "k" * 50
    assert errors([connection.alias]) == throwaway
    with lifted():
        Organisation.objects.filter(pk=town.school.pk).update(demo=True)
    assert errors([connection.alias]) == {"safety.E002"} | throwaway
    settings.DEMO = True
    assert errors([connection.alias]) == throwaway


on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite only")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only")


@pytest.mark.django_db(transaction=True)
def test_engine_of_a_laptop_keeps_what_it_answered(settings):
    settings.ALLOWED_HOSTS = ["localhost"]
    warned = {"safety.W006"} if connection.vendor == "postgresql" else set()
    assert errors([connection.alias]) == warned


@on_postgresql
@pytest.mark.django_db
def test_postgresql_that_answers_before_the_disk_has_it_is_an_error_everywhere(settings):
    settings.ALLOWED_HOSTS = ["localhost"]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
    assert errors([connection.alias]) == {"safety.E005", "safety.W006"}


@on_postgresql
@pytest.mark.django_db(transaction=True)
async def test_postgresql_without_fsync_is_said_at_the_start_and_refused_to_a_bureau(settings, caplog):
    settings.ALLOWED_HOSTS, settings.SECRET_KEY, settings.DEMO = ["localhost"], "k" * 50, True
    assert (await start("safety.lifespan.sound_settings"))[0]["type"] == "lifespan.startup.complete"
    assert "check.safety.W006" in caplog.text and "fsync、full_page_writes" in caplog.text
    settings.ALLOWED_HOSTS = ["anquan.example"]
    assert "fsync、full_page_writes" in (await start("safety.lifespan.sound_settings"))[0]["message"]


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("pragma", "usual", "fault"),
    [("synchronous = NORMAL", "synchronous = FULL", "E005"), ("journal_mode = DELETE", "journal_mode = WAL", "E006")],
)
def test_sqlite_that_may_forget_or_stand_in_its_own_way_is_an_error(settings, pragma, usual, fault):
    settings.ALLOWED_HOSTS = ["localhost"]
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {pragma}")
        found = errors([connection.alias])
        cursor.execute(f"PRAGMA {usual}")
    assert (found, errors([connection.alias])) == ({f"safety.{fault}"}, set())
