"""The demonstration district as data: its structs, how the files under seeds/demo are read, and what must hold in them.

No database and no models: `manage.py demo` loads what is read here. Organisations are named by their short name, bureaus
by their area code, persons by their account. Days are counted in working days before today, so that the history is
always of the last weeks.
"""

import hashlib
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from django.core.exceptions import ValidationError

from safety import identifiers
from safety.coordinates import Position, distance_m, to_wgs84

SCHOOL_TIME = ZoneInfo("Asia/Shanghai")
MIDDLE = Position(35.07, 109.07)
REACH_M = 20_000

Stage = Literal["kindergarten", "primary", "junior", "senior"]
SchoolKind = Literal[
    "kindergarten", "primary", "junior", "senior", "complete", "nine_year", "twelve_year", "vocational", "special"
]
Role = Literal[
    "administrator",
    "approver",
    "shift_leader",
    "duty_officer",
    "safety_officer",
    "inspector",
    "principal",
    "school_safety_officer",
    "delegate",
]
SeatName = Literal["officer", "reserve", "leader", "deputy"]
SEATS: tuple[SeatName, ...] = ("officer", "reserve", "leader", "deputy")
ItemState = Literal[
    "registered",
    "notified",
    "rectifying",
    "awaiting_revisit",
    "awaiting_closure",
    "closed",
    "transferred",
    "withdrawn",
]
BUREAUS = ("province", "city", "district")
KIND_OF_CATEGORY = {
    "11": {"kindergarten"},
    "21": {"primary"},
    "31": {"junior", "nine_year"},
    "34": {"senior", "complete", "twelve_year"},
    "36": {"vocational"},
    "51": {"special"},
}


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt member is a fault of the file, not something to pass over."""


class Organisation(Strict):
    kind: Literal["province", "city", "district", "school", "training", "bus_company", "caterer", "other"]
    parent: str | None
    name: str
    short_name: str
    division: str
    legal_mode: Literal["internal", "enforcement", "transfer"] = "internal"
    school_kind: SchoolKind | Literal[""] = ""
    stages: list[Stage] = []
    boarding: bool = False
    private: bool = False
    school_code: str = ""
    uscc: str = ""
    town: str = ""
    address: str = ""
    phone: str = ""
    latitude: float | None = None
    longitude: float | None = None
    datum: Literal["WGS84", "CGCS2000", "GCJ02", "BD09", ""] = ""

    @property
    def code(self) -> str:
        """Its code in the tree: a bureau's area code, a school's 标识码, any other unit's 统一社会信用代码."""
        return self.division if self.kind in BUREAUS else self.school_code or self.uscc


