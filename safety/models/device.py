"""Phones, and the secrets by which they are known. What a phone says of itself at each contact is sync.Contact."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from safety.ids import new_id
from safety.models.person import Person

TOKEN_DAYS = 90  # from last use; never rotated: a lost answer to a rotation would lock an inspector out (sync.md §6.4)


class Device(models.Model):
    """A phone of one person. Once revoked it is revoked for good: whoever finds it signs in, and it is a new one.

    A wipe is an order to a revoked phone, told at its next contact; until `rescue_until` it may still send, before it
    obeys, what lies on it (see safety/devices.py).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    person = models.ForeignKey(Person, models.PROTECT, related_name="devices", verbose_name="人员")
    name = models.CharField("名称", max_length=60)
    registered_at = models.DateTimeField("登记时间")
    revoked_at = models.DateTimeField("停用时间", null=True, blank=True)
    revoked_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+", verbose_name="停用人")
    lost_at = models.DateTimeField("挂失时间", null=True)
    wipe_ordered_at = models.DateTimeField("下令清除", null=True)
    rescue_until = models.DateTimeField("补传期限", null=True)
    wiped_at = models.DateTimeField("已清除", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "终端"
        constraints = [
            models.CheckConstraint(
                name="a_lost_or_wiped_phone_is_revoked",
                condition=Q(revoked_at__isnull=False) | Q(lost_at__isnull=True, wipe_ordered_at__isnull=True),
            ),
            models.CheckConstraint(
                name="a_wipe_was_ordered",
                condition=Q(wipe_ordered_at__isnull=False) | Q(rescue_until__isnull=True, wiped_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TokenSet(models.QuerySet):
    def alive(self, now: datetime) -> "TokenSet":
        """Tokens that still open the door: not revoked, device not revoked, person active, used within 90 days."""
        return self.filter(
            revoked_at__isnull=True,
            device__revoked_at__isnull=True,
            device__person__is_active=True,
            last_used_at__gt=now - timedelta(days=TOKEN_DAYS),
        )


class DeviceToken(models.Model):
    """256 random bits, kept as their SHA-256. The token decides the device."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    device = models.ForeignKey(Device, models.CASCADE, related_name="tokens")
    sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    objects = TokenSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "终端令牌"
        constraints = [models.CheckConstraint(name="a_token_is_kept_as_its_sha256", condition=~Q(sha256=""))]
