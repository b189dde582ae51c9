"""What the strangers' tests ask for: clients that are installed, and a stage before a running server."""

import os

import pytest

from dev import clients_note, find_node
from tests.live import live_server
from tests.strangers.crowd import stage


@pytest.fixture(scope="session")
def clients():
    """Node and the clients' packages; outside CI their absence skips the tests that want them."""
    if find_node() is not None and clients_note().exists():
        return
    if os.environ.get("CI") in ("true", "1"):
        pytest.fail("CI must bring Node and the strangers' clients: run `python3 dev.py test`")
    pytest.skip("no Node, or no clients: `python3 dev.py test` brings both")


@pytest.fixture
def strangers(clients, database_url, tmp_path):
    """The stage; `url` is the server's own address, without a bad line, and `var` its folder."""
    with live_server(database_url, var=tmp_path) as url, stage(url) as ready:
        ready.url, ready.var = url, tmp_path
        yield ready
