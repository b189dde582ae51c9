"""The road's doors. Every answer carries the protocol's headers: a reply without them is no network, but a captive portal."""

import re
from datetime import datetime

import msgspec
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.views import APIView

from safety.authentication import device_id_of, token_to_rescue
from safety.encoding import decoded, pack
from safety.errors import Busy, Malformed, NotAllowed, SlowDown, TooLarge, Unauthenticated
from safety.schema import PROBLEM, ProblemShape, refusals
from sync.alarms import tell_cursor_ahead
from sync.contacts import hear, note_contact
from sync.cursor import CursorAhead, decode_cursor
from sync.pace import over_pace
from sync.pull import DEFAULT_ENTRIES, MAX_ENTRIES, PROTOCOL, Asked, pull
from sync.push import MAX_BYTES, MAX_OPERATIONS, push
from sync.schemas import ClientTooOld

UNPACKED_BYTES = 8_000_000  # of a packed push body; what is read of it is less (MAX_BYTES), and told apart from a bomb
NUMBER = re.compile(r"[0-9]{1,5}")
COLLECTIONS = re.compile(r"[a-z_]{1,24}(,[a-z_]{1,24}){0,49}")


class AnyBytes(BaseParser):
    """Bytes as they come: hot bodies are decoded by msgspec, not by a serializer."""

    media_type = "*/*"

    def parse(self, stream, media_type=None, parser_context=None):
        return stream


class SyncView(APIView):
    """A phone's door: a device must be known."""

    parser_classes = [AnyBytes]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        if not request.user.is_authenticated:
            raise Unauthenticated()
        if device_id_of(request) is None:
            raise NotAllowed("no-device", "同步要用手机登录(登记终端),网页登录不能同步。")
        wait = over_pace(device_id_of(request), limit=settings.SYNC_PER_MINUTE, now=timezone.now())
        if wait:
            raise SlowDown(retry_after=wait)

    def note(self, request, *, pulled_seq: int | None = None) -> None:
        """Keeps what the phone says of itself; it never stops the phone."""
        now = timezone.now()
        note_contact(device_id_of(request), hear(request.headers, now=now), now=now, pulled_seq=pulled_seq)

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Sync-Protocol"] = str(PROTOCOL)
        response["Sync-Server-Time"] = timezone.now().isoformat()
        response["Cache-Control"] = "no-store"
        return response


class PushView(SyncView):
    """POST a batch of operations; 200 with one verdict each, whatever the verdicts."""

    opens_to = staticmethod(token_to_rescue)

    @extend_schema(
        operation_id="sync_push",
        tags=["同步 Sync"],
        summary="推送一批操作",
        description=(
            "先存下,再理解;每个操作一个回执,互不阻挡。只有信封本身坏了才是 400。重发同一批没有第二个效果。"
            "请求可用 Content-Encoding: gzip 或 zstd 压缩。旧版本的应用总能推送。"
        ),
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT, "回执"), **refusals(400, 401, 403, 413, 415, 429, 503)},
    )
    def post(self, request):
        body = _body(request)
        self.note(request)
        answer = push(body, person=request.user.id, device=device_id_of(request), now=timezone.now())
        return HttpResponse(msgspec.json.encode(answer), content_type="application/json")


PULL_EXAMPLE = {
    "protocol": 1,
    "epoch": "e-01936f5e-7c1a-7b3e-9d10-3a6a2f5b8c11",
    "cursor": "eyJ2IjoxLCJlIjoi…",
    "seq": 10482,
    "has_more": False,
    "phase": "delta",
    "server_time": "2026-03-01T08:15:01.004Z",
    "durable_seq": None,
    "changes": [
        {
            "collection": "sites",
            "id": "01936f60-0000-7000-8000-0000000000a1",
            "op": "put",
            "rev": 4,
            "seq": 10480,
            "doc": {"id": "01936f60-0000-7000-8000-0000000000a1", "rev": 4, "name": "第一食堂"},
        },
        {
            "collection": "photos",
            "id": "01936f60-0000-7000-8000-0000000000a9",
            "op": "del",
            "rev": 2,
            "seq": 10481,
            "reason": "deleted",
        },
        {
            "collection": "inspections",
            "id": "01936f60-0000-7000-8000-000000000077",
            "op": "del",
            "seq": 10482,
            "reason": "scope",
        },
    ],
    "digest": None,
}


