"""How doors describe themselves in the API's schema: reading doors by what they read, refusals as problems, who may call."""

from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, inline_serializer
from rest_framework import serializers

PROBLEM = "application/problem+json"
REFUSALS = {
    400: "内容读不懂，或查询参数不认识",
    401: "没有登录，或登录已失效",
    403: "看得到，但不由您办理",
    404: "没有找到，或不在您的范围内：两者的回答完全相同",
    409: "内容已经更新，或编号已经用过",
    413: "内容太大",
    415: "不支持这种内容",
    422: "内容不符合要求；errors 逐项说明",
    429: "请求太频繁",
    503: "服务器正忙，没有保存，请稍后重试",
}


class ProblemErrorShape(serializers.Serializer):
    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField(required=False)


class ProblemShape(serializers.Serializer):
    """RFC 9457. Programs read `code`, people read `detail`; members of its own stand beside these."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    retryable = serializers.BooleanField()
    errors = ProblemErrorShape(many=True, required=False)


def refusals(*statuses: int) -> dict:
    """Responses of drf-spectacular for what a door may refuse."""
    return {(status, PROBLEM): OpenApiResponse(ProblemShape, REFUSALS[status]) for status in statuses}


@cache
def page_shape(shape: type[serializers.Serializer]) -> serializers.Serializer:
    """{"items": […], "next": …} of a shape."""
    fields = {
        "items": shape(many=True),
        "next": serializers.CharField(allow_null=True, help_text="下一页的 after;没有下一页时为 null。"),
    }
    return inline_serializer(name=shape.__name__.removesuffix("Shape") + "Page", fields=fields)


@cache
def examples() -> dict[str, Any]:
    """Example bodies: by collection, what is read; by verb, what is said."""
    return {name: value for table in settings.SCHEMA_EXAMPLES for name, value in import_string(table).items()}


class DoorSchema(AutoSchema):
    """Components are named after what they are, not after our classes."""

    def get_serializer_name(self, serializer: serializers.Serializer, direction) -> str:
        return serializer.__class__.__name__.removesuffix("Shape")


class ReadingSchema(DoorSchema):
    """A reading door says of itself what its `Readable` says; doors without one are told the same by hand."""

    def __init__(self, *, shape=None, filters=None, tag: str = "", title: str = "", name: str = "", many: bool = False):
        super().__init__()
        self.own = {"shape": shape, "filters": filters, "tag": tag, "title": title, "name": name}
        self.many = many

    def _says(self, what: str) -> Any:
        return getattr(self.view.of, what) if self.view.of else self.own[what]

    def _is_page(self) -> bool:
        return self.many if self.view.of is None else not self.path.endswith("}")

    def is_excluded(self) -> bool:
        return self.method != "GET"  # what is said at the same address comes from the table of verbs

    def get_operation_id(self) -> str:
        return f"{self._says('name')}_{'list' if self._is_page() else 'read'}"

    def get_tags(self) -> list[str]:
        return [self._says("tag")]

    def get_summary(self) -> str:
        if self.view.of is None:
            return self.own["title"]
        return f"{self.view.of.title} · {'列表' if self._is_page() else '一份'}"

    def get_description(self) -> str:
        return ""

    def get_request_serializer(self) -> None:
        return None

    def get_override_parameters(self) -> list:
        return [self._says("filters")] if self._is_page() else []

    def get_response_serializers(self) -> dict:
        shape = self._says("shape")
        if self._is_page():
            return {200: OpenApiResponse(page_shape(shape), "一页"), **refusals(400, 401, 404, 422)}
        return {200: OpenApiResponse(shape, self._says("title")), **refusals(400, 401, 404)}

    def get_examples(self) -> list[OpenApiExample]:
        value = examples().get(self._says("name"))
        if value is None:
            return []
        shown = {"items": [value], "next": None} if self._is_page() else value
        return [OpenApiExample(self._says("title"), value=shown, response_only=True, status_codes=["200"])]


class DeviceTokenScheme(OpenApiAuthenticationExtension):
    target_class = "safety.authentication.DeviceTokenAuthentication"
    name = "deviceToken"

    def get_security_definition(self, auto_schema) -> dict:
        words = "手机的令牌：登录时领取一次，90 天不用即失效。浏览器也可以让它留在 cookie 里，改动时另带 CSRF。"
        return {"type": "http", "scheme": "bearer", "description": words}


class DeskSessionScheme(OpenApiAuthenticationExtension):
    target_class = "safety.authentication.DeskSessionAuthentication"
    name = "deskSession"

    def get_security_definition(self, auto_schema) -> dict:
        words = "值班台与管理后台的登录；改动时另带 X-CSRFToken。"
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME, "description": words}
