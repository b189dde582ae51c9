"""Visits and what was found on them: tasks, inspections, quick hazards, findings, conflicts, submissions."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from inspections.models.catalogue import TemplateVersion
from safety.ids import new_id
from safety.models import Document, DocumentSet, Index, Organisation, Person, Site
from safety.models.document import readable

if TYPE_CHECKING:
    from safety.access import Sight


class Grade(models.TextChoices):
    """How bad it is if it is not in order; only a judgement says major (regulations §2.1–§2.2)."""

    NONE = "none", "问题"
    GENERAL = "general", "一般"
    SERIOUS = "serious", "较大"
    MAJOR_CANDIDATE = "major_candidate", "重大(待判定)"
    MAJOR = "major", "重大"


class FindingKind(models.TextChoices):
    ISSUE = "issue", "问题"
    HAZARD = "hazard", "隐患"
    INCIDENT = "incident", "事件"


class OfSite(Document):
    """A document about one site: the unit responsible keeps the chain, its readers and the schools served read it.

    Keys carry no index of their own, here and below: a push writes every index there is, so each model names the ones
    that its lists read.
    """

    site = models.ForeignKey(Site, models.PROTECT, related_name="+", verbose_name="场所", db_index=False)
    unit = models.ForeignKey(Organisation, models.PROTECT, related_name="+", verbose_name="单位", db_index=False)

    class Meta:
        abstract = True

    @property
    def chain_id(self) -> UUID:
        return self.unit_id

    def stand_at(self, site: Site) -> None:
        """Takes unit and reader keys from the site."""
        self.site_id, self.unit_id, self.keys = site.id, site.unit_id, list(site.keys)


class TaskSet(DocumentSet):
    def overdue_on(self, day: date) -> TaskSet:
        """Still open after the due date (school's local date, inclusive)."""
        return self.filter(state="open", due_on__lt=day)


class Task(OfSite):
    """What somebody is asked to look at: template, site, window, assignees. Planning deepens it later."""

    collection = "tasks"

    version = models.ForeignKey(TemplateVersion, models.PROTECT, related_name="+", verbose_name="检查表版本")
    title = models.CharField("名称", max_length=80)
    opens_on = models.DateField("开始日期")
    due_on = models.DateField("截止日期")
    assignees = models.JSONField("检查人员", default=list)
    plan_item_id = models.UUIDField(null=True, blank=True)
    state = models.CharField(
        "状态", max_length=10, default="open", choices=[("open", "待检查"), ("done", "已完成"), ("void", "作废")]
    )

    objects = TaskSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "检查任务"
        constraints = [
            models.CheckConstraint(name="a_task_is_due_after_it_opens", condition=Q(due_on__gte=F("opens_on")))
        ]
        indexes = [
            models.Index(fields=["due_on", "id"], name="task_by_day"),
            models.Index(fields=["unit"], name="task_of_unit"),
            models.Index(fields=["site"], name="task_of_site"),
        ]

    def __str__(self) -> str:
        return self.title

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "site_id": self.site_id,
                "unit_id": self.unit_id,
                "template_version_id": self.version_id,
                "title": self.title,
                "opens_on": self.opens_on,
                "due_on": self.due_on,
                "assignees": self.assignees,
                "state": self.state,
            }
        )


class InspectionState(models.TextChoices):
    DRAFT = "draft", "检查中"
    SUBMITTED = "submitted", "已提交"
    VOID = "void", "作废"


