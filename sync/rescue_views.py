"""The doors for what did not go the ordinary way: put aside by a phone, brought in from a file, taken in by nobody."""

from collections.abc import Iterable
from dataclasses import asdict
from uuid import UUID

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from safety.access import sight_of, today
from safety.authentication import device_id_of, token_to_rescue
from safety.models import Person
from safety.named import named
from safety.paging import asked_of
from safety.schema import page_shape, refusals
from sync import serializers as shapes
from sync.backlog_views import PERSON, PHONE
from sync.imports import Result, import_outbox, spooled
from sync.orphans import Orphan, content_of, handle, orphan, orphans
from sync.set_aside import report_set_aside
from sync.views import AnyBytes, SyncView

TAG = "同步 Sync"
DEVICE = {"id": PHONE["id"], "name": PHONE["name"]}
ORPHAN = {
    "id": "01955f41-0000-7000-8000-000000000003",
    "why": "refused",
    "op_id": "01955f41-0000-7000-8000-000000000003",
    "person": PERSON,
    "device": DEVICE,
    "verb": "inspections.patch",
    "said": "填写检查",
    "collection": "inspections",
    "doc_id": "01955f31-0000-7000-8000-000000000002",
    "at": "2026-03-05T09:00:00Z",
    "code": "not-found",
    "reason": "等了五天,它所说的材料一直没有送到,或不在您的范围内,所以没有办理。",
    "handled": None,
}
LINE = {"id": ORPHAN["op_id"], "what": "提交检查", "status": "applied", "words": "已办理", "detail": ""}
PICTURE = {"id": "ab" * 32, "what": "照片", "status": "applied", "words": "已收下", "detail": ""}
IMPORT = {"id": "01955f41-0000-7000-8000-000000000009", "device": DEVICE, "person": PERSON}
IMPORT |= {"operations": [LINE], "photos": [PICTURE]}
SET_ASIDE = {"protocol": 1, "server_time": "2026-03-01T09:00:00Z"}
SET_ASIDE |= {"results": [{"op_id": ORPHAN["op_id"], "known_status": None}]}


class SetAsideView(SyncView):
    """A phone tells what it put aside; it may, also before it is wiped."""

    opens_to = staticmethod(token_to_rescue)

    @extend_schema(
        operation_id="sync_quarantine_report",
        tags=[TAG],
        summary="报告搁置的操作",
        description=(
            "手机多次送不成而搁置的操作,原样附上并说明原因:服务器留存,提请教育局查看,但不办理;手机仍可照常推送。"
            "同一操作再报没有第二个效果。known_status 是服务器早已给过的回执。"
        ),
        request=OpenApiTypes.OBJECT,
        responses={200: shapes.SetAsideAnswerShape, **refusals(400, 401, 403, 413, 503)},
        examples=[OpenApiExample("已收到", value=SET_ASIDE, response_only=True)],
    )
    def post(self, request) -> HttpResponse:
        self.note(request)
        device, now = device_id_of(request), timezone.now()
        answer = report_set_aside(request.body, person=request.user.id, device=device, now=now)
        return HttpResponse(msgspec.json.encode(answer), content_type="application/json")


class ImportView(APIView):
    parser_classes = [AnyBytes]

    @extend_schema(
        operation_id="sync_import",
        tags=[TAG],
        summary="导入手机导出的待传内容",
        description=(
            "系统管理员,限所辖人员的手机。文件格式见 docs/devices.md。先整个核对,再以作者本人的名义逐条办理;"
            "谁导入的记录在案。再次导入没有第二个效果。"
        ),
        request={"application/zip": OpenApiTypes.BINARY},
        responses={200: shapes.ImportShape, **refusals(401, 403, 404, 413, 422)},
        examples=[OpenApiExample("导入结果", value=IMPORT, response_only=True)],
    )
    def post(self, request) -> Response:
        with spooled(request._request) as file:
            result = import_outbox(file, by=request.user, now=timezone.now())
        return Response(import_row(result))


class OrphansView(APIView):
    @extend_schema(
        operation_id="sync_orphans_list",
        tags=[TAG],
        summary="没有办成的内容 · 列表",
        description="系统管理员和审批人,限所辖人员:没有接受的、先行办理的、手机搁置的操作,最新的在前。",
        parameters=[shapes.OrphanFilters],
        responses={200: OpenApiResponse(page_shape(shapes.OrphanShape)), **refusals(400, 401, 403, 422)},
        examples=[OpenApiExample("一页", value={"items": [ORPHAN], "next": None}, response_only=True)],
    )
    def get(self, request) -> Response:
        asked, now = asked_of(shapes.OrphanFilters, request.query_params), timezone.now()
        sight = sight_of(request.user, on=today(now))
        page = orphans(sight, now=now, **asked)
        return Response({"items": orphan_rows(page.orphans), "next": page.next})


class OrphanView(APIView):
    @extend_schema(
        operation_id="sync_orphans_read",
        tags=[TAG],
        summary="没有办成的内容 · 一份,连同原文",
        description=(
            "原文向系统管理员开放的条件:所说的材料都在其所见之内,且不涉及限定人员查看的检查项;"
            "审批人则除非其中提到只限他人查看的材料。否则 content 为 null。"
        ),
        responses={200: shapes.OrphanContentShape, **refusals(401, 404)},
        examples=[OpenApiExample("一份", value=ORPHAN | {"content": "{…}"}, response_only=True)],
    )
    def get(self, request, about: UUID) -> Response:
        now = timezone.now()
        sight = sight_of(request.user, on=today(now))
        one = orphan(sight, about, now=now)
        return Response(orphan_rows([one])[0] | {"content": content_of(one, sight)})


class HandleView(APIView):
    @extend_schema(
        operation_id="sync_orphans_handle",
        tags=[TAG],
        summary="没有办成的内容 · 标为已处理",
        description="第一次的说明有效;再说一次,回答第一次的。",
        request=shapes.HandlingInput,
        responses={200: shapes.OrphanShape, **refusals(401, 404, 422)},
        examples=[
            OpenApiExample("处理说明", value={"note": "已请本人在新手机上补报"}, request_only=True),
            OpenApiExample("已处理", value=ORPHAN, response_only=True),
        ],
    )
    def post(self, request, about: UUID) -> Response:
        now = timezone.now()
        one = orphan(sight_of(request.user, on=today(now)), about, now=now)
        said = shapes.HandlingInput(data=request.data)
        said.is_valid(raise_exception=True)
        one = handle(one, note=said.validated_data["note"], by=request.user, now=now)
        return Response(orphan_rows([one])[0])


def import_row(result: Result) -> dict:
    return {
        "id": result.id,
        "device": named(result.device),
        "person": named(result.device.person),
        "operations": [asdict(line) for line in result.operations],
        "photos": [asdict(line) for line in result.photos],
    }


def orphan_rows(found: Iterable[Orphan]) -> list[dict]:
    """As the API shows them, with the names of those who handled them."""
    found = list(found)
    people = Person.objects.in_bulk({each.review.handled_by for each in found if each.is_handled})
    return [_orphan(each, people) for each in found]


def _orphan(one: Orphan, people: dict[UUID, Person]) -> dict:
    columns = ("id", "why", "op_id", "verb", "said", "collection", "doc_id", "at", "code")
    handled = None
    if one.is_handled:
        by = named(people[one.review.handled_by])
        handled = {"handled_at": one.review.handled_at, "handled_by": by, "note": one.review.note}
    row = {name: getattr(one, name) for name in columns}
    return row | {"person": named(one.person), "device": named(one.device), "reason": one.words, "handled": handled}
