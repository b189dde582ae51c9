"""SQLite's connections of a running server: kept from one request for the next, and never with what the last one left."""

import sqlite3

import pytest
from django.db import OperationalError

from safety.database import database_from_url
from safety.sqlite.base import MOST_IDLE, POOL, DatabaseWrapper

pytestmark = pytest.mark.django_db
DEFAULTS = {"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "CONN_HEALTH_CHECKS": False, "CONN_MAX_AGE": 0}
DEFAULTS |= {"TIME_ZONE": None, "USER": "", "PASSWORD": "", "HOST": "", "PORT": ""}


@pytest.fixture
def open_one(tmp_path):
    """Gives Django's connection to one file, as each request's thread has its own."""

    made = []

    def make() -> DatabaseWrapper:
        wrapper = DatabaseWrapper(DEFAULTS | database_from_url(f"sqlite:///{tmp_path}/some.sqlite3"), "some")
        wrapper.connect()
        made.append(wrapper)
        return wrapper

    yield make
    for each in made:
        each.close()


def test_a_connection_is_taken_again_when_a_server_runs(open_one):
    with POOL.kept():
        first = open_one()
        raw = first.connection
        first.close()
        assert open_one().connection is raw


def test_two_that_work_at_once_never_share_a_connection(open_one):
    with POOL.kept():
        first, second = open_one(), open_one()
        assert first.connection is not second.connection
        first.close()
        second.close()
        again = [open_one().connection for _ in range(2)]
        assert again[0] is not again[1]


def test_a_connection_ends_when_no_server_runs(open_one):
    wrapper = open_one()
    raw = wrapper.connection
    wrapper.close()
    with pytest.raises(sqlite3.ProgrammingError):
        raw.execute("SELECT 1")


def test_kept_connections_end_with_the_server(open_one):
    with POOL.kept():
        wrapper = open_one()
        raw = wrapper.connection
        wrapper.close()
        raw.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError):
        raw.execute("SELECT 1")


def test_a_connection_is_not_kept_when_anything_failed_on_it(open_one):
    with POOL.kept():
        wrapper = open_one()
        raw = wrapper.connection
        with pytest.raises(OperationalError), wrapper.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")
        wrapper.close()
        assert open_one().connection is not raw


def test_what_a_request_left_uncommitted_is_gone_when_the_next_takes_its_connection(open_one):
    with POOL.kept():
        left = open_one()
        raw = left.connection
        with left.cursor() as cursor:
            cursor.execute("CREATE TABLE said (word TEXT)")
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("INSERT INTO said VALUES ('half')")
        left.close()
        taken = open_one()
        assert taken.connection is raw
        with taken.cursor() as cursor:
            assert cursor.execute("SELECT count(*) FROM said").fetchone() == (0,)
            cursor.execute("BEGIN IMMEDIATE")  # nobody else's transaction stands there
            cursor.execute("ROLLBACK")


def test_a_kept_connection_is_as_durable_as_a_new_one(open_one):
    with POOL.kept():
        open_one().close()
        taken = open_one().connection
        assert [taken.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "foreign_keys")] == [2, 1]


def test_no_more_are_kept_than_can_be_of_use(open_one):
    with POOL.kept():
        for each in [open_one() for _ in range(MOST_IDLE + 2)]:
            each.close()
        assert [len(kept) for kept in POOL.idle.values()] == [MOST_IDLE]
