"""Who: persons, and the posts that they hold for a time. Rights follow from today's posts, in `safety/access.py`."""

from datetime import date
from uuid import UUID

import msgspec
from django.contrib.auth import get_backends
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import F, Q

from safety.identifiers import require_mobile
from safety.ids import new_id
from safety.models.document import Audience, Document, DocumentSet
from safety.models.organisation import Organisation


class Role(models.TextChoices):
    INSPECTOR = "inspector", "责任督学"
    DUTY_OFFICER = "duty_officer", "值班员"
    SHIFT_LEADER = "shift_leader", "带班领导"
    SAFETY_OFFICER = "safety_officer", "安全科人员"
    APPROVER = "approver", "审批人"
    ADMINISTRATOR = "administrator", "系统管理员"
    PRINCIPAL = "principal", "校(园)长"
    SCHOOL_SAFETY_OFFICER = "school_safety_officer", "学校安全员"
    DELEGATE = "delegate", "受托教职工"


UNIT_SIDE = frozenset({Role.PRINCIPAL.value, Role.SCHOOL_SAFETY_OFFICER.value, Role.DELEGATE.value})
BUREAU_SIDE = frozenset(Role.values) - UNIT_SIDE


class PersonManager(BaseUserManager.from_queryset(DocumentSet)):
    def get_by_natural_key(self, username: str) -> "Person":
        return self.get(username=username)


class Person(AbstractBaseUser, Document):
    """A person with an account. Signing in writes no row here: there is no last_login, and no rehash on the way."""

    collection = "people"
    last_login = None

    username = models.CharField("账号", max_length=40, unique=True)
    name = models.CharField("姓名", max_length=30)
    phone = models.CharField("手机", max_length=11, blank=True, validators=[require_mobile])
    is_active = models.BooleanField("启用", default=True)

    objects = PersonManager()
    USERNAME_FIELD = "username"

    class Meta:
        verbose_name = verbose_name_plural = "人员"
        ordering = ["username"]

    def __str__(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        """How the admin greets."""
        return self.name

    def check_password(self, raw_password: str) -> bool:
        return check_password(raw_password, self.password)

    @property
    def is_staff(self) -> bool:
        """Django's admin asks this; who may open it follows from today's posts."""
        return self.has_perm("admin")

    def has_perm(self, perm: str, obj=None) -> bool:
        """Django's question, answered by the backend in `safety/access.py`."""
        return any(backend.has_perm(self, perm, obj) for backend in get_backends() if hasattr(backend, "has_perm"))

    def has_module_perms(self, app_label: str) -> bool:
        return self.has_perm(app_label)

    @property
    def chain_id(self) -> None:
        return None

    def wire(self) -> bytes:
        return msgspec.json.encode({"id": self.id, "rev": self.rev, "name": self.name, "active": self.is_active})

    def meet(self, posts: list["Post"]) -> None:
        """Sets who reads this person's name: colleagues at the nodes of these posts; call before the row is said."""
        unit_side = [post for post in posts if post.role in UNIT_SIDE]
        self.audience = Audience.SHARED if unit_side else Audience.BUREAU
        self.keys = sorted({str(post.node_id) for post in posts})


class PostSet(models.QuerySet):
    def on(self, day: date) -> "PostSet":
        """Posts in force on a day (school's local date), both ends inclusive."""
        return self.filter(from_on__lte=day).filter(Q(to_on__isnull=True) | Q(to_on__gte=day))


class Post(models.Model):
    """A role at a node for a time. An inspector assigned to a school stands on the bureau's side there."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    person = models.ForeignKey(Person, models.PROTECT, related_name="posts", verbose_name="人员")
    role = models.CharField("角色", max_length=24, choices=Role.choices)
    node = models.ForeignKey(Organisation, models.PROTECT, related_name="posts", verbose_name="单位")
    from_on = models.DateField("开始日期")
    to_on = models.DateField("结束日期", null=True, blank=True, help_text="含当天;留空为在任")

    objects = PostSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "任职"
        ordering = ["person_id", "from_on"]
        constraints = [
            models.CheckConstraint(
                name="a_post_ends_after_it_began", condition=Q(to_on__isnull=True) | Q(to_on__gte=F("from_on"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} · {self.node}"

    @property
    def side(self) -> str:
        return "unit" if self.role in UNIT_SIDE else "bureau"


class ScopeDocument:
    """The person's own scope as a document: posts of today. It has no table; the Index holds it (see scopes.py)."""

    collection = "scope"

    def __init__(self, *, person_id: UUID, rev: int, posts: list[Post]):
        self.id, self.rev, self.posts = person_id, rev, posts

    chain_id = None

    def wire(self) -> bytes:
        posts = [
            {"id": post.id, "role": post.role, "node_id": post.node_id, "side": post.side, "to_on": post.to_on}
            for post in sorted(self.posts, key=lambda post: str(post.id))
        ]
        return msgspec.json.encode({"id": self.id, "rev": self.rev, "posts": posts})

    def readers(self) -> set[tuple[str, UUID]]:
        return {(Audience.PERSON.value, self.id)}
