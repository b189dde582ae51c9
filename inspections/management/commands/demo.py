"""`manage.py demo`: puts the demonstration district where it is missing; running it again only tops up the shifts."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID

import msgspec
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from inspections import demo, demo_history
from inspections.models import TemplateVersion
from safety.access import today
from safety.changes import Work, unit
from safety.ids import seeded_id
from safety.models import DutyShift, Organisation, Person, Post, Role, Seat, Site
from safety.models.organisation import SITE_CODE_LETTERS

FOLDER = Path(settings.BASE_DIR) / "seeds" / "demo"
PASSWORD = "yanshi-xunjian-2026"
SHIFTS_AHEAD_DAYS = 14
STRANGERS = {"inspector", "principal"}  # shown for each district: what one of them sees is not there for the other
SEATS = {"officer": Seat.OFFICER, "reserve": Seat.RESERVE, "leader": Seat.LEADER, "deputy": Seat.DEPUTY}


class Command(BaseCommand):
    help = "装入演示区县:单位、场所、人员、任职和值班表。重复执行只补以后几天的值班。"

    def add_arguments(self, parser):
        parser.add_argument(
            "--accounts", nargs="?", const="few", choices=["few", "all"], help="只列出演示账号:每种角色一个,或全部(all)"
        )
        parser.add_argument("--no-history", action="store_true", help="不装入前几周的检查和整改")

    def handle(self, *args, accounts: str | None, no_history: bool, **options):
        district = demo.load_demo(FOLDER)
        now = datetime.now(UTC)
        if accounts:
            self._print_accounts(district.persons if accounts == "all" else a_few(district, now))
            return
        untold = not no_history and not demo_history.is_told(district)
        if untold and not TemplateVersion.objects.exists():
            raise CommandError("还没有检查表:请先执行 manage.py seed,再执行 manage.py demo。")
        with unit(actor=None, source="demo", now=now) as work:
            added = add_missing(work, district, past=untold)
        if any(added.values()):
            _analyze()
        self.stdout.write("演示区县:" + ("、".join(f"{what} {n}" for what, n in added.items() if n) or "没有变化"))
        if untold:
            self._tell(district, now)
        self._print_accounts(a_few(district, now))

    def _tell(self, district: demo.Demo, now: datetime):
        """The history, with a line every two seconds."""
        shown = monotonic()
        for told, known in demo_history.tell(district, now=now):
            if monotonic() - shown > 2:
                self.stdout.write(f"  前几周的检查和整改:{told} / {known}")
                shown = monotonic()
        _analyze()
        self.stdout.write(f"前几周的检查和整改:检查 {len(district.visits)} 次,待检查任务 {len(district.tasks)} 项")

    def _print_accounts(self, persons: list[demo.Person]):
        self.stdout.write(f"演示账号(口令都是 {PASSWORD}):")
        for person in persons:
            self.stdout.write(f"  {person.username:<18}{person.name}  {posts_in_words(person)}")
        self.stdout.write("全部账号:manage.py demo --accounts all")


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # foreign-key checks keep the plan of an empty table


def add_missing(work: Work, district: demo.Demo, *, past: bool = False) -> dict[str, int]:
    """Says what is not there yet, and adds shifts from yesterday to two weeks ahead; gives how many of each kind.

    With `past` the shifts begin with the history, so that its alerts find somebody on duty. What is there stays as it
    is, also where somebody has changed it since.
    """
    organisations = {organisation.short_name: organisation for organisation in district.organisations}
    ids = {name: seeded_id(f"demo-organisation:{each.code}") for name, each in organisations.items()}
    people = {person.username: seeded_id(f"demo-person:{person.username}") for person in district.persons}
    missing_units = _missing(Organisation, district.organisations, lambda each: ids[each.short_name])
    missing_sites = _missing(Site, district.sites, site_id)
    missing_people = _missing(Person, district.persons, lambda each: people[each.username])
    work.lock({ids[each.short_name] for each in missing_units} | {ids[site.unit] for site in missing_sites})
    _say_organisations(work, missing_units, ids)
    _say_sites(work, missing_sites, ids)
    _say_people(work, missing_people, ids, people)
    day = today(work.now)
    since = demo_history.first_day(district, day) if past else day
    shifts = _add_shifts(work, district, ids, people, since=since - timedelta(days=1))
    return {"单位": len(missing_units), "场所": len(missing_sites), "人员": len(missing_people), "值班": shifts}


def site_id(site: demo.Site) -> UUID:
    return seeded_id(f"demo-site:{site.name}")


def _missing(model, wanted: list, id_of) -> list:
    there = set(model.objects.filter(id__in=[id_of(each) for each in wanted]).values_list("id", flat=True))
    return [each for each in wanted if id_of(each) not in there]


def _say_organisations(work: Work, missing: list[demo.Organisation], ids: dict[str, UUID]) -> None:
    rows = {row.code: row for row in Organisation.objects.filter(id__in=ids.values())}
    for each in missing:
        fields = msgspec.structs.asdict(each) | {"school_code": each.school_code or None, "demo": True}
        parent = rows[each.parent] if each.parent else None
        row = Organisation(id=ids[each.short_name], code=each.code, **fields | {"parent": parent})
        row.place_in_tree()
        rows[each.code] = row
        work.say(row, "organisation.created", body=_body(work, each), urgency=None)


def _say_sites(work: Work, missing: list[demo.Site], ids: dict[str, UUID]) -> None:
    serving = []
    for each in missing:
        row = Site(
            id=site_id(each),
            unit_id=ids[each.unit],
            kind=each.kind,
            name=each.name,
            code=each.sticker(SITE_CODE_LETTERS),
            plate=each.plate,
            plate_colour=each.plate_colour,
        )
        row.share_with([ids[name] for name in each.serves])
        work.say(row, "site.created", body=_body(work, each), urgency=None)
        serving += [Site.serves.through(site_id=row.id, organisation_id=ids[name]) for name in each.serves]
    work.also(lambda first: [(Site.serves.through, serving)])


def _say_people(work: Work, missing: list[demo.Person], ids: dict[str, UUID], people: dict[str, UUID]) -> None:
    if not missing:
        return
    # hashed once and shared: a hundred hashes of one known word would only cost the first start half a minute
    password = make_password(PASSWORD)
    for each in missing:
        posts = [
            Post(
                id=seeded_id(f"demo-post:{each.username}:{place}"),
                person_id=people[each.username],
                role=post.role,
                node_id=ids[post.node],
                from_on=post.from_on,
                to_on=post.to_on,
            )
            for place, post in enumerate(each.posts)
        ]
        row = Person(
            id=people[each.username], username=each.username, name=each.name, phone=each.phone, password=password
        )
        row.meet(posts)
        work.say(row, "person.created", body=_body(work, each), urgency=None)
        for post in posts:
            work.insert(post)


def _add_shifts(work: Work, district: demo.Demo, ids: dict[str, UUID], people: dict[str, UUID], *, since: date) -> int:
    last = today(work.now) + timedelta(days=SHIFTS_AHEAD_DAYS)
    days = [since + timedelta(days=n) for n in range((last - since).days + 1)]
    wanted = [shift for roster in district.rosters for day in days for shift in roster.shifts_on(day)]
    there = set(
        DutyShift.objects.filter(starts_at__gte=min(shift.starts_at for shift in wanted)).values_list(
            "node_id", "person_id", "starts_at"
        )
    )
    missing = [shift for shift in wanted if (ids[shift.node], people[shift.username], shift.starts_at) not in there]
    for shift in missing:
        work.insert(
            DutyShift(
                node_id=ids[shift.node],
                person_id=people[shift.username],
                seat=SEATS[shift.seat],
                starts_at=shift.starts_at,
                ends_at=shift.ends_at,
                begun=shift.ends_at <= work.now,
            )
        )
    return len(missing)


def _body(work: Work, said: msgspec.Struct):
    return work.body(msgspec.json.encode(said))


def a_few(district: demo.Demo, now: datetime) -> list[demo.Person]:
    """The first person of each role, and of some in each district, in the order of the file."""
    day, seen, chosen = today(now), set(), []
    divisions = {each.short_name: each.division for each in district.organisations}
    for person in district.persons:
        held = [post for post in person.posts if post.holds_on(day)]
        shown = {(post.role, divisions[post.node] if post.role in STRANGERS else "") for post in held}
        if shown - seen:
            chosen.append(person)
            seen |= shown
    return chosen


def posts_in_words(person: demo.Person) -> str:
    """ "责任督学:市三中、七一路小学;审批人:王益区(演示)", ended posts with their last day."""
    nodes = defaultdict(list)
    for post in person.posts:
        nodes[post.role].append(f"{post.node}(至 {post.to_on})" if post.to_on else post.node)
    return ";".join(f"{Role(role).label}:{'、'.join(names)}" for role, names in nodes.items())
