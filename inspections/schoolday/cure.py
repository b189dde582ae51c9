"""The cure: notices and receipts, reports with pictures, revisits that fail and pass, a transfer, a judgement, closures."""

from datetime import timedelta

from inspections.schoolday.camera import Photograph
from inspections.schoolday.phone import Doc, Nobody, Phone, new_id, now, op, photo_op
from inspections.schoolday.photos import show_copies
from inspections.schoolday.stage import Day
from inspections.schoolday.timeline import Check
from inspections.schoolday.visit import DISPUTED, MAJOR, answered
from inspections.schoolday.wire import Answer, Unexpected

STATES = {
    "registered": "已登记",
    "notified": "已通知",
    "rectifying": "整改中",
    "awaiting_revisit": "待复查",
    "awaiting_closure": "待销号",
    "closed": "已销号",
    "transferred": "已移送",
    "withdrawn": "撤销",
}
WORDS = {
    "findings": "发现",
    "notices": "整改通知",
    "receipts": "签收",
    "reports": "整改报告",
    "revisits": "复查",
}


def item_of(phone: Phone, item_id: str) -> Doc:
    return phone.read(f"rectifications/{item_id}")


def say(phone: Nobody, collection: str, item_id: str, **said) -> Answer:
    """Says something about an item at the web's door."""
    return phone.post(collection, {"rectification_id": item_id, **said})


def judged(item: Doc) -> dict:
    """What a revisit or a closure names: the round and the evidence that were seen."""
    return {"round": item["round"], "evidence_hash": item["evidence_hash"]}


# A surroundings finding: it is not the school's to cure


def transfer(day: Day) -> None:
    """A short visit at the gate finds stalls; the matter goes to other departments and comes back answered."""
    inspector, safety, place = day.cast.inspector, day.cast.safety, day.place("校门东侧")
    visit, code = new_id(), "ZB-06"
    begin = {
        "site_id": day.stage.surroundings["id"],
        "template_version_id": day.stage.surroundings_checklist["id"],
        "started_at": now().isoformat(),
        "answers": {code: answered("fail", place=place, note="三个流动摊贩售卖无标签零食")},
    }
    snapshot = '{"answers":{},"photos":[]}'
    handing_in = {"snapshot": snapshot, "participants": [inspector.person_id], "finished_at": now().isoformat()}
    results = inspector.push(
        [op("inspections", "create", begin, doc_id=visit), op("inspections", "submit", handing_in, doc_id=visit)]
    )
    found = [each for each in inspector.rows("findings", inspection=visit) if each["place"] == place]
    if not found:
        raise Unexpected("周边检查的发现没有进入台账")
    item_id = day.items[code] = found[0]["rectification_id"]
    day.event(
        inspector.title,
        f"校门口检查,{code} 不符合并提交",
        place,
        Check("接受", [each["status"] for each in results], ["applied"] * 2),
        Check("已登记", item_of(safety, item_id)["state"], "registered"),
        Check("没有通知学校,学校看不到", day.cast.principal.get(f"rectifications/{item_id}").status, 404),
    )
    sent = say(
        safety,
        "transfers",
        item_id,
        departments=["市监", "城管"],
        text="校门口流动摊贩售卖无标签食品,请依法处理并反馈",
        reply_by=f"{now() + timedelta(days=7):%Y-%m-%d}",
    )
    moved = item_of(safety, item_id)
    day.event(
        safety.title,
        "移送市监、城管",
        "已移送",
        Check("接受", sent.status, 201),
        Check("状态", moved["state"], "transferred"),
        Check("移送部门", moved["facts"].get("departments"), ["市监", "城管"]),
    )
    back = say(safety, "transfer_replies", item_id, done=True, department="市监", text="已取缔并加强巡查")
    closed = item_of(safety, item_id)
    day.event(
        safety.title,
        "登记市监的回复:办结",
        "已销号",
        Check("接受", back.status, 201),
        Check("状态", closed["state"], "closed"),
    )
    day.things |= {"transfers": sent.json["id"], "transfer_replies": back.json["id"]}


# An ordinary item: two rounds


