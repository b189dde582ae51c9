"""Who must know at once: from the hazard to the frame on the duty desk, for a desk already open and one opened after."""

import time
from datetime import timedelta

from inspections.schoolday.desk import Desk, Frame
from inspections.schoolday.phone import Doc, Op, now, op, photo_op
from inspections.schoolday.stage import Day
from inspections.schoolday.timeline import Check, holds
from inspections.schoolday.visit import MAJOR, Offline, answered
from inspections.schoolday.wire import Unexpected

AT_ONCE_MS = 1000
FRAME_SECONDS = 10
SILENCE_SECONDS = 2.5  # longer than a hub needs to look by itself
LATE = timedelta(hours=11)
NOT_YOURS, SIGNED_OUT = 4403, 4401


def open_desks(day: Day) -> None:
    """Before anything happens: the officer on duty, a stranger's officer, and two who may not."""
    cast = day.cast
    day.desks["first"] = Desk.open(cast.desk[0])
    day.desks["stranger"] = Desk.open(cast.foreign_officer)
    day.desks["neighbour"] = Desk.open(cast.neighbour)
    day.desks["nobody"] = Desk.open(cast.nobody)
    for name, person in (("first", cast.desk[0]), ("stranger", cast.foreign_officer)):
        waiting = day.desks[name].wait_for(lambda frame: frame.content["t"] == "waiting", seconds=FRAME_SECONDS)
        count = len(waiting.alerts) if waiting else 0
        day.event(person.title, "打开值班台", f"等待清单 {count} 条", holds("收到等待清单", waiting))
    closed = [day.desks[name].wait_until_closed(seconds=FRAME_SECONDS) for name in ("neighbour", "nobody")]
    day.event(
        "外校校长、未登录者",
        "也想打开值班台",
        f"被关闭 {closed[0]}、{closed[1]}",
        Check("关闭代码", closed, [NOT_YOURS, SIGNED_OUT]),
    )


def hazard(day: Day, said: Offline) -> None:
    """A candidate for major, told from the canteen with a signal: the first desk is open, the second opens after it."""
    inspector, place = day.cast.inspector, day.place("灶间")
    photo = day.shoot(f"{MAJOR} GAS")
    answers = {MAJOR: answered("fail", place=place, note="可燃气体报警器断电,软管老化开裂")}
    patch = op("inspections", "patch", {"answers": answers}, doc_id=said.visit)
    picture = photo_op(photo, "inspections", said.visit, item_code=MAJOR)
    results, alert = _told(day, patch, place)
    brought = inspector.bring(photo)
    results += inspector.push([picture])
    day.event(
        inspector.title,
        f"上报 {MAJOR} 重大(待判定),随后传照片",
        place,
        Check("接受", [each["status"] for each in results], ["applied"] * 2),
        Check("原图收到", brought.status, 201),
        Check("刚才发现,不算迟报", alert["late_seconds"] < 60, True),
        Check("等待签收", (alert["state"], alert["severity"], alert["occurrences"]), ("waiting", "major", 1)),
    )
    day.things["alerts"] = alert["id"]
    again = inspector.push([patch])
    standing = day.cast.desk[0].read(f"alerts/{alert['id']}")
    day.event(
        inspector.title,
        "同一条再传一次",
        "不会再惊动值班员",
        Check("回执相同", (again[0]["status"], again[0]["seq"]), (results[0]["status"], results[0]["seq"])),
        Check("仍是一次", standing["occurrences"], 1),
        Check(
            "每位值班员一份通知",
            len({each["person_id"] for each in standing["deliveries"]}),
            len(standing["deliveries"]),
        ),
    )
    acknowledge(day, alert["id"])


