"""What phones said and what became of it; what a phone said of itself at each contact; what it is still uploading."""

from django.db import models
from django.db.models import Q

from safety.ids import new_id


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

    def __str__(self) -> str:
        return f"操作 {str(self.op_id)[:13]}…"


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
        indexes = [models.Index(fields=["at"], name="verdict_refused", condition=Q(status="rejected"))]

    def __str__(self) -> str:
        return f"操作 {str(self.op_id)[:13]}… 的回执"


class Waiting(models.Model):
    """An operation that waits, and for what; looked at again by a job. `since` never moves: five days end a wait.

    `kind` is the collection of the document that must come into its author's sight, `operations` for another operation
    that it names in `after`, or `faults` for one that we failed to hear. What was heard again in vain is not asked again
    before `try_at`.
    """

    op_id = models.UUIDField(primary_key=True)
    person_id = models.UUIDField()
    kind = models.CharField("等候", max_length=24)
    doc_id = models.UUIDField()
    since = models.DateTimeField("开始等候")
    lease_until = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField("重试次数", default=0)
    try_at = models.DateTimeField("下次重试", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "等待中的操作"
        indexes = [
            models.Index(fields=["doc_id"], name="waiting_for_document"),
            models.Index(fields=["person_id"], name="waiting_of_person"),
        ]


class Contact(models.Model):
    """What a phone said of itself when it last called: outbox, clock skew, version.

    `unsent_since` is by our clock: when the oldest thing in its outbox was made, as far as we know; null when nothing
    waits there.
    """

    device_id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()
    skew_ms = models.BigIntegerField(null=True)
    outbox_ops = models.IntegerField(null=True)
    outbox_blobs = models.IntegerField(null=True)
    outbox_oldest_at = models.DateTimeField(null=True)  # by the phone's clock
    unsent_since = models.DateTimeField(null=True)
    app_version = models.CharField(max_length=40, blank=True)
    pulled_seq = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "终端联络"
        constraints = [
            models.CheckConstraint(
                name="an_outbox_is_not_negative", condition=Q(outbox_ops__isnull=True) | Q(outbox_ops__gte=0)
            )
        ]
        indexes = [
            models.Index(fields=["unsent_since"], name="contact_unsent", condition=Q(unsent_since__isnull=False))
        ]


class SetAside(models.Model):
    """An operation that a phone put aside and reported: kept with its bytes, and not heard before the phone sends it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    op_id = models.UUIDField("操作编号")
    person_id = models.UUIDField("人员")
    device_id = models.UUIDField("终端")
    collection = models.CharField("集合", max_length=24)
    doc_id = models.UUIDField("文档", null=True)
    verb = models.CharField("动作", max_length=40)
    payload_sha256 = models.BinaryField(max_length=32)
    body_id = models.UUIDField()
    reason = models.CharField("手机所述原因", max_length=300)
    failures = models.IntegerField("失败次数", default=0)
    put_aside_at = models.DateTimeField("搁置时间", null=True)
    reported_at = models.DateTimeField("报告时间")

    class Meta:
        verbose_name = verbose_name_plural = "手机搁置的操作"
        constraints = [models.UniqueConstraint("device_id", "op_id", name="an_operation_is_put_aside_once_by_a_phone")]
        indexes = [models.Index(fields=["reported_at"], name="set_aside_by_time")]


class Why(models.TextChoices):
    REFUSED = "refused", "没有接受"
    OUT_OF_ORDER = "out-of-order", "未等到上一步，先行办理"
    SET_ASIDE = "set-aside", "手机搁置"


class Review(models.Model):
    """That a person should look at an operation, or has: out of order, put aside by its phone, or refused.

    What was refused has its row when somebody has dealt with it; the others from the moment at which they came up. It is
    about an operation, by its id, or about what a phone put aside, by the id of that row.
    """

    about_id = models.UUIDField("所指", primary_key=True)
    why = models.CharField("缘由", max_length=12, choices=Why.choices)
    raised_at = models.DateTimeField("提出时间")
    handled_at = models.DateTimeField("处理时间", null=True)
    handled_by = models.UUIDField("处理人", null=True)
    note = models.CharField("处理说明", max_length=300, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "待人查看"
        constraints = [
            models.CheckConstraint(
                name="who_handled_says_when_and_how",
                condition=Q(handled_at__isnull=True, handled_by__isnull=True)
                | (Q(handled_at__isnull=False, handled_by__isnull=False) & ~Q(note="")),
            )
        ]
        indexes = [
            models.Index(fields=["raised_at"], name="review_to_do", condition=Q(handled_at__isnull=True)),
        ]


class OutboxImport(models.Model):
    """That an administrator brought in the outbox of a phone from a file: which file, whose, and what it held."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    file_sha256 = models.CharField("文件指纹", max_length=64)
    device_id = models.UUIDField("终端")
    person_id = models.UUIDField("人员")
    imported_by = models.UUIDField("导入人")
    imported_at = models.DateTimeField("导入时间")
    operations = models.IntegerField("操作")
    photos = models.IntegerField("照片")

    class Meta:
        verbose_name = verbose_name_plural = "导入的待传内容"
        indexes = [models.Index(fields=["device_id", "imported_at"], name="import_of_device")]


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
