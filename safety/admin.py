"""The ground in the admin: organisations, sites, persons, posts and shifts as forms; alerts, devices and the log to look at."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.auth import password_validation, update_session_auth_hash
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from safety.access import SHANGHAI, today
from safety.changes import Work
from safety.devices import COLLECTION as PHONES
from safety.log_words import collection_words, kind_words
from safety.models import (
    BUREAU_SIDE,
    UNIT_SIDE,
    Acknowledgement,
    Alert,
    Change,
    Delivery,
    Device,
    DutyShift,
    Index,
    Organisation,
    Person,
    Post,
    Role,
    Site,
    SiteKind,
)
from safety.models.document import readable
from safety.models.organisation import BUREAU_KINDS
from safety.unit_admin import EvidenceAdmin, Noted, UnitAdmin, administered, body_of, sight_in

STAGES = [("kindergarten", "幼儿园"), ("primary", "小学"), ("junior", "初中"), ("senior", "高中")]
AT_BUREAU = BUREAU_SIDE - {Role.INSPECTOR.value}  # an inspector may be posted to the bureau or to one school
OF_THE_LOG = ("alerts", "shifts", "checklists", "devices")  # collections that the Index does not hold

admin.site.unregister(Group)  # rights follow from posts


class OrganisationForm(forms.ModelForm):
    stages = forms.MultipleChoiceField(
        label="学段", choices=STAGES, required=False, widget=forms.CheckboxSelectMultiple
    )

    def clean_code(self) -> str:
        code = self.cleaned_data["code"]
        if "/" in code:
            raise forms.ValidationError("代码里不能有斜线：它用来分隔路径。")
        return code

    def clean(self) -> dict:
        said = super().clean()
        parent = said.get("parent") or self.instance.parent
        if "parent" in self.fields and parent is None:
            self.add_error("parent", "请选择上级单位。")
        elif parent is not None and not parent.is_bureau:
            self.add_error("parent", "上级须是教育局(省、市、区县)。")
        elif parent is not None and self.instance.path and parent.path.startswith(self.instance.path):
            self.add_error("parent", "不能移到自己的下级之下。")
        return said


@admin.register(Organisation)
class OrganisationAdmin(UnitAdmin):
    form = OrganisationForm
    noun = "organisation"
    list_display = ["name", "kind", "parent", "legal_mode", "town", "phone", "demo"]
    list_filter = ["kind", "legal_mode", "boarding", "private"]
    list_select_related = ["parent"]
    search_fields = ["name", "short_name", "code", "school_code"]
    ordering = ["path"]
    fieldsets = [
        (None, {"fields": ["kind", "parent", "code", "name", "short_name", "legal_mode"]}),
        ("学校", {"fields": ["school_kind", "stages", "private", "boarding", "school_code"]}),
        ("登记与地址", {"fields": ["uscc", "division", "town", "address", "phone"]}),
        ("位置", {"fields": ["latitude", "longitude", "datum"], "description": "坐标须注明坐标系。"}),
    ]

    def may_change(self, obj: Organisation, request: HttpRequest) -> bool:
        return obj.pk in administered(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Organisation | None = None) -> list[str]:
        if obj is None:
            return []
        kept = ["kind", "code"]
        return kept if obj.parent_id in administered(request) else [*kept, "parent"]

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **more):
        bureaus = Organisation.objects.filter(pk__in=administered(request), kind__in=BUREAU_KINDS)
        return super().formfield_for_foreignkey(db_field, request, queryset=bureaus, **more)

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        """The unit's own, and those of the roots: whoever moves something in a tree moves alone."""
        roots = Organisation.objects.filter(parent__isnull=True).values_list("pk", flat=True)
        own = Organisation.objects.filter(pk=_key(object_id)).values_list("pk", flat=True)
        return {*roots, *own}

    def say(self, work: Work, obj: Organisation, form, *, change: bool) -> None:
        old_path = obj.path
        obj.place_in_tree()
        moved = change and obj.path != old_path
        body = body_of(work, form)
        work.lock({obj.pk})
        kind = "organisation.moved" if moved else self.kind(change=change)
        work.say(obj, kind, body=body, urgency=None)
        if moved:
            _move_subtree(work, obj, old_path)
        if not change and not obj.is_bureau:
            whole = Site(kind=SiteKind.WHOLE, unit=obj, name="整个单位")
            whole.share_with([])
            work.say(whole, "site.created", body=body, urgency=None)


