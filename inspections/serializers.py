"""Shapes of evidence and cure: what may be asked of a list, and what one thing of each collection looks like. No lookups."""

from rest_framework import serializers

from safety.serializers import Any, Between, Day, Flag, Key, Paging, Shape, Text

GRADES = [
    ("none", "问题"),
    ("general", "一般"),
    ("serious", "较大"),
    ("major_candidate", "重大(待判定)"),
    ("major", "重大"),
]
FINDING_KINDS = [("issue", "问题"), ("hazard", "隐患"), ("incident", "事件")]
ITEM_STATES = [
    ("registered", "已登记"),
    ("notified", "已通知"),
    ("rectifying", "整改中"),
    ("awaiting_revisit", "待复查"),
    ("awaiting_closure", "待销号"),
    ("closed", "已销号"),
    ("transferred", "已移送"),
    ("withdrawn", "撤销"),
]
INSPECTION_STATES = [("draft", "检查中"), ("submitted", "已提交"), ("void", "作废")]
TASK_STATES = [("open", "待检查"), ("done", "已完成"), ("void", "作废")]
PHOTO_STATES = [("declared", "待上传"), ("stored", "已收到"), ("sealed", "已封存"), ("unreadable", "无法读取")]
RENDITIONS = [("original", "原图"), ("transport", "传输图"), ("annotated", "标注图")]

Code = serializers.CharField


# What may be asked


class TemplateFilters(Paging):
    code = Code(required=False, max_length=12, help_text="检查表代码，如 T01。")
    current = Flag(help_text="true：每张检查表只看最新版。")
    text = Text(help_text="名称中的字。")


class TaskFilters(Between):
    unit = Key(help_text="单位。")
    site = Key(help_text="场所。")
    state = Any(TASK_STATES, help_text="状态。")
    overdue = Flag(help_text="true：过了截止日期还没有完成。")
    mine = Flag(help_text="true：交给我的。")
    text = Text(help_text="名称中的字。")


class InspectionFilters(Between):
    unit = Key(help_text="单位。")
    site = Key(help_text="场所。")
    task = Key(help_text="任务。")
    template = Key(help_text="检查表版本。")
    state = Any(INSPECTION_STATES, help_text="状态。")


class FindingFilters(Between):
    unit = Key(help_text="单位。")
    site = Key(help_text="场所。")
    inspection = Key(help_text="在哪次检查中发现。")
    rectification = Key(help_text="归入哪个整改项。")
    item_code = Code(required=False, max_length=12, help_text="检查项代码，如 ST-11。")
    kind = Any(FINDING_KINDS, help_text="类别。")
    grade = Any(GRADES, help_text="等级。")
    text = Text(help_text="内容中的字。")


class RectificationFilters(Between):
    unit = Key(help_text="单位。")
    site = Key(help_text="场所。")
    state = Any(ITEM_STATES, help_text="状态。")
    kind = Any(FINDING_KINDS, help_text="类别；隐患台账取 hazard。")
    grade = Any(GRADES, help_text="等级。")
    item_code = Code(required=False, max_length=12, help_text="检查项代码，如 ST-11。")
    open = Flag(help_text="true：还没有销号或撤销。")
    overdue = Flag(help_text="true：过了整改期限还没有结束。")
    due_by = Day(help_text="整改期限在这一天或更早。")
    text = Text(help_text="内容或编号中的字。")


class StatementFilters(Between):
    unit = Key(help_text="单位。")
    rectification = Key(help_text="关于哪个整改项。")
    inspection = Key(help_text="关于哪次检查。")
    author = Key(help_text="谁说的。")


class QuickHazardFilters(Between):
    unit = Key(help_text="单位。")
    site = Key(help_text="场所。")
    inspection = Key(help_text="哪次检查中拍的。")
    kind = Any(FINDING_KINDS, help_text="类别。")
    grade = Any(GRADES, help_text="等级。")
    text = Text(help_text="内容中的字。")


class SubmissionFilters(Paging):
    inspection = Key(help_text="哪次检查。")
    unit = Key(help_text="单位。")


