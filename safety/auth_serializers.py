"""Shapes of what is sent and answered when people sign in. Shapes only: no models, no rights, no rules."""

from rest_framework import serializers

from safety.serializers import NamedShape


class LoginInput(serializers.Serializer):
    username = serializers.CharField(max_length=40)
    password = serializers.CharField(max_length=128, trim_whitespace=False)
    device = serializers.CharField(max_length=60, help_text="终端名称,例如:张老师的手机")
    device_id = serializers.UUIDField(required=False, help_text="重新登录时,这台终端原来的编号")
    cookie = serializers.BooleanField(default=False, help_text="令牌放进浏览器脚本读不到的 cookie,不在答复里")


class PersonBrief(NamedShape):
    username = serializers.CharField()


class LoginAnswer(serializers.Serializer):
    token = serializers.CharField(allow_null=True, help_text="只答复这一次;要了 cookie 时为 null")
    device = NamedShape()
    person = PersonBrief()


class NodeBrief(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()


class PostRow(serializers.Serializer):
    id = serializers.UUIDField()
    role = serializers.CharField()
    role_name = serializers.CharField()
    side = serializers.CharField(help_text="bureau 教育局一方,unit 学校一方")
    node = NodeBrief()
    from_on = serializers.DateField()
    to_on = serializers.DateField(allow_null=True)
    verbs = serializers.ListField(child=serializers.CharField(), help_text="这个任职在该单位(及其下属)可以办理的动作")


class Rights(serializers.Serializer):
    verbs = serializers.ListField(child=serializers.CharField())
    desk = serializers.BooleanField(help_text="可以打开值班台")
    admin = serializers.BooleanField(help_text="可以进入管理后台")


class Me(serializers.Serializer):
    person = PersonBrief()
    device = NamedShape(allow_null=True)
    posts = PostRow(many=True)
    rights = Rights()
