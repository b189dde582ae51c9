"""The road in the admin, to look at: what phones said and what became of it. Contents lie in bodies and stay closed."""

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from safety.models import Device, Person, Post
from safety.unit_admin import EvidenceAdmin, administered
from sync.models import Operation, Verdict
from sync.words import STATUSES, reason, said


def said_within(request: HttpRequest) -> QuerySet:
    """Operations of persons who hold or held a post within what the administrator covers."""
    held = Post.objects.filter(person=OuterRef("person_id"), node__in=administered(request))
    return Operation.objects.filter(Exists(held))


class OfStatus(admin.SimpleListFilter):
    title, parameter_name = "结果", "status"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return list(STATUSES.items())

    def queryset(self, request: HttpRequest, rows: QuerySet) -> QuerySet:
        return rows.filter(status=self.value()) if self.value() else rows


@admin.register(Operation)
class OperationAdmin(EvidenceAdmin):
    list_display = ["received_at", "person", "what", "device", "said_at", "doc_id"]
    search_fields = ["=op_id", "=doc_id", "verb"]
    ordering = ["-received_at"]
    fields = ["what", "person", "device", "said_at", "received_at", "verb", "op_id", "doc_id"]
    readonly_fields = ["what", "person", "device"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        person = Person.objects.filter(pk=OuterRef("person_id")).values("name")[:1]
        device = Device.objects.filter(pk=OuterRef("device_id")).values("name")[:1]
        within = rows.filter(pk__in=said_within(request).values("pk"))
        return within.annotate(person_name=person, device_name=device)

    @admin.display(description="操作")
    def what(self, obj: Operation) -> str:
        return said(obj.verb)

    @admin.display(description="人员")
    def person(self, obj: Operation) -> str:
        return obj.person_name

    @admin.display(description="手机")
    def device(self, obj: Operation) -> str:
        return obj.device_name or "已不在登记中"


@admin.register(Verdict)
class VerdictAdmin(EvidenceAdmin):
    list_display = ["at", "what", "result", "why", "seq", "op_id"]
    list_filter = [OfStatus]
    search_fields = ["=op_id"]
    ordering = ["-at"]
    fields = ["what", "result", "why", "at", "seq", "op_id"]
    readonly_fields = ["what", "result", "why"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        verb = Operation.objects.filter(pk=OuterRef("op_id")).values("verb")[:1]
        return rows.filter(op_id__in=said_within(request).values("op_id")).annotate(verb=verb)

    @admin.display(description="操作")
    def what(self, obj: Verdict) -> str:
        return said(obj.verb)

    @admin.display(description="结果", ordering="status")
    def result(self, obj: Verdict) -> str:
        return STATUSES.get(obj.status, obj.status)

    @admin.display(description="原因")
    def why(self, obj: Verdict) -> str:
        return reason(obj.problem["code"]) if obj.problem else ""