def notify(day: Day) -> None:
    """The notice opens the item to the school, and the principal's phone owes a receipt."""
    safety, principal, item_id = day.cast.safety, day.cast.principal, day.items[DISPUTED]
    before = principal.get(f"rectifications/{item_id}").status
    notice = say(safety, "notices", item_id, text="从业人员按规定佩戴口罩,洗手设施补齐皂液")
    item = item_of(safety, item_id)
    day.things["notices"] = notice.json["id"]
    day.event(
        safety.title,
        "下发整改通知",
        f"{item['number']},期限 {item['due_on']}",
        Check("通知之前学校看不到", before, 404),
        Check("接受", notice.status, 201),
        Check("已通知", item["state"], "notified"),
        Check("一般隐患 7 天", item["due_on"], f"{now() + timedelta(days=7):%Y-%m-%d}"),
    )
    principal.pull()
    owed = [each for each in principal.held("alerts_mine") if each["subject_id"] == notice.json["id"]]
    if len(owed) != 1:
        raise Unexpected(f"校长应当收到一份通知,实际 {len(owed)} 份")
    opened = principal.post(f"alerts_mine/{owed[0]['id']}/open", {})
    again = principal.post(f"alerts_mine/{owed[0]['id']}/open", {})
    delivery = principal.read(f"alerts_mine/{owed[0]['id']}")
    day.things["alerts_mine"] = owed[0]["id"]
    day.event(
        principal.title,
        "手机收到通知并打开",
        owed[0]["sentence"],
        Check("答复", (opened.status, again.status), (200, 200)),
        Check("已打开,有回执时间", (delivery["state"], bool(delivery["receipt_at"])), ("opened", True)),
        Check("第二次打开不改回执", again.json["receipt_at"], opened.json["receipt_at"]),
    )


def receive(day: Day) -> None:
    principal, item_id = day.cast.principal, day.items[DISPUTED]
    receipt = say(principal, "receipts", item_id, text="收到,今天整改")
    day.things["receipts"] = receipt.json["id"]
    day.event(
        principal.title,
        "签收整改通知",
        "整改中",
        Check("接受", receipt.status, 201),
        Check("状态", item_of(principal, item_id)["state"], "rectifying"),
    )


def report(day: Day, name: str, *, text: str, caption: str) -> Photograph:
    """The principal's report with a picture of after: the bytes first, then report and photo in one batch."""
    principal, item_id = day.cast.principal, day.items[name]
    photo, report_id, photo_id = day.shoot(caption), new_id(), new_id()
    item = item_of(principal, item_id)
    brought = principal.bring(photo)
    said = {
        "rectification_id": item_id,
        "round": item["round"],
        "text": text,
        "photos": [{"id": photo_id, "sha256": photo.sha256}],
        "done_on": f"{now():%Y-%m-%d}",
        "person": "食堂管理员",
    }
    results = principal.push(
        [
            op("reports", "create", said, doc_id=report_id),
            photo_op(photo, "reports", report_id, moment="after", doc_id=photo_id),
        ]
    )
    after = item_of(principal, item_id)
    day.things["reports"] = report_id
    day.event(
        principal.title,
        f"第 {item['round']} 轮整改报告,附整改后照片",
        text,
        Check("原图收到", brought.status, 201),
        Check("接受", [each["status"] for each in results], ["applied"] * 2),
        Check("待复查", (after["state"], after["round"]), ("awaiting_revisit", item["round"])),
        Check("材料变了", after["evidence_hash"] != item["evidence_hash"], True),
        Check("督学看得到照片", day.cast.inspector.read(f"photos/{photo_id}")["state"], "stored"),
    )
    if name == DISPUTED and item["round"] == 1:
        show_copies(day, day.cast.inspector, photo_id, photo)
    return photo


def revisit(day: Day, phone: Phone, name: str, *, passed: bool, reason: str = "", state: str, round: int) -> None:
    """A revisit from the phone, of what it pulled."""
    phone.pull()
    item = phone.mirror["rectifications", day.items[name]]
    said = {"rectification_id": item["id"], "passed": passed, "reason": reason, **judged(item)}
    (result,) = phone.push([op("revisits", "create", said)])
    after = item_of(phone, item["id"])
    day.things["revisits"] = result["doc"]["id"] if result["doc"] else new_id()
    day.event(
        phone.title,
        f"第 {item['round']} 轮复查{'合格' if passed else '不合格'}",
        reason or f"现在{STATES[after['state']]}",
        Check("接受", result["status"], "applied"),
        Check("状态和轮次", (after["state"], after["round"]), (state, round)),
    )