def _told(day: Day, telling: Op, place: str) -> tuple[list[dict], Doc]:
    """Pushes, and measures both desks from the start of the POST. Raises Unexpected when no desk hears of it."""

    def shows_it(frame: Frame) -> bool:
        return any(place in alert["sentence"] for alert in frame.alerts)

    began = time.perf_counter()
    results = day.cast.inspector.push([telling])
    answered_ms = _ms(began, time.perf_counter())
    if "second" in day.desks:
        day.desks["second"].close()
    late_desk = day.desks["second"] = Desk.open(day.cast.desk[1])
    frames = [desk.wait_for(shows_it, seconds=FRAME_SECONDS) for desk in (day.desks["first"], late_desk)]
    if None in frames:
        raise Unexpected(f"值班台 {FRAME_SECONDS} 秒内没有收到预警")
    first_ms, second_ms = (_ms(began, frame.at) for frame in frames)
    day.event(
        "值班台",
        "从开始上报到收到预警(上报的回执 " + f"{answered_ms} 毫秒)",
        f"先开的 {first_ms} 毫秒,后开的 {second_ms} 毫秒",
        holds(f"先开的不到 {AT_ONCE_MS} 毫秒", first_ms < AT_ONCE_MS),
        holds(f"后开的不到 {AT_ONCE_MS} 毫秒", second_ms < AT_ONCE_MS),
        Check("先开的是新到的一条", frames[0].content["t"], "alert"),
        Check("后开的在等待清单里", frames[1].content["t"], "waiting"),
    )
    alert = next(alert for alert in frames[0].alerts if place in alert["sentence"])
    day.alerts.append(alert["id"])
    day.alarmed_at = time.perf_counter()
    return results, alert


def _ms(began: float, ended: float) -> int:
    return round((ended - began) * 1000)


def acknowledge(day: Day, alert_id: str) -> None:
    """The second officer acknowledges on top of the first: one record, one answer."""
    first, second = day.cast.desk
    one = first.post(f"alerts/{alert_id}/acknowledge", {})
    other = second.post(f"alerts/{alert_id}/acknowledge", {})
    known = day.desks["second"].wait_for(
        lambda frame: any(alert["id"] == alert_id and alert["acknowledged"] for alert in frame.alerts),
        seconds=FRAME_SECONDS,
    )
    standing = second.read(f"alerts/{alert_id}")
    day.event(
        f"{first.title}、{second.name}",
        "先后签收",
        "记第一人,第二人得到同样的答复",
        Check("都答 200", (one.status, other.status), (200, 200)),
        Check("答复相同", other.body, one.body),
        Check("签收人", standing["acknowledgement"]["person_id"], first.person_id),
        holds("另一个值班台也看到已签收", known),
    )


def told_late(day: Day) -> None:
    """A hazard seen last night where there was no signal, told eleven hours later."""
    inspector, place = day.cast.inspector, day.place("教学楼北侧")
    said = {
        "site_id": day.stage.whole["id"],
        "text": "外墙瓷砖大面积空鼓,下方是学生通道",
        "kind": "hazard",
        "grade": "major_candidate",
        "place": place,
    }
    telling = op("quick_hazards", "create", said, at=now() - LATE)
    day.things["quick_hazards"] = telling["id"]
    results, alert = _told(day, telling, place)
    hours = alert["late_seconds"] // 3600
    day.event(
        inspector.title,
        "随手拍:11 小时前发现的隐患现在才有信号",
        f"值班台显示发现于 {hours} 小时前",
        Check("接受", results[0]["status"], "applied"),
        Check("迟报 11 小时", hours, 11),
        holds("升级从得知时起算", alert["escalate_at"] and alert["escalate_at"] > alert["first_known_at"]),
        Check("预警所指", alert["subject"]["collection"], "rectifications"),
    )
    day.items["late"] = results[0]["doc"]["rectification_id"]
    acknowledge(day, alert["id"])


def silence(day: Day) -> None:
    """The stranger's desk was open all the while, and shows nothing however often a hub has looked since."""
    time.sleep(max(0, day.alarmed_at + SILENCE_SECONDS - time.perf_counter()))
    shown = [
        alert for alert in day.desks["stranger"].shown() if day.tag in alert["sentence"] or alert["id"] in day.alerts
    ]
    mine = [alert for alert in day.desks["first"].shown() if alert["id"] in day.alerts]
    day.event(
        day.cast.foreign_officer.title,
        "值班台一直开着",
        "本区的预警一条也没有收到",
        Check("没有收到", shown, []),
        Check("一直没有断开", day.desks["stranger"].closed_with, None),
        holds("本区值班台都收到了", {alert["id"] for alert in mine} == set(day.alerts)),
    )


def resolve(day: Day) -> None:
    """What was alarmed is in hand and done: the alerts end."""
    officer = day.cast.desk[0]
    for alert_id in day.alerts:
        answer = officer.post(f"alerts/{alert_id}/resolve", {"reason": "已整改销号"})
        standing = officer.read(f"alerts/{alert_id}")
        day.event(
            officer.title,
            "办结预警",
            standing["sentence"][:40],
            Check("答复", answer.status, 200),
            Check("状态", standing["state"], "resolved"),
            Check("通知都已结束", {each["state"] for each in standing["deliveries"]}, {"over"}),
        )
