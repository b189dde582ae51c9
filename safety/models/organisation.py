"""Where: the tree of bureaus, schools and other inspected units, and the sites at which things are looked at."""

import secrets
from uuid import UUID

import msgspec
from django.db import models
from django.db.models import Q

from safety.coordinates import Datum
from safety.identifiers import require_plate, require_school_code, require_uscc
from safety.models.document import Audience, Document, DocumentSet

SITE_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # no 0 O 1 I L U: read aloud from a sticker


def new_site_code() -> str:
    """Twelve letters for a QR sticker; opaque, about 58 bits."""
    return "".join(secrets.choice(SITE_CODE_LETTERS) for _ in range(12))


class OrganisationKind(models.TextChoices):
    PROVINCE = "province", "省"
    CITY = "city", "市"
    DISTRICT = "district", "区县"
    SCHOOL = "school", "学校(幼儿园)"
    TRAINING = "training", "校外培训机构"
    BUS_COMPANY = "bus_company", "校车公司"
    CATERER = "caterer", "供餐单位"
    OTHER = "other", "其他单位"


BUREAU_KINDS = (OrganisationKind.PROVINCE, OrganisationKind.CITY, OrganisationKind.DISTRICT)


class LegalMode(models.TextChoices):
    """On what footing a unit is looked at; a property of the unit, not of the checklist (regulations §0.4)."""

    INTERNAL = "internal", "内部监督"
    ENFORCEMENT = "enforcement", "行政检查"
    TRANSFER = "transfer", "移送"


class SchoolKind(models.TextChoices):
    KINDERGARTEN = "kindergarten", "幼儿园"
    PRIMARY = "primary", "小学"
    JUNIOR = "junior", "初级中学"
    SENIOR = "senior", "高级中学"
    COMPLETE = "complete", "完全中学"
    NINE_YEAR = "nine_year", "九年一贯制学校"
    TWELVE_YEAR = "twelve_year", "十二年一贯制学校"
    VOCATIONAL = "vocational", "中等职业学校"
    SPECIAL = "special", "特殊教育学校"
    TEACHING_POINT = "teaching_point", "教学点"


DATUM_CHOICES = [(datum.value, datum.value) for datum in Datum]


class OrganisationSet(DocumentSet):
    def under(self, node: "Organisation") -> "OrganisationSet":
        """The subtree of a node, itself included."""
        return self.filter(path__startswith=node.path)


class Organisation(Document):
    collection = "organisations"

    kind = models.CharField("类别", max_length=12, choices=OrganisationKind.choices)
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children", verbose_name="上级"
    )
    code = models.CharField("树内代码", max_length=32, unique=True)
    path = models.CharField("路径", max_length=250, unique=True, editable=False)
    name = models.CharField("名称", max_length=80)
    short_name = models.CharField("简称", max_length=40, blank=True)
    legal_mode = models.CharField("监管方式", max_length=12, choices=LegalMode.choices, default=LegalMode.INTERNAL)
    school_kind = models.CharField("办学类型", max_length=16, choices=SchoolKind.choices, blank=True)
    stages = models.JSONField("学段", default=list, blank=True)
    private = models.BooleanField("民办", default=False)
    boarding = models.BooleanField("寄宿", default=False)
    school_code = models.CharField(
        "学校标识码", max_length=10, null=True, blank=True, unique=True, validators=[require_school_code]
    )
    uscc = models.CharField("统一社会信用代码", max_length=18, blank=True, validators=[require_uscc])
    division = models.CharField("区划代码", max_length=12, blank=True)
    town = models.CharField("镇(街)", max_length=40, blank=True)
    address = models.CharField("地址", max_length=120, blank=True)
    phone = models.CharField("联系电话", max_length=20, blank=True)
    latitude = models.FloatField("纬度", null=True, blank=True)
    longitude = models.FloatField("经度", null=True, blank=True)
    datum = models.CharField("坐标系", max_length=8, choices=DATUM_CHOICES, blank=True)
    demo = models.BooleanField("演示数据", default=False)

    objects = OrganisationSet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "单位"
        ordering = ["path"]
        constraints = [
            models.CheckConstraint(
                name="a_position_has_both_numbers_and_a_datum",
                condition=Q(latitude__isnull=True, longitude__isnull=True)
                | (Q(latitude__isnull=False, longitude__isnull=False) & ~Q(datum="")),
            ),
        ]

    def __str__(self) -> str:
        return self.short_name or self.name

    @property
    def is_bureau(self) -> bool:
        return self.kind in BUREAU_KINDS

    @property
    def chain_id(self) -> UUID:
        return self.id

    def place_in_tree(self) -> None:
        """Sets path, audience and keys from parent, code and kind; call before the row is said."""
        self.path = f"{self.parent.path if self.parent else ''}{self.code}/"
        self.audience = Audience.REF if self.is_bureau else Audience.SHARED
        self.keys = [] if self.is_bureau else [str(self.id)]

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "kind": self.kind,
                "parent_id": self.parent_id,
                "name": self.name,
                "short_name": self.short_name,
                "legal_mode": self.legal_mode,
                "school_kind": self.school_kind,
                "stages": self.stages,
                "private": self.private,
                "boarding": self.boarding,
                "school_code": self.school_code,
                "uscc": self.uscc,
                "town": self.town,
                "address": self.address,
                "phone": self.phone,
                "latitude": self.latitude,
                "longitude": self.longitude,
                "datum": self.datum,
                "demo": self.demo,
            }
        )


