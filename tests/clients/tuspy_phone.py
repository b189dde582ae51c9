#!/usr/bin/env python3
"""tuspy against the upload door: chunks with their SHA-1, going on after a crash by the stored address alone.

Plays the runs of the plan on standard input (one line of JSON: {"parallel", "runs": [{"seed", "base", "token", "photos"}]}),
several at a time, and prints a line of JSON for each. Imports nothing of the product.
"""

import hashlib
import io
import json
import random
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from tusclient import client
from tusclient.exceptions import TusCommunicationError

CHUNK = 32 * 1024
TRIES = 80
WAIT_SECONDS = 0.01


class Phone:
    """One person's uploads, with the patience that tuspy leaves to its user."""

    def __init__(self, run: dict):
        self.tus = client.TusClient(f"{run['base']}/files", headers={"Authorization": f"Bearer {run['token']}"})
        self.chance = random.Random(run["seed"])

    def bring(self, data: bytes, *, checksums: bool = False, until: int | None = None, url: str | None = None) -> str:
        """Uploads until it is whole (or `until` bytes have gone); gives the address by which another may go on.

        tuspy repeats a chunk, but gives up when the question for the offset or the creation goes wrong, as when a
        captive portal answers it: then we begin again with the address, if there is one by now.
        """
        said = {"filename": "photo.jpg", "filetype": "image/jpeg", "sha256": hashlib.sha256(data).hexdigest()}
        for _ in range(TRIES):
            try:
                up = self.tus.uploader(
                    file_stream=io.BytesIO(data), chunk_size=CHUNK, metadata=said, upload_checksum=checksums, url=url
                )
                if url is None:
                    url = up.create_url()
                    up.set_url(url)
                    up.offset = up.get_offset()
                up.upload(stop_at=until)
                return url
            except (
                TusCommunicationError,
                requests.RequestException,
                TypeError,
            ) as wrong:  # TypeError: a page without an offset
                status = getattr(wrong, "status_code", None)
                if status in (404, 410):
                    url = None
                elif status is not None and 400 <= status < 500 and status not in (408, 409, 423, 429, 460):
                    raise
                time.sleep(self.chance.random() * WAIT_SECONDS)
        raise TimeoutError(f"not whole after {TRIES} tries")


def play(run: dict) -> dict:
    phone = Phone(run)
    plain, checked, crashed, *_ = (Path(path).read_bytes() for path in run["photos"])
    phone.bring(plain)
    phone.bring(checked, checksums=True)
    url = phone.bring(crashed, until=int(len(crashed) * phone.chance.random() * 0.8))
    phone.bring(crashed, url=url)
    return {"born": phone.bring(plain)}  # what is there already is not sent again


def line(number: int, run: dict) -> str:
    began = time.monotonic()
    try:
        told = {"reports": [play(run)]}
    except (TusCommunicationError, requests.RequestException, TimeoutError):
        told = {"failed": traceback.format_exc()}
    return json.dumps({"run": number, "seconds": time.monotonic() - began, **told})


def main() -> None:
    plan = json.loads(sys.stdin.readline())
    with ThreadPoolExecutor(plan["parallel"]) as threads:
        for said in threads.map(line, range(len(plan["runs"])), plan["runs"]):
            print(said, flush=True)


if __name__ == "__main__":
    main()
