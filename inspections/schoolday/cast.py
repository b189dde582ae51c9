"""Who plays: the demonstration district's accounts by part, all signed in."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from inspections.schoolday.phone import Nobody, Phone, now
from inspections.schoolday.wire import Server, Unexpected

PASSWORD = "yanshi-xunjian-2026"
# part → (what the timeline calls it, account of the demonstration district)
PARTS = {
    "inspector": ("责任督学", "guoxiuying"),
    "colleague": ("同行督学", "lizhankui"),
    "safety": ("安全科", "baixiaofeng"),
    "approver": ("审批人", "gaojianmin"),
    "officer1": ("值班员", "caozhiyuan"),
    "officer2": ("值班员", "xuexiaoyan"),
    "officer3": ("值班员", "dangjianjun"),
    "officer4": ("值班员", "huimin"),
    "principal": ("校长", "gaozhiqiang"),
    "neighbour": ("外校校长", "linxuemei"),
    "foreign_safety": ("外区安全科", "shiguodong"),
    "foreign_officer": ("外区值班员", "hexiaojuan"),
}
OFFICERS = ("officer1", "officer2", "officer3", "officer4")
SIGNING_IN_AT_ONCE = 4
DAY_TAKES = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody by part. `desk` are the two officers who are on duty now: the first has a desk open before the hazard,
    the second opens one after it."""

    inspector: Phone
    colleague: Phone
    safety: Phone
    approver: Phone
    principal: Phone
    neighbour: Phone
    foreign_safety: Phone
    foreign_officer: Phone
    desk: tuple[Phone, Phone]
    nobody: Nobody

    @property
    def strangers(self) -> list[Nobody]:
        """Who is tried at every door; the other district's officer has the desk's alone."""
        return [self.neighbour, self.foreign_safety, self.nobody]


def sign_in(server: Server, *, password: str, accounts: Mapping[str, str], told: Callable[[Phone], object]) -> Cast:
    """Signs everybody in and says so of each through `told`; `accounts` replaces the account of a part.

    Raises Unexpected where one cannot, also when nobody is on duty.
    """

    def enter(part: str) -> Phone:
        role, username = PARTS[part]
        return Phone(server, role=role, username=accounts.get(part, username), password=password)

    phones = {}
    with ThreadPoolExecutor(SIGNING_IN_AT_ONCE) as pool:
        for part, phone in zip(PARTS, pool.map(enter, PARTS), strict=True):
            phones[part] = phone
            told(phone)
    officers = [phones.pop(part) for part in OFFICERS]
    return Cast(**phones, desk=_on_duty(officers), nobody=Nobody(server))


def _on_duty(officers: list[Phone]) -> tuple[Phone, Phone]:
    """Who of these sits at the desk of their own bureau now, by the roster; where it is one, that one twice.

    A day that begins just before the desk is handed over waits until it is.
    """
    nodes = {post["node"]["id"] for post in officers[0].read("auth/me")["posts"]}
    shifts = _first_seats(officers[0], nodes)
    ends = min((datetime.fromisoformat(shift["ends_at"]) for shift in shifts), default=now())
    if shifts and ends - now() < DAY_TAKES:
        time.sleep(max(0.0, (ends - now()).total_seconds()) + 1)
        shifts = _first_seats(officers[0], nodes)
    sitting = {shift["person_id"] for shift in shifts}
    found = [officer for officer in officers if officer.person_id in sitting]
    if not found:
        raise Unexpected("此刻没有演示值班员在班。请先运行 manage.py demo 补排值班表")
    return found[0], found[-1]


def _first_seats(phone: Phone, nodes: set[str]) -> list[dict]:
    """The shifts of the lowest seat that run now at these nodes."""
    shifts = [shift for shift in phone.rows("shifts", now=True) if shift["node_id"] in nodes]
    lowest = min((shift["seat"] for shift in shifts), default=None)
    return [shift for shift in shifts if shift["seat"] == lowest]
