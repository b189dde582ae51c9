"""The visit: two inspectors without a signal at one canteen, and what comes of it when the signal is back."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from inspections.schoolday.camera import Photograph
from inspections.schoolday.phone import Doc, Op, Phone, new_id, now, op, photo_op
from inspections.schoolday.photos import show_copies
from inspections.schoolday.stage import Day
from inspections.schoolday.timeline import Check, holds
from inspections.schoolday.wire import Unexpected, until

DRAIN_SECONDS = 20
DISPUTED = "ST-07"  # one says in order, the other not
LATER = "ST-18"  # left unchecked by the one who submits
MAJOR = "ST-21"
ANSWERS = {
    "ST-05": {"value": "ok", "measures": {"handlers": 9, "certificates": 9, "oldest_months": 7}},
    DISPUTED: {"value": "ok"},
    "ST-10": {"value": "ok"},
    "ST-11": {"value": "ok", "measures": {"chilled": [4.5, 5.0], "frozen": [-18]}},
    "ST-15": {"value": "ok", "measures": {"grams": [130, 150], "hours": [48], "varieties": 4, "samples": 4}},
    "ST-16": {"value": "na", "reason": "餐具外委消毒"},
    LATER: {"value": "unchecked", "reason": "库房钥匙不在现场"},
}
# what the record says of itself: pictures that the checklist asks for, and the school's hand
UNSIGNED = "missing-unit-signature"
FLAGS = {"missing-photo:ST-10", "missing-photo:ST-11", "missing-photo:ST-15", UNSIGNED}


@dataclass(frozen=True, slots=True)
class Offline:
    """What lies in two outboxes while there is no signal."""

    visit: str
    began: datetime
    mine: list[Op]  # the inspector's: create, patch
    theirs: list[Op]  # the colleague's: join, patch, photo
    photo: Photograph


def answered(value: str, *, note: str = "", **more) -> dict:
    return {"result": {"value": value, **more}, "note": note}


def off_line(day: Day) -> Offline:
    """One phone begins the visit and shows its QR code, the other joins by the secret in it; both answer."""
    stage, began = day.stage, now() - timedelta(minutes=50)
    visit, secret = new_id(), secrets.token_urlsafe(16)
    day.things["inspections"] = visit
    begin = {
        "site_id": stage.canteen["id"],
        "template_version_id": stage.canteen_checklist["id"],
        "started_at": began.isoformat(),
        "join_sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "header": {"weather": "晴", "accompanied_by": "食堂负责人"},
    }
    create = op("inspections", "create", begin, doc_id=visit, at=began)
    answers = {code: {"result": result, "note": ""} for code, result in ANSWERS.items()}
    patch = _patch(visit, answers, at=began + timedelta(minutes=30), after=create)
    where = f"{stage.canteen['name']} · {stage.canteen_checklist['name']}"
    day.overheard = [create]
    day.event(day.cast.inspector.title, f"没有信号,在手机上建立检查,填 {len(answers)} 项", where)
    join = op("inspections", "join", {"secret": secret}, doc_id=visit, at=began + timedelta(minutes=5))
    disputed = {DISPUTED: answered("fail", place=day.place("备餐间"), note="两人未戴口罩,洗手池没有皂液")}
    their_patch = _patch(visit, disputed, at=began + timedelta(minutes=35), after=join)
    photo = day.shoot(f"{DISPUTED} SERVERY")
    picture = photo_op(photo, "inspections", visit, item_code=DISPUTED, after=[join["op_id"]])
    day.things["photos"] = picture["id"]
    day.event(
        day.cast.colleague.title, f"扫同事的码加入,同一项 {DISPUTED} 判不符合并拍照", f"{photo.size_bytes / 1e6:.1f} MB"
    )
    return Offline(visit, began, [create, patch], [join, their_patch, picture], photo)


def _patch(visit: str, answers: dict, *, at: datetime, after: Op) -> Op:
    return op("inspections", "patch", {"answers": answers}, doc_id=visit, at=at, after=[after["op_id"]])


def colleague_speaks_first(day: Day, said: Offline) -> None:
    """The bytes, the photo's document, the join and the answers arrive before the visit: nothing is lost, all waits."""
    colleague, inspector, blob = day.cast.colleague, day.cast.inspector, f"blobs/{said.photo.sha256}"
    brought, again = colleague.bring(said.photo), colleague.bring(said.photo)
    day.event(
        colleague.title,
        "先有信号:上传照片原图两次",
        f"{brought.status}、{again.status}",
        Check("新的字节答 201,再传答 200", (brought.status, again.status), (201, 200)),
        Check("本人问得到", colleague.head(blob).status, 200),
        Check("别人问不到", inspector.head(blob).status, 404),
    )
    results = colleague.push(said.theirs)
    day.event(
        colleague.title,
        "上传加入、检查结果和照片记录,检查本身还在同事手机上",
        "都在等待",
        Check("三条都等待", _statuses(results), ["deferred"] * 3),
        Check("不给任何内容", [each["doc"] for each in results], [None] * 3),
    )
    colleague.pull()
    day.event(
        colleague.title, "同步", "还看不到这次检查", holds("没有", ("inspections", said.visit) not in colleague.mirror)
    )


