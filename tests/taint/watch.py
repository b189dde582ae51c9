"""What the product says, looked at while the tests run: every answer, frame, verdict and log line, for another's canary.

`seen` looks at one output. A leak is written down and fails the test in which it was said (tests/taint/hooks.py), also
when a server in another process said it: they share one file.
"""

import gzip
import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import RequestDataTooBig
from django.db import close_old_connections, connection
from django.utils.decorators import sync_and_async_middleware

from safety import consumers
from tests.taint.canary import CANARY, canaries_in, ids_in
from tests.taint.oracle import Told, strangers

looked_at: Counter[str] = Counter()
carrying: Counter[str] = Counter()
leaks: list[str] = []
redirected: defaultdict[UUID | None, bytes] = defaultdict(bytes)  # what a reader asked for and is shown in words later
SHARED = "TAINT_FILE"  # of the whole run; servers that tests start inherit it
LONGEST = 2_000_000  # bytes of a text that are looked at


def seen(kind: str, text: bytes, *, reader: UUID | None, known: bytes = b"", about: str = "") -> None:
    """Looks at one output for one reader; what the reader said in asking (`known`) is no news to them."""
    looked_at[kind] += 1
    told = Told(canaries_in(text) - canaries_in(known), ids_in(text) - ids_in(known))
    if not (told.tails or told.ids) or connection.needs_rollback:
        return
    carrying[kind] += 1
    with unnoticed():
        for stranger in strangers(told, reader=reader):
            leak(f"{kind} {about} told {reader or 'nobody'} of {stranger}")


def leak(words: str) -> None:
    leaks.append(words)
    _tell(leak=words)


def hand_over() -> None:
    """At the end of a server that a test started: how much it looked at."""
    _tell(looked_at=looked_at, carrying=carrying)


def _tell(**members) -> None:
    if os.path.exists(os.environ.get(SHARED, "")):
        with open(os.environ[SHARED], "a") as shared:
            shared.write(json.dumps({"pid": os.getpid(), **members}) + "\n")


@contextmanager
def unnoticed() -> Iterator[None]:
    """Questions of ours are no statements of the product's: tests count those."""
    wrappers, log, debug = connection.execute_wrappers, len(connection.queries_log), connection.force_debug_cursor
    connection.execute_wrappers, connection.force_debug_cursor = [], False
    try:
        yield
    finally:
        connection.execute_wrappers, connection.force_debug_cursor = wrappers, debug
        assert len(connection.queries_log) == log


@sync_and_async_middleware
def middleware(get_response: Callable) -> Callable:
    """The outermost of Django's middleware: sees each request and its answer as it leaves."""
    if iscoroutinefunction(get_response):

        async def watched(request):
            known = await sync_to_async(_asked)(request)
            response = await get_response(request)
            await sync_to_async(_answered)(request, response, known)
            return response

    else:

        def watched(request):
            known = _asked(request)
            response = get_response(request)
            _answered(request, response, known)
            return response

    return watched


def _asked(request) -> bytes:
    said = request.get_full_path().encode()
    if request.content_type in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data"):
        with suppress(RequestDataTooBig):  # the view is to say so
            said += request.body
    return said


def _answered(request, response, known: bytes) -> None:
    if response.streaming:
        looked_at["streamed file"] += 1
        return
    text = response.content[:LONGEST]
    if response.headers.get("Content-Encoding") == "gzip":
        text = gzip.decompress(response.content)
    if request.path.endswith("/sync/pull") and b'"op":"del"' in text:
        text = _without_exits(text)
    if 300 <= response.status_code < 400 and ids_in(known):
        with unnoticed():
            redirected[_reader(request, response)] += known
    told = text + str(dict(response.headers)).encode()
    kind = "page" if response.headers.get("Content-Type", "").startswith("text/html") else "answer"
    if not (CANARY.search(told) or ids_in(told)):
        looked_at[kind] += 1
        return
    with unnoticed():
        reader = _reader(request, response)
    if kind == "page":
        known += redirected.pop(reader, b"")
    seen(kind, told, reader=reader, known=known, about=f"{request.method} {request.path} {response.status_code}")


def _reader(request, response) -> UUID | None:
    """Who reads the answer: whoever the session or the token named; of signing in, the person who now is."""
    if request.path.endswith("/auth/login") and response.status_code == 200:
        return UUID(json.loads(response.content)["person"]["id"])
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None


def _without_exits(text: bytes) -> bytes:
    """A pull tells a phone to drop what it held: of such a document only the bare entry may be there."""
    try:
        page = json.loads(text)
    except ValueError:
        return text
    if "changes" not in page:
        return text
    bare = {"collection", "id", "op", "rev", "seq", "reason"}
    page["changes"] = [each for each in page["changes"] if each["op"] != "del" or not each.keys() <= bare]
    return json.dumps(page, ensure_ascii=False).encode()


def watch_sockets() -> None:
    """Frames are looked at before they are sent, by whoever the socket's credential names."""
    send = consumers._Socket._send

    async def watched(socket, text: str) -> None:
        if CANARY.search(text.encode()) or ids_in(text.encode()):
            await sync_to_async(_framed, thread_sensitive=False)(text.encode(), socket.credential.person_id)
        else:
            looked_at["frame"] += 1
        await send(socket, text)

    consumers._Socket._send = watched


def _framed(text: bytes, reader: UUID) -> None:
    close_old_connections()
    try:
        seen("frame", text, reader=reader)
    finally:
        connection.close()


class LogWatch(logging.Handler):
    """No line of the log has a school's name in it, whoever reads the log."""

    def emit(self, record: logging.LogRecord) -> None:
        looked_at["log line"] += 1
        said = f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}"
        if CANARY.search(said.encode(errors="replace")):
            leak(f"log line of {record.name}: {said[:300]}")


def watch_log() -> None:
    root = logging.getLogger()
    if not any(isinstance(handler, LogWatch) for handler in root.handlers):
        root.addHandler(LogWatch())
