"""Who tries the doors: one column a role of the own school and its district; strangers of a kind share one.

督学 inspector, takes part in what was arranged · 同事 another inspector of the school · 安全 safety officer · 审批
approver · 管理 administrator · 值班 duty officer, on duty · 带班 shift leader · 校长 principal · 校安 school safety
officer · 受托 delegate · 外督 inspectors of the neighbour school and of another district's · 外安 safety officer of
another district · 外局 its other bureau roles · 外校 the school roles of neighbour and other district · 无 nobody
"""

from dataclasses import dataclass, field

from django.test import Client

from safety.models import Organisation, Person, Role
from tests.makers import make_checklist, make_district, make_person, make_school, make_shift, make_site, make_token

COLUMNS = [
    "督学",
    "同事",
    "安全",
    "审批",
    "管理",
    "值班",
    "带班",
    "校长",
    "校安",
    "受托",
    "外督",
    "外安",
    "外局",
    "外校",
    "无",
]
STRANGERS = ("外督", "外安", "外局", "外校")
NOBODY = "无"
SCHOOL_ROLES = (Role.PRINCIPAL, Role.SCHOOL_SAFETY_OFFICER, Role.DELEGATE)


@dataclass
class Caller:
    """Somebody with a phone; `person` is None for nobody."""

    column: str
    person: Person | None
    secret: str = ""
    device: object = None

    def __str__(self) -> str:
        return f"{self.column} {self.person}"

    def call(self, method: str, address: str, body: bytes = b"", **more):
        """One request through the real door, by the phone's token."""
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        headers |= more.pop("headers", {})
        sent = {"content_type": "application/json"} | more
        return CLIENT.generic(method, address, body, headers=headers, **sent)


CLIENT = Client(raise_request_exception=True)


@dataclass
class Town:
    """A district with two schools and everybody, another district with a school and everybody."""

    district: Organisation
    elsewhere: Organisation
    school: Organisation
    neighbour: Organisation
    foreign: Organisation
    callers: list[Caller] = field(default_factory=list)

    def of(self, column: str) -> list[Caller]:
        return [caller for caller in self.callers if caller.column == column]

    def one(self, column: str) -> Person:
        return self.of(column)[0].person


def make_town() -> Town:
    district, elsewhere = make_district(name="甲区教育局"), make_district(name="乙区教育局")
    school, neighbour = make_school(district=district, name="甲校"), make_school(district=district, name="邻校")
    town = Town(district, elsewhere, school, neighbour, make_school(district=elsewhere, name="乙校"))
    posts = [
        ("督学", Role.INSPECTOR, school),
        ("同事", Role.INSPECTOR, school),
        ("安全", Role.SAFETY_OFFICER, district),
        ("审批", Role.APPROVER, district),
        ("管理", Role.ADMINISTRATOR, district),
        ("值班", Role.DUTY_OFFICER, district),
        ("带班", Role.SHIFT_LEADER, district),
        *zip(("校长", "校安", "受托"), SCHOOL_ROLES, [school] * 3, strict=True),
        ("外督", Role.INSPECTOR, neighbour),
        ("外督", Role.INSPECTOR, town.foreign),
        ("外安", Role.SAFETY_OFFICER, elsewhere),
        *[("外局", role, elsewhere) for role in (Role.APPROVER, Role.ADMINISTRATOR)],
        *[("外局", role, elsewhere) for role in (Role.DUTY_OFFICER, Role.SHIFT_LEADER)],
        *[("外校", role, node) for role in SCHOOL_ROLES for node in (neighbour, town.foreign)],
    ]
    for column, role, node in posts:
        person = make_person(role=role, at=node, name=f"{column}{node.name}")
        device, secret = make_token(person=person)
        town.callers.append(Caller(column, person, secret, device))
    make_shift(person=town.one("值班"), node=district)
    make_shift(person=next(each.person for each in town.of("外局") if _is_on_duty(each.person)), node=elsewhere)
    town.callers.append(Caller(NOBODY, None))
    town.canteen = make_site(unit=school)
    town.sites = {each: make_site(unit=each) for each in (neighbour, town.foreign)}
    town.checklist = make_checklist()
    return town


def _is_on_duty(person: Person) -> bool:
    return person.posts.filter(role=Role.DUTY_OFFICER).exists()