def the_answer_is_lost(day: Day, said: Offline) -> None:
    """The inspector's batch is heard, its answer never arrives; the phone says the same again, and once more."""
    inspector = day.cast.inspector
    inspector.push_and_lose_the_answer(said.mine)
    day.event(inspector.title, "有了信号:上传检查,回执在路上丢失", "手机不知道服务器收到没有")
    first, second = inspector.push(said.mine), inspector.push(said.mine)
    day.event(
        inspector.title,
        "同一批再传两次",
        "回执相同,没有重复",
        Check("两次都已接受", _statuses(first), ["applied"] * 2),
        Check("都标明是重复", [each.get("replayed") for each in first + second], [True] * 4),
        Check("回执和序号相同", _verdicts(first), _verdicts(second)),
        holds("序号先后不同", first[0]["seq"] < first[1]["seq"]),
    )
    kinds = _changes(inspector, said.visit)
    day.event(
        inspector.title,
        "查这次检查的变更记录",
        "建立和填写各一次",
        Check("建立一次", kinds.count("inspection.created"), 1),
        Check("本机的填写一次", _changes(inspector, said.visit, by=inspector).count("inspection.patched"), 1),
    )


def the_waiting_is_heard(day: Day, said: Offline) -> None:
    """What waited is heard without anybody sending it again; its verdicts come with the next pull."""
    colleague, ids = day.cast.colleague, [each["op_id"] for each in said.theirs]

    def verdicts() -> dict[str, Doc] | None:
        colleague.pull()
        found = {doc["op_id"]: doc for doc in colleague.held("sync_results") if doc["op_id"] in ids}
        return found if len(found) == len(ids) else None

    found = until(verdicts, seconds=DRAIN_SECONDS) or {}
    day.event(
        "服务器",
        "检查到了,等待的三条自动处理",
        "加入、合并、照片归位",
        Check(
            "回执随同步到达",
            [found.get(each, {}).get("status") for each in ids],
            ["applied", "merged", "applied"],
        ),
        Check("再传一次,回执相同", _statuses(colleague.push(said.theirs)), ["applied", "merged", "applied"]),
    )
    visit = colleague.mirror.get(("inspections", said.visit), {})
    photo = colleague.mirror.get(("photos", day.things["photos"]), {})
    day.event(
        colleague.title,
        "同步",
        "看到检查和自己的照片",
        Check(
            "两人都在检查里", set(visit.get("participants", [])), {day.cast.inspector.person_id, colleague.person_id}
        ),
        Check("照片原图已收到", photo.get("state"), "stored"),
        Check("场所随检查可见", ("sites", day.stage.canteen["id"]) in colleague.mirror, True),
    )


def both_see_the_conflict(day: Day, said: Offline) -> None:
    """The graver answer stands; what lost is shown to both until one of them picks."""
    inspector, colleague = day.cast.inspector, day.cast.colleague
    inspector.pull()
    group = f"answers.{DISPUTED}.result"
    seen = [_conflict(phone, said.visit, group) for phone in (inspector, colleague)]
    conflict = seen[0] or {}
    day.things["conflicts"] = conflict.get("id", new_id())
    day.event(
        "两位督学",
        f"对 {DISPUTED} 结果不一致",
        "不符合为准,两份都在,两人都看到",
        Check("两人看到同一份", seen[0], seen[1]),
        Check("保留的是不符合", conflict.get("kept", {}).get("value"), "fail"),
        Check("另一份是符合", conflict.get("lost", {}).get("value"), "ok"),
        Check(
            "各是谁的", (conflict.get("kept_by"), conflict.get("lost_by")), (colleague.person_id, inspector.person_id)
        ),
    )
    pick = op("conflicts", "resolve", {"pick": "kept"}, doc_id=day.things["conflicts"])
    (result,) = inspector.push([pick])
    colleague.pull()
    resolved = colleague.mirror.get(("conflicts", day.things["conflicts"]), {})
    day.event(
        inspector.title,
        "选定保留的一份",
        "同事也看到已选定",
        Check("接受", result["status"], "applied"),
        Check("选定人", resolved.get("resolved_by"), inspector.person_id),
    )
    show_copies(day, colleague, day.things["photos"], said.photo)


def _conflict(phone: Phone, visit: str, group: str) -> Doc | None:
    return next(
        (each for each in phone.held("conflicts") if (each["target_id"], each["group"]) == (visit, group)), None
    )


