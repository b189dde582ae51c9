"""The ring: a word to every process that the log has grown. The table holds, the ring accelerates.

Losing a ring costs a second or two, never an alert: hubs also look by themselves.
"""

import asyncio
import logging

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

GROUP = "ring"
_loop: asyncio.AbstractEventLoop | None = None


def bind(loop: asyncio.AbstractEventLoop | None) -> None:
    """The server's loop, told at its start: the in-memory layer must not be touched from another thread."""
    global _loop
    _loop = loop


def ring() -> None:
    """Tells the hubs to look now; called after commit, from any thread. A broken layer is logged and survived."""
    if _loop is not None and _loop.is_running():
        asyncio.run_coroutine_threadsafe(_send(), _loop)
    else:
        async_to_sync(_send)()


async def _send() -> None:
    try:
        await get_channel_layer().group_send(GROUP, {"type": "ring"})
    except (RedisError, OSError) as broken:
        log.warning("ring.lost error=%s", type(broken).__name__)