class Inspection(OfSite):
    """One visit to one site. Answers lie inside, by item code; each keeps who said which group of it."""

    collection = "inspections"

    version = models.ForeignKey(
        TemplateVersion, models.PROTECT, related_name="+", verbose_name="检查表版本", db_index=False
    )
    task = models.ForeignKey(
        Task, models.PROTECT, null=True, related_name="inspections", verbose_name="任务", db_index=False
    )
    creator = models.ForeignKey(Person, models.PROTECT, related_name="+", verbose_name="建立人", db_index=False)
    state = models.CharField("状态", max_length=10, choices=InspectionState.choices, default=InspectionState.DRAFT)
    participants = models.JSONField("检查人员", default=list)
    join_sha256 = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField("开始时间")
    finished_at = models.DateTimeField("结束时间", null=True)
    header = models.JSONField("首部", default=dict)  # weather, accompanied by …: carried, not judged
    answers = models.JSONField("检查结果", default=dict)
    field_meta = models.JSONField(default=list)  # [[sources…], {group: {code: number of its source}}]
    flags = models.JSONField("提示", default=list)
    void_reason = models.CharField("作废原因", max_length=200, blank=True)
    submitted_by = models.ForeignKey(
        Person, models.PROTECT, null=True, related_name="+", verbose_name="提交人", db_index=False
    )
    submitted_at = models.DateTimeField("提交时间", null=True)
    snapshot_sha256 = models.CharField("快照哈希", max_length=64, blank=True)
    snapshot_body_id = models.UUIDField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "检查"
        constraints = [
            models.CheckConstraint(
                name="a_submitted_visit_names_who_when_and_what",
                condition=~Q(state="submitted")
                | (Q(submitted_by__isnull=False, submitted_at__isnull=False) & ~Q(snapshot_sha256="")),
            ),
            models.CheckConstraint(name="a_void_visit_has_its_reason", condition=~Q(state="void") | ~Q(void_reason="")),
        ]
        indexes = [
            models.Index(fields=["unit", "started_at"], name="inspection_of_unit"),
            models.Index(fields=["site", "started_at"], name="inspection_of_site"),
            models.Index(fields=["task"], name="inspection_of_task", condition=Q(task__isnull=False)),
            models.Index(fields=["started_at", "id"], name="inspection_by_start"),
        ]

    def __str__(self) -> str:
        return f"{self.site} {self.started_at:%Y-%m-%d}"

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "state": self.state,
                "site_id": self.site_id,
                "unit_id": self.unit_id,
                "template_version_id": self.version_id,
                "task_id": self.task_id,
                "creator_id": self.creator_id,
                "participants": self.participants,
                "started_at": self.started_at,
                "finished_at": self.finished_at,
                "header": self.header,
                "answers": self.answers,
                "flags": self.flags,
                "void_reason": self.void_reason,
                "submitted_by": self.submitted_by_id,
                "submitted_at": self.submitted_at,
                "snapshot_sha256": self.snapshot_sha256,
            }
        )


class Submission(OfSite):
    """What came after or beside the submitted record: an alternative, an amendment. Nothing of it is silent."""

    collection = "submissions"

    inspection = models.ForeignKey(Inspection, models.PROTECT, related_name="submissions", verbose_name="检查")
    kind = models.CharField(
        "类别",
        max_length=12,
        choices=[
            ("alternative", "另一份提交"),
            ("amendment", "更正"),
            ("late", "提交后的修改"),
            ("withheld", "限定人员查看的内容"),
        ],
    )
    author = models.ForeignKey(Person, models.PROTECT, related_name="+", verbose_name="作者")
    reason = models.CharField("说明", max_length=500, blank=True)
    content = models.TextField("内容")  # a JSON string, verbatim
    sha256 = models.CharField("内容哈希", max_length=64)
    said_at = models.DateTimeField("说于")

    class Meta:
        verbose_name = verbose_name_plural = "补充提交"

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "inspection_id": self.inspection_id,
                "kind": self.kind,
                "author_id": self.author_id,
                "reason": self.reason,
                "content": self.content,
                "sha256": self.sha256,
                "said_at": self.said_at,
            }
        )


class QuickHazard(OfSite):
    """随手拍: a hazard told by itself, outside any checklist; it may name a visit and an item."""

    collection = "quick_hazards"

    inspection_id = models.UUIDField("检查", null=True)
    item_code = models.CharField("检查项", max_length=12, blank=True)
    kind = models.CharField("类别", max_length=8, choices=FindingKind.choices)
    grade = models.CharField("等级", max_length=16, choices=Grade.choices)
    place = models.CharField("部位", max_length=80, blank=True)
    place_key = models.CharField(max_length=80, blank=True)
    text = models.CharField("内容", max_length=500)
    fixed = models.BooleanField("现场已整改", default=False)
    author = models.ForeignKey(Person, models.PROTECT, related_name="+", verbose_name="作者")
    said_at = models.DateTimeField("发现时间")
    item_id = models.UUIDField("整改项", null=True)  # the rectification item that it became

    class Meta:
        verbose_name = verbose_name_plural = "随手拍"
        indexes = [
            models.Index(fields=["unit"], name="quick_hazard_of_unit"),
            models.Index(fields=["site"], name="quick_hazard_of_site"),
        ]

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "site_id": self.site_id,
                "unit_id": self.unit_id,
                "inspection_id": self.inspection_id,
                "item_code": self.item_code,
                "kind": self.kind,
                "grade": self.grade,
                "place": self.place,
                "text": self.text,
                "fixed": self.fixed,
                "author_id": self.author_id,
                "said_at": self.said_at,
                "rectification_id": self.item_id,
            }
        )


