"""What phones said and what became of it; what a phone said of itself at each contact; what it is still uploading."""

from django.db import models
from django.db.models import Q


class Operation(models.Model):
    """One thing said by a phone, stored before it is understood. Its bytes lie in `Body`."""

    op_id = models.UUIDField("操作编号", primary_key=True)
    person_id = models.UUIDField("人员")
    device_id = models.UUIDField("终端")
    collection = models.CharField("集合", max_length=24)
    doc_id = models.UUIDField("文档", null=True)
    verb = models.CharField("动作", max_length=40)
    payload_sha256 = models.BinaryField(max_length=32)
    body_id = models.UUIDField()
    schema = models.SmallIntegerField(default=1)
    said_at = models.DateTimeField("说于")
    received_at = models.DateTimeField("收到时间")

    class Meta:
        verbose_name = verbose_name_plural = "终端操作"
        indexes = [models.Index(fields=["device_id", "received_at"], name="operation_of_device")]


class Verdict(models.Model):
    """The final answer to an operation; written once, in the unit that had the effect."""

    op_id = models.UUIDField("操作编号", primary_key=True)
    status = models.CharField("结果", max_length=12)
    seq = models.BigIntegerField("序号", null=True)
    problem = models.JSONField("原因", null=True)
    conflicts = models.JSONField(default=list)
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "回执"


class Waiting(models.Model):
    """An operation that waits for a document to appear in its author's sight; looked at again by a job.

    `kind` is the document's collection, or `operations`.
    """

    op_id = models.UUIDField(primary_key=True)
    person_id = models.UUIDField()
    kind = models.CharField(max_length=24)
    doc_id = models.UUIDField()
    since = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "等待中的操作"
        indexes = [
            models.Index(fields=["doc_id"], name="waiting_for_document"),
            models.Index(fields=["person_id"], name="waiting_of_person"),
        ]


class Contact(models.Model):
    """What a phone said of itself when it last called: outbox, clock skew, version."""

    device_id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()
    skew_ms = models.BigIntegerField(null=True)
    outbox_ops = models.IntegerField(null=True)
    outbox_blobs = models.IntegerField(null=True)
    outbox_oldest_at = models.DateTimeField(null=True)
    app_version = models.CharField(max_length=40, blank=True)
    pulled_seq = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "终端联络"
        constraints = [
            models.CheckConstraint(
                name="an_outbox_is_not_negative", condition=Q(outbox_ops__isnull=True) | Q(outbox_ops__gte=0)
            )
        ]


class Upload(models.Model):
    """Who is bringing which bytes. How many are here is the length of the part file alone (sync/uploads.py)."""

    id = models.UUIDField(primary_key=True)
    person_id = models.UUIDField()
    device_id = models.UUIDField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)  # of the whole file; a part of a concatenation names none
    length_bytes = models.BigIntegerField()
    media_type = models.CharField(max_length=80, blank=True)  # as claimed
    photo_id = models.UUIDField(null=True)
    concat = models.TextField(blank=True)  # `partial`, or `final;` and the parts as they were named
    metadata = models.TextField(blank=True)  # as it came, for HEAD
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "照片上传"
        constraints = [
            models.CheckConstraint(
                name="a_whole_upload_names_its_sha256",
                condition=Q(concat="partial") | Q(sha256__regex=r"^[0-9a-f]{64}$"),
            )
        ]
        indexes = [
            models.Index(fields=["person_id", "sha256"], name="upload_begun", condition=Q(finished_at__isnull=True)),
            models.Index(fields=["created_at"], name="upload_unfinished", condition=Q(finished_at__isnull=True)),
        ]