def two_rounds(day: Day) -> None:
    """Reported, failed, somebody passes what is no longer so, reported again, passed, struck off."""
    inspector, safety, principal = day.cast.inspector, day.cast.safety, day.cast.principal
    report(day, DISPUTED, text="已补发口罩", caption="ST-07 MASKS")
    seen = item_of(safety, day.items[DISPUTED])
    own = say(principal, "revisits", seen["id"], passed=True, **judged(seen))
    revisit(day, inspector, DISPUTED, passed=False, reason="洗手池仍无皂液", state="rectifying", round=2)
    stale = say(safety, "revisits", seen["id"], passed=True, **judged(seen))
    day.event(
        f"{safety.title}、{principal.title}",
        "按旧材料判合格;学校自己复查",
        f"{stale.brief};{own.brief}",
        Check("材料已变", (stale.status, stale.code), (409, "stale")),
        Check("学校不能自己复查", own.status, 403),
        Check("没有影响", item_of(safety, seen["id"])["round"], 2),
    )
    report(day, DISPUTED, text="皂液和感应龙头已装好", caption="ST-07 SOAP")
    revisit(day, inspector, DISPUTED, passed=True, state="closed", round=2)
    history = inspector.rows(f"rectifications/{day.items[DISPUTED]}/history")
    day.event(
        inspector.title,
        "看整改经过",
        " → ".join(WORDS.get(each["collection"], each["collection"]) for each in history),
        Check(
            "经过",
            [each["collection"] for each in history],
            ["findings", "notices", "receipts", "reports", "revisits", "reports", "revisits"],
        ),
        Check("编号连续", [each["ordinal"] for each in history], list(range(1, len(history) + 1))),
    )


# A candidate for major: judged, cured, passed by two, closed by an approver


def judge(day: Day) -> None:
    """Only an approver judges; the notice takes the kitchen out of use."""
    approver, safety, item_id = day.cast.approver, day.cast.safety, day.items[MAJOR]
    candidate = item_of(approver, item_id)
    verdict = {"grade": "major", "clauses": ["演示条款:燃气报警装置失效"], "reason": "报警器断电且软管开裂"}
    refused = say(day.cast.inspector, "judgements", item_id, **verdict)
    granted = say(approver, "judgements", item_id, **verdict)
    item = item_of(approver, item_id)
    day.things["judgements"] = granted.json["id"]
    day.event(
        approver.title,
        "判定为重大隐患",
        "督学自己判定的被拒",
        Check("原为待判定", candidate["grade"], "major_candidate"),
        Check("督学不能判定", refused.status, 403),
        Check("接受", granted.status, 201),
        Check("等级", item["grade"], "major"),
    )
    notice = say(
        safety, "notices", item_id, text="立即停用灶间,更换软管和报警器", suspend_use=True, measures="断气、双人看守"
    )
    item = item_of(safety, item_id)
    day.event(
        safety.title,
        "下发整改通知,停用灶间",
        f"{item['number']},期限 {item['due_on']}",
        Check("接受", notice.status, 201),
        Check("已通知、停用", (item["state"], item["facts"].get("suspended")), ("notified", True)),
    )


def close_major(day: Day) -> None:
    """Two persons pass the same round and evidence, then the approver closes; nobody else, and not before."""
    inspector, safety, approver, item_id = day.cast.inspector, day.cast.safety, day.cast.approver, day.items[MAJOR]
    report(day, MAJOR, text="软管和报警器已更换,联动试验正常", caption="ST-21 GAS OK")
    revisit(day, inspector, MAJOR, passed=True, state="awaiting_revisit", round=1)
    early = say(approver, "closures", item_id, granted=True, **judged(item_of(approver, item_id)))
    day.event(
        approver.title,
        "只有一人复查合格就想销号",
        early.brief,
        Check("不行", early.status, 422),
        Check("没有影响", item_of(approver, item_id)["state"], "awaiting_revisit"),
    )
    revisit(day, safety, MAJOR, passed=True, state="awaiting_closure", round=1)
    item = item_of(approver, item_id)
    refused = say(day.cast.inspector, "closures", item_id, granted=True, **judged(item))
    closed = say(approver, "closures", item_id, granted=True, reason="两人复查合格", **judged(item))
    after = item_of(approver, item_id)
    day.things["closures"] = closed.json["id"]
    day.event(
        approver.title,
        "销号",
        f"{item['number']} 已销号",
        Check("督学不能销号", refused.status, 403),
        Check("接受", closed.status, 201),
        Check("已销号", (after["state"], bool(after["closed_at"])), ("closed", True)),
    )


# The late hazard: judged lower, and cured


def settle_late(day: Day) -> None:
    """The approver lowers the grade; then the ordinary way."""
    cast, item_id = day.cast, day.items["late"]
    lowered = say(cast.approver, "judgements", item_id, grade="general", reason="范围小,已围挡")
    notice = say(cast.safety, "notices", item_id, text="清除空鼓瓷砖")
    item = item_of(cast.principal, item_id)
    told = say(cast.principal, "reports", item_id, round=item["round"], text="已清除并修补")
    day.event(
        f"{cast.approver.title}、{cast.safety.title}、{cast.principal.title}",
        "迟报的隐患:判为一般,通知,报告整改",
        item["number"],
        Check("接受", [lowered.status, notice.status, told.status], [201] * 3),
        Check("等级", item["grade"], "general"),
    )
    revisit(day, cast.inspector, "late", passed=True, state="closed", round=1)