class PullView(SyncView):
    """What moved after the cursor, within today's scope."""

    @extend_schema(
        operation_id="sync_pull",
        tags=["同步 Sync"],
        summary="取回变更",
        description=(
            "不带 cursor 即首次下载。一页内各条按 seq 排列,重复收到无害:rev 大于本机才应用。"
            "cursor 与内容须在同一事务内保存。has_more 为 false 时,本机与服务器在 seq 处一致。"
        ),
        parameters=[
            OpenApiParameter("cursor", str, description="上一页给出的续传位置,原样带回"),
            OpenApiParameter(
                "limit", int, description=f"最多多少条,1–{MAX_ENTRIES},默认 {DEFAULT_ENTRIES};另以 512 kB 为限"
            ),
            OpenApiParameter("collections", str, description="只要这些类别,以逗号分隔;续传时须相同"),
            OpenApiParameter(
                "digest", int, enum=[1], description="1:最后一页另给各类别的份数与校验和,供手机核对有无遗漏"
            ),
            OpenApiParameter("Sync-Protocol", int, OpenApiParameter.HEADER, description="传输协议的版本,现为 1"),
            OpenApiParameter("Sync-Schema", int, OpenApiParameter.HEADER, description="手机懂得的文档格式,最新的一种"),
            OpenApiParameter(
                "Sync-Outbox", str, OpenApiParameter.HEADER, description="ops=12;blobs=30;oldest=2026-02-27T09:00:00Z"
            ),
            OpenApiParameter("Sync-Sent-At", str, OpenApiParameter.HEADER, description="手机时钟,用于估计偏差"),
            OpenApiParameter("Sync-App", str, OpenApiParameter.HEADER, description="客户端版本"),
        ],
        responses={
            200: OpenApiResponse(
                OpenApiTypes.OBJECT,
                "一页变更",
                examples=[OpenApiExample("一页", value=PULL_EXAMPLE, response_only=True)],
            ),
            (400, PROBLEM): OpenApiResponse(ProblemShape, "malformed, cursor-filter-mismatch"),
            (401, PROBLEM): OpenApiResponse(ProblemShape, "unauthenticated, token-expired"),
            (403, PROBLEM): OpenApiResponse(
                ProblemShape, "no-device, account-disabled, device-blocked:按 action 清除,或先传完再清除"
            ),
            (409, PROBLEM): OpenApiResponse(ProblemShape, "cursor-ahead:请重新下载"),
            (410, PROBLEM): OpenApiResponse(ProblemShape, "epoch-changed, cursor-expired:请重新下载"),
            (426, PROBLEM): OpenApiResponse(ProblemShape, "client-too-old:请更新应用;推送不受影响"),
            (429, PROBLEM): OpenApiResponse(ProblemShape, "slow-down:请按 Retry-After 稍候"),
            (503, PROBLEM): OpenApiResponse(ProblemShape, "busy:请按 Retry-After 稍候"),
        },
    )
    def get(self, request) -> HttpResponse:
        person_id, now = request.user.id, timezone.now()
        asked = _asked(request, now=now)
        text = request.query_params.get("cursor")
        cursor = decode_cursor(text, person_id) if text else None
        try:
            # of some collections alone it says nothing about the others
            self.note(request, pulled_seq=cursor.seq if cursor and not asked.collections else None)
            body = pull(person_id, cursor=cursor, asked=asked)
        except CursorAhead:
            tell_cursor_ahead(person_id, device_id_of(request), cursor_seq=cursor.seq, now=now)
            raise
        except OperationalError as busy:
            raise Busy from busy
        return pack(HttpResponse(body, content_type="application/json"), request)


def _body(request) -> bytes:
    """A push's body, unpacked. Raises TooLarge with what may be sent at most, Malformed, UnsupportedMedia."""
    most = {"code": "batch-too-large", "max_ops": MAX_OPERATIONS}
    try:
        sent = request.body
    except RequestDataTooBig as large:
        raise TooLarge(max_bytes=MAX_BYTES, **most) from large
    try:
        return decoded(sent, request.headers.get("Content-Encoding", ""), max_bytes=UNPACKED_BYTES, **most)
    except TooLarge as bomb:
        raise TooLarge(max_bytes=MAX_BYTES, **most) from bomb


def _asked(request, *, now: datetime) -> Asked:
    protocol = _number(request, "Sync-Protocol")
    if protocol is not None and protocol < PROTOCOL:
        raise ClientTooOld(action="upgrade")
    if request.query_params.get("digest", "0") not in ("0", "1"):
        raise Malformed(reason="digest 应为 1")
    return Asked(
        now=now,
        limit=_limit(request),
        collections=tuple(sorted(set(_collections(request)))),
        digest=request.query_params.get("digest") == "1",
        schema=_number(request, "Sync-Schema"),
    )


def _number(request, header: str) -> int | None:
    said = request.headers.get(header)
    if said is not None and not NUMBER.fullmatch(said.strip()):
        raise Malformed(reason=f"{header} 应为整数")
    return None if said is None else int(said)


def _limit(request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_ENTRIES))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_ENTRIES):
        raise Malformed(reason=f"limit 应为 1 到 {MAX_ENTRIES} 的整数")
    return int(text)


def _collections(request) -> list[str]:
    text = request.query_params.get("collections")
    if text is None:
        return []
    if not COLLECTIONS.fullmatch(text):
        raise Malformed(reason="collections 应为以逗号分隔的类别名")
    return text.split(",")
