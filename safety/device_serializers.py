"""Shapes of phones: how they are listed, and what is asked when something is done to one. Shapes only."""

from rest_framework import serializers

from safety.serializers import NamedShape


class DeviceRow(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    person = NamedShape()
    registered_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    revoked_by = NamedShape(allow_null=True)
    lost_at = serializers.DateTimeField(allow_null=True, help_text="挂失时间")
    wipe_ordered_at = serializers.DateTimeField(allow_null=True, help_text="何时下令清除;手机下次联络时得知")
    rescue_until = serializers.DateTimeField(allow_null=True, help_text="在此之前,清除前还可以补传")
    wiped_at = serializers.DateTimeField(allow_null=True, help_text="手机自己报告已清除")
    current = serializers.BooleanField(help_text="就是发出这次请求的终端")


class DeviceRows(serializers.Serializer):
    devices = DeviceRow(many=True)


class DeviceFilters(serializers.Serializer):
    of = serializers.ChoiceField(
        choices=[("mine", "自己的"), ("covered", "自己任职范围内各人的(系统管理员、安全科、值班员)")],
        default="mine",
        help_text="看谁的手机",
    )
    person = serializers.UUIDField(required=False, help_text="只看此人的")
    ended = serializers.BooleanField(required=False, help_text="只看已停用的,或只看在用的")


class DeviceName(serializers.Serializer):
    name = serializers.CharField(max_length=60)


class WipeOrder(serializers.Serializer):
    rescue = serializers.BooleanField(
        default=False, help_text="清除前,七天内允许它先把没有上传的内容传完;手机可能在别人手里时不要允许"
    )
