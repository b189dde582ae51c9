"""tus 1.0.0 at /api/v1/files: core, creation, creation-with-upload, checksum, expiration, termination, concatenation.

An ASGI application of its own beside Django (settings.BESIDE_DJANGO): Django spools a body whole before any view sees it
and drops what came when the phone goes away, here bytes are on disk as they arrive. What an upload is stands in
uploads.py; here are headers, statuses and the reading of a body. docs/uploads.md tells it in order.
"""

import asyncio
import base64
import binascii
import logging
import re
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError
from django.http import HttpResponse
from django.utils import timezone
from django.utils.http import http_date

from inspections import photos
from safety.authentication import caller_of, token_to_rescue
from safety.errors import Busy, Invalid, Malformed, MethodNotAllowed, NotFound, Problem, UnsupportedMedia
from safety.handlers import problem_response
from safety.models import Device, Person
from safety.threads import DatabaseThreads
from sync import uploads
from sync.models import Upload
from sync.uploads import Part

log = logging.getLogger(__name__)

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination,concatenation"
PREFIX = "/api/v1/files"
CHUNK_TYPE = "application/offset+octet-stream"
WINDOW_BYTES = 65_536
READ_SECONDS = 15.0  # a phone that has come back must not stand long before the lock of its own dead connection
READ_AT_ONCE = 32  # pieces in hand; what else has come waits in the kernel, where it is the phone's own window
SILENT_SECONDS = 0.05  # so long a place is kept for a phone that says nothing
METADATA_BYTES = 4096
MOST_PARTS = 100
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
DIGITS = re.compile(r"\d{1,15}", re.ASCII)

# Threads of our own: a thousand uploads must not stand in the queue of those who carry alerts. Files and the store apart,
# for a whole photo is read into memory there: so many at once, and no more.
FILES = ThreadPoolExecutor(4, thread_name_prefix="uploads.files")
STORE = DatabaseThreads(4, name="uploads.store")


PLACES = asyncio.Semaphore(READ_AT_ONCE)


class Door:
    """Takes what lies on a phone, also where it may only send before its wipe."""

    opens_to = staticmethod(token_to_rescue)


class WrongVersion(Problem):
    code, status = "tus-version", 412
    message = "上传协议的版本不对,服务器只用 tus 1.0.0。请更新应用。"


class Sha256Missing(Problem):
    code, status = "sha256-missing", 422
    message = "没有说明照片的指纹:Upload-Metadata 里要有 sha256(64 位十六进制)。"


class UploadStalled(Problem):
    code, status, retryable = "upload-stalled", 408, True
    message = "{seconds} 秒没有收到数据,连接已断开。收到的部分已保存,请接着传。"


class PhoneGone(Exception):
    """The connection ended before its body did; nobody is left to answer."""


@dataclass
class Call:
    """One request, its headers by lower-case name, and how its body is read."""

    scope: dict
    receive: Callable[[], Awaitable[dict]]
    headers: dict[str, str] = field(init=False)
    method: str = field(init=False)
    path: str = field(init=False)
    person: Person = field(init=False)
    device: Device | None = field(init=False, default=None)

    def __post_init__(self):
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
        self.method = self.headers.get("x-http-method-override", self.scope["method"]).upper()
        self.path = self.scope["path"].removeprefix(PREFIX).strip("/")

    @property
    def device_id(self) -> UUID | None:
        return self.device.id if self.device else None

    @property
    def carries_chunk(self) -> bool:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == CHUNK_TYPE

    def identify(self) -> None:
        self.person, self.device = caller_of(self.scope, method=self.method, view=Door)

    def number(self, name: str) -> int | None:
        """A header that counts bytes. Raises Malformed for what is none."""
        said = self.headers.get(name.lower())
        if said is not None and not DIGITS.fullmatch(said):
            raise Malformed(reason=f"{name} 应为非负整数")
        return None if said is None else int(said)

    def checksum(self) -> uploads.Checksum | None:
        said = self.headers.get("upload-checksum")
        if said is None:
            return None
        algorithm, _, encoded = said.partition(" ")
        try:
            return uploads.Checksum(algorithm, base64.b64decode(encoded, validate=True))
        except binascii.Error as wrong:
            raise Malformed(reason="Upload-Checksum 不是有效的 Base64") from wrong

    def address_of(self, upload: Upload) -> str:
        request = ASGIRequest(self.scope, None)
        try:
            host = request.get_host()
        except DisallowedHost as unknown:
            raise Malformed(reason="不认识的 Host") from unknown
        scheme = "https" if settings.SESSION_COOKIE_SECURE else request.scheme
        return f"{scheme}://{host}{PREFIX}/{upload.id}"


