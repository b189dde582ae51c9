"""The day itself: the order of its acts."""

from collections.abc import Callable, Mapping

from inspections.schoolday import alarm, cure, refusal, visit
from inspections.schoolday.cast import sign_in
from inspections.schoolday.stage import Day, find_stage
from inspections.schoolday.timeline import Check, Timeline
from inspections.schoolday.wire import Server, Unexpected, Unreachable


def play(
    url: str, *, password: str, accounts: Mapping[str, str], write: Callable[[str], object], strangers: bool = True
) -> Timeline:
    """Plays the day against the server at `url`, line by line through `write`; gives the timeline with its checks.

    `accounts` replaces the account of a part (see `cast.PARTS`); without `strangers` nobody tries the doors that are
    not theirs, which is half of the time. A door that answers so that the day cannot go on ends it as failed; so does
    a server that is not there.
    """
    timeline = Timeline(write)
    try:
        _play(timeline, url, password=password, accounts=accounts, strangers=strangers)
    except (Unexpected, Unreachable) as broken:
        timeline.broke(str(broken))
    except (KeyError, IndexError, TypeError, ValueError) as unlike:
        timeline.broke(f"答复的样子与约定不同:{unlike!r}")
    timeline.summary()
    return timeline


def _play(timeline: Timeline, url: str, *, password: str, accounts: Mapping[str, str], strangers: bool) -> None:
    timeline.act(f"零、登录 {url}")
    server = Server.at(url)
    cast = sign_in(
        server,
        password=password,
        accounts=accounts,
        told=lambda phone: timeline.event(phone.title, "登录", phone.username),
    )
    for phone in (cast.inspector, cast.colleague, cast.principal):
        phone.pull()
    day = Day(timeline, cast, find_stage(cast))
    day.event("两位督学和校长", "同步", f"今天去 {day.stage.school['name']},本次标记 {day.tag}")
    try:
        _acts(day, strangers=strangers)
    finally:
        day.close()


def _acts(day: Day, *, strangers: bool) -> None:
    timeline = day.timeline
    timeline.act("一、两位督学在食堂,没有信号")
    said = visit.off_line(day)
    timeline.act("二、同行督学的手机先有信号:照片和检查结果先到,检查后到")
    visit.colleague_speaks_first(day, said)
    visit.the_answer_is_lost(day, said)
    visit.the_waiting_is_heard(day, said)
    visit.both_see_the_conflict(day, said)
    timeline.act("三、重大隐患(待判定):从上报到值班台")
    alarm.open_desks(day)
    alarm.hazard(day, said)
    timeline.act("四、没有学校签字的提交")
    visit.submit(day, said)
    timeline.act("五、迟报 11 小时的隐患")
    alarm.told_late(day)
    timeline.act("六、校门周边:移送,办结")
    cure.transfer(day)
    timeline.act("七、整改通知、签收")
    cure.notify(day)
    visit.school_signs(day, said)
    timeline.act("八、陌生人(事情还没有办完)")
    alarm.silence(day)
    if strangers:
        refusal.refuse(day, "办理中", verbs=True)
    timeline.act("九、整改:第一轮复查不合格,第二轮合格")
    cure.receive(day)
    cure.two_rounds(day)
    timeline.act("十、重大隐患:判定、停用、两人复查、销号")
    cure.judge(day)
    cure.close_major(day)
    cure.settle_late(day)
    alarm.resolve(day)
    timeline.act("十一、陌生人(事情都办完了)")
    if strangers:
        refusal.refuse(day, "办完后", verbs=False)
    alarm.silence(day)
    _the_record_stands(day)


def _the_record_stands(day: Day) -> None:
    """Nothing of this run is left open, and the school's chain of evidence holds."""
    timeline, safety = day.timeline, day.cast.safety
    timeline.act("十二、收尾")
    states = {name: cure.item_of(safety, item_id)["state"] for name, item_id in day.items.items()}
    chain = safety.read(f"chains/{day.stage.school['id']}")
    day.event(
        safety.title,
        "看台账和证据链",
        f"{len(states)} 项都已销号,证据链 {chain['verified']} 条完好",
        Check("都已销号", set(states.values()), {"closed"}),
        Check("证据链完好", chain["intact"], True),
    )
