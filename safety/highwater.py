"""How far the clock was seen to go, in a file outside the database: so that a server notices a backup that was put back.

A restored database whose epoch goes on gives numbers again that phones know with other content. Phones that are ahead
are then refused one by one; the server itself sees it at its start, before any number is given twice.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from safety.changes import clock_now
from safety.lifespan import StartRefused
from safety.threads import in_thread

log = logging.getLogger(__name__)

NOTE_EVERY = timedelta(minutes=1)  # a backup is older than that

REFUSED = (
    "数据库停在第 {here} 号记录,而这台服务器见过第 {seen} 号:看来刚恢复过备份。现在启动会把同样的编号再发一遍,"
    "手机上的内容会对不上。请先运行:python manage.py restored\n"
    "如果没有恢复过备份,请不要启动:数据库可能丢了最后的内容。确知无妨时,删去 {file} 再启动。"
)


def note_highwater(now: datetime) -> int:
    """A job: writes down the clock once a minute when it has moved on; says so loudly when it has gone back."""
    file = _file()
    if file.exists() and now - datetime.fromtimestamp(file.stat().st_mtime, tz=now.tzinfo) < NOTE_EVERY:
        return 0
    seq, epoch = clock_now()
    seen = _seen(epoch)
    if seq < seen:
        log.error("clock.gone_back seq=%d seen=%d epoch=%s", seq, seen, epoch)
        file.touch()
        return 0
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"epoch": epoch, "seq": seq}))
    part.rename(file)  # whole or not at all
    return 0


@asynccontextmanager
async def clock_not_behind() -> AsyncIterator[None]:
    """A member of the lifespan: the database has not gone back to a backup without being told so."""
    seq, epoch = await in_thread(clock_now)()
    seen = await asyncio.to_thread(_seen, epoch)
    if seq < seen:
        raise StartRefused(REFUSED.format(here=seq, seen=seen, file=_file()))
    yield


def _file() -> Path:
    return settings.VAR / "clock.json"


def _seen(epoch: str) -> int:
    """The highest number of this epoch that was written down; 0 for another epoch, and where nothing can be read."""
    try:
        noted = json.loads(_file().read_text())
        return int(noted["seq"]) if noted["epoch"] == epoch else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
