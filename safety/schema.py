"""OpenAPI 3.1 of the product's doors: how a reading door describes itself."""

from functools import cache
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

PROBLEM = "application/problem+json"


class ProblemErrorShape(serializers.Serializer):
    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemShape(serializers.Serializer):
    """RFC 9457. Programs read `code`, people read `detail`; members of its own stand beside these."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    retryable = serializers.BooleanField()
    errors = ProblemErrorShape(many=True, required=False)


@cache
def page_shape(shape: type[serializers.Serializer]) -> serializers.Serializer:
    """{"items": […], "next": …} of a shape."""
    fields = {
        "items": shape(many=True),
        "next": serializers.CharField(allow_null=True, help_text="下一页的 after;没有下一页时为 null。"),
    }
    return inline_serializer(name=shape.__name__.removesuffix("Shape") + "Page", fields=fields)


class ReadingSchema(AutoSchema):
    """A reading door says of itself what its `Readable` says; doors without one are given the same by hand."""

    def __init__(self, *, shape=None, filters=None, tag: str = "", title: str = "", name: str = "", many: bool = False):
        super().__init__()
        self.own = {"shape": shape, "filters": filters, "tag": tag, "title": title, "name": name}
        self.many = many

    def _says(self, what: str) -> Any:
        return getattr(self.view.of, what) if self.view.of else self.own[what]

    def _is_page(self) -> bool:
        return self.many if self.view.of is None else not self.path.endswith("}")

    def get_operation_id(self) -> str:
        return f"{self._says('name')}_{'list' if self._is_page() else 'read'}"

    def get_tags(self) -> list[str]:
        return [self._says("tag")]

    def get_summary(self) -> str:
        return f"{self._says('title')}{' · 列表' if self.view.of and self._is_page() else ''}"

    def get_description(self) -> str:
        return ""

    def get_request_serializer(self) -> None:
        return None

    def get_override_parameters(self) -> list:
        return [self._says("filters")] if self._is_page() else []

    def get_response_serializers(self) -> dict:
        shape = self._says("shape")
        refusals = {401: "没有登录,或登录已失效", 404: "没有找到,或不在您的范围内", 400: "查询参数不认识"}
        if self._is_page():
            refusals[422] = "查询参数的值不对"
        answers: dict = {200: page_shape(shape) if self._is_page() else shape}
        return answers | {(status, PROBLEM): ProblemShape for status in sorted(refusals)}