class ConflictFilters(Paging):
    target = Key(help_text="哪份文档。")
    unit = Key(help_text="单位。")
    resolved = Flag(help_text="是否已选定。")


class PhotoFilters(Paging):
    subject = Key(help_text="拍的是哪份文档。")
    unit = Key(help_text="单位。")
    site = Key(help_text="场所。")
    item_code = Code(required=False, max_length=12, help_text="检查项代码。")
    state = Any(PHOTO_STATES, help_text="状态。")


class HistoryFilters(Paging):
    """The history of one item, oldest first."""


# What one thing looks like


class TemplateShape(Shape):
    template_id = serializers.UUIDField()
    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField([("fixed", "固定"), ("choose", "固定加自选"), ("generator", "按需生成")])
    version = serializers.IntegerField()
    sha256 = serializers.CharField()
    restricted = serializers.BooleanField()
    published_at = serializers.DateTimeField(allow_null=True)
    content = serializers.CharField(help_text="内容的地址：按哈希取，永不改变。")


class TemplateTextShape(serializers.Serializer):
    """The frozen text of a checklist, as canonical JSON; its members are those of the version that froze it."""

    code = serializers.CharField()
    name = serializers.CharField()


class TaskShape(Shape):
    site_id = serializers.UUIDField()
    unit_id = serializers.UUIDField()
    template_version_id = serializers.UUIDField()
    title = serializers.CharField()
    opens_on = serializers.DateField()
    due_on = serializers.DateField()
    assignees = serializers.ListField(child=serializers.UUIDField())
    state = serializers.ChoiceField(TASK_STATES)


class InspectionShape(Shape):
    state = serializers.ChoiceField(INSPECTION_STATES)
    site_id = serializers.UUIDField()
    unit_id = serializers.UUIDField()
    template_version_id = serializers.UUIDField()
    task_id = serializers.UUIDField(allow_null=True)
    creator_id = serializers.UUIDField()
    participants = serializers.ListField(child=serializers.UUIDField())
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    header = serializers.DictField()
    answers = serializers.DictField(help_text="按检查项代码。")
    flags = serializers.ListField()
    void_reason = serializers.CharField()
    submitted_by = serializers.UUIDField(allow_null=True)
    submitted_at = serializers.DateTimeField(allow_null=True)
    snapshot_sha256 = serializers.CharField(help_text="签字所对的快照；空为尚未提交。")


class FindingShape(serializers.Serializer):
    id = serializers.UUIDField()
    rectification_id = serializers.UUIDField()
    ordinal = serializers.IntegerField()
    inspection_id = serializers.UUIDField(allow_null=True)
    quick_hazard_id = serializers.UUIDField(allow_null=True)
    revisit_id = serializers.UUIDField(allow_null=True)
    unit_id = serializers.UUIDField()
    site_id = serializers.UUIDField()
    item_code = serializers.CharField()
    kind = serializers.ChoiceField(FINDING_KINDS)
    grade = serializers.ChoiceField(GRADES)
    place = serializers.CharField()
    text = serializers.CharField()
    fixed_on_spot = serializers.BooleanField()
    found_by = serializers.UUIDField()
    found_at = serializers.DateTimeField()
    verdict = serializers.CharField()
    names = serializers.DictField(child=serializers.JSONField())


class RectificationShape(Shape):
    number = serializers.CharField()
    site_id = serializers.UUIDField()
    unit_id = serializers.UUIDField()
    item_code = serializers.CharField()
    place = serializers.CharField()
    kind = serializers.ChoiceField(FINDING_KINDS)
    grade = serializers.ChoiceField(GRADES)
    text = serializers.CharField()
    requirement = serializers.CharField()
    bases = serializers.ListField(help_text="检查当日检查表版本所引的依据。")
    state = serializers.ChoiceField(ITEM_STATES)
    round = serializers.IntegerField(help_text="第几轮整改。")
    evidence_hash = serializers.CharField()
    last_ordinal = serializers.IntegerField(help_text="最近一份材料的序号;提交材料时填入 seen,表示看到哪里。")
    found_on = serializers.DateField()
    due_on = serializers.DateField(allow_null=True)
    facts = serializers.DictField(help_text="延期、停用、挂牌、反复等情况。")
    closed_at = serializers.DateTimeField(allow_null=True)
    repeats = serializers.UUIDField(allow_null=True)
    suggests = serializers.UUIDField(allow_null=True)
    overdue = serializers.BooleanField(help_text="今天是否已超期；按今天计算，不属于文档本身。")


