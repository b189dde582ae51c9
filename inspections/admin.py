"""Evidence and cure in the admin: checklists as forms, everything else to look at."""

import hashlib
from collections.abc import Iterable
from uuid import UUID

import msgspec
from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from inspections.drafts import DraftFault, draft, newest_text, text_of
from inspections.models import (
    Basis,
    ChecklistItem,
    ChecklistTemplate,
    Conflict,
    Finding,
    Inspection,
    Photo,
    QuickHazard,
    RectificationItem,
    Statement,
    Submission,
    Task,
    TemplateVersion,
)
from inspections.models.catalogue import CATALOGUE_CHAIN
from safety.access import today
from safety.changes import Work
from safety.models import Audience
from safety.unit_admin import EvidenceAdmin, Noted, SightedAdmin, UnitAdmin, body_of

OF_UNIT = ("unit", admin.RelatedOnlyFieldListFilter)


@admin.register(ChecklistTemplate)
class ChecklistTemplateAdmin(UnitAdmin):
    """The identity of a checklist: its code stays for ever, its name is that of every version on the wire."""

    noun = "checklist"
    list_display = ["code", "name", "kind", "versions_of"]
    list_filter = ["kind"]
    search_fields = ["code", "name"]
    fields = ["code", "name", "kind"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        return rows.prefetch_related("versions")

    def get_readonly_fields(self, request: HttpRequest, obj: ChecklistTemplate | None = None) -> list[str]:
        return [] if obj is None else ["code", "kind"]

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        return {CATALOGUE_CHAIN}

    def say(self, work: Work, obj: ChecklistTemplate, form, *, change: bool) -> None:
        if change:
            work.update(obj)
        else:
            work.insert(obj)
        noted = Noted("checklists", obj.pk, CATALOGUE_CHAIN)
        work.say(noted, self.kind(change=change), body=body_of(work, form), urgency=None)
        for version in obj.versions.filter(state=TemplateVersion.PUBLISHED) if change else ():
            version.template = obj
            work.say(version, "template.renamed", body=None, urgency=None)

    @admin.display(description="版本")
    def versions_of(self, obj: ChecklistTemplate) -> str:
        shown = (f"第 {each.version} 版({each.get_state_display()})" for each in obj.versions.all())
        return "、".join(shown) or "还没有"


class VersionForm(forms.ModelForm):
    codes = forms.CharField(
        label="检查项",
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 60}),
        help_text="检查项代码，空格或换行分开，按检查的先后排列。留空则取最近一版的检查项。",
    )
    publish = forms.BooleanField(
        label="发布", required=False, help_text="发布后内容固定，不能再改；手机下次同步时收到。"
    )

    def clean(self) -> dict:
        said = super().clean()
        template = said.get("template") or getattr(self.instance, "template", None)
        if template is None:
            return said
        if self.instance._state.adding and template.versions.filter(state=TemplateVersion.DRAFT).exists():
            self.add_error("template", "这张检查表已有一份草稿，请先改那一份。")
            return said
        self._freeze(said, template)
        return said

    def _freeze(self, said: dict, template: ChecklistTemplate) -> None:
        codes = said.get("codes", "").replace(",", " ").replace("、", " ").split()
        last = newest_text(template)
        if not codes and last is not None:
            codes = [item.code for item in last.items]
        new = self.instance._state.adding
        number = (last.version + 1 if last else 1) if new else self.instance.version
        try:
            content = draft(template, codes, version=number, on=self.today)
        except DraftFault as fault:
            self.add_error("codes", str(fault))
            return
        self.instance.version, self.instance.content = number, content
        self.instance.sha256 = hashlib.sha256(content).hexdigest()


@admin.register(TemplateVersion)
class TemplateVersionAdmin(UnitAdmin):
    """Drafts are made and published here; a published version is read-only, for visits were held against it."""

    form = VersionForm
    noun = "template"
    list_display = ["template", "version", "state", "published_at", "origin"]
    list_filter = ["state", "origin"]
    list_select_related = ["template"]
    search_fields = ["template__code", "template__name"]
    ordering = ["template__code", "-version"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        published = super().visible(rows, request)
        return rows.filter(Q(state=TemplateVersion.DRAFT) | Q(pk__in=published.values("pk")))

    def may_change(self, obj: TemplateVersion, request: HttpRequest) -> bool:
        return obj.state == TemplateVersion.DRAFT

    def get_fields(self, request: HttpRequest, obj: TemplateVersion | None = None) -> list[str]:
        if obj is None:
            return ["template", "codes", "publish"]
        facts = ["template", "version", "state", "sha256", "published_at", "items_of"]
        return [*facts, "codes", "publish"] if self.may_change(obj, request) else facts

    def get_readonly_fields(self, request: HttpRequest, obj: TemplateVersion | None = None) -> list[str]:
        facts = ["template", "version", "state", "sha256", "published_at", "items_of"]
        return ["items_of"] if obj is None else facts

    def get_form(self, request: HttpRequest, obj: TemplateVersion | None = None, change: bool = False, **more):
        form = super().get_form(request, obj, change=change, **more)
        form.today = today(timezone.now())
        if obj is not None and "codes" in form.base_fields:
            form.base_fields["codes"].initial = " ".join(item.code for item in text_of(obj).items)
        return form

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **more):
        if db_field.name == "template":
            more["queryset"] = ChecklistTemplate.objects.filter(kind="fixed")
        return super().formfield_for_foreignkey(db_field, request, **more)

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        return {CATALOGUE_CHAIN}

    def say(self, work: Work, obj: TemplateVersion, form, *, change: bool) -> None:
        publish = form.cleaned_data["publish"]
        # a draft is on nobody's phone: it has no reader until it is published
        obj.audience, obj.named = (Audience.REF, []) if publish else (Audience.RESTRICTED, [])
        if publish:
            obj.state, obj.published_at = TemplateVersion.PUBLISHED, work.now
        said = {"template": obj.template.code, "version": obj.version, "sha256": obj.sha256}
        body = work.body(msgspec.json.encode(said, order="sorted"))
        work.say(obj, "template.published" if publish else "template.drafted", body=body, urgency=None)

    @admin.display(description="检查项")
    def items_of(self, obj: TemplateVersion) -> str:
        text = text_of(obj)
        return "、".join(item.code for item in (*text.items, *text.pool))


