"""The duty to cure one thing at one place, and everything that persons say about it."""

from datetime import date
from uuid import UUID

import msgspec
from django.db import models
from django.db.models import OuterRef, Q

from inspections.models.inspection import FindingKind, Grade, Inspection, OfSite
from safety.models import Document, DocumentSet, Organisation, Person


class ItemState(models.TextChoices):
    REGISTERED = "registered", "已登记"
    NOTIFIED = "notified", "已通知"
    RECTIFYING = "rectifying", "整改中"
    AWAITING_REVISIT = "awaiting_revisit", "待复查"
    AWAITING_CLOSURE = "awaiting_closure", "待销号"
    CLOSED = "closed", "已销号"
    TRANSFERRED = "transferred", "已移送"
    WITHDRAWN = "withdrawn", "撤销"


ENDED = (ItemState.CLOSED, ItemState.WITHDRAWN)
NOT_DUE = (*ENDED, ItemState.TRANSFERRED)  # another authority's to cure: the unit cannot be late with it


class RectificationSet(DocumentSet):
    def overdue_on(self, day: date) -> "RectificationSet":
        """Past the due date (school's local date, inclusive) and still the unit's to cure; as `is_overdue_on` says."""
        return self.filter(due_on__lt=day).exclude(state__in=NOT_DUE)


class RectificationItem(OfSite):
    """One row of the 台账. Its state is the fold of findings and statements; the columns are that fold's result."""

    collection = "rectifications"

    number = models.CharField("编号", max_length=24)
    item_code = models.CharField("检查项", max_length=12, blank=True)
    place = models.CharField("部位", max_length=80, blank=True)
    place_key = models.CharField(max_length=80, blank=True)
    kind = models.CharField("类别", max_length=8, choices=FindingKind.choices)
    grade = models.CharField("等级", max_length=16, choices=Grade.choices)
    text = models.CharField("内容", max_length=500)
    requirement = models.CharField("要求", max_length=300, blank=True)
    bases = models.JSONField("依据", default=list)  # as cited by the template version on that day
    state = models.CharField("状态", max_length=16, choices=ItemState.choices)
    round = models.IntegerField("轮次", default=1)
    evidence_hash = models.CharField("材料哈希", max_length=64)
    next_ordinal = models.IntegerField(default=1)
    last_ordinal = models.IntegerField(default=0)  # of the newest that counts; talk moves nobody's item
    found_on = models.DateField("发现日期")
    due_on = models.DateField("整改期限", null=True)
    facts = models.JSONField(
        "情况", default=dict
    )  # extended, suspended, listed, repeated, looked_back, fixed_on_spot …
    closed_at = models.DateTimeField("销号时间", null=True)
    repeats = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="repeated_by", verbose_name="重复于", db_index=False
    )
    suggests = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="+", verbose_name="可能同一处", db_index=False
    )

    objects = RectificationSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "整改项"
        constraints = [
            models.UniqueConstraint("number", name="an_item_has_its_number"),
            models.UniqueConstraint(
                "site",
                "item_code",
                "place_key",
                condition=~Q(place_key="") & ~Q(state__in=["closed", "withdrawn"]),
                name="one_open_item_a_site_item_and_place",
            ),
        ]
        indexes = [
            models.Index(fields=["site", "item_code", "place_key"], name="item_of_place"),
            models.Index(fields=["unit", "state", "due_on"], name="item_of_unit"),
            models.Index(fields=["found_on", "id"], name="item_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.text}"

    def is_overdue_on(self, day: date) -> bool:
        """Past its due date and still the unit's to cure; computed, never stored."""
        return self.due_on is not None and self.state not in NOT_DUE and self.due_on < day

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "number": self.number,
                "site_id": self.site_id,
                "unit_id": self.unit_id,
                "item_code": self.item_code,
                "place": self.place,
                "kind": self.kind,
                "grade": self.grade,
                "text": self.text,
                "requirement": self.requirement,
                "bases": self.bases,
                "state": self.state,
                "round": self.round,
                "evidence_hash": self.evidence_hash,
                "last_ordinal": self.last_ordinal,
                "found_on": self.found_on,
                "due_on": self.due_on,
                "facts": self.facts,
                "closed_at": self.closed_at,
                "repeats": self.repeats_id,
                "suggests": self.suggests_id,
            }
        )


class StatementKind(models.TextChoices):
    """What may be said about an item (or, for signatures and comments, about a visit); the collection on the wire."""

    NOTICE = "notices", "整改通知"
    RECEIPT = "receipts", "签收"
    REPORT = "reports", "整改报告"
    REVISIT = "revisits", "复查"
    EXTENSION = "extensions", "延期申请"
    JUDGEMENT = "judgements", "判定"
    CLOSURE = "closures", "销号"
    WITHDRAWAL = "withdrawals", "撤销申请"
    TRANSFER = "transfers", "移送"
    TRANSFER_REPLY = "transfer_replies", "移送回复"
    DECISION = "decisions", "审批"
    SIGNATURE = "signatures", "签字"
    COMMENT = "comments", "留言"


class Statement(Document):
    """What one person said: always a new document of that person, never edited. `ordinal` orders it at its item."""

    kind = models.CharField("类别", max_length=18, choices=StatementKind.choices)
    item = models.ForeignKey(
        RectificationItem, models.PROTECT, null=True, related_name="statements", verbose_name="整改项"
    )
    inspection = models.ForeignKey(
        Inspection, models.PROTECT, null=True, related_name="statements", verbose_name="检查"
    )
    unit = models.ForeignKey(Organisation, models.PROTECT, related_name="+", verbose_name="单位")
    ordinal = models.IntegerField("序号", null=True)
    author = models.ForeignKey(Person, models.PROTECT, related_name="+", verbose_name="作者")
    said_at = models.DateTimeField("说于")
    source = models.CharField("来源", max_length=8)
    verdict = models.CharField("结果", max_length=20)  # moved | kept | superseded | co_signed | attached_elsewhere
    problem_code = models.CharField("原因代码", max_length=40, blank=True)
    content = models.JSONField("内容", default=dict)  # the input as said: rules read it through their structs

    class Meta:
        verbose_name = verbose_name_plural = "办理记录"
        constraints = [
            models.UniqueConstraint(
                "item", "ordinal", condition=Q(item__isnull=False), name="a_statement_has_its_ordinal"
            ),
            models.CheckConstraint(
                name="a_statement_is_about_an_item_or_a_visit",
                condition=Q(item__isnull=False, inspection__isnull=True, ordinal__isnull=False)
                | Q(item__isnull=True, inspection__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["kind", "id"], name="statement_of_kind")]

    @classmethod
    def indexed_as(cls) -> dict:
        return {"collection": OuterRef("kind"), "doc_id": OuterRef("pk")}

    @property
    def collection(self) -> str:
        return str(self.kind)

    @property
    def chain_id(self) -> UUID:
        return self.unit_id

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "rectification_id": self.item_id,
                "inspection_id": self.inspection_id,
                "ordinal": self.ordinal,
                "author_id": self.author_id,
                "said_at": self.said_at,
                "verdict": self.verdict,
                "problem_code": self.problem_code,
                **self.content,
            }
        )
