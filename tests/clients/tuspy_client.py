#!/usr/bin/env python3
"""tuspy, the Python tus client, against the upload door of a running server: what an outside developer has, no more.

Chunks with their SHA-1, going on after a crash from a stored address, and the corners (400, 401, 409, 412, 415, 422, 460)
by hand. Imports nothing of the product.

    pip install tuspy
    python3 tuspy_client.py --base http://127.0.0.1:8000/api/v1 --token <device token>
"""

import argparse
import base64
import hashlib
import io
import os
import sys

import requests
from PIL import Image
from tusclient import client

options = argparse.ArgumentParser()
options.add_argument("--base", default="http://127.0.0.1:8000/api/v1")
options.add_argument("--token", required=True)
wanted = options.parse_args()

FILES = f"{wanted.base}/files"
AUTH = {"Authorization": f"Bearer {wanted.token}"}
TUS = {**AUTH, "Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
tus = client.TusClient(FILES, headers=AUTH)
failed = 0


def check(holds: bool, what: str) -> None:
    global failed
    failed += not holds
    print("ok  " if holds else "FAIL", what)


def photo(side: int) -> bytes:
    """A picture that no other is: the server takes photos, not bytes."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(out, "JPEG", quality=90)
    return out.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def head(url: str) -> tuple[int, int, int]:
    answer = requests.head(url, headers=TUS)
    return answer.status_code, *(int(answer.headers.get(f"Upload-{name}", -1)) for name in ("Offset", "Length"))


def uploader(data: bytes, **more):
    said = {"filename": "p.jpg", "filetype": "image/jpeg", "sha256": sha256(data)}
    stream, patience = io.BytesIO(data), {"retries": 30, "retry_delay": 0.02}
    return tus.uploader(file_stream=stream, chunk_size=64 * 1024, metadata=said, **patience, **more)


def create(length: int, **said: str):
    pairs = (f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())
    return requests.post(FILES, headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": ",".join(pairs)})


def patch(url: str, data: bytes, **headers: str):
    """A chunk with a checksum is all or nothing, so it may simply be repeated."""
    for _ in range(40):
        try:
            return requests.patch(url, data=data, headers={**PATCH, **headers})
        except requests.ConnectionError:
            pass


def finish(url: str, data: bytes):
    """All of going on in five lines: ask for the offset, send the rest, repeat."""
    for _ in range(40):
        offset = head(url)[1]
        try:
            return requests.patch(url, data=data[offset:], headers={**PATCH, "Upload-Offset": str(offset)})
        except requests.ConnectionError:
            pass


first = photo(350)
up = uploader(first, upload_checksum=True)
up.upload()
check(head(up.url)[1:] == (len(first), len(first)), "chunks with their SHA-1 make a whole photo")

second = photo(300)
up = uploader(second)
up.upload(stop_at=70_000)
url, offset = up.url, head(up.url)[1]
check(70_000 <= offset < len(second), f"stopped at {offset}")
up = uploader(second, url=url)  # a new process that knows the address only
up.upload()
check(up.offset == len(second) and head(url)[1] == len(second), "went on from the stored address to the end")

third = photo(40)
created = create(len(third), sha256=sha256(third))
check(
    created.status_code == 201 and created.headers["Location"].startswith("http"), "creation gives an absolute address"
)
url = created.headers["Location"]
check(create(3).status_code == 422, "a photo without its SHA-256 is refused")
check(patch(url, third, **{"Upload-Offset": "2"}).status_code == 409, "a wrong offset is 409")
check(patch(url, third, **{"Content-Type": "image/jpeg"}).status_code == 415, "another content type is 415")
wrong = "sha1 " + base64.b64encode(b"0" * 20).decode()
check(
    patch(url, third, **{"Upload-Checksum": wrong}).status_code == 460, "a chunk that differs from its checksum is 460"
)
check(head(url)[1] == 0, "a refused chunk leaves the offset alone")
check(patch(url, third, **{"Upload-Checksum": "md99 AAAA"}).status_code == 400, "an unknown algorithm is 400")
check(requests.head(url, headers={**AUTH, "Tus-Resumable": "0.2.2"}).status_code == 412, "another version is 412")
check(requests.head(url, headers={"Tus-Resumable": "1.0.0"}).status_code == 401, "no token is 401")
torn = patch(url, bytes(len(third)))
check(torn.status_code == 460 and torn.headers["Upload-Offset"] == "0", "a file that differs from its SHA-256 is 460")
done = finish(url, third)
check(done.status_code == 204 and int(done.headers["Upload-Offset"]) == len(third), "its address takes the right one")
again = create(len(third), sha256=sha256(third))
check(head(again.headers["Location"])[1] == len(third), "the same photo again is born complete")
up = uploader(third)
up.upload()
check(head(up.url)[1] == len(third), "tuspy finds that nothing is left to send")
sys.exit(1 if failed else 0)