# To look at


class Reference(SightedAdmin):
    """What everybody may read: the catalogue came with the product and is changed by seeds, not by hand."""

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        return rows


@admin.register(Basis)
class BasisAdmin(Reference):
    list_display = ["short", "title", "number", "valid_from", "valid_to", "confidence"]
    list_filter = ["confidence"]
    search_fields = ["short", "title", "number"]
    ordering = ["short"]


@admin.register(ChecklistItem)
class ChecklistItemAdmin(Reference):
    list_display = ["code", "text", "kind", "grade", "photo", "disposition", "confidence"]
    list_filter = ["area", "kind", "grade", "photo"]
    search_fields = ["code", "text"]


@admin.register(Task)
class TaskAdmin(EvidenceAdmin):
    exclude = ["plan_item_id"]
    list_display = ["title", "unit", "site", "opens_on", "due_on", "state"]
    list_filter = ["state", OF_UNIT]
    list_select_related = ["unit", "site"]
    search_fields = ["title"]
    ordering = ["-due_on"]


@admin.register(Inspection)
class InspectionAdmin(EvidenceAdmin):
    list_display = ["started_at", "unit", "site", "checklist", "creator", "state"]
    list_filter = ["state", OF_UNIT]
    list_select_related = ["unit", "site", "creator", "version__template"]
    exclude = ["join_sha256", "field_meta", "snapshot_body_id"]
    search_fields = ["unit__name", "site__name"]
    ordering = ["-started_at"]

    @admin.display(description="检查表")
    def checklist(self, obj: Inspection) -> str:
        return obj.version.template.name


@admin.register(Finding)
class FindingAdmin(EvidenceAdmin):
    exclude = ["place_key"]
    list_display = ["found_at", "item_code", "place", "text", "kind", "grade", "found_by"]
    list_filter = ["kind", "grade"]
    list_select_related = ["found_by"]
    search_fields = ["text", "item_code", "place"]
    ordering = ["-found_at"]


@admin.register(RectificationItem)
class RectificationAdmin(EvidenceAdmin):
    exclude = ["place_key", "bases", "facts", "last_ordinal", "next_ordinal"]
    readonly_fields = ["bases_of"]
    list_display = ["number", "unit", "site", "place", "text", "kind", "grade", "state", "due_on"]
    list_filter = ["state", "kind", "grade", OF_UNIT]
    list_select_related = ["unit", "site"]
    search_fields = ["number", "text", "unit__name"]
    ordering = ["-found_on"]

    @admin.display(description="依据")
    def bases_of(self, obj: RectificationItem) -> str:
        return "；".join(basis["line"] for basis in obj.bases) or "无"


@admin.register(Statement)
class StatementAdmin(EvidenceAdmin):
    list_display = ["said_at", "kind", "unit", "item", "author", "verdict"]
    list_filter = ["kind", OF_UNIT]
    list_select_related = ["unit", "item", "author"]
    ordering = ["-said_at"]


@admin.register(QuickHazard)
class QuickHazardAdmin(EvidenceAdmin):
    exclude = ["place_key"]
    list_display = ["said_at", "unit", "site", "place", "text", "grade", "author"]
    list_filter = ["grade", OF_UNIT]
    list_select_related = ["unit", "site", "author"]
    search_fields = ["text"]
    ordering = ["-said_at"]


@admin.register(Photo)
class PhotoAdmin(EvidenceAdmin):
    list_display = ["sha256", "unit", "item_code", "rendition", "state", "author", "taken_at"]
    list_filter = ["state", "rendition", OF_UNIT]
    list_select_related = ["unit", "author"]
    search_fields = ["=sha256"]
    ordering = ["-id"]


@admin.register(Submission)
class SubmissionAdmin(EvidenceAdmin):
    list_display = ["said_at", "unit", "site", "kind", "author"]
    list_filter = ["kind", OF_UNIT]
    list_select_related = ["unit", "site", "author"]
    ordering = ["-said_at"]


@admin.register(Conflict)
class ConflictAdmin(EvidenceAdmin):
    list_display = ["lost_at", "unit", "site", "group", "resolved_by", "resolved_at"]
    list_filter = [OF_UNIT]
    list_select_related = ["unit", "site", "resolved_by"]
    ordering = ["-lost_at"]
