"""What a line of the log says, in the words of the people who read it in the admin: `inspection.submitted` is 提交."""

from django.conf import settings
from django.utils.module_loading import import_string

KINDS = {  # the second word of a kind; the first one is the document's own name
    "acknowledged": "签收",
    "added": "增加材料",
    "arrived": "送达",
    "awaiting_closure": "转为待销号",
    "awaiting_revisit": "转为待复查",
    "changed": "修改",
    "closed": "销号",
    "created": "新建",
    "decided": "给出回执",
    "declared": "登记",
    "deleted": "删除",
    "dismissed": "标为误报",
    "drafted": "起草",
    "dropped": "撤下",
    "erased": "按规定删除内容",
    "escalated": "升级",
    "failed": "没有送到",
    "found_again": "再次发现",
    "handled": "标为已处理",
    "joined": "加入",
    "linked": "并入",
    "lost": "挂失",
    "moved": "移到别处",
    "notified": "下达通知",
    "opened": "打开",
    "outbox_imported": "导入未传内容",
    "over": "结束",
    "owed": "列入待发",
    "patched": "填写",
    "posted": "任职有变",
    "published": "发布",
    "raised": "发出",
    "rectifying": "转为整改中",
    "registered": "登记",
    "renamed": "改名",
    "repeated": "又报一次",
    "resolved": "办结",
    "revoked": "停用",
    "said": "作出",
    "spoken_of": "有新的说明",
    "stored": "收到",
    "submitted": "提交",
    "supplemented": "补充",
    "taken": "开始处置",
    "told": "报告",
    "transferred": "移送",
    "unattended": "无人值守",
    "voided": "作废",
    "wipe_ordered": "下令清除",
    "wiped": "已清除",
    "withdrawn": "撤销",
}


def kind_words(kind: str) -> str:
    """`inspection.submitted` → 提交; a kind without words stays as it is."""
    return KINDS.get(kind.partition(".")[2], kind)


def collection_words(collection: str) -> str:
    """`inspections` → 检查; the names come from above, where the collections are."""
    return import_string(settings.COLLECTION_WORDS).get(collection, collection)
