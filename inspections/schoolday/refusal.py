"""Strangers at every door: each is refused, and a foreign thing's refusal is an unknown id's, to the byte."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

from inspections.schoolday.phone import Nobody, Phone, new_id, now, op
from inspections.schoolday.photos import COPIES
from inspections.schoolday.stage import Day
from inspections.schoolday.timeline import Check
from inspections.schoolday.wire import Answer

NOWHERE_SHA256 = "0" * 64
NOBODYS_REQUEST = "00000000-0000-7000-8000-000000000000"
REFUSED, UNSIGNED = 404, 401
ALARMS = ("alerts", "rectifications")


class Ids(NamedTuple):
    """What a stranger names: everything of this day, or as many ids that nothing has."""

    things: dict[str, str]
    sha256: str
    school: str
    site: str

    def of(self, collection: str) -> str:
        return self.things[collection]


class Door(NamedTuple):
    """One door, tried with a set of ids."""

    name: str
    knock: Callable[[Nobody, Ids], Answer]


def refuse(day: Day, when: str, *, verbs: bool) -> None:
    """Everybody who has nothing to do with the school, at every door that names a document of this day.

    What was tried before is not read again; `verbs` says whether the doors that say something are tried too.
    """
    real = real_ids(day)
    fresh = [name for name, each in real.things.items() if day.refused.get(name) != each]
    before = _revisions(day, real)
    for stranger in day.cast.strangers:
        unknown = unknown_ids(real)
        _reads_nothing(day, stranger, fresh, real, unknown, when)
        if verbs:
            _says_nothing(day, stranger, _words(real), real, unknown, when)
        if isinstance(stranger, Phone):
            _pulls_nothing(day, stranger, real, when)
        else:
            _has_no_road(day, stranger, real, when)
        if verbs and isinstance(stranger, Phone):
            _lists_nothing(day, stranger, real, unknown, when)
            _pushes_into_nothing(day, stranger, _words(real), real, unknown, when)
            _takes_no_ids(day, stranger, real, when)
    _the_other_desk_is_deaf(day, [name for name in fresh if name in ALARMS], real, when, verbs=verbs)
    day.refused |= real.things
    day.event(
        "服务器",
        f"{when}:陌生人试过所有的门之后",
        f"{len(before)} 份文档没有动过",
        Check("版本没有变", _revisions(day, real), before),
    )


def _the_other_desk_is_deaf(day: Day, fresh: list[str], real: Ids, when: str, *, verbs: bool) -> None:
    """Another district's officer on duty, who has every right at a desk, with these alerts and what they are about."""
    officer, unknown = day.cast.foreign_officer, unknown_ids(real)
    if fresh:
        _reads_nothing(day, officer, fresh, real, unknown, when)
    if verbs:
        words = [word for word in _words(real) if word.on == "alerts"]
        _says_nothing(day, officer, words, real, unknown, when)
        _pushes_into_nothing(day, officer, words, real, unknown, when)
    _pulls_nothing(day, officer, real, when)


def real_ids(day: Day) -> Ids:
    """This day's documents, and what they stand on."""
    around = {
        "organisations": day.stage.school["id"],
        "sites": day.stage.canteen["id"],
        "people": day.cast.principal.person_id,
    }
    return Ids(day.things | around, day.photographs[0].sha256, day.stage.school["id"], day.stage.canteen["id"])


def unknown_ids(real: Ids) -> Ids:
    return Ids({collection: new_id() for collection in real.things}, NOWHERE_SHA256, new_id(), new_id())


def _revisions(day: Day, real: Ids) -> dict[str, int]:
    """Of each document the revision, read by somebody who may."""
    readers = {"alerts_mine": day.cast.principal, "alerts": day.cast.desk[0]}
    return {
        name: readers.get(name, day.cast.safety).read(f"{name}/{each}")["rev"]
        for name, each in real.things.items()
        if name != "people"
    }


def _try(day: Day, stranger: Nobody, doors: list[Door], real: Ids, unknown: Ids, what: str) -> None:
    """Each door twice; every one that tells the two apart, or does not refuse, is named."""
    wanted = REFUSED if isinstance(stranger, Phone) else UNSIGNED
    wrong, telling = [], []
    for door in doors:
        foreign, nothing = door.knock(stranger, real), door.knock(stranger, unknown)
        if foreign.status != wanted:
            wrong.append(f"{door.name} {foreign.brief}")
        if foreign.seen != nothing.seen:
            telling.append(f"{door.name} {foreign.brief} / {nothing.brief}")
    day.event(
        stranger.title,
        what,
        f"{len(doors)} 道门都答 {wanted},与不存在的编号逐字节相同",
        Check(f"都答 {wanted}", wrong, []),
        Check("逐字节相同", telling, []),
    )