async def application(scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable) -> None:
    """Answers one request; every refusal is a problem like at the other doors."""
    call = Call(scope, receive)
    try:
        response = await _answer(call)
    except Problem as problem:
        response = _refused(problem)
    except OperationalError:
        log.exception("upload.busy path=%s", scope["path"])
        response = _refused(Busy())
    except PhoneGone:
        return
    response["Tus-Resumable"] = VERSION
    response["X-Content-Type-Options"] = "nosniff"
    await _send(send, response, has_body=call.method != "HEAD")


async def _answer(call: Call) -> HttpResponse:
    if call.method == "OPTIONS":
        return capabilities()
    if call.headers.get("tus-resumable") != VERSION:
        raise WrongVersion()
    if call.carries_chunk:
        _pause(call)
        _narrow(call)
    match (call.method, bool(call.path)):
        case ("POST", False):
            return await _carry(call, await STORE.run(create, call))
        case ("HEAD", True):
            return await STORE.run(head, call)
        case ("PATCH", True):
            return await _carry(call, await STORE.run(patch, call))
        case ("DELETE", True):
            return await STORE.run(delete, call)
    return await STORE.run(not_here, call)


# The doors. They ask the database and run in threads; one that gives a Part wants the body written there.


def capabilities() -> HttpResponse:
    """OPTIONS: what this server speaks; for everybody."""
    response = HttpResponse(status=204)
    response["Tus-Version"] = VERSION
    response["Tus-Extension"] = EXTENSIONS
    response["Tus-Max-Size"] = str(settings.PHOTO_MAX_BYTES)
    response["Tus-Checksum-Algorithm"] = ",".join(uploads.CHECKSUMS)
    return response


def not_here(call: Call) -> HttpResponse:
    """Bytes are not fetched back at this door."""
    call.identify()
    raise MethodNotAllowed()


def create(call: Call) -> HttpResponse | Part:
    """POST: a new upload; complete at once where these bytes are known to the caller; begun where this phone began it.

    Raises Sha256Missing, PhotoTooLarge, StorageFull, BlobDestroyed and those of a concatenation.
    """
    call.identify()
    concat = call.headers.get("upload-concat", "")
    if concat.startswith("final"):
        return _create_final(call, concat)
    if concat not in ("", uploads.PARTIAL):
        raise Malformed(reason="Upload-Concat 只能是 partial 或 final;…")
    length = call.number("Upload-Length")
    if length is None:
        raise Malformed(reason="没有 Upload-Length")
    photos.require_size(length)
    more = _said_of_file(call, needs_sha256=not concat)
    if not concat and (known := _known(call, length, more)):
        return _created(call, known)
    upload = _begun(call, length, more) or _new(call, length, concat=concat, **more)
    if length and uploads.offset_of(upload) == length:
        _finish_late(call, upload)  # else it would look complete
    chunk_bytes = call.number("Content-Length")
    has_chunk = call.carries_chunk and chunk_bytes != 0
    if (has_chunk and uploads.offset_of(upload) == 0) or (length == 0 and not concat):
        uploads.require_room(length)
        _require_fit(upload, 0, chunk_bytes)
        part = uploads.hold(upload, checksum=call.checksum())
        if part.offset == 0:
            return part
        part.close()  # another connection of this phone was quicker
    if upload._state.adding:
        uploads.require_room(length)
        upload.save(force_insert=True)
    return _created(call, upload)


