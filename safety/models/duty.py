"""Who is on duty when. Escalation climbs the seats, not the tree."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

from safety.ids import new_id
from safety.models.organisation import Organisation
from safety.models.person import Person

if TYPE_CHECKING:
    from safety.access import Sight


class Seat(models.IntegerChoices):
    """The order in which somebody is told (regulations §2.6)."""

    OFFICER = 1, "值班员"
    RESERVE = 2, "备班"
    LEADER = 3, "带班领导"
    DEPUTY = 4, "分管副局长"


class DutyShiftSet(models.QuerySet):
    def at(self, moment: datetime) -> DutyShiftSet:
        """Shifts that run at a moment; the start is inclusive, the end is not."""
        return self.filter(starts_at__lte=moment, ends_at__gt=moment)

    def visible_to(self, sight: Sight) -> DutyShiftSet:
        """Shifts of the organisations that a person's posts cover, and the person's own."""
        return self.filter(Q(node__in=sorted(sight.roles)) | Q(person=sight.person_id))


class DutyShift(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    node = models.ForeignKey(Organisation, models.PROTECT, related_name="shifts", verbose_name="单位")
    person = models.ForeignKey(Person, models.PROTECT, related_name="shifts", verbose_name="人员")
    seat = models.PositiveSmallIntegerField("席位", choices=Seat.choices, default=Seat.OFFICER)
    starts_at = models.DateTimeField("开始")
    ends_at = models.DateTimeField("结束")
    begun = models.BooleanField("已交接", default=False, editable=False)  # its deliveries for what is open are written

    objects = DutyShiftSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "值班班次"
        ordering = ["starts_at", "seat"]
        constraints = [
            models.CheckConstraint(name="a_shift_ends_after_it_starts", condition=Q(ends_at__gt=F("starts_at"))),
            models.UniqueConstraint("node", "person", "starts_at", name="a_person_takes_a_shift_once"),
        ]
        indexes = [models.Index(fields=["node", "ends_at"], name="shift_of_node")]

    def __str__(self) -> str:
        return f"{self.get_seat_display()} {self.person}"