class Conflict(OfSite):
    """Two values for one group: the one that stands and the one that lost, until a participant picks."""

    collection = "conflicts"

    target_collection = models.CharField("集合", max_length=24)
    target_id = models.UUIDField("文档")
    group = models.CharField("哪一组", max_length=60)
    kept = models.JSONField("保留的")
    lost = models.JSONField("未采用的")
    kept_by = models.UUIDField("保留的由谁记录", null=True)
    lost_by = models.UUIDField("未采用的由谁记录", null=True)
    lost_op_id = models.UUIDField("终端操作", null=True)
    lost_at = models.DateTimeField("时间")
    pick = models.CharField("选定", max_length=4, blank=True, choices=[("kept", "保留的"), ("lost", "未保留的")])
    resolved_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+", verbose_name="选定人")
    resolved_at = models.DateTimeField("选定时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "两人记录不一致"
        indexes = [models.Index(fields=["target_id"], name="conflict_of_target")]

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "target_collection": self.target_collection,
                "target_id": self.target_id,
                "group": self.group,
                "kept": self.kept,
                "lost": self.lost,
                "kept_by": self.kept_by,
                "lost_by": self.lost_by,
                "lost_at": self.lost_at,
                "pick": self.pick,
                "resolved_by": self.resolved_by_id,
                "resolved_at": self.resolved_at,
            }
        )


class FindingSet(models.QuerySet):
    def visible_to(self, sight: Sight) -> FindingSet:
        """A finding is seen by whoever sees the rectification item that it belongs to."""
        item = Index.objects.filter(readable(sight), collection="rectifications", doc_id=OuterRef("item_id"))
        return self.filter(Exists(item))


class Finding(models.Model):
    """One thing not in order at one place: from an answer, said by itself, or seen at a revisit. It is never edited into
    another."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    item = models.ForeignKey(
        "inspections.RectificationItem",
        models.PROTECT,
        related_name="findings",
        verbose_name="整改项",
        db_index=False,
    )
    ordinal = models.IntegerField("序号")
    inspection = models.ForeignKey(Inspection, models.PROTECT, null=True, related_name="findings", verbose_name="检查")
    quick_hazard = models.ForeignKey(
        QuickHazard, models.PROTECT, null=True, related_name="findings", verbose_name="随手拍", db_index=False
    )
    revisit = models.ForeignKey(
        "inspections.Statement",
        models.PROTECT,
        null=True,
        related_name="findings",
        verbose_name="复查",
        db_index=False,
    )
    item_code = models.CharField("检查项", max_length=12, blank=True)
    kind = models.CharField("类别", max_length=8, choices=FindingKind.choices)
    grade = models.CharField("等级", max_length=16, choices=Grade.choices)
    place = models.CharField("部位", max_length=80, blank=True)
    place_key = models.CharField(max_length=80, blank=True)
    text = models.CharField("内容", max_length=500)
    fixed_on_spot = models.BooleanField("现场已整改", default=False)
    found_by = models.ForeignKey(Person, models.PROTECT, related_name="+", verbose_name="发现人", db_index=False)
    found_at = models.DateTimeField("发现时间")
    verdict = models.CharField("结果", max_length=20, default="moved")

    objects = FindingSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "发现"
        constraints = [
            models.UniqueConstraint(fields=["item", "ordinal"], name="a_finding_has_its_ordinal"),
            models.UniqueConstraint(
                "inspection",
                "item_code",
                "place_key",
                "fixed_on_spot",
                condition=Q(inspection__isnull=False),
                name="a_visit_finds_a_thing_at_a_place_once",
            ),
            models.CheckConstraint(
                name="a_finding_comes_from_a_visit_a_quick_hazard_or_a_revisit",
                condition=Q(inspection__isnull=False) | Q(quick_hazard__isnull=False) | Q(revisit__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["quick_hazard"], name="finding_of_quick_hazard", condition=Q(quick_hazard__isnull=False)
            )
        ]
