"""What begins and ends with the server. Members are named in settings.LIFESPAN, in the order in which they begin.

A member is an asynchronous context manager without arguments. One that raises StartRefused stops the start with a
sentence for the person at the console; any other failure stops it with its traceback.
"""

import asyncio
import fcntl
import logging
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from django.conf import settings
from django.core.checks import ERROR, CheckMessage, run_checks
from django.db import DatabaseError
from django.urls import resolve
from django.utils.module_loading import import_string

from safety import checks, heap, ring
from safety.changes import clock_now
from safety.models import Clock
from safety.sqlite.base import POOL
from safety.threads import in_thread

log = logging.getLogger(__name__)


class StartRefused(Exception):
    """The server must not start like this; the text says why and what to do."""


class Lifespan:
    """The ASGI application of the `lifespan` protocol."""

    def __init__(self, members: list[str]):
        self.members = members

    async def __call__(self, scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable) -> None:
        await receive()  # lifespan.startup
        async with AsyncExitStack() as stack:
            refusal: str | None = None
            begun = False
            try:
                for member in self.members:
                    await stack.enter_async_context(import_string(member)())
                begun = True
            except StartRefused as refused:
                refusal = str(refused)
            finally:
                # whatever it was: a server whose hub did not begin must not serve, and uvicorn would
                if not begun:
                    told = refusal or traceback.format_exc()
                    await send({"type": "lifespan.startup.failed", "message": told})
            if not begun:
                return
            log.info("server.started pid=%d members=%d", os.getpid(), len(self.members))
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def ready_database() -> AsyncIterator[None]:
    """The tables are there."""
    try:
        await in_thread(clock_now)()
    except (DatabaseError, Clock.DoesNotExist) as missing:
        raise StartRefused(
            f"数据库还不能用({type(missing).__name__})。请确认数据库已经启动,再运行:python manage.py migrate"
        ) from missing
    yield


@asynccontextmanager
async def sound_settings() -> AsyncIterator[None]:
    """Our own system checks, which a server started by uvicorn would otherwise never run."""
    found = await in_thread(run_checks)(tags=[checks.TAG], databases=["default"])
    wrong = [_words(each) for each in found if each.level >= ERROR]
    if wrong:
        raise StartRefused("设置不对,服务没有启动:\n" + "\n".join(f"- {each}" for each in wrong))
    for each in found:
        log.warning("check.%s %s", each.id, _words(each))
    yield


def _words(found: CheckMessage) -> str:
    return f"{found.msg} {found.hint or ''}".strip()


@asynccontextmanager
async def warmed_up() -> AsyncIterator[None]:
    """Addresses and their views are loaded before anybody calls: the first hazard of the day must not pay for it."""
    await asyncio.to_thread(resolve, "/api/v1/auth/me")
    heap.settle()
    yield


@asynccontextmanager
async def kept_connections() -> AsyncIterator[None]:
    """SQLite's connections are kept from one request for the next; PostgreSQL's pool needs no word for it."""
    with POOL.kept():
        yield


@asynccontextmanager
async def only_process() -> AsyncIterator[None]:
    """Without Redis a ring is heard in its own process only, so a second process would split the audience."""
    if settings.REDIS_URL:
        yield
        return
    with (settings.VAR / "server.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            lock.seek(0)
            raise StartRefused(
                f"已有一个服务进程在使用 {settings.VAR}(进程号 {lock.read().strip() or '未知'})。"
                "没有 Redis 时只能运行一个进程,否则预警到不了另一个进程里的值班台。"
                "请只启动一个进程(不要用 --workers),或设置 SAFETY_REDIS_URL。"
            ) from taken
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@asynccontextmanager
async def bound_ring() -> AsyncIterator[None]:
    """Rings from other threads are carried to this loop."""
    ring.bind(asyncio.get_running_loop())
    try:
        yield
    finally:
        ring.bind(None)