def _move_subtree(work: Work, top: Organisation, old_path: str) -> None:
    """What stands below moves along; a technical change, for nobody said anything about it."""
    below = Organisation.objects.filter(path__startswith=old_path).exclude(pk=top.pk)
    for each in below.select_for_update().order_by("id"):
        each.path = top.path + each.path.removeprefix(old_path)
        work.say(each, "scope.moved", body=None, urgency=None)


def _key(object_id: str | None) -> UUID | None:
    try:
        return UUID(str(object_id))
    except ValueError:
        return None


@admin.register(Site)
class SiteAdmin(UnitAdmin):
    noun = "site"
    list_display = ["name", "kind", "unit", "plate", "code", "closed_on"]
    list_filter = ["kind", ("unit", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["unit"]
    search_fields = ["name", "code", "plate", "unit__name"]
    filter_horizontal = ["serves"]
    fieldsets = [
        (None, {"fields": ["unit", "kind", "name", "code", "serves", "closed_on"]}),
        ("校车", {"fields": ["plate", "plate_colour"]}),
        ("位置", {"fields": ["latitude", "longitude", "datum"], "description": "坐标须注明坐标系。"}),
    ]

    def may_change(self, obj: Site, request: HttpRequest) -> bool:
        return obj.unit_id in administered(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Site | None = None) -> list[str]:
        return ["code"] if obj is None else ["code", "unit", "kind"]

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        return Site.objects.filter(pk=_key(object_id)).values_list("unit_id", flat=True)

    def say(self, work: Work, obj: Site, form, *, change: bool) -> None:
        work.lock({obj.unit_id})
        schools = [school.pk for school in form.cleaned_data["serves"]]
        obj.share_with(schools)
        work.say(obj, self.kind(change=change), body=body_of(work, form), urgency=None)
        if not change:
            links = [Site.serves.through(site_id=obj.pk, organisation_id=school) for school in schools]
            work.also(lambda first: [(Site.serves.through, links)])

    def save_related(self, request: HttpRequest, form, formsets, change: bool) -> None:
        """A new site has no row before the unit leaves: its schools are written there."""
        if change:
            super().save_related(request, form, formsets, change)


def misfit(role: str, node: Organisation) -> str | None:
    """Why a role cannot be held at a node, or None."""
    if role in UNIT_SIDE and node.is_bureau:
        return "这个角色属于学校或被检查单位，不能设在教育局。"
    if role in AT_BUREAU and not node.is_bureau:
        return "这个角色属于教育局，不能设在学校。"
    return None


class PostForm(forms.ModelForm):
    def clean(self) -> dict:
        said = super().clean()
        role, node = said.get("role", self.instance.role), said.get("node")
        wrong = misfit(role, node) if role and node else None
        if wrong:
            self.add_error("node", wrong)
        return said


class PersonForm(forms.ModelForm):
    new_password = forms.CharField(
        label="新密码",
        required=False,
        strip=False,
        max_length=128,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="至少 10 位。留空则不改；改后本人的网页登录全部失效。",
    )

    def clean_new_password(self) -> str:
        password = self.cleaned_data["new_password"]
        if password:
            password_validation.validate_password(password, self.instance)
        elif self.instance._state.adding:
            raise forms.ValidationError("请给新账号设一个初始密码。")
        return password


class NewPersonForm(PersonForm):
    """A new person comes with a first post: without one nobody, the administrator included, would see them."""

    role = forms.ChoiceField(label="角色", choices=Role.choices)
    node = forms.ModelChoiceField(label="任职单位", queryset=Organisation.objects.none())
    from_on = forms.DateField(label="开始日期")

    def clean(self) -> dict:
        said = super().clean()
        wrong = misfit(said["role"], said["node"]) if {"role", "node"} <= said.keys() else None
        if wrong:
            self.add_error("node", wrong)
        return said


@admin.register(Person)
class PersonAdmin(UnitAdmin):
    """Accounts. A password is hashed before the unit opens, and no log, body or message ever holds it."""

    form = PersonForm
    noun = "person"
    list_display = ["name", "username", "phone", "is_active", "posts_today"]
    list_filter = ["is_active"]
    search_fields = ["name", "username"]
    readonly_fields = ["posts_of"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        """Whoever holds or ever held a post within what the administrator covers: ended posts can be followed by new."""
        held = Post.objects.filter(person=OuterRef("pk"), node__in=administered(request))
        return rows.filter(Exists(held)).prefetch_related("posts__node")

    def get_fieldsets(self, request: HttpRequest, obj: Person | None = None):
        account = (None, {"fields": ["username", "name", "phone", "is_active", "new_password"]})
        first_post = ("首个任职", {"fields": ["role", "node", "from_on"]})
        posts = ("任职", {"fields": ["posts_of"], "description": "任职在“任职”里添加和结束。"})
        return [account, first_post if obj is None else posts]

    def get_form(self, request: HttpRequest, obj: Person | None = None, change: bool = False, **more):
        if obj is not None:
            return super().get_form(request, obj, change=change, **more)
        form = super().get_form(request, obj, change=change, form=NewPersonForm, **more)
        form.base_fields["node"].queryset = Organisation.objects.filter(pk__in=administered(request))
        form.base_fields["from_on"].initial = today(timezone.now())
        return form

    def prepare(self, request: HttpRequest) -> None:
        password = request.POST.get("new_password", "")
        request.hashed = make_password(password) if password else ""

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        list(Person.objects.filter(pk=_key(object_id)).select_for_update())  # a person has no chain to queue at
        return []

    def save_model(self, request: HttpRequest, obj: Person, form, change: bool) -> None:
        obj.password = request.hashed or obj.password
        super().save_model(request, obj, form, change)

    def say(self, work: Work, obj: Person, form, *, change: bool) -> None:
        if not change:
            said = form.cleaned_data
            post = Post(person=obj, role=said["role"], node=said["node"], from_on=said["from_on"])
            obj.meet([post])
        work.say(obj, self.kind(change=change), body=None, urgency=None)
        if not change:
            work.insert(post)

    def response_change(self, request: HttpRequest, obj: Person) -> HttpResponse:
        if obj.pk == request.user.pk and request.hashed:
            update_session_auth_hash(request, obj)
        return super().response_change(request, obj)

    @admin.display(description="任职")
    def posts_today(self, obj: Person) -> str:
        day = today(timezone.now())
        return ";".join(str(post) for post in obj.posts.all() if post.to_on is None or post.to_on >= day) or "无"

    @admin.display(description="任职")
    def posts_of(self, obj: Person) -> str:
        rows = ((post, post.from_on, post.to_on or "在任") for post in obj.posts.all())
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}:{} 至 {}</li>", rows))


@admin.register(Post)
class PostAdmin(UnitAdmin):
    """Posts are given and ended, never rewritten: who could do what on a past day must stay true."""

    form = PostForm
    noun = "post"
    list_display = ["person", "role", "node", "from_on", "to_on"]
    list_filter = ["role", ("node", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["person", "node"]
    search_fields = ["person__name", "node__name"]
    fields = ["person", "role", "node", "from_on", "to_on"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        return rows.filter(node__in=administered(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Post | None = None) -> list[str]:
        if obj is None:
            return []
        begun = obj.from_on <= today(timezone.now())
        return ["person", "role", "node", "from_on"] if begun else ["person", "role", "node"]

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **more):
        if db_field.name == "person":
            held = Post.objects.filter(node__in=administered(request)).values("person")
            more["queryset"] = Person.objects.filter(pk__in=held)
        return super().formfield_for_foreignkey(db_field, request, **more)

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        person = (
            Post.objects.filter(pk=_key(object_id)).values("person")
            if object_id
            else [_key(request.POST.get("person"))]
        )
        list(Person.objects.filter(pk__in=person).select_for_update())
        return []

    def say(self, work: Work, obj: Post, form, *, change: bool) -> None:
        day = today(work.now)
        others = Post.objects.filter(person=obj.person_id).exclude(pk=obj.pk)
        standing = [post for post in [*others, obj] if post.to_on is None or post.to_on >= day]
        person = obj.person
        person.meet(standing)
        if change:
            work.update(obj)
        else:
            work.insert(obj)
        work.say(person, "person.posted", body=None, urgency=None)


class ShiftForm(forms.ModelForm):
    def clean(self) -> dict:
        said = super().clean()
        person = said.get("person") or getattr(self.instance, "person", None)
        node = said.get("node") or getattr(self.instance, "node", None)
        starts, ends = said.get("starts_at", self.instance.starts_at), said.get("ends_at")
        if starts and ends and ends <= starts:
            self.add_error("ends_at", "结束时间须晚于开始时间。")
        elif starts and ends and ends - starts > timedelta(days=7):
            self.add_error("ends_at", "一个班次最长 7 天，请检查日期。")
        if person and node and starts and not _covers(person, node, starts):
            self.add_error("person", "此人当天没有覆盖该单位的任职，排上班也收不到预警。请先添加任职。")
        return said


def _covers(person: Person, node: Organisation, starts) -> bool:
    posts = Post.objects.on(starts.astimezone(SHANGHAI).date()).filter(person=person).select_related("node")
    return any(node.path.startswith(post.node.path) for post in posts)


@admin.register(DutyShift)
class ShiftAdmin(UnitAdmin):
    """Who is on duty when. What has begun can only be ended, what has ended stays: alerts were routed by it."""

    form = ShiftForm
    noun = "shift"
    list_display = ["node", "person", "seat", "starts_at", "ends_at"]
    list_filter = ["seat", ("node", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["node", "person"]
    search_fields = ["person__name", "node__name"]
    date_hierarchy = "starts_at"
    ordering = ["-starts_at"]
    fields = ["node", "person", "seat", "starts_at", "ends_at"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        return rows.filter(node__in=administered(request))

    def may_change(self, obj: DutyShift, request: HttpRequest) -> bool:
        return obj.ends_at > timezone.now()

    def has_delete_permission(self, request: HttpRequest, obj: DutyShift | None = None) -> bool:
        return obj is not None and self.has_change_permission(request, obj) and obj.starts_at > timezone.now()

    def get_readonly_fields(self, request: HttpRequest, obj: DutyShift | None = None) -> list[str]:
        if obj is None:
            return []
        return ["node", "person", "seat", "starts_at"] if obj.starts_at <= timezone.now() else ["node"]

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **more):
        if db_field.name == "person":
            held = Post.objects.on(today(timezone.now())).filter(node__in=administered(request)).values("person")
            more["queryset"] = Person.objects.filter(pk__in=held, is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **more)

    def chains(self, object_id: str | None, request: HttpRequest) -> Iterable[UUID]:
        return DutyShift.objects.filter(pk=_key(object_id)).values_list("node_id", flat=True)

    def say(self, work: Work, obj: DutyShift, form, *, change: bool) -> None:
        work.lock({obj.node_id})
        if change:
            work.update(obj)
        else:
            work.insert(obj)
        noted = Noted("shifts", obj.pk, obj.node_id)
        work.say(noted, self.kind(change=change), body=body_of(work, form), urgency=None)

    def drop(self, work: Work, obj: DutyShift) -> None:
        said = work.body(b'{"person":"%s"}' % str(obj.person_id).encode())
        work.say(Noted("shifts", obj.pk, obj.node_id), "shift.dropped", body=said, urgency=None)
        obj.delete()


# To look at


@admin.register(Alert)
class AlertAdmin(EvidenceAdmin):
    list_display = ["first_known_at", "severity", "state", "organisation", "site", "sentence", "occurrences"]
    list_filter = ["state", "severity", ("organisation", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["organisation", "site"]
    search_fields = ["sentence", "organisation__name"]
    ordering = ["-first_known_at"]
    fields = [
        "severity",
        "state",
        "sentence",
        "organisation",
        "site",
        "node",
        "occurrences",
        "first_said_at",
        "first_known_at",
        "fixed_since",
        "acknowledged",
        "told",
    ]
    readonly_fields = ["acknowledged", "told"]

    @admin.display(description="签收")
    def acknowledged(self, obj: Alert) -> str:
        known = Acknowledgement.objects.filter(alert=obj).select_related("person").first()
        return f"{known.person} · {timezone.localtime(known.received_at):%m-%d %H:%M:%S}" if known else "还没有人签收"

    @admin.display(description="已告知")
    def told(self, obj: Alert) -> str:
        owed = Delivery.objects.filter(subject_collection=Alert.collection, subject_id=obj.pk)
        rows = (
            (each.person, each.get_channel_display(), each.get_state_display())
            for each in owed.select_related("person").order_by("owed_at")
        )
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{} · {} · {}</li>", rows))


@admin.register(Delivery)
class DeliveryAdmin(EvidenceAdmin):
    list_display = ["owed_at", "person", "channel", "state", "organisation", "sentence", "receipt_at"]
    list_filter = ["state", "channel", ("organisation", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["person", "organisation"]
    ordering = ["-owed_at"]
    fields = ["person", "channel", "organisation", "reason", "sentence", "state", "owed_at", "attempts", "receipt_at"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        """What was owed within what the administrator covers, about things that the administrator may see."""
        about = Index.objects.filter(
            readable(sight_in(request)), collection=OuterRef("subject_collection"), doc_id=OuterRef("subject_id")
        )
        seen = Q(subject_collection__in=(Alert.collection, PHONES)) | Exists(about)
        return rows.filter(seen, organisation__in=administered(request))


@admin.register(Device)
class DeviceAdmin(EvidenceAdmin):
    list_display = ["person", "name", "registered_at", "revoked_at", "lost_at", "wiped_at"]
    list_select_related = ["person"]
    search_fields = ["name", "person__name"]
    ordering = ["-registered_at"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        held = Post.objects.filter(person=OuterRef("person"), node__in=administered(request))
        return rows.filter(Exists(held))


class OfCollection(admin.SimpleListFilter):
    title, parameter_name = "材料", "collection"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        names = Change.objects.order_by().values_list("collection", flat=True).distinct()
        return sorted((name, collection_words(name)) for name in names)

    def queryset(self, request: HttpRequest, rows: QuerySet) -> QuerySet:
        return rows.filter(collection=self.value()) if self.value() else rows


@admin.register(Change)
class ChangeAdmin(EvidenceAdmin):
    """The log of what the administrator covers; what was said lies in bodies, which nobody opens here."""

    list_display = ["seq", "received_at", "about", "what", "actor", "chain", "n", "doc_id"]
    list_filter = [OfCollection]
    search_fields = ["kind", "=doc_id"]
    ordering = ["-seq"]
    fields = [
        "seq",
        "kind",
        "collection",
        "doc_id",
        "actor",
        "device_id",
        "operation_id",
        "said_at",
        "received_at",
        "chain",
        "n",
        "previous",
        "own_hash",
        "said_hash",
    ]
    readonly_fields = ["actor", "chain", "previous", "own_hash", "said_hash"]

    def visible(self, rows: QuerySet, request: HttpRequest) -> QuerySet:
        document = Index.objects.filter(
            readable(sight_in(request)), collection=OuterRef("collection"), doc_id=OuterRef("doc_id")
        )
        seen = Q(collection__in=OF_THE_LOG) | Exists(document)
        return rows.filter(seen, chain_id__in=administered(request)).annotate(
            actor_name=Person.objects.filter(pk=OuterRef("actor_id")).values("name")[:1],
            chain_name=Organisation.objects.filter(pk=OuterRef("chain_id")).values("name")[:1],
        )

    @admin.display(description="材料", ordering="collection")
    def about(self, obj: Change) -> str:
        return collection_words(obj.collection)

    @admin.display(description="做了什么", ordering="kind")
    def what(self, obj: Change) -> str:
        return kind_words(obj.kind)

    @admin.display(description="操作人")
    def actor(self, obj: Change) -> str:
        return obj.actor_name or "系统"

    @admin.display(description="证据链")
    def chain(self, obj: Change) -> str:
        return obj.chain_name

    @admin.display(description="上一环哈希")
    def previous(self, obj: Change) -> str:
        return bytes(obj.prev).hex()

    @admin.display(description="本环哈希")
    def own_hash(self, obj: Change) -> str:
        return bytes(obj.hash).hex()

    @admin.display(description="内容哈希")
    def said_hash(self, obj: Change) -> str:
        return bytes(obj.body_hash).hex()