class Site(Strict):
    kind: Literal[
        "whole", "canteen", "dormitory", "bus", "surroundings", "laboratory", "teaching", "building_site", "other"
    ]
    unit: str
    name: str
    serves: list[str] = []
    plate: str = ""
    plate_colour: str = ""

    def sticker(self, letters: str) -> str:
        """Twelve of these letters for its QR sticker: the same at every loading, like nothing in particular to a reader.

        A real sticker is drawn at random; this one is no secret, as everything of the demonstration.
        """
        digest = int.from_bytes(hashlib.sha256(f"demo-site:{self.name}".encode()).digest())
        return "".join(letters[digest // len(letters) ** place % len(letters)] for place in range(12))


class Post(Strict):
    role: Role
    node: str
    from_on: date
    to_on: date | None = None

    def holds_on(self, day: date) -> bool:
        return self.from_on <= day and (self.to_on is None or day <= self.to_on)


class Person(Strict):
    username: str
    name: str
    phone: str
    posts: list[Post]


class Shift(Strict):
    node: str
    username: str
    seat: SeatName
    starts_at: datetime
    ends_at: datetime


class Roster(Strict):
    """Who sits on which seat; the days rotate for ever."""

    node: str
    begins: str = msgspec.field(name="from")
    days: list[dict[SeatName, list[str]]]

    def shifts_on(self, day: date) -> list[Shift]:
        """The shifts that begin on a day; each lasts 24 hours, and where the row names a seat twice both sit together."""
        starts_at = moment(day, self.begins)
        row = self.days[day.toordinal() % len(self.days)]
        return [
            Shift(node=self.node, username=username, seat=seat, starts_at=starts_at, ends_at=starts_at + timedelta(1))
            for seat in SEATS
            for username in row.get(seat, [])
        ]


class Step(Strict, tag_field="say", frozen=True):
    """One thing said about an item; `after` counts working days from the visit."""

    after: int
    at: str
    by: str


class Notice(Step, tag="notices", frozen=True):
    """`due_days` are calendar days, as a notice counts them; None where it sets no date."""

    demand: str
    kind: Literal["rectify", "list", "delist"] = "rectify"
    due_days: int | None = None
    interim: str = ""
    suspend_use: bool | None = None


class Receipt(Step, tag="receipts", frozen=True):
    pass


class Report(Step, tag="reports", frozen=True):
    text: str
    cause: Literal["funds", "other_party"] | None = None
    partial: bool = False


class Revisit(Step, tag="revisits", frozen=True):
    text: str
    passed: bool = False
    failed: bool = False


class Extension(Step, tag="extensions", frozen=True):
    days: int
    reason: str
    interim: str


class Decision(Step, tag="decisions", frozen=True):
    on: Literal["extensions", "withdrawals"]
    text: str
    granted: bool = False
    refused: bool = False


class Judgement(Step, tag="judgements", frozen=True):
    grade: Literal["general", "serious", "major"]
    text: str
    clauses: list[str] = []


class Closure(Step, tag="closures", frozen=True):
    text: str
    accepted: bool = False
    refused: bool = False


class Withdrawal(Step, tag="withdrawals", frozen=True):
    reason: str


class Transfer(Step, tag="transfers", frozen=True):
    departments: list[str]
    text: str


class TransferReply(Step, tag="transfer_replies", frozen=True):
    department: str
    outcome: Literal["done", "returned"]
    text: str


class Comment(Step, tag="comments", frozen=True):
    text: str
    audience: Literal["shared", "bureau"] = "shared"


AnyStep = (
    Notice
    | Receipt
    | Report
    | Revisit
    | Extension
    | Decision
    | Judgement
    | Closure
    | Withdrawal
    | Transfer
    | TransferReply
    | Comment
)


class Finding(Strict):
    """What a visit found at one place, what was said about it later, and the state in which that leaves its item."""

    item: str
    result: Literal["fail", "fixed"]
    place: str
    note: str
    ends: ItemState
    measures: dict[str, float | list[float]] = {}
    then: list[AnyStep] = []


class Visit(Strict):
    days_ago: int
    at: str
    minutes: int
    site: str
    template: str
    by: list[str]
    state: Literal["draft", "submitted", "void"] = "submitted"
    school_signs: Literal["agreed", "disputed", "refused", "none"] = "agreed"
    words: str = ""
    witness: str = ""
    chosen: list[str] = []
    findings: list[Finding] = []


class QuickHazard(Strict):
    days_ago: int
    at: str
    by: str
    site: str
    item: str
    place: str
    note: str
    grade: Literal["none", "general", "serious"]
    ends: ItemState
    then: list[AnyStep] = []


class Task(Strict):
    """A visit that is still to be made, within `days` working days from `in_days` working days ahead."""

    in_days: int
    days: int
    site: str
    template: str
    by: list[str]


class Demo(Strict):
    organisations: list[Organisation]
    sites: list[Site]
    persons: list[Person]
    rosters: list[Roster]
    visits: list[Visit]
    quick_hazards: list[QuickHazard]
    tasks: list[Task]

    @property
    def schools(self) -> list[Organisation]:
        return [organisation for organisation in self.organisations if organisation.kind == "school"]

    @property
    def units(self) -> list[Organisation]:
        """Everything that is inspected: schools and the other units."""
        return [organisation for organisation in self.organisations if organisation.kind not in BUREAUS]


class _District(Strict):
    note: str
    organisations: list[Organisation]


class _Sites(Strict):
    note: str
    sites: list[Site]


class _Persons(Strict):
    note: str
    persons: list[Person]
    rosters: list[Roster]


class _History(Strict):
    note: str
    visits: list[Visit]
    quick_hazards: list[QuickHazard]
    tasks: list[Task]


class DemoFault(ValueError):
    """The files contradict themselves; says every fault, one a line."""


def load_demo(folder: Path) -> Demo:
    """The demonstration district from district.json, sites.json, persons.json and history.json.

    Raises msgspec.ValidationError for a wrong shape and DemoFault for what contradicts itself.
    """
    district = msgspec.json.decode((folder / "district.json").read_bytes(), type=_District)
    sites = msgspec.json.decode((folder / "sites.json").read_bytes(), type=_Sites)
    persons = msgspec.json.decode((folder / "persons.json").read_bytes(), type=_Persons)
    history = msgspec.json.decode((folder / "history.json").read_bytes(), type=_History)
    demo = Demo(
        organisations=district.organisations,
        sites=[*_sites_of_everyone(district.organisations), *sites.sites],
        persons=persons.persons,
        rosters=persons.rosters,
        visits=history.visits,
        quick_hazards=history.quick_hazards,
        tasks=history.tasks,
    )
    faults = list(_faults(demo))
    if faults:
        raise DemoFault("\n".join(faults))
    return demo


def moment(day: date, at: str) -> datetime:
    """A time of day "HH:MM" in the schools' time zone, aware."""
    return datetime.combine(day, time.fromisoformat(at), SCHOOL_TIME)


def working_days_before(today: date, days: int) -> date:
    """The working day (Monday to Friday; holidays are not known here) that lies so many before today; 1 is the last."""
    return _step(today, days, -1)


def working_days_after(today: date, days: int) -> date:
    """The working day so many after today; 0 is today, or the next one when today is none."""
    start = today if today.weekday() < 5 else _step(today, 1, 1)
    return _step(start, days, 1)


def _step(day: date, days: int, way: int) -> date:
    while days > 0:
        day += timedelta(days=way)
        days -= day.weekday() < 5
    return day


def _sites_of_everyone(organisations: list[Organisation]):
    for unit in organisations:
        if unit.kind in BUREAUS:
            continue
        serves = [unit.short_name] if unit.kind == "school" else []
        yield Site(kind="whole", unit=unit.short_name, name=f"{unit.short_name}(整个单位)", serves=serves)
        if unit.kind == "school":
            yield Site(kind="surroundings", unit=unit.short_name, name=f"{unit.short_name}校门及周边", serves=serves)


def _faults(demo: Demo):
    yield from _twice("organisation", (organisation.short_name for organisation in demo.organisations))
    yield from _twice("code", (organisation.code for organisation in demo.organisations))
    yield from _twice("site", (site.name for site in demo.sites))
    yield from _twice("account", (person.username for person in demo.persons))
    yield from _twice("phone", (person.phone for person in demo.persons))
    names = {organisation.short_name for organisation in demo.organisations}
    parents = {organisation.code for organisation in demo.organisations if organisation.kind in BUREAUS}
    for organisation in demo.organisations:
        if organisation.parent not in parents and organisation.kind != "province":
            yield f"{organisation.short_name}: no parent {organisation.parent}"
        yield from _faults_of_codes(organisation)
    for site in demo.sites:
        yield from (f"{site.name}: no unit {name}" for name in {site.unit, *site.serves} - names)
        if site.kind == "bus":
            yield from _refused(site.name, identifiers.require_plate, site.plate)
    for person in demo.persons:
        yield from _refused(person.username, identifiers.require_mobile, person.phone)
        yield from (f"{person.username}: no node {post.node}" for post in person.posts if post.node not in names)
    yield from _faults_of_history(demo, names)


def _faults_of_codes(organisation: Organisation):
    name = organisation.short_name
    yield from _refused(name, identifiers.require_area_code, organisation.division)
    if organisation.uscc:
        yield from _refused(name, identifiers.require_uscc, organisation.uscc)
    if organisation.kind in BUREAUS:
        return
    if not organisation.uscc.startswith("DEM", 8):
        yield f"{name}: not a demonstration code: {organisation.uscc}"
    if organisation.latitude is None or organisation.longitude is None:
        yield f"{name}: has no position"
    elif distance_m(MIDDLE, to_wgs84(organisation.latitude, organisation.longitude, organisation.datum)) > REACH_M:
        yield f"{name}: lies outside the district"
    if organisation.kind == "school":
        yield from _refused(name, identifiers.require_school_code, organisation.school_code)
        if organisation.school_kind not in KIND_OF_CATEGORY.get(organisation.school_code[:2], ()):
            yield f"{name}: {organisation.school_code} is no code of a {organisation.school_kind}"
        if not organisation.school_code.startswith("99", 4):
            yield f"{name}: not of the unassigned range: {organisation.school_code}"
        if not organisation.stages:
            yield f"{name}: has no stage"


def _faults_of_history(demo: Demo, names: set[str]):
    accounts = {person.username for person in demo.persons}
    sites = {site.name for site in demo.sites}
    for roster in demo.rosters:
        sitting = {username for day in roster.days for seat in day.values() for username in seat}
        yield from (f"roster of {roster.node}: no account {username}" for username in sitting - accounts)
        if roster.node not in names:
            yield f"roster: no node {roster.node}"
    for visit in [*demo.visits, *demo.tasks]:
        yield from (f"{visit.site}: no account {username}" for username in set(visit.by) - accounts)
    for thing in [*demo.visits, *demo.quick_hazards, *demo.tasks]:
        if thing.site not in sites:
            yield f"history: no site {thing.site}"
    for visit in demo.visits:
        if visit.findings and visit.state != "submitted":
            yield f"{visit.site}: a {visit.state} visit has findings that were followed up"
        yield from _twice(f"item in a visit to {visit.site}", (finding.item for finding in visit.findings))
        ended = _later(visit.at, visit.minutes)
        for finding in visit.findings:
            yield from _faults_of_steps(f"{visit.site} {finding.item}", visit.days_ago, ended, finding.then, accounts)
    for hazard in demo.quick_hazards:
        yield from _faults_of_steps(f"{hazard.site} {hazard.item}", hazard.days_ago, hazard.at, hazard.then, accounts)
        yield from (f"{hazard.site}: no account {hazard.by}" for _ in range(hazard.by not in accounts))


def _later(at: str, minutes: int) -> str:
    return f"{moment(date.min + timedelta(days=1), at) + timedelta(minutes=minutes):%H:%M}"


def _faults_of_steps(what: str, days_ago: int, at: str, steps: list[AnyStep], accounts: set[str]):
    before = (0, at)
    for step in steps:
        if step.by not in accounts:
            yield f"{what}: no account {step.by}"
        if (step.after, step.at) < before:
            yield f"{what}: {type(step).__name__} is said before what precedes it"
        if step.after >= days_ago:
            yield f"{what}: {type(step).__name__} lies in the future"
        before = (step.after, step.at)


def _twice(what: str, values):
    yield from (f"{what} twice: {value}" for value, times in Counter(values).items() if times > 1)


def _refused(what: str, validator, value: str):
    try:
        validator(value)
    except ValidationError as refusal:
        yield f"{what}: {refusal.code} {value}"
