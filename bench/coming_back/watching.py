"""Who works on while the phones come back: a desk that waits for alerts, and a browser that opens pages.

    python -m bench.coming_back.watching CAST.json --port 8000

goes on until its standard input is closed, then prints JSON: when each alert came, and how long each page took.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.coming_back.wire import Wire

PAGES = ("/", "/api/v1/rectifications?limit=50")
EVERY = 0.25  # seconds
PLACE = re.compile(r"phone\d+end")


async def watch(cast: dict, port: int) -> dict:
    report = {"alerts": {}, "pages": [], "failed": [], "desk connected": 0}
    tasks = [asyncio.create_task(each) for each in (desk(cast, port, report), browser(cast, port, report))]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    report["failed"] += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
    return report


async def desk(cast: dict, port: int, report: dict) -> None:
    """The first frame that names a place is when its alert was there. Told that it is too slow, it connects again."""
    subprotocols = ["campus.v1", f"bearer.{cast['desk']}"]
    address = f"ws://127.0.0.1:{port}/api/v1/ws/desk"
    while True:
        report["desk connected"] += 1
        async with connect(address, subprotocols=subprotocols, max_size=None) as socket:
            with suppress(ConnectionClosed):
                await listen(socket, report)


async def listen(socket, report: dict) -> None:
    while True:
        frame = await socket.recv()
        for place in PLACE.findall(frame):
            report["alerts"].setdefault(place, time.monotonic())


async def browser(cast: dict, port: int, report: dict) -> None:
    """A page four times a second, in turn; a slow one delays none of the next."""
    async with asyncio.TaskGroup() as pages:
        n = 0
        while True:
            pages.create_task(page(cast, port, PAGES[n % len(PAGES)], report))
            n += 1
            await asyncio.sleep(EVERY)


async def page(cast: dict, port: int, path: str, report: dict) -> None:
    wire, began = Wire(port, Cookie=f"sessionid={cast['session']}"), time.monotonic()
    try:
        answer = await wire.ask("GET", path)
    except (OSError, asyncio.IncompleteReadError) as lost:
        report["failed"].append(f"{path}: {lost!r}")
        return
    finally:
        wire.close()
    if answer.status != 200:
        report["failed"].append(f"{path}: {answer.status}")
    report["pages"].append([path, time.monotonic() - began])


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("cast", type=Path)
    options.add_argument("--port", type=int, required=True)
    wanted = options.parse_args()
    print(json.dumps(asyncio.run(watch(json.loads(wanted.cast.read_text()), wanted.port)), ensure_ascii=False))


if __name__ == "__main__":
    main()