class SiteKind(models.TextChoices):
    WHOLE = "whole", "整个单位"
    CANTEEN = "canteen", "食堂"
    DORMITORY = "dormitory", "宿舍楼"
    BUS = "bus", "校车"
    SURROUNDINGS = "surroundings", "校门与周边"
    LABORATORY = "laboratory", "实验室"
    TEACHING = "teaching", "教学楼"
    BUILDING_SITE = "building_site", "在建工地"
    OTHER = "other", "其他场所"


class Site(Document):
    """A place that is inspected: run by one unit, serving one or more schools (a bus serves five)."""

    collection = "sites"

    kind = models.CharField("类别", max_length=16, choices=SiteKind.choices)
    unit = models.ForeignKey(Organisation, models.PROTECT, related_name="sites", verbose_name="运行单位")
    serves = models.ManyToManyField(Organisation, related_name="served_by", blank=True, verbose_name="服务学校")
    name = models.CharField("名称", max_length=60)
    code = models.CharField("二维码编号", max_length=12, unique=True, default=new_site_code)
    plate = models.CharField("号牌号码", max_length=10, blank=True, validators=[require_plate])
    plate_colour = models.CharField("号牌颜色", max_length=4, blank=True)
    latitude = models.FloatField("纬度", null=True, blank=True)
    longitude = models.FloatField("经度", null=True, blank=True)
    datum = models.CharField("坐标系", max_length=8, choices=DATUM_CHOICES, blank=True)
    closed_on = models.DateField("停用日期", null=True, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "场所"
        ordering = ["unit_id", "kind", "name"]
        constraints = [
            models.UniqueConstraint("unit", condition=Q(kind="whole"), name="a_unit_has_one_site_for_the_whole_of_it"),
            models.CheckConstraint(name="a_bus_has_a_plate", condition=~Q(kind="bus") | ~Q(plate="")),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def chain_id(self) -> UUID:
        return self.unit_id

    def share_with(self, schools: list[UUID]) -> None:
        """Sets audience and keys: the running unit and the schools served; call before the row is said."""
        self.audience = Audience.SHARED
        self.keys = sorted({str(self.unit_id), *map(str, schools)})

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "kind": self.kind,
                "unit_id": self.unit_id,
                "serves": [key for key in self.keys if key != str(self.unit_id)],
                "name": self.name,
                "code": self.code,
                "plate": self.plate,
                "latitude": self.latitude,
                "longitude": self.longitude,
                "datum": self.datum,
                "closed_on": self.closed_on,
            }
        )
