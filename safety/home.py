"""The page at `/`: what this is, where to go on, how the server is, and to a duty officer the alerts as they come.

Whoever is not signed in is shown the server's state and never an alert; alerts come by the desk's socket alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from safety.access import may_administer
from safety.changes import clock_now
from safety.duty import watches
from safety.worker import last_beat

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
QUIET = timedelta(minutes=3)  # a hard photo takes a minute and a half, and the worker turns only after it


@dataclass(frozen=True, slots=True)
class ServerState:
    """How the server is, for anybody to see: numbers, and nothing of anybody."""

    version: str
    engine: str
    seq: int
    epoch: str
    at: datetime
    beat: datetime | None
    queues: dict[str, int]

    @property
    def worker(self) -> str:
        """`alive`, `quiet` when it has not turned for three minutes, `none` when it never did."""
        if self.beat is None:
            return "none"
        return "alive" if self.at - self.beat <= QUIET else "quiet"

    @property
    def beat_ago(self) -> str:
        """How long ago the worker turned, as people say it."""
        return said_ago(self.at - self.beat) if self.beat else ""


def said_ago(length: timedelta) -> str:
    """3 秒前, 5 分前, 2 小时前, 4 天前."""
    seconds = max(0, int(length.total_seconds()))
    for size, word in ((86400, "天"), (3600, "小时"), (60, "分")):
        if seconds >= size:
            return f"{seconds // size} {word}前"
    return f"{seconds} 秒前"


def server_state(*, now: datetime) -> ServerState:
    seq, epoch = clock_now()
    version = ".".join(str(part) for part in connection.get_database_version())
    return ServerState(
        version=settings.VERSION,
        engine=f"{ENGINES[connection.vendor]} {version}",
        seq=seq,
        epoch=epoch,
        at=now,
        beat=last_beat(),
        queues={words: import_string(count)() for words, count in settings.QUEUES.items()},
    )


def page(request: HttpRequest, template: str, context: dict) -> HttpResponse:
    """A page of ours: scripts, styles and sockets from here alone, nothing inline."""
    response = render(request, template, context)
    socket = f"ws://{request.get_host()} wss://{request.get_host()}"
    response["Content-Security-Policy"] = (
        f"default-src 'self'; connect-src 'self' {socket}; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return response


@require_safe
@never_cache
@ensure_csrf_cookie
def home(request: HttpRequest) -> HttpResponse:
    """GET /."""
    now = timezone.now()
    person = request.user
    context = {"state": server_state(now=now), "desk": False, "watch": None, "administers": False}
    if person.is_authenticated:
        watch = watches([person.pk], at=now, alerts=[])[person.pk]
        context |= {"desk": watch.opens_desk, "watch": watch, "administers": may_administer(person)}
    return page(request, "safety/home.html", context)
