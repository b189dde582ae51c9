"""The road's doors. Every answer carries the protocol's headers: a reply without them is no network, but a captive portal."""

import re

import msgspec
from django.db import OperationalError
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.views import APIView

from safety.authentication import device_id_of
from safety.errors import Busy, Malformed, NotAllowed, Unauthenticated
from safety.schema import PROBLEM, ProblemShape, refusals
from sync.contacts import hear, note_contact
from sync.cursor import decode_cursor
from sync.pull import DEFAULT_ENTRIES, MAX_ENTRIES, pull
from sync.push import push

PROTOCOL = "1"
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

    def note(self, request, *, pulled_seq: int | None = None) -> None:
        """Keeps what the phone says of itself; it never stops the phone."""
        now = timezone.now()
        note_contact(device_id_of(request), hear(request.headers, now=now), now=now, pulled_seq=pulled_seq)

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Sync-Protocol"] = PROTOCOL
        response["Sync-Server-Time"] = timezone.now().isoformat()
        response["Cache-Control"] = "no-store"
        return response


class PushView(SyncView):
    """POST a batch of operations; 200 with one verdict each, whatever the verdicts."""

    @extend_schema(
        operation_id="sync_push",
        tags=["同步 Sync"],
        summary="推送一批操作",
        description="先存下,再理解;每个操作一个回执,互不阻挡。只有信封本身坏了才是 400。重发同一批没有第二个效果。",
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT, "回执"), **refusals(400, 401, 413, 503)},
    )
    def post(self, request):
        self.note(request)
        answer = push(request.body, person=request.user.id, device=device_id_of(request), now=timezone.now())
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
            (409, PROBLEM): OpenApiResponse(ProblemShape, "cursor-ahead:请重新下载"),
            (410, PROBLEM): OpenApiResponse(ProblemShape, "epoch-changed, cursor-expired:请重新下载"),
            (503, PROBLEM): OpenApiResponse(ProblemShape, "busy:请稍后重试"),
        },
    )
    def get(self, request) -> HttpResponse:
        person_id = request.user.id
        limit, collections = _limit(request), _collections(request)
        text = request.query_params.get("cursor")
        cursor = decode_cursor(text, person_id) if text else None
        try:
            self.note(request, pulled_seq=cursor.seq if cursor else None)
            body = pull(person_id, cursor=cursor, limit=limit, collections=collections, now=timezone.now())
        except OperationalError as busy:
            raise Busy from busy
        return HttpResponse(body, content_type="application/json")


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
