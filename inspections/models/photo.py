"""Photos as documents, their bytes under their SHA-256, and what is made of them for showing."""

from uuid import UUID

import msgspec
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import Exact

from safety.coordinates import Datum
from safety.models import Document, Organisation, Person


class PhotoState(models.TextChoices):
    DECLARED = "declared", "待上传"
    STORED = "stored", "已收到"
    SEALED = "sealed", "已封存"
    UNREADABLE = "unreadable", "无法读取"


class Photo(Document):
    """One picture of one subject; add-only. Its bytes may come before it or after."""

    collection = "photos"

    subject_collection = models.CharField("对象", max_length=24)
    subject_id = models.UUIDField("对象编号")
    unit = models.ForeignKey(Organisation, models.PROTECT, related_name="+", verbose_name="单位")
    site_id = models.UUIDField("场所", null=True)
    item_code = models.CharField("检查项", max_length=12, blank=True)
    rendition = models.CharField(
        "版本", max_length=10, choices=[("original", "原图"), ("transport", "传输图"), ("annotated", "标注图")]
    )
    original_id = models.UUIDField("原图", null=True)  # the photo that a transport or annotated one was made from
    sha256 = models.CharField("内容哈希", max_length=64)
    size_bytes = models.BigIntegerField("字节数")
    mode = models.CharField("来源", max_length=8, choices=[("camera", "现场拍摄"), ("gallery", "相册导入")])
    moment = models.CharField("时机", max_length=8, blank=True, choices=[("before", "整改前"), ("after", "整改后")])
    taken_at = models.DateTimeField("拍摄时间(手机)", null=True)
    corrected_at = models.DateTimeField("拍摄时间(校正)", null=True)
    latitude = models.FloatField("纬度", null=True)
    longitude = models.FloatField("经度", null=True)
    accuracy_m = models.FloatField("精度(米)", null=True)
    datum = models.CharField("坐标系", max_length=8, blank=True, choices=[(each.value, each.value) for each in Datum])
    cover_only = models.BooleanField("只拍封面", default=False)  # stays with the bureau whatever its subject does
    author = models.ForeignKey(Person, models.PROTECT, related_name="+", verbose_name="拍摄人", db_index=False)
    state = models.CharField("状态", max_length=10, choices=PhotoState.choices, default=PhotoState.DECLARED)

    class Meta:
        verbose_name = verbose_name_plural = "照片"
        constraints = [
            # not a regular expression: SQLite would call Python for each photo; the doors look at the digits
            models.CheckConstraint(name="a_photo_names_its_sha256", condition=Exact(Length("sha256"), 64)),
        ]
        indexes = [
            models.Index(fields=["sha256"], name="photo_of_blob"),
            models.Index(fields=["subject_id"], name="photo_of_subject"),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def chain_id(self) -> UUID:
        return self.unit_id

    def wire(self) -> bytes:
        return msgspec.json.encode(
            {
                "id": self.id,
                "rev": self.rev,
                "subject_collection": self.subject_collection,
                "subject_id": self.subject_id,
                "unit_id": self.unit_id,
                "item_code": self.item_code,
                "rendition": self.rendition,
                "original_id": self.original_id,
                "sha256": self.sha256,
                "size_bytes": self.size_bytes,
                "mode": self.mode,
                "moment": self.moment,
                "taken_at": self.taken_at,
                "corrected_at": self.corrected_at,
                "latitude": self.latitude,
                "longitude": self.longitude,
                "accuracy_m": self.accuracy_m,
                "datum": self.datum,
                "author_id": self.author_id,
                "state": self.state,
            }
        )


class Blob(models.Model):
    """Bytes as taken, on disk under their SHA-256; write-once and private. `destroyed` keeps the row and the hash.

    Where settings name a remote store they go there as well (inspections/carrying.py): `remote_at` says since when they were
    read back from it, `local_dropped_at` that the file on this disk has gone.
    """

    sha256 = models.CharField(primary_key=True, max_length=64)
    size_bytes = models.BigIntegerField()
    media_type = models.CharField(max_length=20)
    width = models.IntegerField()
    height = models.IntegerField()
    stored_at = models.DateTimeField()
    sealed_at = models.DateTimeField(null=True)
    destroyed_at = models.DateTimeField(null=True)
    remote_at = models.DateTimeField(null=True)
    remote_try_at = models.DateTimeField(
        null=True
    )  # not before: a lease while somebody carries, a pause after a failure
    remote_attempts = models.IntegerField(default=0)
    local_dropped_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "照片文件"
        indexes = [
            models.Index(
                fields=["stored_at"],
                name="blob_here_alone",
                condition=Q(remote_at__isnull=True, destroyed_at__isnull=True),
            ),
            models.Index(
                fields=["remote_at"],
                name="blob_here_and_there",
                condition=Q(remote_at__isnull=False, local_dropped_at__isnull=True),
            ),
            models.Index(
                fields=["destroyed_at"],
                name="blob_destroyed_here_alone",
                condition=Q(remote_at__isnull=False, destroyed_at__isnull=False),
            ),
        ]


class BlobHolder(models.Model):
    """Who brought these bytes: knowing a hash is no right to read; only a holder is told that they are here."""

    blob = models.ForeignKey(Blob, models.CASCADE, related_name="holders")
    person = models.ForeignKey(Person, models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("blob", "person", name="a_holder_is_noted_once")]


class Derivation(models.Model):
    """That shown copies of a photo are wanted: a row with a lease, done outside any request."""

    photo = models.OneToOneField(Photo, models.CASCADE, primary_key=True, related_name="derivation")
    wanted_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    done_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=40, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["wanted_at"], name="derivation_wanted", condition=Q(done_at__isnull=True, failure=""))
        ]


class ShownCopy(models.Model):
    """One derivative of one photo (320, 1600, stamped), on disk; a side row without a change."""

    photo = models.ForeignKey(Photo, models.CASCADE, related_name="copies")
    name = models.CharField(max_length=10)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint("photo", "name", name="a_photo_has_each_copy_once")]
