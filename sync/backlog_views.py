"""The doors at which it is asked what is not here yet: over a bureau's phones, and on one of them."""

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from safety.access import sight_of, today
from safety.devices import OVERSEERS, device_for
from safety.errors import NotAllowed
from safety.named import named
from safety.schema import refusals
from sync import serializers as shapes
from sync.backlog import Backlog, Holdings, MissingPhotos, PhoneWork, Wait, backlog_of, holdings_of, oversees

PERSON = {"id": "01936f60-0000-7000-8000-0000000000e1", "name": "张明"}
PHONE = {
    "id": "01936f60-0000-7000-8000-0000000000d1",
    "name": "张老师的手机",
    "person": PERSON,
    "units": ["实验小学"],
    "ops": 12,
    "blobs": 30,
    "since": "2026-02-27T09:00:00Z",
    "late": True,
    "contact_at": "2026-03-01T08:15:00Z",
    "app_version": "1.4.2",
    "skew_ms": -1500,
    "revoked_at": None,
    "lost_at": None,
    "wipe_ordered_at": None,
    "wiped_at": None,
}
WAIT = {
    "op_id": "01955f41-0000-7000-8000-000000000003",
    "person": PERSON,
    "device": {"id": PHONE["id"], "name": PHONE["name"]},
    "verb": "inspections.submit",
    "said": "提交检查",
    "waits_for": "等候上一步操作：还在手机上，没有送到",
    "kind": "operations",
    "doc_id": "01955f31-0000-7000-8000-000000000002",
    "since": "2026-02-28T09:00:00Z",
}
PHOTOS = {
    "person": PERSON,
    "unit": "实验小学",
    "site": "第一食堂",
    "count": 1,
    "ids": ["01936f60-0000-7000-8000-0000000000a9"],
    "since": "2026-02-28T09:00:00Z",
}
BACKLOG = {"at": "2026-03-01T09:00:00Z", "limit_hours": 48, "phones": [PHONE], "waiting": [WAIT], "photos": [PHOTOS]}
DRAFT = {
    "collection": "inspections",
    "id": "01936f60-0000-7000-8000-000000000077",
    "unit": "实验小学",
    "site": "第一食堂",
    "what": "未提交的检查《食堂日常检查》",
    "since": "2026-02-28T08:30:00Z",
    "due_on": None,
}
HOLDINGS = {"at": "2026-03-01T09:00:00Z", "phone": PHONE, "waiting": [WAIT], "unanswered": 0, "drafts": [DRAFT]}
HOLDINGS |= {"photos": [PHOTOS], "tasks": []}


class BacklogView(APIView):
    @extend_schema(
        operation_id="sync_backlog",
        tags=["同步 Sync"],
        summary="还没有送到的内容",
        description=(
            "系统管理员、安全科、值班员:所辖各人的手机上还有什么、从何时起,服务器上有什么在等候,"
            "哪些照片已登记而未收到。各列表最早的在前。"
        ),
        responses={200: shapes.BacklogShape, **refusals(401, 403)},
        examples=[OpenApiExample("还没有送到的内容", value=BACKLOG, response_only=True)],
    )
    def get(self, request) -> Response:
        now = timezone.now()
        sight = sight_of(request.user, on=today(now))
        if not oversees(sight):
            raise NotAllowed("not-allowed", "未上传内容的总表由系统管理员、安全科和值班员查看。自己的手机在“终端”里。")
        return Response(backlog_row(backlog_of(sight, now=now)))


class HoldingsView(APIView):
    @extend_schema(
        operation_id="devices_holdings",
        tags=["终端 Devices"],
        summary="终端 · 机上可能有而未送到的内容",
        description=(
            "本人,或所辖的系统管理员、安全科、值班员。手机上次联络时所说的待传数,已到而在等候的操作,本人参加而未提交的检查,"
            "已登记而未收到的照片,到期的任务。查看的人自己看不到的材料不在其中,也不计数。"
        ),
        responses={200: shapes.HoldingsShape, **refusals(401, 404)},
        examples=[OpenApiExample("机上可能有的内容", value=HOLDINGS, response_only=True)],
    )
    def get(self, request, device_id: UUID) -> Response:
        now = timezone.now()
        device = device_for(request.user, device_id, roles=OVERSEERS, now=now)
        return Response(holdings_row(holdings_of(device, sight_of(request.user, on=today(now)), now=now)))


def backlog_row(backlog: Backlog) -> dict:
    return {
        "at": backlog.at,
        "limit_hours": settings.UNSENT_ALERT_HOURS,
        "phones": [_phone(each, backlog.at) for each in backlog.phones],
        "waiting": [_wait(each) for each in backlog.waits],
        "photos": [_photos(each) for each in backlog.photos],
    }


def holdings_row(holdings: Holdings) -> dict:
    return {
        "at": holdings.at,
        "phone": _phone(holdings.phone, holdings.at),
        "waiting": [_wait(each) for each in holdings.waits],
        "unanswered": holdings.unanswered,
        "drafts": [asdict(each) for each in holdings.drafts],
        "photos": [_photos(each) for each in holdings.photos],
        "tasks": [asdict(each) for each in holdings.tasks],
    }


def _phone(work: PhoneWork, now: datetime) -> dict:
    device = work.device
    ended = ("revoked_at", "lost_at", "wipe_ordered_at", "wiped_at")
    said = ("units", "ops", "blobs", "since", "contact_at", "app_version", "skew_ms")
    return {
        **named(device),
        "person": named(device.person),
        **{name: getattr(work, name) for name in said},
        "late": work.is_late(now),
        **{name: getattr(device, name) for name in ended},
    }


def _wait(wait: Wait) -> dict:
    row = {name: getattr(wait, name) for name in ("op_id", "verb", "said", "kind", "doc_id", "since")}
    return row | {"person": named(wait.person), "device": named(wait.device), "waits_for": wait.words}


def _photos(photos: MissingPhotos) -> dict:
    row = {name: getattr(photos, name) for name in ("unit", "site", "count", "ids", "since")}
    return row | {"person": named(photos.person)}
