"""The bad network itself: it does what its seed says, and goes nowhere but loopback."""

import http.client
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.strangers.proxy import NO_FAULTS, Faults, network

ALWAYS = {name: Faults(**{each: float(each == name) for each in Faults.__slots__}) for name in Faults.__slots__}
ANSWER = b'{"answer": "yes"}'


@contextmanager
def recorder():
    """A server that remembers the bodies it got whole; gives (address, bodies)."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) == length:
                heard.append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(ANSWER)))
            self.end_headers()
            self.wfile.write(ANSWER)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address, heard
    finally:
        server.shutdown()
        server.server_close()


def post(port, body=b"said"):
    """(status, content type, body), or the name of what broke."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", body)
        response = connection.getresponse()
        return response.status, response.headers.get_content_type(), response.read()
    except (OSError, http.client.HTTPException) as broken:
        return type(broken).__name__
    finally:
        connection.close()


def through(faults, body=b"said"):
    with recorder() as (address, heard), network(address) as lines:
        return post(lines.proxy(1, faults).port, body), heard


def test_good_network_brings_all_there_and_back():
    assert through(NO_FAULTS) == ((200, "application/json", ANSWER), [b"said"])


@pytest.mark.parametrize(
    ("fault", "times"), [("lost_request", 0), ("lost_response", 1), ("cut_request", 0), ("cut_response", 1)]
)
def test_client_hears_nothing_and_the_server_may_have_done_it(fault, times):
    answer, heard = through(ALWAYS[fault])
    assert isinstance(answer, str), answer
    assert heard == [b"said"] * times


def test_client_is_shown_pages_that_are_not_the_servers():
    for fault, status, times in (("portal", 200, 0), ("bad_gateway", 502, 0), ("gateway_after", 502, 1)):
        (told, kind, page), heard = through(ALWAYS[fault])
        assert (told, kind, ANSWER in page, len(heard)) == (status, "text/html", False, times)


def test_repeated_request_is_answered_once():
    answer, heard = through(ALWAYS["twice"])
    assert (answer[0], heard) == (200, [b"said", b"said"])


def test_same_seed_does_the_same_and_another_does_another():
    def drawn(seed):
        return [Faults().of(seed, number)[0] for number in range(300)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_faults_are_as_frequent_as_they_say():
    drawn = Counter(Faults().of(seed, number)[0] for seed in range(40) for number in range(500))
    assert drawn["lost_request"] / 20_000 == pytest.approx(0.15, abs=0.01)
    assert drawn["lost_response"] / 20_000 == pytest.approx(0.30, abs=0.01)
    assert {*Faults.__slots__, "through"} == drawn.keys()


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "0.0.0.0", "2001:db8::1"])
def test_proxy_speaks_to_nobody_beyond_loopback(host):
    with pytest.raises(ValueError, match="not loopback"), network((host, 80)):
        pass
