"""The checklists: bases, items, templates and their frozen versions.

Rows come from `seeds/` (inspections.seeding) or from a draft that an administrator published. What a published version
says stands in its own bytes, never in the rows beside it: items and bases may move on, a version does not.
"""

import uuid

import msgspec
from django.db import models

from inspections.catalogue import BanMode, Confidence, Disposition, Grade, Kind, Photo, TemplateKind
from safety.ids import seeded_id
from safety.models import Document, DocumentSet

KINDS = [(Kind.ITEM.value, "检查项"), (Kind.MECHANISM.value, "机制要求"), (Kind.EVIDENCE.value, "证据采集")]
GRADES = [
    (Grade.NONE.value, "问题"),
    (Grade.GENERAL.value, "一般"),
    (Grade.SERIOUS.value, "较大"),
    (Grade.MAJOR_CANDIDATE.value, "重大(待判定)"),
    (Grade.INCIDENT.value, "事件"),
]
PHOTOS = [
    (Photo.OPTIONAL.value, "可不拍"),
    (Photo.ON_FAIL.value, "不符合时拍"),
    (Photo.ALWAYS.value, "必拍"),
    (Photo.BAN.value, "禁拍"),
]
BAN_MODES = [(BanMode.CAMERA.value, "不得拍照"), (BanMode.COVER_ONLY.value, "只拍封面或数量")]
DISPOSITIONS = [(Disposition.RECTIFY.value, "整改"), (Disposition.TRANSFER.value, "移送")]
CONFIDENCES = [
    (Confidence.CERTAIN.value, "已核原文"),
    (Confidence.LIKELY.value, "参照"),
    (Confidence.VERIFY.value, "待核"),
    (Confidence.NONE.value, "无"),
]
TEMPLATE_KINDS = [
    (TemplateKind.FIXED.value, "固定"),
    (TemplateKind.CHOOSE.value, "固定加自选"),
    (TemplateKind.GENERATOR.value, "按需生成"),
]

SEED, OWN = "seed", "own"
ORIGINS = [(SEED, "随产品"), (OWN, "本地")]  # what a bureau made or changed itself, seeding leaves alone

CATALOGUE_CHAIN = seeded_id("catalogue")


class Basis(models.Model):
    """A law, standard or document that items cite. Dates are inclusive; an unknown one is null, never guessed."""

    id = models.UUIDField("编号", primary_key=True, default=uuid.uuid4, editable=False)
    short = models.CharField("简称", max_length=60, unique=True)
    title = models.CharField("全称", max_length=200)
    number = models.CharField("发布机关与文号", max_length=120, blank=True)
    number_confidence = models.CharField(
        "文号信度", max_length=8, choices=CONFIDENCES, blank=True, help_text="空则同信度。"
    )
    edition = models.CharField("版本", max_length=60, blank=True)
    year = models.CharField("年份", max_length=60, blank=True)
    valid_from = models.DateField("施行日期", null=True, blank=True)
    valid_to = models.DateField("失效日期", null=True, blank=True)
    superseded_by = models.ForeignKey(
        "self", verbose_name="被替代为", null=True, blank=True, on_delete=models.PROTECT, related_name="supersedes"
    )
    confidence = models.CharField("信度", max_length=8, choices=CONFIDENCES)
    jurisdiction = models.CharField(
        "适用地区", max_length=12, blank=True, help_text="行政区划代码,或 local(各地自有);空为全国。"
    )
    binds_schools = models.BooleanField("直接约束学校", default=True, help_text="否:对学校只作参照。")
    bare = models.BooleanField("不加书名号", default=False)
    note = models.CharField("说明", max_length=300, blank=True)
    row = models.JSONField("索引原文", default=dict, blank=True)
    origin = models.CharField("来源", max_length=4, choices=ORIGINS, default=OWN)

    class Meta:
        verbose_name = verbose_name_plural = "检查依据"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(valid_to__isnull=True)
                | models.Q(valid_from__isnull=True)
                | models.Q(valid_to__gte=models.F("valid_from")),
                name="basis_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=~models.Q(superseded_by=models.F("id")), name="basis_is_superseded_by_another"
            ),
        ]

    def __str__(self) -> str:
        return self.short


