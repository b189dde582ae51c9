"""The doors at which phones are looked at, named, revoked, reported lost and wiped. A phone registers by signing in."""

from collections.abc import Callable
from uuid import UUID

from django.db.models import Max
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from safety import device_serializers as shapes
from safety.access import sight_of, today
from safety.authentication import device_id_of, token_to_wipe
from safety.devices import OVERSEERS, confirm_wipe, device_for, devices_under, lose, order_wipe, revoke
from safety.errors import NotFound, Unauthenticated
from safety.models import Device, Role
from safety.named import named
from safety.paging import asked_of
from safety.schema import refusals

TAG = "终端 Devices"
ADMINISTRATORS = (Role.ADMINISTRATOR.value,)
EXAMPLE = {
    "id": "01936f60-0000-7000-8000-0000000000d1",
    "name": "张老师的手机",
    "person": {"id": "01936f60-0000-7000-8000-0000000000e1", "name": "张明"},
    "registered_at": "2026-02-01T08:00:00+08:00",
    "last_used_at": "2026-03-01T07:40:00+08:00",
    "revoked_at": "2026-03-01T09:12:00+08:00",
    "revoked_by": {"id": "01936f60-0000-7000-8000-0000000000e2", "name": "李管理"},
    "lost_at": "2026-03-01T09:12:00+08:00",
    "wipe_ordered_at": None,
    "rescue_until": None,
    "wiped_at": None,
    "current": False,
}
ROW = OpenApiExample("一台终端", value=EXAMPLE, response_only=True)
ENDS = {"tags": [TAG], "request": None, "responses": {200: shapes.DeviceRow, **refusals(401, 404)}, "examples": [ROW]}


class Devices(APIView):
    """My phones, or those of the people whom my posts cover."""

    @extend_schema(
        operation_id="devices_list",
        tags=[TAG],
        summary="终端 · 列表",
        parameters=[shapes.DeviceFilters],
        responses={200: shapes.DeviceRows, **refusals(400, 401, 422)},
        examples=[OpenApiExample("我的终端", value={"devices": [EXAMPLE]}, response_only=True)],
    )
    def get(self, request) -> HttpResponse:
        asked = asked_of(shapes.DeviceFilters, request.query_params)
        day = today(timezone.now())
        rows = Device.objects.filter(person=request.user)
        if asked["of"] == "covered":
            rows = devices_under(sight_of(request.user, on=day), OVERSEERS, on=day)
        if "person" in asked:
            rows = rows.filter(person=asked["person"])
        if "ended" in asked:
            rows = rows.filter(revoked_at__isnull=not asked["ended"])
        current = device_id_of(request)
        return Response({"devices": [device_row(row, current) for row in listed(rows)]})


class DeviceRename(APIView):
    @extend_schema(
        operation_id="devices_rename",
        tags=[TAG],
        summary="终端 · 改名(自己的)",
        request=shapes.DeviceName,
        responses={200: shapes.DeviceRow, **refusals(401, 404, 422)},
        examples=[OpenApiExample("改名", value={"name": "备用机"}, request_only=True), ROW],
    )
    def post(self, request, device_id: UUID) -> HttpResponse:
        device = Device.objects.filter(pk=device_id, person=request.user).first()
        if device is None:
            raise NotFound()
        Device.objects.filter(pk=device.pk).update(name=_checked(shapes.DeviceName, request.data)["name"])
        return _row(request, device.pk)


class DeviceRevoke(APIView):
    """What the phone had not sent stays on it: it may sign in again, as another phone, and send."""

    @extend_schema(
        operation_id="devices_revoke",
        summary="终端 · 停用",
        description="本人或系统管理员。立即失效,连接中的长连接随即断开;再次停用没有第二个效果。",
        **ENDS,
    )
    def post(self, request, device_id: UUID) -> HttpResponse:
        return _ended(request, device_id, revoke)


class DeviceLose(APIView):
    """挂失. The list of what was probably on it is GET /devices/<id>/holdings."""

    @extend_schema(
        operation_id="devices_lose",
        summary="终端 · 挂失",
        description="本人或系统管理员。立即停用并记为遗失;机上可能有什么,见 GET /devices/{device_id}/holdings。",
        **ENDS,
    )
    def post(self, request, device_id: UUID) -> HttpResponse:
        return _ended(request, device_id, lose)


class DeviceWipe(APIView):
    """The phone is told at its next contact: 403 `device-blocked` with `action`."""

    @extend_schema(
        operation_id="devices_wipe",
        tags=[TAG],
        summary="终端 · 下令清除",
        description=(
            "系统管理员。手机下次联络时得到 403 device-blocked:action 为 wipe 就清除,"
            "为 push-then-wipe 则在 push_until 之前先传完(只有推送、传照片、搁置报告三处还开着),再清除;"
            "清除后 POST /devices/wiped 报告。再次下令可以改变是否允许补传。"
        ),
        request=shapes.WipeOrder,
        responses={200: shapes.DeviceRow, **refusals(401, 403, 404, 422)},
        examples=[OpenApiExample("先传完再清除", value={"rescue": True}, request_only=True), ROW],
    )
    def post(self, request, device_id: UUID) -> HttpResponse:
        def order(device: Device, **who_and_when) -> None:
            order_wipe(device, rescue=_checked(shapes.WipeOrder, request.data)["rescue"], **who_and_when)

        return _ended(request, device_id, order)


class DeviceWiped(APIView):
    """The last word of a phone: it has dropped everything. Said again, it is answered alike."""

    opens_to = staticmethod(token_to_wipe)

    @extend_schema(
        operation_id="devices_wiped",
        tags=[TAG],
        summary="终端 · 报告已清除",
        description="由被下令清除的手机自己说,用它原来的令牌。",
        request=None,
        responses={204: None, **refusals(401)},
    )
    def post(self, request) -> HttpResponse:
        if not isinstance(request.auth, Device):
            raise Unauthenticated()
        confirm_wipe(request.auth, now=timezone.now())
        return Response(status=204)


def listed(rows):
    """Phones with what a row shows, in a steady order."""
    rows = rows.select_related("person", "revoked_by").annotate(last_used_at=Max("tokens__last_used_at"))
    return rows.order_by("revoked_at", "-registered_at", "id")


def device_row(device: Device, current: UUID | None) -> dict:
    """A phone as the API shows it; `device` comes from `listed`."""
    columns = ("id", "name", "registered_at", "last_used_at", "revoked_at", "lost_at")
    columns += ("wipe_ordered_at", "rescue_until", "wiped_at")
    row = {column: getattr(device, column) for column in columns}
    people = {"person": named(device.person), "revoked_by": device.revoked_by and named(device.revoked_by)}
    return row | people | {"current": device.id == current}


def _ended(request, device_id: UUID, end: Callable) -> Response:
    """One's own phone, or one that the administrator covers, is ended in some way. Raises NotAllowed, NotFound."""
    now = timezone.now()
    device = device_for(request.user, device_id, roles=ADMINISTRATORS, now=now)
    end(device, by=request.user, now=now)
    return _row(request, device.pk)


def _row(request, device_id: UUID) -> Response:
    return Response(device_row(listed(Device.objects.filter(pk=device_id)).get(), device_id_of(request)))


def _checked(shape, data) -> dict:
    serializer = shape(data=data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
