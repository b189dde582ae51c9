"""Shapes of what is not here yet, of what nobody accepted, and of what was brought in from a file. Shapes only."""

from rest_framework import serializers

from safety.serializers import NamedShape


class PhoneShape(serializers.Serializer):
    """A phone, as far as its outbox is concerned."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    person = NamedShape()
    units = serializers.ListField(child=serializers.CharField(), help_text="机主今天任职的单位")
    ops = serializers.IntegerField(
        allow_null=True, help_text="还在手机上的记录:上次联络时所说,减去此后收到的;从没报告过为 null"
    )
    blobs = serializers.IntegerField(allow_null=True, help_text="还在手机上的照片;从没报告过为 null")
    since = serializers.DateTimeField(allow_null=True, help_text="其中最早的一件从何时起(已按手机时钟偏差校正)")
    late = serializers.BooleanField(help_text="超过提醒时限")
    contact_at = serializers.DateTimeField(allow_null=True, help_text="最后一次联络")
    app_version = serializers.CharField(help_text="客户端版本;没说过为空")
    skew_ms = serializers.IntegerField(allow_null=True, help_text="手机时钟减服务器时钟")
    revoked_at = serializers.DateTimeField(allow_null=True)
    lost_at = serializers.DateTimeField(allow_null=True)
    wipe_ordered_at = serializers.DateTimeField(allow_null=True)
    wiped_at = serializers.DateTimeField(allow_null=True)


class WaitShape(serializers.Serializer):
    """An operation that has come and waits."""

    op_id = serializers.UUIDField()
    person = NamedShape()
    device = NamedShape(help_text="从哪台手机来")
    verb = serializers.CharField()
    said = serializers.CharField(help_text="这个动作的中文说法")
    waits_for = serializers.CharField(help_text="等候什么,一句话")
    kind = serializers.CharField(help_text="所等材料的类别;operations 为另一操作,faults 为服务器自己的故障")
    doc_id = serializers.UUIDField()
    since = serializers.DateTimeField()


class MissingPhotosShape(serializers.Serializer):
    """Photos that were declared and whose bytes have not come."""

    person = NamedShape(help_text="照片在谁的手机上")
    unit = serializers.CharField()
    site = serializers.CharField()
    count = serializers.IntegerField()
    ids = serializers.ListField(child=serializers.UUIDField())
    since = serializers.DateTimeField(allow_null=True)


class BacklogShape(serializers.Serializer):
    at = serializers.DateTimeField()
    limit_hours = serializers.IntegerField(help_text="超过多少小时提醒本人和教育局")
    phones = PhoneShape(many=True)
    waiting = WaitShape(many=True)
    photos = MissingPhotosShape(many=True)


class HeldShape(serializers.Serializer):
    """Something that may exist on the phone alone."""

    collection = serializers.CharField()
    id = serializers.UUIDField()
    unit = serializers.CharField()
    site = serializers.CharField()
    what = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    due_on = serializers.DateField(allow_null=True)


class HoldingsShape(serializers.Serializer):
    at = serializers.DateTimeField()
    phone = PhoneShape()
    waiting = WaitShape(many=True)
    unanswered = serializers.IntegerField(help_text="已存下、还没有办理的操作")
    drafts = HeldShape(many=True)
    photos = MissingPhotosShape(many=True)
    tasks = HeldShape(many=True)


class ReviewShape(serializers.Serializer):
    handled_at = serializers.DateTimeField()
    handled_by = NamedShape()
    note = serializers.CharField()


class OrphanShape(serializers.Serializer):
    """An operation that a person should look at."""

    id = serializers.UUIDField()
    why = serializers.ChoiceField(
        choices=[("refused", "没有接受"), ("out-of-order", "未等到上一步,先行办理"), ("set-aside", "手机搁置")]
    )
    op_id = serializers.UUIDField()
    person = NamedShape()
    device = NamedShape()
    verb = serializers.CharField()
    said = serializers.CharField(help_text="这个动作的中文说法")
    collection = serializers.CharField()
    doc_id = serializers.UUIDField(allow_null=True)
    at = serializers.DateTimeField()
    code = serializers.CharField(help_text="没有接受的原因代码;其他两类为空")
    reason = serializers.CharField(help_text="缘由,给人看")
    handled = ReviewShape(allow_null=True)


class OrphanContentShape(OrphanShape):
    """One of them with what was said, where that is opened to the reader."""

    content = serializers.CharField(allow_null=True, help_text="所说的原文(JSON);不向您开放或已删除时为 null")


class OrphanFilters(serializers.Serializer):
    why = serializers.ChoiceField(
        choices=[("refused", "没有接受"), ("out-of-order", "未等到上一步,先行办理"), ("set-aside", "手机搁置")],
        default="refused",
    )
    handled = serializers.BooleanField(default=False, help_text="看已处理的")
    code = serializers.SlugField(required=False, max_length=40, help_text="只看这个原因代码")
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    after = serializers.CharField(required=False, max_length=500)


class HandlingInput(serializers.Serializer):
    note = serializers.CharField(max_length=300, help_text="怎样处理的;进入记录")


class LineShape(serializers.Serializer):
    """What became of one operation or photo of an import."""

    id = serializers.CharField(help_text="操作编号,或照片的 SHA-256")
    what = serializers.CharField()
    status = serializers.CharField()
    words = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class ImportShape(serializers.Serializer):
    id = serializers.UUIDField()
    device = NamedShape()
    person = NamedShape()
    operations = LineShape(many=True)
    photos = LineShape(many=True)


class SetAsideResultShape(serializers.Serializer):
    op_id = serializers.UUIDField()
    known_status = serializers.CharField(allow_null=True, help_text="服务器早已有的回执;没有为 null")


class SetAsideAnswerShape(serializers.Serializer):
    protocol = serializers.IntegerField()
    server_time = serializers.DateTimeField()
    results = SetAsideResultShape(many=True)