def head(call: Call) -> HttpResponse:
    """HEAD: how many bytes are here. What lies here whole but was never handed to the store is finished first."""
    upload = _find(call)
    offset = uploads.offset_of(upload)
    if upload.finished_at is None and upload.concat != uploads.PARTIAL and offset == upload.length_bytes:
        offset = _finish_late(call, upload)
    if upload.finished_at is not None and not photos.known_to(upload.person_id, upload.sha256):
        raise NotFound()  # swept, or destroyed under a ban: it may be brought anew, at an address of its own
    response = HttpResponse(status=200)
    response["Upload-Length"] = str(upload.length_bytes)
    response["Cache-Control"] = "no-store"
    if upload.metadata:
        response["Upload-Metadata"] = upload.metadata
    if upload.concat:
        response["Upload-Concat"] = upload.concat
    return _at(response, upload, offset)


def patch(call: Call) -> HttpResponse | Part:
    """PATCH: the next bytes of an upload. Raises UnsupportedMedia, OffsetDiffers, ChunkTooLong, UploadLocked."""
    upload = _find(call)
    if not call.carries_chunk:
        raise UnsupportedMedia()
    if upload.concat.startswith("final"):
        raise uploads.FinalIsClosed()
    asked, chunk_bytes = call.number("Upload-Offset"), call.number("Content-Length")
    if asked is None:
        raise Malformed(reason="没有 Upload-Offset")
    checksum = call.checksum()
    if upload.finished_at is not None:
        _require_offset(asked, upload.length_bytes)
        _require_fit(upload, asked, chunk_bytes)
        return _at(HttpResponse(status=204), upload, asked)
    part = uploads.hold(upload, checksum=checksum)
    try:
        _require_offset(asked, part.offset)
        _require_fit(upload, asked, chunk_bytes)
    except Problem:
        part.close()
        raise
    return part


def delete(call: Call) -> HttpResponse:
    """DELETE: the upload is gone; what the store has taken stays. Raises UploadLocked while somebody writes."""
    uploads.terminate(_find(call))
    return HttpResponse(status=204)


def _find(call: Call) -> Upload:
    call.identify()
    try:
        return uploads.find(UUID(call.path), call.person.id)
    except ValueError as none:
        raise NotFound() from none


def _require_offset(asked: int, offset: int) -> None:
    if asked != offset:
        raise uploads.OffsetDiffers(offset=offset)


def _require_fit(upload: Upload, offset: int, chunk_bytes: int | None) -> None:
    if offset + (chunk_bytes or 0) > upload.length_bytes:
        raise uploads.ChunkTooLong(length=upload.length_bytes)


def _said_of_file(call: Call, *, needs_sha256: bool) -> dict:
    """`Upload-Metadata` as fields of an Upload. Raises Malformed, Sha256Missing, Invalid."""
    raw = call.headers.get("upload-metadata", "")
    if len(raw) > METADATA_BYTES:
        raise Malformed(reason=f"Upload-Metadata 最多 {METADATA_BYTES} 字节")
    said = dict(_decoded(pair) for pair in raw.split(",") if pair.strip())
    sha256 = said.get("sha256", "").lower()
    if needs_sha256 and not sha256:
        raise Sha256Missing()
    if sha256 and not SHA256.fullmatch(sha256):
        raise Invalid(errors=[{"field": "sha256", "code": "not-64-hex-digits"}])
    try:
        photo_id = UUID(said["photo_id"]) if said.get("photo_id") else None
    except ValueError as wrong:
        raise Invalid(errors=[{"field": "photo_id", "code": "not-a-uuid"}]) from wrong
    return {"sha256": sha256, "media_type": said.get("filetype", "")[:80], "photo_id": photo_id, "metadata": raw}


def _decoded(pair: str) -> tuple[str, str]:
    key, _, encoded = pair.strip().partition(" ")
    try:
        return key, base64.b64decode(encoded, validate=True).decode().replace("\0", "")
    except (binascii.Error, UnicodeDecodeError) as wrong:
        raise Malformed(reason=f"Upload-Metadata 的 {key[:40]} 不是有效的 Base64") from wrong


