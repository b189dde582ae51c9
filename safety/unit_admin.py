"""What every admin form is made of: a unit of work instead of Django's own transaction, and sight instead of all rows.

Django wraps its form views in `atomic`, and a unit is never nested, so the wrappers are replaced. Nothing is saved but
by `say`; nothing is deleted in bulk or edited in a list. An administrator sees and changes what today's posts cover.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime, RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect

from safety.access import Sight, sight_of, today
from safety.changes import BodyRef, Work, unit
from safety.log_words import kind_words
from safety.models import Change, Organisation, Person, Role

log = logging.getLogger(__name__)

HISTORY = 200  # lines of one object that its page shows
READS = ("GET", "HEAD", "OPTIONS", "TRACE")


@dataclass(slots=True)
class Noted:
    """A change of something that has no wire form (a shift, a checklist's name): it is logged, and indexed nowhere."""

    collection: str
    id: UUID
    chain_id: UUID
    rev: int = 0


def sight_in(request: HttpRequest) -> Sight:
    """The administrator's sight of today, worked out once a request."""
    if not hasattr(request, "sight"):
        request.sight = sight_of(request.user, on=today(timezone.now()))
    return request.sight


def administered(request: HttpRequest) -> list[UUID]:
    """The organisations over which the person of a request holds an administrator's post today."""
    return sorted(each for each, roles in sight_in(request).roles.items() if Role.ADMINISTRATOR in roles)


def administers(request: HttpRequest) -> bool:
    """Whether the person of a request may open the admin at all."""
    return request.user.is_active and sight_in(request).holds([Role.ADMINISTRATOR])


def history_of(object_id: str, request: HttpRequest) -> list[dict]:
    """What the log says of an object, newest first, one line more than is shown; what other units said stays out."""
    own = administered(request)
    try:
        rows = Change.objects.filter(doc_id=UUID(object_id))
    except ValueError:
        return []
    foreign = Organisation.objects.exclude(pk__in=own)
    rows = list(rows.exclude(chain_id__in=foreign.values("pk")).order_by("-seq")[: HISTORY + 1])
    people = Person.objects.filter(pk__in={row.actor_id for row in rows}, posts__node__in=own)
    names = {None: "系统", **dict(people.values_list("pk", "name"))}
    return [
        {
            "at": row.received_at,
            "who": names.get(row.actor_id, "其他单位的人员"),
            "what": kind_words(row.kind),
            "seq": row.seq,
        }
        for row in rows
    ]


def said_in(form) -> bytes:
    """What a form says, as canonical JSON: the fields that it changed, or all of them for something new."""
    new = form.instance._state.adding
    fields = [name for name in form.cleaned_data if new or name in form.changed_data]
    return msgspec.json.encode({name: _plain(form.cleaned_data[name]) for name in fields}, order="deterministic")


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, QuerySet | list | tuple | set):
        return sorted(str(_plain(each)) for each in value)
    return value


class SightedAdmin(admin.ModelAdmin):
    """Rows that the administrator sees, to be looked at. Changing is what subclasses add."""

    actions = None
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return self.visible(super().get_queryset(request), request)

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        return rows.visible_to(sight_in(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return administers(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return administers(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        """Headed by what is listed; Django's words for it (选择 单位 来修改) are a translation's."""
        return super().changelist_view(request, {"title": self.opts.verbose_name_plural, **(extra_context or {})})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict | None = None) -> HttpResponse:
        """The log's own lines about the object, newest first; Django's would know only what was done in the admin."""
        said = history_of(object_id, request)
        context = {"title": "历史", "said": said[:HISTORY], "more": len(said) > HISTORY}
        return super().history_view(request, object_id, {**context, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: dict, add=False, **more) -> HttpResponse:
        context["title"] = f"增加{self.opts.verbose_name}" if add else self.opts.verbose_name
        return super().render_change_form(request, context, add=add, **more)

    def save_model(self, request: HttpRequest, obj: Model, form, change: bool) -> None:
        raise PermissionDenied

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        raise PermissionDenied


class EvidenceAdmin(SightedAdmin):
    """Evidence is looked at here and never touched: what is said about it is said through the doors of the API."""


class UnitAdmin(SightedAdmin):
    """A form that is a door: it opens one unit of work, locks before anything is loaded, and says what it changed."""

    noun = ""  # of its changes: noun.created, noun.changed

    def has_add_permission(self, request: HttpRequest) -> bool:
        return administers(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return administers(request) and (obj is None or self.may_change(obj, request))

    def may_change(self, obj: Model, request: HttpRequest) -> bool:
        """Whether this row is the administrator's to change; what is only seen is shown and stays as it is."""
        return True

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        """Organisations whose chains a form writes, by an unlocked reading of what stands; [] for something new."""
        return []

    def prepare(self, request: HttpRequest) -> None:
        """Slow work (hashing a password), before the transaction."""

    def say(self, work: Work, obj: Model, form, *, change: bool) -> None:
        """Writes what the form says, through the unit."""
        raise NotImplementedError

    def drop(self, work: Work, obj: Model) -> None:
        """Takes a row away through the unit; only of things that nobody has seen yet."""
        raise PermissionDenied

    @method_decorator(csrf_protect)
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        def view() -> HttpResponse:
            return self._changeform_view(request, object_id, form_url, extra_context)

        return self._through_unit(request, object_id, view)

    @method_decorator(csrf_protect)
    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict | None = None) -> HttpResponse:
        return self._through_unit(request, object_id, lambda: self._delete_view(request, object_id, extra_context))

    def _through_unit(self, request: HttpRequest, object_id: str | None, view) -> HttpResponse:
        if request.method in READS:
            return view()
        self.prepare(request)
        try:
            with unit(actor=request.user.pk, source="admin") as work:
                request.work = work
                work.lock(self.chains(object_id, request))
                return view()
        except IntegrityError:
            log.warning("admin.conflict person=%s path=%s", request.user.pk, request.path, exc_info=True)
            messages.error(request, "没有保存：同一时间有人改了同样的内容。请看过最新内容后再改。")
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Model, form, change: bool) -> None:
        self.say(request.work, obj, form, change=change)

    def save_formset(self, request: HttpRequest, form, formset, change: bool) -> None:
        raise PermissionDenied

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.drop(request.work, obj)

    def get_deleted_objects(self, objs, request: HttpRequest):
        shown, counts, _, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(), protected

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **more):
        """Choices lie within what the administrator covers; Django's own would offer every district's rows."""
        if db_field.related_model is Organisation:
            more.setdefault("queryset", Organisation.objects.filter(pk__in=administered(request)))
        return super().formfield_for_foreignkey(db_field, request, **more)

    def formfield_for_manytomany(self, db_field, request: HttpRequest, **more):
        if db_field.related_model is Organisation:
            more.setdefault("queryset", Organisation.objects.filter(pk__in=administered(request)))
        return super().formfield_for_manytomany(db_field, request, **more)

    def formfield_for_dbfield(self, db_field, request: HttpRequest, **more):
        """No pop-up adds or changes a related row from within another's form: one form, one unit."""
        field = super().formfield_for_dbfield(db_field, request, **more)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        if field is not None and isinstance(field.widget, AdminSplitDateTime):
            for part, words in zip(field.widget.widgets, ("日期", "时间"), strict=True):
                part.attrs["aria-label"] = f"{field.label}{words}"
        return field

    def kind(self, *, change: bool) -> str:
        return f"{self.noun}.{'changed' if change else 'created'}"


def body_of(work: Work, form) -> BodyRef:
    """What a form said, kept as the body of its changes."""
    return work.body(said_in(form))
