"""The log: the clock, the chains, what was said, what became true, and where each document stands now.

Log tables carry no foreign-key constraints and only indexes that a query reads: they are written at every push.
"""

from django.db import models
from django.db.models import Q


class Clock(models.Model):
    """One row: the last number given. It is bumped as the last act of a unit, so numbers appear in commit order."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    epoch = models.CharField(max_length=40)
    durable_seq = models.BigIntegerField(null=True)  # the newest number of this epoch that a verified backup holds
    kept_after = models.BigIntegerField(default=0)  # what left or was deleted up to here may be swept away
    swept_seq = models.BigIntegerField(default=0)  # how far that has come
    swept_at = models.DateTimeField(null=True)  # when the horizon was last looked at

    class Meta:
        constraints = [models.CheckConstraint(name="there_is_one_clock", condition=Q(id=1))]


class EndedEpoch(models.Model):
    """A history of numbers that was cut off: a backup was restored, and what came after `seq` is not in it."""

    epoch = models.CharField(primary_key=True, max_length=40)
    seq = models.BigIntegerField("止于序号")
    ended_at = models.DateTimeField("结束时间")

    class Meta:
        verbose_name = verbose_name_plural = "已结束的数据批次"


class Backup(models.Model):
    """A copy of the database that was verified, or that the bureau's own backup reported: it holds all up to `seq`."""

    epoch = models.CharField("数据批次", max_length=40)
    seq = models.BigIntegerField("备到序号")
    at = models.DateTimeField("时间")
    file = models.CharField("文件", max_length=200, blank=True)
    bytes = models.BigIntegerField("字节数", null=True)
    sha256 = models.CharField("摘要", max_length=64, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "备份"


class ChainHead(models.Model):
    """The end of one organisation's chain; locked before a document of that organisation is loaded for writing."""

    organisation_id = models.UUIDField(primary_key=True)
    n = models.BigIntegerField(default=0)
    hash = models.BinaryField(max_length=32, default=bytes(32))


class Body(models.Model):
    """What was said, once, as received; erasing takes bytes and salt and leaves the hash."""

    id = models.UUIDField(primary_key=True)
    salt = models.BinaryField(max_length=16, null=True)
    bytes = models.BinaryField(null=True)
    hash = models.BinaryField(max_length=32)
    erased_at = models.DateTimeField(null=True)


class Change(models.Model):
    """One fact: one verb and one document that it moved. Technical kinds carry no body and no chain."""

    seq = models.BigIntegerField("序号", primary_key=True)
    collection = models.CharField("集合", max_length=24)
    doc_id = models.UUIDField("文档")
    kind = models.CharField("变更", max_length=48)
    actor_id = models.UUIDField("操作人", null=True)
    device_id = models.UUIDField("终端", null=True)
    operation_id = models.UUIDField("终端操作", null=True)
    said_at = models.DateTimeField("说于")
    received_at = models.DateTimeField("收到时间")
    body_id = models.UUIDField("内容", null=True)
    body_hash = models.BinaryField(max_length=32, null=True)
    chain_id = models.UUIDField("证据链", null=True)
    n = models.BigIntegerField("环号", null=True)
    prev = models.BinaryField(max_length=32, null=True)
    hash = models.BinaryField(max_length=32, null=True)

    class Meta:
        verbose_name = verbose_name_plural = "变更"
        indexes = [
            models.Index(fields=["collection", "doc_id", "seq"], name="change_of_document"),
            models.Index(fields=["chain_id", "n"], name="change_in_chain", condition=Q(chain_id__isnull=False)),
        ]


class Index(models.Model):
    """Where a document stands now, one row per reader key, with its finished wire form."""

    pk = models.CompositePrimaryKey("collection", "doc_id", "audience", "key")
    collection = models.CharField(max_length=24)
    doc_id = models.UUIDField()
    audience = models.CharField(max_length=10)
    key = models.UUIDField()
    seq = models.BigIntegerField()
    created_seq = models.BigIntegerField()
    rev = models.IntegerField()
    deleted = models.BooleanField(default=False)
    schema = models.SmallIntegerField(default=1)
    wire = models.BinaryField()

    class Meta:
        indexes = [
            models.Index(fields=["audience", "key", "seq"], name="index_of_reader"),
            models.Index(fields=["seq"], name="index_by_seq"),
        ]


class Exit(models.Model):
    """A document left a reader key at this number; told to those who could read it there and now cannot."""

    seq = models.BigIntegerField()
    collection = models.CharField(max_length=24)
    doc_id = models.UUIDField()
    audience = models.CharField(max_length=10)
    key = models.UUIDField()

    class Meta:
        indexes = [models.Index(fields=["audience", "key", "seq"], name="exit_of_reader")]


class ScopeSet(models.Model):
    """A resolved set of (audience, key) pairs under the hash of its content."""

    hash = models.CharField(primary_key=True, max_length=64)
    members = models.JSONField()


class ScopeServed(models.Model):
    """Which set a person was served from when to when; past sight keeps the right to finish what began under it."""

    person_id = models.UUIDField()
    set_hash = models.CharField(max_length=64)
    from_at = models.DateTimeField()
    to_at = models.DateTimeField(null=True)
    day = models.DateField()

    class Meta:
        indexes = [models.Index(fields=["person_id", "from_at"], name="scope_of_person")]
        constraints = [
            models.UniqueConstraint(
                "person_id", condition=Q(to_at__isnull=True), name="a_person_is_served_one_scope_at_a_time"
            )
        ]