def _new(call: Call, length: int, **more) -> Upload:
    return uploads.new(call.person.id, call.device_id, length_bytes=length, now=timezone.now(), **more)


def _begun(call: Call, length: int, more: dict) -> Upload | None:
    if not more["sha256"] or call.headers.get("upload-concat"):
        return None
    return uploads.begun(call.person.id, call.device_id, sha256=more["sha256"], length_bytes=length)


def _known(call: Call, length: int, more: dict) -> Upload | None:
    """An upload that is born complete, where the caller has brought these bytes before or may read them."""
    upload = _new(call, length, **more)

    def note(work) -> None:
        upload.finished_at = work.now
        work.insert(upload)

    known = photos.keep_known(
        upload.sha256, size_bytes=length, person=upload.person_id, device=upload.device_id, also=note
    )
    return upload if known else None


def _create_final(call: Call, concat: str) -> HttpResponse:
    """The parts as one file, in the order in which they are named. Raises NotFound for a part that is not the caller's."""
    names = concat.partition(";")[2].split()
    more = _said_of_file(call, needs_sha256=True)
    if not 0 < len(names) <= MOST_PARTS:
        raise Malformed(reason=f"Upload-Concat 应列出 1 到 {MOST_PARTS} 个分段")
    parts = [_part_named(call, name) for name in names]
    if None in parts:
        # the answer to a first try may have been lost, and the parts are gone with its success
        if known := _known_whole(call, more | {"concat": concat}):
            return _created(call, known)
        raise NotFound()
    length = sum(part.length_bytes for part in parts)
    photos.require_size(length)
    uploads.require_room(length)
    upload = _new(call, length, concat=concat, **more)
    uploads.concatenate(upload, parts, device=call.device_id)
    return _created(call, upload)


def _part_named(call: Call, address: str) -> Upload | None:
    try:
        part = uploads.find(UUID(address.rstrip("/").rpartition("/")[2]), call.person.id)
    except (ValueError, NotFound):
        return None
    return part if part.concat == uploads.PARTIAL else None


def _known_whole(call: Call, more: dict) -> Upload | None:
    size = photos.size_known_to(call.person.id, more["sha256"])
    return None if size is None else _known(call, size, more)


def _finish_late(call: Call, upload: Upload) -> int:
    part = uploads.hold(upload)
    try:
        uploads.finish(part, device=call.device_id)
        return upload.length_bytes
    except uploads.FileDiffers:
        return 0
    finally:
        part.close()


# Bodies.


async def _carry(call: Call, begun: HttpResponse | Part) -> HttpResponse:
    """Writes the body to the part file as it arrives; what came is kept, whatever ends it."""
    if not isinstance(begun, Part):
        return begun
    part = begun
    try:
        try:
            await _receive(call, part)
        except (PhoneGone, UploadStalled, uploads.ChunkTooLong, photos.StorageFull):
            await STORE.run(_keep_rest, part)
            raise
        return await STORE.run(_settled, call, part)
    finally:
        part.close()


class Place:
    """One of few places to hold a piece between reading and writing it; the others read nothing meanwhile.

    Where a thousand phones send at once, a loop reads of each before anything is written. A phone that says nothing loses
    its place, and what it then says is read without one.
    """

    async def __aenter__(self) -> "Place":
        await PLACES.acquire()
        self.is_taken = True
        self.lapse = asyncio.get_running_loop().call_later(SILENT_SECONDS, self.leave)
        return self

    async def __aexit__(self, *_) -> None:
        self.keep()
        self.leave()

    def keep(self) -> None:
        """The piece is in hand."""
        self.lapse.cancel()

    def leave(self) -> None:
        if self.is_taken:
            self.is_taken = False
            PLACES.release()


