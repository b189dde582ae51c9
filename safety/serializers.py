"""Shapes of the ground: what may be asked of a list, and what one thing of each collection looks like. No lookups.

Documents leave as their wire form, the same bytes that a phone pulls, with `names` beside it for people to read; the
shapes here describe them for the schema, and a test holds every answer against them.
"""

from datetime import date

from django.core.validators import MaxValueValidator, MinValueValidator
from rest_framework import serializers

EARLIEST, LATEST = date(2000, 1, 1), date(2100, 12, 31)  # dates beyond are slips of the pen, and overflow some engines

ORGANISATION_KINDS = [
    ("province", "省"),
    ("city", "市"),
    ("district", "区县"),
    ("school", "学校(幼儿园)"),
    ("training", "校外培训机构"),
    ("bus_company", "校车公司"),
    ("caterer", "供餐单位"),
    ("other", "其他单位"),
]
LEGAL_MODES = [("internal", "内部监督"), ("enforcement", "行政检查"), ("transfer", "移送")]
SITE_KINDS = [
    ("whole", "整个单位"),
    ("canteen", "食堂"),
    ("dormitory", "宿舍楼"),
    ("bus", "校车"),
    ("surroundings", "校门与周边"),
    ("laboratory", "实验室"),
    ("teaching", "教学楼"),
    ("building_site", "在建工地"),
    ("other", "其他场所"),
]
ROLES = [
    ("inspector", "责任督学"),
    ("duty_officer", "值班员"),
    ("shift_leader", "带班领导"),
    ("safety_officer", "安全科人员"),
    ("approver", "审批人"),
    ("administrator", "系统管理员"),
    ("principal", "校(园)长"),
    ("school_safety_officer", "学校安全员"),
    ("delegate", "受托教职工"),
]
SEATS = [(1, "值班员"), (2, "备班"), (3, "带班领导"), (4, "分管副局长")]
ALERT_STATES = [
    ("waiting", "待签收"),
    ("acknowledged", "已签收"),
    ("in_hand", "处置中"),
    ("resolved", "办结"),
    ("false_alarm", "误报"),
    ("withdrawn", "已撤销"),
    ("linked", "已并入"),
]
SEVERITIES = [("major", "重大"), ("incident", "事件"), ("system", "值守")]
DELIVERY_STATES = [
    ("pending", "待发"),
    ("sent", "已发出"),
    ("arrived", "已到达"),
    ("opened", "已打开"),
    ("failed", "未送达"),
    ("over", "已结束"),
]
CHANNELS = [("desk", "值班台"), ("app", "手机"), ("sms", "短信")]


# What may be asked


class Any(serializers.MultipleChoiceField):
    """One or several of these: repeat the parameter."""

    def __init__(self, choices, **more):
        super().__init__(choices=choices, required=False, allow_empty=False, **more)

    def to_internal_value(self, data) -> list[str]:
        return sorted(super().to_internal_value(data))