class StatementShape(Shape):
    """What one person said; its content lies beside these members, as it was said."""

    rectification_id = serializers.UUIDField(allow_null=True)
    inspection_id = serializers.UUIDField(allow_null=True)
    ordinal = serializers.IntegerField(allow_null=True)
    author_id = serializers.UUIDField()
    said_at = serializers.DateTimeField()
    verdict = serializers.CharField()
    problem_code = serializers.CharField()


class HistoryEntryShape(serializers.Serializer):
    ordinal = serializers.IntegerField()
    collection = serializers.CharField(help_text="findings,或所说的话的集合，如 reports。")
    document = serializers.DictField()


class QuickHazardShape(Shape):
    site_id = serializers.UUIDField()
    unit_id = serializers.UUIDField()
    inspection_id = serializers.UUIDField(allow_null=True)
    item_code = serializers.CharField()
    kind = serializers.ChoiceField(FINDING_KINDS)
    grade = serializers.ChoiceField(GRADES)
    place = serializers.CharField()
    text = serializers.CharField()
    fixed = serializers.BooleanField()
    author_id = serializers.UUIDField()
    said_at = serializers.DateTimeField()
    rectification_id = serializers.UUIDField(allow_null=True)


class SubmissionShape(Shape):
    inspection_id = serializers.UUIDField()
    kind = serializers.ChoiceField(
        [
            ("alternative", "另一份提交"),
            ("amendment", "更正"),
            ("late", "提交后的修改"),
            ("withheld", "限定人员查看的内容"),
        ]
    )
    author_id = serializers.UUIDField()
    reason = serializers.CharField()
    content = serializers.CharField(help_text="JSON 字符串，原样。")
    sha256 = serializers.CharField()
    said_at = serializers.DateTimeField()


class ConflictShape(Shape):
    target_collection = serializers.CharField()
    target_id = serializers.UUIDField()
    group = serializers.CharField(help_text="哪一组内容，如 answers.ST-11.result、header.summary。")
    kept = serializers.JSONField()
    lost = serializers.JSONField()
    kept_by = serializers.UUIDField(allow_null=True)
    lost_by = serializers.UUIDField(allow_null=True)
    lost_at = serializers.DateTimeField()
    pick = serializers.ChoiceField(["", "kept", "lost"], help_text="选定了哪一个;空为尚未选定。")
    resolved_by = serializers.UUIDField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)


class CopyShape(serializers.Serializer):
    name = serializers.CharField(help_text="320、1600 或 stamped。")
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    href = serializers.CharField()


class PhotoShape(Shape):
    subject_collection = serializers.CharField()
    subject_id = serializers.UUIDField()
    unit_id = serializers.UUIDField()
    item_code = serializers.CharField()
    rendition = serializers.ChoiceField(RENDITIONS)
    original_id = serializers.UUIDField(allow_null=True)
    sha256 = serializers.CharField(help_text="原图字节的哈希；原图不对外提供。")
    size_bytes = serializers.IntegerField()
    mode = serializers.ChoiceField([("camera", "现场拍摄"), ("gallery", "相册导入")])
    moment = serializers.CharField()
    taken_at = serializers.DateTimeField(allow_null=True)
    corrected_at = serializers.DateTimeField(allow_null=True)
    latitude = serializers.FloatField(allow_null=True)
    longitude = serializers.FloatField(allow_null=True)
    accuracy_m = serializers.FloatField(allow_null=True)
    datum = serializers.CharField()
    author_id = serializers.UUIDField()
    state = serializers.ChoiceField(PHOTO_STATES)
    copies = CopyShape(many=True, help_text="可供查看的副本，不含元数据。")
