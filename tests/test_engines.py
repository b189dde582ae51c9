"""The engines that the tests run on are the ones asked for, with the options that keep what was acknowledged."""

import contextlib
import os
import socket
import sqlite3
import threading
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from safety.database import database_from_url

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite only")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only")


def asked(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
def test_the_engine_that_answers_is_the_one_asked_for():
    said = asked("SELECT sqlite_version()") if connection.vendor == "sqlite" else asked("SELECT version()")
    engine = "postgresql" if said.startswith("PostgreSQL") else "sqlite"
    assert engine == os.environ.get("SAFETY_TEST_ENGINE", engine)


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", "2"), ("busy_timeout", "20000")]
)
def test_sqlite_keeps_every_commit_and_waits_for_its_turn(pragma, value):
    assert asked(f"PRAGMA {pragma}") == value


@on_sqlite
@pytest.mark.django_db
def test_the_sqlite_test_database_is_a_file_of_this_run():
    assert asked("SELECT file FROM pragma_database_list").startswith(str(settings.VAR.resolve()))


@on_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("option", "value"),
    [("synchronous_commit", "on"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "30s")],
)
def test_postgresql_keeps_every_commit_and_waits_not_for_ever(option, value):
    assert asked(f"SHOW {option}") == value


@pytest.mark.django_db(transaction=True)
def test_threads_see_one_test_database_through_connections_of_their_own():
    seen = []

    def look():
        try:
            seen.append(asked("SELECT COUNT(*) FROM django_migrations"))
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [asked("SELECT COUNT(*) FROM django_migrations")] * 4


def test_another_process_reaches_the_test_database_by_its_url(database_url):
    wire = (
        sqlite3.connect(database_from_url(database_url)["NAME"])
        if connection.vendor == "sqlite"
        else psycopg.connect(database_url)
    )
    with contextlib.closing(wire):
        (known,) = wire.execute("SELECT COUNT(*) FROM django_migrations").fetchone()
    assert known == int(asked("SELECT COUNT(*) FROM django_migrations"))


def test_redis_answers(redis_url):
    address = urlsplit(redis_url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as wire:
        wire.sendall(b"PING\r\n")
        assert wire.recv(64) == b"+PONG\r\n"


@pytest.mark.parametrize(
    ("url", "host", "port", "name"),
    [
        ("postgresql://a:p%40ss@db.example:5433/safety", "db.example", "5433", "safety"),
        ("postgresql://a@:5433/safety?host=/run/pg", "/run/pg", "5433", "safety"),
        ("postgres://a@[::1]/safety", "::1", "", "safety"),
    ],
)
def test_a_postgresql_url_names_host_port_and_database(url, host, port, name):
    database = database_from_url(url)
    assert (database["HOST"], database["PORT"], database["NAME"], database["CONN_MAX_AGE"]) == (host, port, name, 0)


@pytest.mark.parametrize(
    ("url", "name"), [("sqlite:////srv/a.db", "/srv/a.db"), ("sqlite:///C:/a%20b.db", "C:/a b.db")]
)
def test_a_sqlite_url_names_a_file(url, name):
    database = database_from_url(url)
    assert (database["NAME"], database["TEST"]["NAME"]) == (name, name + ".test")


def test_an_unknown_scheme_stops_the_start():
    with pytest.raises(ValueError, match="mysql"):
        database_from_url("mysql://a@b/c")