class ChecklistItem(models.Model):
    """One row of the catalogue, as it stands today. What it said when it was used stands in a TemplateVersion."""

    id = models.UUIDField("编号", primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField("代码", max_length=12, unique=True)
    area = models.CharField("领域", max_length=4, db_index=True)
    position = models.PositiveSmallIntegerField("顺序")
    kind = models.CharField("类别", max_length=12, choices=KINDS)
    text = models.CharField("内容", max_length=300)
    methods = models.JSONField("检查方式", default=list)
    method_note = models.CharField("方式说明", max_length=60, blank=True)
    grade = models.CharField("默认等级", max_length=16, choices=GRADES)
    listed = models.BooleanField("判定指南列明", default=False)
    photo = models.CharField("照片要求", max_length=8, choices=PHOTOS)
    ban_mode = models.CharField("禁拍方式", max_length=10, choices=BAN_MODES, blank=True)
    photo_note = models.CharField("照片说明", max_length=60, blank=True)
    disposition = models.CharField("处置", max_length=8, choices=DISPOSITIONS)
    departments = models.JSONField("移送部门", default=list, blank=True)
    confidence = models.CharField("信度", max_length=8, choices=CONFIDENCES)
    confidence_note = models.CharField("信度说明", max_length=60, blank=True)
    source = models.CharField("证据来源", max_length=60, blank=True)
    archived = models.BooleanField("已归档", default=False)
    measures = models.JSONField("测量项", default=list, blank=True)
    row = models.JSONField("原文各栏", default=dict, blank=True)
    deviates = models.JSONField("与原文不同的理由", default=dict, blank=True)
    origin = models.CharField("来源", max_length=4, choices=ORIGINS, default=OWN)

    class Meta:
        verbose_name = verbose_name_plural = "检查项"
        ordering = ["area", "position"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(photo=Photo.BAN.value, ban_mode__in=[mode.value for mode in BanMode])
                | (~models.Q(photo=Photo.BAN.value) & models.Q(ban_mode="")),
                name="item_says_how_a_photo_is_banned",
            ),
            models.CheckConstraint(
                condition=models.Q(listed=False) | models.Q(grade=Grade.MAJOR_CANDIDATE.value),
                name="item_listed_in_the_guide_is_a_candidate",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class Citation(models.Model):
    """One basis of one item, with the articles as they were cited."""

    id = models.UUIDField("编号", primary_key=True, default=uuid.uuid4, editable=False)
    item = models.ForeignKey(ChecklistItem, verbose_name="检查项", on_delete=models.CASCADE, related_name="citations")
    basis = models.ForeignKey(Basis, verbose_name="依据", on_delete=models.PROTECT, related_name="citations")
    position = models.PositiveSmallIntegerField("顺序")
    articles = models.CharField("条款", max_length=60, blank=True)
    note = models.CharField("说明", max_length=60, blank=True)
    cited = models.CharField("原文写法", max_length=60, null=True, blank=True, help_text="空值:与简称相同。")
    confidence = models.CharField("信度", max_length=8, choices=CONFIDENCES, blank=True, help_text="空则同检查项。")

    class Meta:
        verbose_name = verbose_name_plural = "条款引用"
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["item", "position"], name="citation_has_its_place_in_the_item")]

    def __str__(self) -> str:
        return f"{self.basis.short}{self.articles}"


class ChecklistTemplate(models.Model):
    """The identity of a checklist through all its versions."""

    id = models.UUIDField("编号", primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField("代码", max_length=12, unique=True)
    name = models.CharField("名称", max_length=60)
    kind = models.CharField("类别", max_length=10, choices=TEMPLATE_KINDS)

    class Meta:
        verbose_name = verbose_name_plural = "检查表"
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class TemplateVersionSet(DocumentSet):
    def newest_each(self) -> "TemplateVersionSet":
        """Of each checklist, the newest published version."""
        newer = self.model.objects.filter(
            template=models.OuterRef("template"),
            state=TemplateVersion.PUBLISHED,
            version__gt=models.OuterRef("version"),
        )
        return self.filter(~models.Exists(newer), state=TemplateVersion.PUBLISHED)


class TemplateVersion(Document):
    """A checklist's text. Published means frozen: content, hash and audience never change again.

    On the wire it is a tiny document; the text itself is fetched by its hash.
    """

    collection = "templates"

    DRAFT, PUBLISHED = "draft", "published"
    STATES = [(DRAFT, "草稿"), (PUBLISHED, "已发布")]

    template = models.ForeignKey(
        ChecklistTemplate, verbose_name="检查表", on_delete=models.PROTECT, related_name="versions"
    )
    version = models.PositiveSmallIntegerField("版本")
    state = models.CharField("状态", max_length=10, choices=STATES, default=DRAFT)
    content = models.BinaryField("内容", help_text="规范化 JSON 的 UTF-8 字节。")
    sha256 = models.CharField("内容哈希", max_length=64, unique=True)
    published_at = models.DateTimeField("发布时间", null=True, blank=True)
    origin = models.CharField("来源", max_length=4, choices=ORIGINS, default=OWN)

    objects = TemplateVersionSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "检查表版本"
        ordering = ["template", "version"]
        constraints = [
            models.UniqueConstraint(fields=["template", "version"], name="template_version_has_its_own_number"),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="template_version_counts_from_one"),
            models.CheckConstraint(
                condition=models.Q(sha256__regex=r"^[0-9a-f]{64}$"), name="template_version_names_its_sha256"
            ),
            models.CheckConstraint(
                condition=models.Q(state="draft", published_at__isnull=True)
                | models.Q(state="published", published_at__isnull=False),
                name="template_version_says_when_it_was_published",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.template} 第 {self.version} 版"

    @property
    def chain_id(self) -> uuid.UUID:
        """Templates belong to no school: their changes hang on the chain of the catalogue itself."""
        return CATALOGUE_CHAIN

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "template_id": self.template_id,
                "code": self.template.code,
                "name": self.template.name,
                "kind": self.template.kind,
                "version": self.version,
                "sha256": self.sha256,
                "restricted": self.audience == "restricted",
                "published_at": self.published_at,
            }
        )
