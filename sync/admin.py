"""The road in the admin, to look at: what phones said and what became of it. Contents lie in bodies and stay closed."""

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from safety.models import Person, Post
from safety.unit_admin import EvidenceAdmin, administered
from sync.models import Operation, Verdict


def said_within(request: HttpRequest) -> QuerySet:
    """Operations of persons who hold or held a post within what the administrator covers."""
    held = Post.objects.filter(person=OuterRef("person_id"), node__in=administered(request))
    return Operation.objects.filter(Exists(held))


@admin.register(Operation)
class OperationAdmin(EvidenceAdmin):
    list_display = ["received_at", "person", "verb", "doc_id", "said_at"]
    search_fields = ["=op_id", "=doc_id", "verb"]
    ordering = ["-received_at"]
    fields = ["op_id", "person", "device_id", "verb", "collection", "doc_id", "said_at", "received_at"]
    readonly_fields = ["person"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        name = Person.objects.filter(pk=OuterRef("person_id")).values("name")[:1]
        return rows.filter(pk__in=said_within(request).values("pk")).annotate(person_name=name)

    @admin.display(description="人员")
    def person(self, obj: Operation) -> str:
        return obj.person_name


@admin.register(Verdict)
class VerdictAdmin(EvidenceAdmin):
    list_display = ["at", "op_id", "status", "code", "seq"]
    list_filter = ["status"]
    search_fields = ["=op_id"]
    ordering = ["-at"]
    fields = ["op_id", "at", "status", "code", "seq"]
    readonly_fields = ["code"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        return rows.filter(op_id__in=said_within(request).values("op_id"))

    @admin.display(description="原因")
    def code(self, obj: Verdict) -> str:
        return (obj.problem or {}).get("code", "")
