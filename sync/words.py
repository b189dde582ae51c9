"""What the road says to people: verbs, waits and verdicts in plain Chinese, times as people say them."""

from datetime import datetime, timedelta

from django.utils import timezone

from sync.models import Waiting
from sync.waiting import FAULTS, OPERATIONS

COLLECTIONS = {
    "inspections": "检查",
    "photos": "照片",
    "quick_hazards": "随手拍",
    "submissions": "补充提交",
    "conflicts": "不一致的两个值",
    "rectifications": "整改项",
    "notices": "整改通知",
    "receipts": "整改签收",
    "reports": "整改报告",
    "revisits": "复查",
    "extensions": "延期申请",
    "judgements": "判定",
    "closures": "销号",
    "withdrawals": "撤销申请",
    "transfers": "移送",
    "transfer_replies": "移送答复",
    "decisions": "审批",
    "signatures": "签字",
    "comments": "留言",
    "alerts": "预警",
    "alerts_mine": "通知",
    "sites": "场所",
    "tasks": "任务",
    "templates": "检查表",
    "checklists": "检查表",
    "devices": "手机",
    "deliveries": "待发通知",
    "findings": "发现",
    "operations": "手机操作",
    "organisations": "单位",
    "people": "人员",
    "shifts": "值班班次",
    "sync_results": "回执",
}
ACTIONS = {
    "create": "新建",
    "patch": "填写",
    "submit": "提交",
    "join": "加入",
    "void": "作废",
    "delete": "删除",
    "resolve": "选定",
    "acknowledge": "签收",
    "take": "处置",
    "dismiss": "标为误报",
    "open": "打开",
}
OTHERWISE = {  # where the two words do not make one
    "alerts.resolve": "办结预警",
    "alerts.dismiss": "把预警标为误报",
}
STATUSES = {
    "applied": "已办理",
    "merged": "已合并",
    "superseded": "已收下，但已有更新的内容，不再改动",
    "rejected": "没有接受",
    "deferred": "已收下，正在等候",
    "retry": "服务器正忙，还没有办理",
}
CODES = {
    "not-found": "所说的材料没有送到，或不在本人范围内",
    "not-allowed": "不由本人办理",
    "not-a-participant": "不是这次检查的参加人",
    "dependency-failed": "上一步没有被接受",
    "id-taken": "编号已经用过",
    "op-id-reused": "操作编号已经用过",
    "photo-banned": "这一项不能拍照",
    "validation": "内容不符合要求",
    "malformed": "内容读不懂",
    "unknown-verb": "服务器不认识这种操作",
    "not-deletable": "记录只增不减，不能删除",
    "erased": "内容已由管理员删除",
    "server-error": "服务器出了问题，会自动重试",
}
WEEKDAYS = "一二三四五六日"
NOTABLE_SKEW = timedelta(minutes=2)  # a phone's clock that is off by less is as good as right (sync.md §1.4)


def said(verb: str) -> str:
    """`inspections.submit` → 提交检查; what is unknown stays as it is， in quotes."""
    collection, _, action = verb.partition(".")
    if collection not in COLLECTIONS or action not in ACTIONS:
        return f"“{verb}”" if verb else "读不懂的操作"
    return OTHERWISE.get(verb) or f"{ACTIONS[action]}{COLLECTIONS[collection]}"


def waits_for(waiting: Waiting) -> str:
    """What a waiting operation waits for, in a sentence."""
    if waiting.kind == FAULTS:
        return f"服务器没能办理，正在自动重试（已试 {waiting.attempts} 次）"
    if waiting.kind == OPERATIONS:
        return "等候上一步操作：还在手机上，没有送到"
    return f"等候所属的{COLLECTIONS.get(waiting.kind, '材料')}：还没有送到，或不在本人范围内"


def reason(code: str) -> str:
    """Why an operation was refused, in a few words."""
    return CODES.get(code, "规则不允许")


def explained(problem: dict) -> str:
    """Why, for people: the problem's own sentence, unless that quotes a decoder's English."""
    code = problem.get("code", "")
    if code in ("validation", "malformed"):
        return f"{reason(code)}：手机上的应用可能太旧。请更新应用后重做这一步，或转告技术人员。"
    return problem.get("detail") or reason(code)


def skew(skew_ms: int | None) -> str:
    """手机时钟快 3 分钟; empty while the clock is as good as right."""
    if skew_ms is None or abs(off := timedelta(milliseconds=skew_ms)) < NOTABLE_SKEW:
        return ""
    return f"手机时钟{'快' if skew_ms > 0 else '慢'} {length(abs(off))}"


def length(span: timedelta) -> str:
    """2 天 3 小时, 5 小时, 12 分钟."""
    minutes = max(0, int(span.total_seconds() // 60))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} 天 {hours} 小时" if hours and days < 10 else f"{days} 天"
    if hours:
        return f"{hours} 小时"
    return f"{minutes} 分钟" if minutes else "不到 1 分钟"


def when(moment: datetime, now: datetime) -> str:
    """今天 16:20, 昨天 08:15, 9月3日 周三 09:00, 2025年9月3日."""
    there, here = timezone.localtime(moment), timezone.localtime(now)
    days = (here.date() - there.date()).days
    if days in (0, 1):
        return f"{'今天' if days == 0 else '昨天'} {there:%H:%M}"
    if there.year != here.year:
        return f"{there.year}年{there.month}月{there.day}日"
    return f"{there.month}月{there.day}日 周{WEEKDAYS[there.weekday()]} {there:%H:%M}"