def submit(day: Day, said: Offline) -> None:
    """Both inspectors sign, the school does not; the server takes it and says in the record what is missing."""
    inspector, colleague, visit = day.cast.inspector, day.cast.colleague, said.visit
    inspector.pull()
    snapshot = _snapshot(day, inspector.mirror["inspections", visit])
    sha256 = hashlib.sha256(snapshot.encode()).hexdigest()
    day.event(
        day.cast.principal.title,
        "提交之前看这次检查",
        "还看不到",
        Check(
            "与不存在的编号一样",
            day.cast.principal.get(f"inspections/{visit}").seen,
            day.cast.principal.get(f"inspections/{new_id()}").seen,
        ),
    )
    handing_in = {
        "snapshot": snapshot,
        "participants": [inspector.person_id, colleague.person_id],
        "finished_at": now().isoformat(),
    }
    signing = [_signature(phone, visit, sha256) for phone in (inspector, colleague)]
    day.things["signatures"] = signing[0]["id"]
    results = colleague.push([signing[1]])
    results += inspector.push([signing[0], op("inspections", "submit", handing_in, doc_id=visit)])
    doc = inspector.read(f"inspections/{visit}")
    day.event(
        inspector.title,
        "提交,两位督学签字,学校没有签字",
        "照收,记录里注明缺什么",
        Check("两份签字和提交都接受", _statuses(results), ["applied"] * 3),
        Check("已提交", (doc["state"], doc["submitted_by"]), ("submitted", inspector.person_id)),
        Check("签字所对的快照", doc["snapshot_sha256"], sha256),
        Check("记录注明所缺", set(doc["flags"]), FLAGS),
    )
    (second,) = colleague.push([op("inspections", "submit", handing_in | {"snapshot": snapshot + " "}, doc_id=visit)])
    late = {LATER: answered("ok", note="钥匙送来后补查")}
    colleague.pull()
    seen = colleague.mirror["inspections", visit]
    (joined,) = colleague.push([op("inspections", "patch", {"answers": late}, doc_id=visit, base_rev=seen["rev"])])
    doc = colleague.read(f"inspections/{visit}")
    day.event(
        colleague.title,
        f"也提交一份,又补查 {LATER}",
        "第二份另存;补查并入,标明签字后补充",
        Check("第二份另存", second["status"], "superseded"),
        Check("补查接受", joined["status"], "applied"),
        Check("标明签字后补充", doc["answers"][LATER].get("late"), True),
        Check("记录仍是第一份", doc["snapshot_sha256"], sha256),
    )
    day.cast.principal.pull()
    day.event(
        day.cast.principal.title,
        "同步",
        "看到已提交的检查",
        holds("看到检查", ("inspections", visit) in day.cast.principal.mirror),
        holds("看到照片", ("photos", day.things["photos"]) in day.cast.principal.mirror),
    )
    for item in inspector.rows("rectifications", site=day.stage.canteen["id"], open=True):
        if day.tag in item["place"]:
            day.items[item["item_code"]] = item["id"]
    day.event(
        inspector.title,
        "看台账",
        "不符合的各成一个整改项",
        Check("整改项", set(day.items), {DISPUTED, MAJOR}),
    )
    if DISPUTED not in day.items:
        raise Unexpected("检查中的不符合项没有进入台账")
    day.things["rectifications"] = day.items[DISPUTED]


def school_signs(day: Day, said: Offline) -> None:
    """The school's hand comes later; the record then lacks it no more."""
    principal = day.cast.principal
    signing = {
        "inspection_id": said.visit,
        "capacity": "unit",
        "opinion": "true",
        "text": "情况属实",
        "signer": principal.name,
        "snapshot_sha256": principal.mirror["inspections", said.visit]["snapshot_sha256"],
    }
    (result,) = principal.push([op("signatures", "create", signing)])
    doc = principal.read(f"inspections/{said.visit}")
    day.event(
        principal.title,
        "补签检查记录:属实",
        "记录不再注明缺学校签字",
        Check("接受", result["status"], "applied"),
        Check("注明的只剩照片", set(doc["flags"]), FLAGS - {UNSIGNED} | {f"missing-photo:{LATER}"}),
    )


def _snapshot(day: Day, visit: Doc) -> str:
    """What was on the screen when it was signed, as a JSON string."""
    answers = {code: {"result": answer["result"], "note": answer["note"]} for code, answer in visit["answers"].items()}
    photos = [{"sha256": photo.sha256, "size": photo.size_bytes} for photo in day.photographs]
    return json.dumps({"answers": answers, "photos": photos}, ensure_ascii=False, sort_keys=True)


def _signature(phone: Phone, visit: str, snapshot_sha256: str) -> Op:
    said = {
        "inspection_id": visit,
        "capacity": "inspector",
        "signer": phone.name,
        "snapshot_sha256": snapshot_sha256,
    }
    return op("signatures", "create", said)


def _statuses(results: list[dict]) -> list[str]:
    return [each["status"] for each in results]


def _verdicts(results: list[dict]) -> list[tuple]:
    return [(each["op_id"], each["status"], each["seq"]) for each in results]


def _changes(phone: Phone, visit: str, *, by: Phone | None = None) -> list[str]:
    changes = phone.rows(f"changes/inspections/{visit}")
    return [each["kind"] for each in changes if by is None or each["device_id"] == by.device_id]
