"""The doors that say something: one small view for every verb, one for the bytes of a photo, one for its shown copies."""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import FileResponse, HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.views import APIView

from inspections import photos
from inspections.models import Photo, PhotoState
from inspections.verbs import VERBS, hear, ready
from safety.access import sight_of, today
from safety.authentication import device_id_of, token_to_rescue
from safety.changes import unit
from safety.errors import Malformed, NotFound, Problem, TooLarge
from safety.ids import new_id
from safety.schema import refusals
from safety.scopes import PastSights
from safety.verbs import Outcome, Saying, World, decide, with_locks

MAX_BYTES = 1_000_000


class AnyBytes(BaseParser):
    """Bytes as they come: the body is read by the view."""

    media_type = "*/*"

    def parse(self, stream, media_type=None, parser_context=None):
        return stream


class SayView(APIView):
    """Says a verb: POST /<collection>, POST /<collection>/<id>/<action>, PATCH and DELETE /<collection>/<id>."""

    parser_classes = [AnyBytes]
    schema = None  # the schema shows each verb of the table instead (safety/openapi.py)

    def post(self, request, collection: str, doc_id: UUID | None = None, action: str = "create"):
        return self._say(request, f"{collection}.{action}", doc_id)

    def patch(self, request, collection: str, doc_id: UUID):
        return self._say(request, f"{collection}.patch", doc_id)

    def delete(self, request, collection: str, doc_id: UUID):
        return self._say(request, f"{collection}.delete", doc_id)

    def _say(self, request, key: str, doc_id: UUID | None) -> HttpResponse:
        verb = VERBS.get(key)
        if verb is None:
            raise NotFound()
        asked = _content(request, verb.struct, doc_id)
        outcome = say(request, key, asked)
        created = outcome.entry is not None and key.endswith(".create")
        return HttpResponse(outcome_bytes(outcome), status=201 if created else 200, content_type="application/json")


class Asked(NamedTuple):
    """A body as it came: the content in its shape, and what may stand beside it, as in an operation of a phone."""

    doc_id: UUID
    content: Any
    base_rev: int | None
    base: dict[str, Any] | None


def _content(request, struct: type, doc_id: UUID | None) -> Asked:
    try:
        raw = request.body
    except RequestDataTooBig as big:
        raise TooLarge(max_bytes=MAX_BYTES) from big
    if len(raw) > MAX_BYTES:
        raise TooLarge(max_bytes=MAX_BYTES)
    try:
        members = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as wrong:
        raise Malformed(reason=str(wrong)) from wrong
    try:
        own_id = msgspec.convert(members.pop("id", None), UUID | None)
        base_rev = msgspec.convert(members.pop("base_rev", None), int | None)
        base = msgspec.convert(members.pop("base", None), dict[str, Any] | None)
        return Asked(doc_id or own_id or new_id(), msgspec.convert(members, struct), base_rev, base)
    except msgspec.ValidationError as wrong:
        raise Problem("validation", "内容不符合要求:{reason}", reason=str(wrong)) from wrong


def say(request, key: str, asked: Asked) -> Outcome:
    """One thing said at the web's door, in a unit of its own. Raises the Problem that it meets; nothing is kept then,
    but for what a refusal itself leaves behind (`Outcome.kept`)."""
    now = timezone.now()
    person = request.user

    def door(organisations: frozenset[UUID]) -> Outcome:
        with unit(actor=person.id, device=device_id_of(request), source="web", now=now) as work:
            said = {"verb": key, "id": asked.doc_id, "said": asked.content}
            saying = Saying(
                verb=key,
                doc_id=asked.doc_id,
                input=asked.content,
                body=work.body(msgspec.json.encode(said, order="deterministic")),
                said_at=now,
                device=device_id_of(request),
                base_rev=asked.base_rev,
                base=asked.base,
            )
            world = World(work, sight_of(person, on=today(now)), past=PastSights(person.id))
            ready(world, [saying], organisations=organisations)
            outcome = decide(world, VERBS, saying)
            if outcome.doc is None and outcome.problem is None:
                raise NotFound()  # it waits, or there was nothing to do it to: unknown and unseen alike
            if outcome.problem is not None and not outcome.kept:
                raise outcome.problem
            hear(world)
            return outcome

    outcome = with_locks(door)
    if outcome.problem is not None:
        raise outcome.problem
    return outcome


def outcome_bytes(outcome: Outcome) -> bytes:
    """The document as it now stands; an alert, which has no wire form, by id, rev and state."""
    if hasattr(outcome.doc, "wire"):
        return outcome.doc.wire()
    return msgspec.json.encode({"id": outcome.doc.id, "rev": outcome.doc.rev, "state": str(outcome.doc.state)})


class BlobView(APIView):
    """PUT the bytes of a photo under their SHA-256: 201 new to you, 200 known to you. HEAD asks whether they are."""

    parser_classes = [AnyBytes]
    opens_to = staticmethod(token_to_rescue)

    @extend_schema(
        operation_id="blobs_put",
        tags=["照片 Photos"],
        summary="照片的字节 · 上传",
        description="按内容的 SHA-256 上传,先于或后于照片文档都可以;重传无害。原图只存不发,查看用副本。",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            201: OpenApiResponse(description="收到了"),
            200: OpenApiResponse(description="您已传过"),
            **refusals(401, 403, 413, 415, 422, 503),
        },
    )
    def put(self, request, sha256: str):
        new = photos.receive(
            request._request,
            sha256=sha256,
            claimed=request.content_type or None,
            person=request.user.id,
            device=device_id_of(request),
        )
        return HttpResponse(status=201 if new else 200)

    def head(self, request, sha256: str):
        if not photos.known_to(request.user.id, sha256):
            raise NotFound()
        return HttpResponse(status=200)


class ShownCopyView(APIView):
    """A shown copy of a photo (320, 1600, stamped) for whoever sees the photo; the original is nobody's to fetch here."""

    @extend_schema(
        operation_id="photos_copy",
        tags=["照片 Photos"],
        summary="照片的副本 · 查看",
        description="name 是 320、1600 或 stamped。副本不含元数据;看得到照片文档的人才看得到它。",
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY, **refusals(401, 404)},
    )
    def get(self, request, photo_id: UUID, name: str):
        photo = Photo.objects.filter(pk=photo_id, state=PhotoState.STORED).first()
        sight = sight_of(request.user, on=today(timezone.now()))
        if photo is None or not sight.sees(photo.readers()) or not photo.copies.filter(name=name).exists():
            raise NotFound()
        response = FileResponse(photos.copy_path(photo.id, name).open("rb"), content_type="image/jpeg")
        response["Cache-Control"] = "private, max-age=86400"
        return response