class Day(serializers.DateField):
    """A date of the school's calendar (Asia/Shanghai), YYYY-MM-DD."""

    def __init__(self, **more):
        bounds = [MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
        super().__init__(required=False, validators=bounds, **more)


class Text(serializers.CharField):
    """A part of the words that are looked for."""

    def __init__(self, **more):
        super().__init__(required=False, min_length=1, max_length=40, **more)


class Key(serializers.UUIDField):
    def __init__(self, **more):
        super().__init__(required=False, **more)


class Flag(serializers.BooleanField):
    def __init__(self, **more):
        super().__init__(required=False, **more)


class NamedShape(serializers.Serializer):
    """Of whom or what the name is all that is told."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class Nothing(serializers.Serializer):
    """A door that takes no parameters."""


class Paging(serializers.Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50, help_text="每页条数，最多 200。")
    after = serializers.CharField(required=False, max_length=400, help_text="上一页给出的 next，原样带回。")


class Between(Paging):
    from_on = Day(help_text="从这一天起（含）。")
    to_on = Day(help_text="到这一天止（含）。")

    def validate(self, asked: dict) -> dict:
        if "from_on" in asked and "to_on" in asked and asked["from_on"] > asked["to_on"]:
            raise serializers.ValidationError({"to_on": ["结束日期早于开始日期。"]}, code="order")
        return asked


class OrganisationFilters(Paging):
    kind = Any(ORGANISATION_KINDS, help_text="类别。")
    under = Key(help_text="这个单位及其下属。")
    boarding = Flag(help_text="只看寄宿(或非寄宿)。")
    text = Text(help_text="名称中的字。")


class SiteFilters(Paging):
    kind = Any(SITE_KINDS, help_text="类别。")
    unit = Key(help_text="运行单位。")
    serves = Key(help_text="服务的学校。")
    closed = Flag(help_text="是否已停用。")
    text = Text(help_text="名称中的字。")


class PersonFilters(Paging):
    node = Key(help_text="今天在这个单位任职。")
    role = Any(ROLES, help_text="今天担任的角色。")
    active = Flag(help_text="账号是否启用。")
    text = Text(help_text="姓名中的字。")


class ShiftFilters(Between):
    node = Key(help_text="值守单位。")
    person = Key(help_text="值班人员。")
    now = Flag(help_text="true：只看此刻在班的。")


class AlertFilters(Between):
    state = Any(ALERT_STATES, help_text="状态。")
    severity = Any(SEVERITIES, help_text="级别。")
    unit = Key(help_text="出事的单位。")
    site = Key(help_text="场所。")
    open = Flag(help_text="true：还没有结束的。")
    waiting = Flag(help_text="true：等我处理的，即我值班范围内的和通知到我的未结预警。")


class DeliveryFilters(Between):
    state = Any(DELIVERY_STATES, help_text="状态。")
    opened = Flag(help_text="是否已打开。")
    subject_collection = serializers.CharField(required=False, max_length=24, help_text="通知的对象在哪个集合。")
    subject = Key(help_text="通知的对象。")


# What one thing looks like


class Shape(serializers.Serializer):
    """A document as phones pull it, and the names of what it points to."""

    id = serializers.UUIDField()
    rev = serializers.IntegerField(help_text="版本：每次改动加一。")
    names = serializers.DictField(
        child=serializers.JSONField(), help_text="供人阅读的名称，键与编号字段相同；不属于文档本身。"
    )


class OrganisationShape(Shape):
    kind = serializers.ChoiceField(ORGANISATION_KINDS)
    parent_id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    short_name = serializers.CharField()
    legal_mode = serializers.ChoiceField(LEGAL_MODES)
    school_kind = serializers.CharField()
    stages = serializers.ListField(child=serializers.CharField())
    private = serializers.BooleanField()
    boarding = serializers.BooleanField()
    school_code = serializers.CharField(allow_null=True)
    uscc = serializers.CharField()
    town = serializers.CharField()
    address = serializers.CharField()
    phone = serializers.CharField()
    latitude = serializers.FloatField(allow_null=True)
    longitude = serializers.FloatField(allow_null=True)
    datum = serializers.CharField()
    demo = serializers.BooleanField(help_text="演示数据。")


class SiteShape(Shape):
    kind = serializers.ChoiceField(SITE_KINDS)
    unit_id = serializers.UUIDField()
    serves = serializers.ListField(child=serializers.UUIDField())
    name = serializers.CharField()
    code = serializers.CharField(help_text="二维码编号。")
    plate = serializers.CharField()
    latitude = serializers.FloatField(allow_null=True)
    longitude = serializers.FloatField(allow_null=True)
    datum = serializers.CharField()
    closed_on = serializers.DateField(allow_null=True)


class PostShape(serializers.Serializer):
    id = serializers.UUIDField()
    role = serializers.ChoiceField(ROLES)
    node_id = serializers.UUIDField()
    node = serializers.CharField()
    side = serializers.ChoiceField(["bureau", "unit"])
    to_on = serializers.DateField(allow_null=True)


class PersonShape(Shape):
    name = serializers.CharField()
    active = serializers.BooleanField()
    posts = PostShape(many=True, help_text="今天的任职，只列您看得到的单位。")


class ShiftShape(serializers.Serializer):
    id = serializers.UUIDField()
    node_id = serializers.UUIDField()
    person_id = serializers.UUIDField()
    seat = serializers.ChoiceField(SEATS)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    names = serializers.DictField(child=serializers.JSONField())


class AcknowledgementShape(serializers.Serializer):
    person_id = serializers.UUIDField()
    name = serializers.CharField()
    said_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()


class DeliveryOfAlertShape(serializers.Serializer):
    id = serializers.UUIDField()
    person_id = serializers.UUIDField()
    name = serializers.CharField()
    reason = serializers.CharField(
        help_text="duty 当班 · informed 知会 · escalated 升级 · administrator 管理员 · unsent 手机久未上传"
    )
    channel = serializers.ChoiceField(CHANNELS)
    state = serializers.ChoiceField(DELIVERY_STATES)
    owed_at = serializers.DateTimeField()
    receipt_at = serializers.DateTimeField(allow_null=True)


class AlertShape(Shape):
    organisation_id = serializers.UUIDField()
    node_id = serializers.UUIDField()
    site_id = serializers.UUIDField(allow_null=True)
    severity = serializers.ChoiceField(SEVERITIES)
    sentence = serializers.CharField()
    state = serializers.ChoiceField(ALERT_STATES)
    occurrences = serializers.IntegerField()
    subject_collection = serializers.CharField()
    subject_id = serializers.UUIDField(allow_null=True)
    first_said_at = serializers.DateTimeField(help_text="发现时间(手机时钟，已校正)。")
    first_known_at = serializers.DateTimeField(help_text="我们得知的时间；升级从这时算起。")
    late_seconds = serializers.IntegerField(help_text="得知比发现晚多少秒。")
    fixed_since = serializers.BooleanField(allow_null=True)
    seat_told = serializers.IntegerField()
    escalate_at = serializers.DateTimeField(allow_null=True)
    acknowledgement = AcknowledgementShape(allow_null=True)
    deliveries = DeliveryOfAlertShape(many=True, help_text="值守人员看全部，其他人只看自己的。")


class DeliveryShape(Shape):
    subject_collection = serializers.CharField()
    subject_id = serializers.UUIDField()
    organisation_id = serializers.UUIDField()
    reason = serializers.CharField()
    sentence = serializers.CharField()
    channel = serializers.ChoiceField(CHANNELS)
    state = serializers.ChoiceField(DELIVERY_STATES)
    owed_at = serializers.DateTimeField()
    receipt_at = serializers.DateTimeField(allow_null=True)


class ChainLinkShape(serializers.Serializer):
    id = serializers.UUIDField(help_text="哪个单位的链。")
    n = serializers.IntegerField()
    prev = serializers.CharField()
    hash = serializers.CharField()


class ChangeShape(serializers.Serializer):
    seq = serializers.IntegerField()
    collection = serializers.CharField()
    doc_id = serializers.UUIDField()
    kind = serializers.CharField()
    actor_id = serializers.UUIDField(allow_null=True)
    device_id = serializers.UUIDField(allow_null=True)
    operation_id = serializers.UUIDField(allow_null=True)
    said_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    body_hash = serializers.CharField(allow_null=True, help_text="所说内容(含盐)的 SHA-256；内容删除后仍在。")
    chain = ChainLinkShape(allow_null=True, help_text="技术性变更和个人文档不入链。")
    names = serializers.DictField(child=serializers.JSONField())


class ChainShape(serializers.Serializer):
    organisation_id = serializers.UUIDField()
    verified = serializers.IntegerField(help_text="从第一环起，连续核对无误的环数。")
    intact = serializers.BooleanField()
    first_bad = serializers.IntegerField(allow_null=True, help_text="第一个对不上的环号。")
    detail = serializers.CharField()
