"""What must be known, to whom it is owed, and that they know."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from django.db import models
from django.db.models import Exists, OuterRef, Q

from safety.ids import new_id
from safety.models.document import Document
from safety.models.organisation import Organisation, Site
from safety.models.person import Person

if TYPE_CHECKING:
    from safety.access import Sight


class AlertState(models.TextChoices):
    WAITING = "waiting", "待签收"
    ACKNOWLEDGED = "acknowledged", "已签收"
    IN_HAND = "in_hand", "处置中"
    RESOLVED = "resolved", "办结"
    FALSE_ALARM = "false_alarm", "误报"
    WITHDRAWN = "withdrawn", "已撤销"
    LINKED = "linked", "已并入"


OPEN_STATES = (AlertState.WAITING, AlertState.ACKNOWLEDGED, AlertState.IN_HAND)


class Severity(models.TextChoices):
    MAJOR = "major", "重大"
    INCIDENT = "incident", "事件"
    SYSTEM = "system", "值守"


class AlertSet(models.QuerySet):
    def open(self) -> AlertSet:
        return self.filter(state__in=OPEN_STATES)

    def ended(self) -> AlertSet:
        return self.exclude(state__in=OPEN_STATES)

    def visible_to(self, sight: Sight) -> AlertSet:
        """Alerts of the organisations that a person oversees for the bureau, and those ever owed to that person.

        A school's own people see what they were told: an alert may speak of a finding before its notice.
        """
        owed = Delivery.objects.filter(
            subject_collection=Alert.collection, subject_id=OuterRef("pk"), person_id=sight.person_id
        )
        return self.filter(Q(organisation__in=sorted(sight.overseen)) | Exists(owed))


class Alert(models.Model):
    """One thing that somebody on duty must know. It has changes and a chain but no Index: desks read rows."""

    collection = "alerts"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    rev = models.IntegerField(default=0)
    dedupe_key = models.CharField(max_length=200)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="alerts", verbose_name="单位")
    node = models.ForeignKey(Organisation, models.PROTECT, related_name="+", verbose_name="值守单位")
    site = models.ForeignKey(Site, models.PROTECT, null=True, related_name="+", verbose_name="场所")
    severity = models.CharField("级别", max_length=10, choices=Severity.choices)
    sentence = models.CharField("内容", max_length=300)
    state = models.CharField("状态", max_length=14, choices=AlertState.choices, default=AlertState.WAITING)
    occurrences = models.IntegerField("次数", default=1)
    subject_collection = models.CharField(max_length=24)
    subject_id = models.UUIDField(null=True)
    first_said_at = models.DateTimeField("发现时间")
    first_known_at = models.DateTimeField("得知时间")
    fixed_since = models.BooleanField("已整改", null=True)
    policy = models.JSONField("升级办法")
    seat_told = models.PositiveSmallIntegerField("已告知席位", default=1)
    escalate_at = models.DateTimeField("下次升级", null=True)

    objects = AlertSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "预警"
        constraints = [
            models.UniqueConstraint(
                "dedupe_key",
                condition=Q(state__in=["waiting", "acknowledged", "in_hand"]),
                name="an_open_alert_is_told_once",
            )
        ]
        indexes = [
            models.Index(fields=["escalate_at"], name="alert_to_escalate", condition=Q(escalate_at__isnull=False)),
            models.Index(fields=["organisation", "state"], name="alert_of_unit"),
            models.Index(fields=["first_known_at", "id"], name="alert_by_arrival"),
        ]

    def __str__(self) -> str:
        return self.sentence

    @property
    def chain_id(self) -> UUID:
        return self.organisation_id

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class Acknowledgement(models.Model):
    """That somebody knows: the first one counts, a second is answered with it."""

    alert = models.OneToOneField(Alert, models.PROTECT, primary_key=True, related_name="acknowledgement")
    person = models.ForeignKey(Person, models.PROTECT, related_name="+")
    said_at = models.DateTimeField()
    received_at = models.DateTimeField()


class Channel(models.TextChoices):
    DESK = "desk", "值班台"
    APP = "app", "手机"
    SMS = "sms", "短信"


class DeliveryState(models.TextChoices):
    PENDING = "pending", "待发"
    SENT = "sent", "已发出"
    ARRIVED = "arrived", "已到达"
    OPENED = "opened", "已打开"
    FAILED = "failed", "未送达"
    OVER = "over", "已结束"


class Delivery(Document):
    """One thing owed to one person by one channel, with its receipt; the person's own document `alerts_mine`."""

    collection = "alerts_mine"

    person = models.ForeignKey(Person, models.PROTECT, related_name="deliveries", verbose_name="人员")
    channel = models.CharField("方式", max_length=8, choices=Channel.choices)
    subject_collection = models.CharField(max_length=24)
    subject_id = models.UUIDField()
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+", verbose_name="单位")
    reason = models.CharField("缘由", max_length=20)  # duty, informed, escalated, administrator, notice, unsent
    sentence = models.CharField("内容", max_length=300)
    state = models.CharField("状态", max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    owed_at = models.DateTimeField("产生时间")
    lease_until = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField("已试次数", default=0)
    try_at = models.DateTimeField("下次尝试", null=True)
    answer = models.CharField("通道答复", max_length=200, blank=True)
    receipt_at = models.DateTimeField("回执时间", null=True)
    said_by = models.UUIDField(null=True)
    said_via = models.CharField(max_length=12, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "待发通知"
        constraints = [
            models.UniqueConstraint(
                "subject_collection", "subject_id", "person", "channel", name="a_thing_is_owed_once_by_each_channel"
            )
        ]
        indexes = [
            models.Index(fields=["try_at"], name="delivery_to_try", condition=Q(try_at__isnull=False)),
            models.Index(fields=["person", "owed_at", "id"], name="delivery_of_person"),
        ]

    @property
    def chain_id(self) -> None:
        return None

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "subject_collection": self.subject_collection,
                "subject_id": self.subject_id,
                "organisation_id": self.organisation_id,
                "reason": self.reason,
                "sentence": self.sentence,
                "channel": self.channel,
                "state": self.state,
                "owed_at": self.owed_at,
                "receipt_at": self.receipt_at,
            }
        )
