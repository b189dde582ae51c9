"""The demonstration's history, told through the verbs of the doors: each thing by its person, at its moment.

A moment is handed to the unit of work as its now, so that dates, deadlines and the log read as if it had been so; the
order of telling is the order of the moments. Ids come from places in the file: what an interrupted loading has told
already is not told twice.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from inspections import demo, inputs
from inspections.frozen import FrozenTemplate
from inspections.models import (
    ENDED,
    Inspection,
    QuickHazard,
    RectificationItem,
    Statement,
    StatementKind,
    Task,
    TemplateVersion,
)
from inspections.verbs import VERBS, hear, ready
from safety.access import Sight, sight_of, today
from safety.changes import unit
from safety.ids import seeded_id
from safety.models import Alert, AlertState, Audience, Delivery, Person, Site
from safety.verbs import Saying, World, decide, with_locks

OPINIONS = {"agreed": "true", "disputed": "objection", "refused": "refused"}
PLANNER = "tianweidong"
ACKNOWLEDGED_AFTER = timedelta(minutes=4)
TAKEN_AFTER = timedelta(minutes=12)
RESOLVED_AFTER = timedelta(minutes=15)


class Said(NamedTuple):
    """One thing to say; at the moment of its event, unless it was said earlier than it reached the server."""

    verb: str
    doc_id: UUID
    input: Any
    said_at: datetime | None = None


@dataclass(order=True, slots=True)
class Event:
    """Something that happens at a moment; `order` keeps what happens at the same one in the order of the file."""

    moment: datetime
    order: int
    happen: Callable[[datetime], None] = field(compare=False)


class HistoryRefused(Exception):
    """A verb refused what the file tells: the file and the rules no longer fit."""


def is_told(history: demo.Demo) -> bool:
    """Whether all of it is there; the tasks ahead are told last."""
    return Task.objects.filter(id__in=[_task_id(n) for n in range(len(history.tasks))]).count() == len(history.tasks)


def first_day(history: demo.Demo, day: date) -> date:
    """The earliest day of the history, seen from today."""
    return demo.working_days_before(day, max(visit.days_ago for visit in history.visits))


def tell(history: demo.Demo, *, now: datetime) -> Iterator[tuple[int, int]]:
    """Tells the history up to now and gives (told, known so far) after each event. Raises HistoryRefused."""
    teller = Teller(history, now)
    yield from teller.tell()


class Teller:
    def __init__(self, history: demo.Demo, now: datetime):
        self.history, self.today = history, today(now)
        self.order, self.queue = count(), []
        self.sights: dict[UUID, Sight] = {}
        self.requests: dict[tuple[UUID, str], UUID] = {}  # the last request of a kind about an item

    @cached_property
    def told(self) -> set[UUID]:
        """What an earlier loading has told, before this one begins."""
        return {
            each
            for model in (Inspection, QuickHazard, Statement)
            for each in model.objects.values_list("id", flat=True)
        }

    @cached_property
    def people(self) -> dict[str, UUID]:
        return dict(Person.objects.values_list("username", "id"))

    @cached_property
    def names(self) -> dict[str, str]:
        return {person.username: person.name for person in self.history.persons}

    @cached_property
    def sites(self) -> dict[str, Site]:
        return {site.name: site for site in Site.objects.select_related("unit")}

    @cached_property
    def versions(self) -> dict[str, TemplateVersion]:
        published = TemplateVersion.objects.filter(state=TemplateVersion.PUBLISHED).order_by("version")
        return {version.template.code: version for version in published.select_related("template")}

    def tell(self) -> Iterator[tuple[int, int]]:
        for n, visit in enumerate(self.history.visits):
            self._plan_visit(n, visit)
        for n, hazard in enumerate(self.history.quick_hazards):
            self._plan_hazard(n, hazard)
        told = 0
        while self.queue:
            event = heapq.heappop(self.queue)
            event.happen(event.moment)
            told += 1
            yield told, told + len(self.queue)
        self._plan_ahead()

    def _at(self, moment: datetime, happen: Callable[[datetime], None]) -> None:
        heapq.heappush(self.queue, Event(moment, next(self.order), happen))

    def _day(self, days_ago: int) -> date:
        return demo.working_days_before(self.today, days_ago)

    def say(self, person: UUID, moment: datetime, *said: Said) -> None:
        """Says things in one unit by one person. Raises HistoryRefused."""
        if person not in self.sights:
            self.sights[person] = sight_of(person, on=today(moment))

        def door(organisations: frozenset[UUID]) -> None:
            with unit(actor=person, source="demo", now=moment) as work:
                sayings = [
                    Saying(
                        verb=each.verb,
                        doc_id=each.doc_id,
                        input=each.input,
                        body=work.body(msgspec.json.encode(each[:3])),
                        said_at=each.said_at or moment,
                    )
                    for each in said
                ]
                world = World(work, self.sights[person])
                ready(world, sayings, organisations=organisations)
                outcomes = [decide(world, VERBS, saying) for saying in sayings]
                for saying, outcome in zip(sayings, outcomes, strict=True):
                    if outcome.problem is not None or outcome.status == "deferred":
                        raise HistoryRefused(f"{moment:%m-%d %H:%M} {saying.verb} {saying.input}: {outcome.problem}")
                hear(world)

        with_locks(door)

    # Visits and quick hazards

    def _plan_visit(self, n: int, visit: demo.Visit) -> None:
        began = demo.moment(self._day(visit.days_ago), visit.at)
        ended = began + timedelta(minutes=visit.minutes)
        self._at(ended, lambda moment: self._visit(n, visit, began, moment))
        for place, finding in enumerate(visit.findings):
            found = RectificationItem.objects.filter(
                findings__inspection=seeded_id(f"demo-visit:{n}"), findings__item_code=finding.item
            )
            self._plan_steps(f"visit:{n}:{place}", visit.days_ago, finding.then, found.get)

    def _visit(self, n: int, visit: demo.Visit, began: datetime, ended: datetime) -> None:
        visit_id = seeded_id(f"demo-visit:{n}")
        if visit_id not in self.told:
            self.say(self.people[visit.by[0]], ended, *self._said_on(n, visit, visit_id, began, ended))
        self._watch_alerts(ended, RectificationItem.objects.filter(findings__inspection=visit_id))

    def _said_on(self, n: int, visit: demo.Visit, visit_id: UUID, began: datetime, ended: datetime) -> list[Said]:
        version = self.versions[visit.template]
        answers = _answers(msgspec.json.decode(bytes(version.content), type=FrozenTemplate), visit)
        created = inputs.CreateInspection(
            site_id=self.sites[visit.site].id,
            template_version_id=version.id,
            started_at=began,
            participants=[self.people[username] for username in visit.by],
            header=inputs.Header(summary=visit.words) if visit.words else inputs.Header(),
            answers=answers,
        )
        said = [Said("inspections.create", visit_id, created, began)]
        if visit.state == "void":
            voided = inputs.VoidInspection(cause="other", reason=visit.words)
            said.append(Said("inspections.void", visit_id, voided))
        if visit.state == "submitted":
            said += self._submitted(n, visit, visit_id, answers, ended)
        return said

    def _submitted(self, n: int, visit: demo.Visit, visit_id: UUID, answers: dict, ended: datetime) -> list[Said]:
        snapshot = msgspec.json.encode({"answers": answers, "site": visit.site, "template": visit.template}).decode()
        submit = inputs.SubmitInspection(
            snapshot=snapshot, participants=[self.people[username] for username in visit.by], finished_at=ended
        )
        sha256 = hashlib.sha256(snapshot.encode()).hexdigest()
        own = inputs.CreateSignature(
            inspection_id=visit_id, capacity="inspector", signer=self.names[visit.by[0]], snapshot_sha256=sha256
        )
        said = [
            Said("signatures.create", seeded_id(f"demo-signature:{n}:inspector"), own),
            Said("inspections.submit", visit_id, submit),
        ]
        if visit.school_signs == "none":
            return said
        refused = visit.school_signs == "refused"
        school = inputs.CreateSignature(
            inspection_id=visit_id,
            capacity="unit",
            opinion=OPINIONS[visit.school_signs],
            text=visit.words if visit.school_signs != "agreed" else "",
            signer="" if refused else self._signer_of(visit.site),
            witness=visit.witness,
            snapshot_sha256=sha256,
        )
        return [Said("signatures.create", seeded_id(f"demo-signature:{n}:unit"), school), *said]

    def _signer_of(self, site: str) -> str:
        """The safety officer of the unit that runs a site, or who answers for it."""
        unit_name = self.sites[site].unit.short_name
        at_unit = {
            post.role: person.name
            for person in self.history.persons
            for post in person.posts
            if post.node == unit_name and post.holds_on(self.today)
        }
        return at_unit.get("school_safety_officer") or at_unit.get("principal", "")

    def _plan_hazard(self, n: int, hazard: demo.QuickHazard) -> None:
        hazard_id = seeded_id(f"demo-hazard:{n}")
        told = inputs.CreateQuickHazard(
            site_id=self.sites[hazard.site].id,
            text=hazard.note,
            grade=hazard.grade,
            place=hazard.place,
            item_code=hazard.item,
        )

        def happen(moment: datetime) -> None:
            if hazard_id not in self.told:
                self.say(self.people[hazard.by], moment, Said("quick_hazards.create", hazard_id, told))

        self._at(demo.moment(self._day(hazard.days_ago), hazard.at), happen)
        items = RectificationItem.objects.filter(findings__quick_hazard=hazard_id)
        self._plan_steps(f"hazard:{n}", hazard.days_ago, hazard.then, items.get)

    # What is said about an item

    def _plan_steps(
        self, key: str, days_ago: int, steps: list[demo.AnyStep], item_of: Callable[[], RectificationItem]
    ) -> None:
        for place, step in enumerate(steps):
            doc_id = seeded_id(f"demo-step:{key}:{place}")
            moment = demo.moment(self._day(days_ago - step.after), step.at)
            self._at(moment, lambda at, step=step, doc_id=doc_id: self._step(step, doc_id, item_of(), at))

    def _step(self, step: demo.AnyStep, doc_id: UUID, item: RectificationItem, moment: datetime) -> None:
        collection = step.__struct_config__.tag
        if collection in ("extensions", "withdrawals"):
            self.requests[item.id, collection] = doc_id
        if doc_id in self.told:
            return
        content = self._content(step, item, today(moment))
        author = self.people[step.by]
        self.say(author, moment, Said(f"{collection}.create", doc_id, content))
        if collection == "receipts":
            self._open_notice(author, item, moment)
        item.refresh_from_db()
        if item.state not in ENDED:
            return
        for alert in Alert.objects.open().filter(subject_id=item.id):
            self._at(moment + RESOLVED_AFTER, lambda at, alert=alert: self._alert("alerts.resolve", alert, at))

    def _content(self, step: demo.AnyStep, item: RectificationItem, day: date) -> inputs.OnItem:
        """A step of the file as the input of its verb, naming round and evidence as they stand."""
        on = {"rectification_id": item.id}
        now = {"round": item.round, "evidence_hash": item.evidence_hash}
        match step:
            case demo.Notice():
                return inputs.CreateNotice(
                    **on,
                    text=step.demand,
                    kind=step.kind,
                    due_on=day + timedelta(days=step.due_days) if step.due_days else None,
                    suspend_use=step.suspend_use,
                    measures=step.interim,
                )
            case demo.Receipt():
                return inputs.CreateReceipt(**on)
            case demo.Report():
                return inputs.CreateReport(
                    **on,
                    round=item.round,
                    text=step.text,
                    partial=step.partial,
                    cause=step.cause or "",
                    done_on=None if step.partial else day,
                )
            case demo.Revisit():
                return inputs.CreateRevisit(**on, **now, passed=step.passed, reason=step.text)
            case demo.Extension():
                until = (item.due_on or day) + timedelta(days=step.days)
                return inputs.CreateExtension(**on, until=until, reason=step.reason, measures=step.interim)
            case demo.Decision():
                target = self.requests[item.id, step.on]
                return inputs.CreateDecision(**on, target=target, granted=step.granted, reason=step.text)
            case demo.Judgement():
                return inputs.CreateJudgement(**on, grade=step.grade, clauses=step.clauses, reason=step.text)
            case demo.Closure():
                return inputs.CreateClosure(**on, **now, granted=step.accepted, reason=step.text)
            case demo.Withdrawal():
                return inputs.CreateWithdrawal(**on, reason=step.reason)
            case demo.Transfer():
                return inputs.CreateTransfer(**on, departments=step.departments, text=step.text)
            case demo.TransferReply():
                done = step.outcome == "done"
                return inputs.CreateTransferReply(**on, done=done, department=step.department, text=step.text)
            case demo.Comment():
                return inputs.CreateComment(**on, text=step.text, audience=step.audience)

    # Who was told

    def _open_notice(self, person: UUID, item: RectificationItem, moment: datetime) -> None:
        notices = item.statements.filter(kind=StatementKind.NOTICE).values("id")
        for owed in Delivery.objects.filter(subject_id__in=notices, person_id=person, receipt_at__isnull=True):
            self.say(person, moment, Said("alerts_mine.open", owed.id, VERBS["alerts_mine.open"].struct()))

    def _watch_alerts(self, moment: datetime, items) -> None:
        """The duty officer acknowledges what has just been raised, and takes it in hand."""
        for alert in Alert.objects.filter(subject_id__in=items.values("id"), state=AlertState.WAITING):
            for after, verb in ((ACKNOWLEDGED_AFTER, "alerts.acknowledge"), (TAKEN_AFTER, "alerts.take")):
                self._at(moment + after, lambda at, verb=verb, alert=alert: self._alert(verb, alert, at))

    def _alert(self, verb: str, alert: Alert, moment: datetime) -> None:
        told = Delivery.objects.filter(subject_id=alert.id, reason="duty").order_by("owed_at", "person_id").first()
        struct = VERBS[verb].struct
        content = struct(reason="整改项已办结。") if "reason" in struct.__struct_fields__ else struct()
        self.say(told.person_id, moment, Said(verb, alert.id, content))

    # What lies ahead

    def _plan_ahead(self) -> None:
        """Tasks are not said by phones: the safety section's planner writes them, all at once."""
        sites = {self.sites[task.site].unit_id for task in self.history.tasks}
        with unit(actor=self.people[PLANNER], source="demo") as work:
            work.lock(sites)
            for n, each in enumerate(self.history.tasks):
                version, site = self.versions[each.template], self.sites[each.site]
                opens_on = demo.working_days_after(self.today, each.in_days)
                task = Task(
                    id=_task_id(n),
                    version=version,
                    title=f"{version.template.name}:{site.name}"[:80],
                    opens_on=opens_on,
                    due_on=demo.working_days_after(opens_on, each.days - 1),
                    assignees=sorted(str(self.people[username]) for username in each.by),
                    audience=Audience.BUREAU,
                )
                task.stand_at(site)
                work.say(task, "task.created", body=work.body(msgspec.json.encode(each)), urgency=None)


def _task_id(n: int) -> UUID:
    return seeded_id(f"demo-task:{n}")


def _answers(template: FrozenTemplate, visit: demo.Visit) -> dict[str, inputs.AnswerPatch]:
    """Everything in order but what the file says; a draft is half done."""
    codes = [item.code for item in template.items] + visit.chosen
    if visit.state == "draft":
        codes = codes[: len(codes) // 2]
    if visit.state == "void":
        codes = []
    answers = {code: inputs.AnswerPatch(result=inputs.Result(value="ok")) for code in codes}
    for finding in visit.findings:
        result = inputs.Result(value=finding.result, place=finding.place, measures=finding.measures)
        answers[finding.item] = inputs.AnswerPatch(result=result, note=finding.note)
    return answers