# Reading


def _reads_nothing(day: Day, stranger: Nobody, fresh: list[str], real: Ids, unknown: Ids, when: str) -> None:
    doors = [door for name in fresh for door in _doors_of(name)]
    _try(day, stranger, doors, real, unknown, f"{when}:逐份读取、经过、变更、照片")


def _doors_of(name: str) -> Iterator[Door]:
    """The doors that read one document of a collection."""
    yield Door(f"GET {name}", lambda who, ids: who.get(f"{name}/{ids.of(name)}"))
    if name in ("inspections", "rectifications", "alerts"):
        yield Door(f"GET changes/{name}", lambda who, ids: who.get(f"changes/{name}/{ids.of(name)}"))
    if name == "rectifications":
        yield Door("GET history", lambda who, ids: who.get(f"rectifications/{ids.of(name)}/history"))
    if name == "organisations":
        yield Door("GET chain", lambda who, ids: who.get(f"chains/{ids.school}"))
    if name == "photos":
        yield Door("HEAD blob", lambda who, ids: who.head(f"blobs/{ids.sha256}"))
        for copy in COPIES:
            yield Door(f"GET {copy}.jpg", lambda who, ids, copy=copy: who.get(f"photos/{ids.of(name)}/{copy}.jpg"))


def _lists_nothing(day: Day, stranger: Phone, real: Ids, unknown: Ids, when: str) -> None:
    """Lists narrowed to what a stranger must not see."""
    full = []
    for name, parameter, id_of in LISTS:
        foreign, nothing = (stranger.get(name, **{parameter: id_of(ids)}) for ids in (real, unknown))
        if foreign.seen != nothing.seen or foreign.json != {"items": [], "next": None}:
            full.append(f"{name}?{parameter} {foreign.brief}")
    day.event(stranger.title, f"{when}:按学校和场所查列表", f"{len(LISTS)} 个都是空的", Check("空的", full, []))


LISTS: list[tuple[str, str, Callable[[Ids], str]]] = [
    *((name, "site", lambda ids: ids.site) for name in ("inspections", "findings", "rectifications", "photos")),
    *((name, "unit", lambda ids: ids.school) for name in ("alerts", "quick_hazards", "notices", "reports")),
    ("conflicts", "target", lambda ids: ids.of("inspections")),
]


# Saying


class Word(NamedTuple):
    """A verb with content of the right shape; `on` is the collection whose document it addresses, empty to make one."""

    collection: str
    action: str
    content: Callable[[Ids], dict]
    on: str = ""


def _words(real: Ids) -> list[Word]:
    """Every verb that names a document of this day, with what a stranger would say."""
    later = f"{now() + timedelta(days=3):%Y-%m-%d}"
    nothing: dict = {}
    evidence = {"round": 1, "evidence_hash": NOWHERE_SHA256}

    def about(**said) -> Callable[[Ids], dict]:
        return lambda ids: {"rectification_id": ids.of("rectifications"), **said}

    submitted = {"snapshot": '{"answers":{}}', "participants": [], "finished_at": now().isoformat()}
    photo = {"subject_collection": "inspections", "sha256": NOWHERE_SHA256, "size_bytes": 1}
    words = [
        Word("inspections", "patch", lambda ids: nothing, "inspections"),
        Word("inspections", "submit", lambda ids: submitted, "inspections"),
        Word("inspections", "join", lambda ids: {"secret": "a-wrong-secret"}, "inspections"),
        Word("inspections", "void", lambda ids: {"cause": "other", "reason": "陌生人"}, "inspections"),
        Word(
            "submissions",
            "create",
            lambda ids: {
                "inspection_id": ids.of("inspections"),
                "kind": "amendment",
                "content": "{}",
                "reason": "陌生人",
            },
        ),
        Word("conflicts", "resolve", lambda ids: {"pick": "lost"}, "conflicts"),
        Word("photos", "create", lambda ids: photo | {"subject_id": ids.of("inspections")}),
        Word("quick_hazards", "create", lambda ids: {"site_id": ids.site, "text": "陌生人"}),
        Word("notices", "create", about(text="陌生人")),
        Word("receipts", "create", about()),
        Word("reports", "create", about(round=1, text="陌生人")),
        Word("revisits", "create", about(passed=False, reason="陌生人", **evidence)),
        Word("extensions", "create", about(until=later, reason="陌生人")),
        Word("judgements", "create", about(grade="none", reason="陌生人")),
        Word("closures", "create", about(granted=True, **evidence)),
        Word("withdrawals", "create", about(reason="陌生人")),
        Word("transfers", "create", about(departments=["市监"], text="陌生人")),
        Word("transfer_replies", "create", about(done=True, text="陌生人")),
        Word("decisions", "create", about(target=NOBODYS_REQUEST, granted=True)),
        Word("signatures", "create", lambda ids: {"inspection_id": ids.of("inspections"), "capacity": "unit"}),
        Word("comments", "create", about(text="陌生人")),
        Word("alerts", "acknowledge", lambda ids: nothing, "alerts"),
        Word("alerts", "take", lambda ids: nothing, "alerts"),
        Word("alerts", "resolve", lambda ids: {"reason": "陌生人"}, "alerts"),
        Word("alerts", "dismiss", lambda ids: {"reason": "陌生人"}, "alerts"),
        Word("alerts_mine", "open", lambda ids: nothing, "alerts_mine"),
    ]
    return [word for word in words if not word.on or word.on in real.things]