async def _receive(call: Call, part: Part) -> None:
    """Raises PhoneGone, UploadStalled, ChunkTooLong and StorageFull."""
    loop, more = asyncio.get_running_loop(), True
    while more:
        async with Place() as place:
            message = await _next_piece(call)
            place.keep()
            more = message.get("more_body", False)
            if more:
                _pause(call)
            if message.get("body"):
                await loop.run_in_executor(FILES, part.write, message["body"])
            del message  # not into the next wait


async def _next_piece(call: Call) -> dict:
    try:
        async with asyncio.timeout(READ_SECONDS):
            message = await call.receive()
    except TimeoutError as silent:
        raise UploadStalled(seconds=int(READ_SECONDS)) from silent
    if message["type"] == "http.disconnect":
        raise PhoneGone()
    return message


def _pause(call: Call) -> None:
    """Reads no further until the next `receive`: uvicorn would take in as much again beside what is being written. ASGI has
    no word for it, so it is asked of uvicorn's own request."""
    flow = getattr(getattr(call.receive, "__self__", None), "flow", None)
    if flow is not None:
        flow.pause_reading()


def _narrow(call: Call) -> None:
    """What a phone has sent and nobody has read waits in the kernel, and no read takes more than this: of a thousand phones
    that all send at once, a loop reads them all before any is written. At 50 ms there and back still 10 Mbit/s a phone."""
    transport = getattr(getattr(call.receive, "__self__", None), "transport", None)
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)


def _keep_rest(part: Part) -> None:
    """The body broke off: the bytes before are on disk, and the upload is found again by its hash or its address."""
    part.settle(is_complete=False)
    _save_new(part.upload)
    log.info("upload.broke_off upload=%s offset=%d", part.upload.id, part.offset)


def _settled(call: Call, part: Part) -> HttpResponse:
    """The body is here: on disk, and a whole file in the store, before it is answered."""
    upload, is_new = part.upload, part.upload._state.adding
    wants_store = upload.concat != uploads.PARTIAL
    try:
        part.settle(is_complete=True)
        if part.is_whole and wants_store:
            uploads.finish(part, device=call.device_id)
    except (uploads.ChunkDiffers, Busy):
        _save_new(upload)
        raise
    _save_new(upload)
    return _created(call, upload) if is_new else _at(HttpResponse(status=204), upload, uploads.offset_of(upload))


def _save_new(upload: Upload) -> None:
    """The row of an upload whose first bytes came with its creation; one that was whole was written by the store's unit."""
    if upload._state.adding and upload.finished_at is None:
        upload.save(force_insert=True)


# Answers.


def _created(call: Call, upload: Upload) -> HttpResponse:
    response = HttpResponse(status=201)
    response["Location"] = call.address_of(upload)
    return _at(response, upload, uploads.offset_of(upload))


def _at(response: HttpResponse, upload: Upload, offset: int) -> HttpResponse:
    response["Upload-Offset"] = str(offset)
    if expires := uploads.expires_at(upload):
        response["Upload-Expires"] = http_date(expires.timestamp())
    return response


def _refused(problem: Problem) -> HttpResponse:
    log.info("refused code=%s status=%s door=files", problem.code, problem.status)
    response = problem_response(problem)
    if "offset" in problem.more:
        response["Upload-Offset"] = str(problem.more["offset"])
    if problem.status == 405:
        response["Allow"] = "OPTIONS, POST, HEAD, PATCH, DELETE"
    if problem.status == 412:
        response["Tus-Version"] = VERSION
    if problem.status == 413:
        response["Tus-Max-Size"] = str(settings.PHOTO_MAX_BYTES)
    if problem.status == 408:
        response["Connection"] = "close"
    return response


async def _send(send: Callable, response: HttpResponse, *, has_body: bool) -> None:
    content = response.content if has_body else b""
    response.setdefault("Content-Length", str(len(content)))
    if response.status_code in (201, 204) or not content:
        del response["Content-Type"]
    if response.status_code == 204:
        del response["Content-Length"]
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def threads_kept() -> AsyncIterator[None]:
    """While the server runs, the threads of the store keep their connections; a member of its lifespan.

    A phone at its upload takes two descriptors, so the process takes as many as it may have.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with STORE.kept():
        yield
