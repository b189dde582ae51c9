"""What every test may ask for: a district with its people, and the engines. The engines are started by tests/engines.py; here is which of them answers."""

import os
import sqlite3
from types import SimpleNamespace
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from safety.guard import lifted
from safety.ids import new_id
from safety.models import Clock
from tests.makers import make_checklist, make_district, make_person, make_school, make_shift, make_site
from tests.taint import hooks

ASKED_ENGINE = os.environ.get("SAFETY_TEST_ENGINE", "")


def pytest_configure(config) -> None:
    config.pluginmanager.register(hooks)


def pytest_addoption(parser) -> None:
    parser.addoption("--seconds", type=float, default=8.0, help="how long the crowd of tests/concurrency goes on")
    parser.addoption("--deaths", type=int, default=50, help="how often its server dies between commit and answer")


def pytest_report_header() -> str:
    if connection.vendor == "sqlite":
        return f"engine: SQLite {sqlite3.sqlite_version}"
    with psycopg.connect(os.environ["SAFETY_DATABASE_URL"]) as asked:
        return f"engine: PostgreSQL {asked.execute('SHOW server_version').fetchone()[0]}"


def pytest_sessionstart() -> None:
    if ASKED_ENGINE and connection.vendor != ASKED_ENGINE:
        pytest.exit(f"asked for {ASKED_ENGINE}, but the settings chose {connection.vendor}", returncode=3)


@pytest.fixture(autouse=True)
def clock(request):
    """Flushing tests empties the clock's table: the one row is put back."""
    if request.node.get_closest_marker("django_db") is None:
        return
    request.getfixturevalue(
        "transactional_db" if request.node.get_closest_marker("django_db").kwargs.get("transaction") else "db"
    )
    Clock.objects.get_or_create(id=1, defaults={"seq": 0, "epoch": f"e-{new_id()}"})


@pytest.fixture
def unguarded():
    """For tests that set rows up as no verb would, or tamper with them on purpose."""
    with lifted():
        yield


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A real Redis of this run's own; outside CI a test that wants one is skipped where there is none."""
    url = os.environ.get("SAFETY_REDIS_TEST_URL", "")
    if not url and os.environ.get("CI") in ("true", "1"):
        pytest.fail("CI must bring a Redis: run `python3 dev.py test`")
    if not url:
        pytest.skip("no Redis: `python3 dev.py test` starts one")
    return url


@pytest.fixture
def database_url(transactional_db) -> str:
    """The test database as SAFETY_DATABASE_URL, for a server that a test starts beside itself."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(database['NAME']))}"
    person = f"{quote(database['USER'])}:{quote(database['PASSWORD'])}"
    return f"postgresql://{person}@:{database['PORT']}/{quote(database['NAME'])}?host={quote(database['HOST'])}"


@pytest.fixture
def town(clock):
    """A district with two schools and everybody who works there, a second district, and a published checklist."""
    district, elsewhere = make_district(name="甲区教育局"), make_district(name="乙区教育局")
    school, neighbour = make_school(district=district, name="甲校"), make_school(district=district, name="邻校")
    foreign = make_school(district=elsewhere, name="乙校")
    officer = make_person(role="duty_officer", at=district, name="值班员")
    make_shift(person=officer, node=district)
    return SimpleNamespace(
        district=district,
        elsewhere=elsewhere,
        school=school,
        neighbour=neighbour,
        foreign=foreign,
        canteen=make_site(unit=school),
        checklist=make_checklist(),
        inspector=make_person(role="inspector", at=school, name="督学甲"),
        colleague=make_person(role="inspector", at=school, name="督学乙"),
        safety=make_person(role="safety_officer", at=district, name="安全科"),
        approver=make_person(role="approver", at=district, name="审批人"),
        administrator=make_person(role="administrator", at=district, name="管理员"),
        officer=officer,
        principal=make_person(role="principal", at=school, name="校长"),
        neighbour_principal=make_person(role="principal", at=neighbour, name="邻校校长"),
        stranger=make_person(role="safety_officer", at=elsewhere, name="外区安全科"),
    )