def _says_nothing(day: Day, stranger: Nobody, words: list[Word], real: Ids, unknown: Ids, when: str) -> None:
    doors = [
        Door(f"{word.collection}.{word.action}", lambda who, ids, word=word: _say(who, word, ids)) for word in words
    ]
    _try(day, stranger, doors, real, unknown, f"{when}:逐个动作办理(网页)")


def _say(who: Nobody, word: Word, ids: Ids) -> Answer:
    content = word.content(ids)
    if not word.on:
        return who.post(word.collection, content)
    if word.action == "patch":
        return who.patch(f"{word.on}/{ids.of(word.on)}", content)
    return who.post(f"{word.on}/{ids.of(word.on)}/{word.action}", content)


# The road


def _pushes_into_nothing(day: Day, stranger: Phone, words: list[Word], real: Ids, unknown: Ids, when: str) -> None:
    """In one batch each verb about what is there and about what is not: all wait, and look alike."""
    batches = []
    for ids in (real, unknown):
        addressed = [(word, ids.of(word.on) if word.on else "") for word in words]
        batches.append([op(word.collection, word.action, word.content(ids), doc_id=doc) for word, doc in addressed])
    results = stranger.push([*batches[0], *batches[1]])
    foreign, nothing = results[: len(words)], results[len(words) :]
    day.event(
        stranger.title,
        f"{when}:逐个动作办理(手机上传)",
        f"{len(words)} 个动作都只是等待",
        Check("都在等待", {each["status"] for each in results}, {"deferred"}),
        Check("与不存在的编号相同", [_blank(each) for each in foreign], [_blank(each) for each in nothing]),
    )


def _takes_no_ids(day: Day, stranger: Phone, real: Ids, when: str) -> None:
    """The two exceptions: a taken id and somebody's operation are said to be taken, and nothing is told of them."""
    (overheard,) = day.overheard
    again = op("inspections", "create", overheard["set"], doc_id=real.of("inspections"))
    results = stranger.push([again, overheard])
    day.event(
        stranger.title,
        f"{when}:用别人的检查编号新建;冒充别人的一次上传",
        "都被拒,不给内容",
        Check("都被拒", [each["status"] for each in results], ["rejected"] * 2),
        Check("缘由", [each["problem"]["code"] for each in results], ["id-taken", "op-id-reused"]),
        Check("不给内容", [each["doc"] for each in results], [None] * 2),
    )


def _blank(result: dict) -> dict:
    """A result without the ids that the stranger named."""
    waiting = {name: len(ids) for name, ids in result.get("waiting_for", {}).items()}
    return result | {"op_id": "", "waiting_for": waiting}


def _pulls_nothing(day: Day, stranger: Phone, real: Ids, when: str) -> None:
    """The whole of what the stranger's phone ever pulled."""
    stranger.pull()
    ids = set(real.things.values()) | set(day.items.values()) | set(day.alerts)
    found = [f"{collection} {doc_id}" for collection, doc_id in stranger.mirror if doc_id in ids]
    named = [key for key, doc in stranger.mirror.items() if day.tag in str(doc)]
    day.event(
        stranger.title,
        f"{when}:同步到手机",
        f"{len(stranger.mirror)} 份文档,没有一份是今天的",
        Check("没有今天的文档", found, []),
        Check("没有一处提到", named, []),
    )


def _has_no_road(day: Day, stranger: Nobody, real: Ids, when: str) -> None:
    """Who has not signed in neither pulls nor pushes nor brings bytes."""
    patch = op("inspections", "patch", {}, doc_id=real.of("inspections"))
    answers = [stranger.get("sync/pull"), stranger.offer([patch]), stranger.bring(day.photographs[0])]
    day.event(
        stranger.title,
        f"{when}:同步、上传、传照片",
        f"都答 {UNSIGNED}",
        Check("都被拒", [answer.status for answer in answers], [UNSIGNED] * 3),
    )
