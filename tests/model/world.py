"""The world of the model: the product's rows, and beside them the same world in plain dictionaries.

The dictionaries know posts, the tree, what was typed where and by whom, and who may see what; they are changed by the
same rules that change the rows, and are asked instead of the product's own gate.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from io import BytesIO
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from inspections.models import RectificationItem, TemplateVersion
from safety.access import today
from safety.backups import begin_epoch, record_backup
from safety.changes import unit
from safety.devices import lose, order_wipe, revoke
from safety.errors import NotAllowed
from safety.ids import new_id
from safety.models import Change, Clock, Device, Exit, Index, Organisation, Person, Post
from sync.models import Operation, Verdict, Waiting
from tests.makers import make_checklist, make_district, make_person, make_school, make_shift, make_site
from tests.model.engine import Engine, Kept
from tests.model.road import Road
from tests.sync.papers import Paper, move_school, say
from tests.sync.phone import Phone

SCHOOLS = 3  # the first two begin under the first district, the third under the second
PHONES = {  # phone: whose
    "one": "inspector",
    "two": "inspector",
    "three": "colleague",
    "head": "principal",
    "office": "office",
    "abroad": "stranger",
}
FIELD_PHONES = ("one", "two", "three")
CODES = ("ST-11", "ST-15", "ST-21")
PLACES = ("灶间", "库房", "")
WORD = re.compile("⟦[0-9]+⟧")
OF_INSPECTION = ("submissions", "conflicts")
OF_ITEM = ("notices", "receipts", "reports", "revisits")


def build() -> dict:
    """The rows with which every example begins, as primary keys."""
    districts = [make_district(name="甲区教育局"), make_district(name="乙区教育局")]
    schools = [make_school(district=districts[n == 2], name=f"第{n + 1}学校") for n in range(SCHOOLS)]
    sites = [make_site(unit=school, name="食堂") for school in schools]
    persons = {
        "inspector": make_person(role="inspector", at=schools[0], name="督学甲"),
        "colleague": make_person(role="inspector", at=schools[0], name="督学乙"),
        "principal": make_person(role="principal", at=schools[0], name="校长"),
        "office": make_person(role="safety_officer", at=districts[0], name="安全科"),
        "stranger": make_person(role="safety_officer", at=districts[1], name="外区安全科"),
    }
    since = today(timezone.now()) - timedelta(days=30)
    for name in ("inspector", "colleague"):
        Post.objects.create(person=persons[name], role="inspector", node=schools[1], from_on=since)
    make_shift(person=make_person(role="duty_officer", at=districts[0], name="值班员"), node=districts[0], hours=9000)
    checklist = make_checklist()
    return {
        "districts": [each.pk for each in districts],
        "schools": [each.pk for each in schools],
        "sites": [each.pk for each in sites],
        "persons": {name: person.pk for name, person in persons.items()},
        "administrator": make_person(role="administrator", at=districts[0], name="管理员").pk,
        "checklist": checklist.pk,
        "visit": _yesterday(persons, sites[0], checklist),
    }


def _yesterday(persons: dict, site, checklist) -> str:
    """Two inspectors have a visit open between them, and a hazard is told that the school has notice of."""
    inspector, office = Phone(persons["inspector"]), Phone(persons["office"])
    said = {"site_id": site.pk, "template_version_id": checklist.pk, "started_at": timezone.now()}
    visit = inspector.op("inspections", "create", said | {"participants": [persons["colleague"].pk]})
    hazard = {"site_id": site.pk, "text": "阀门漏气", "item_code": "ST-15", "place": "灶间"}
    inspector.op("quick_hazards", "create", hazard)
    inspector.send()
    item = RectificationItem.objects.get(site=site)
    office.op("notices", "create", {"rectification_id": item.pk, "text": "请整改"})
    office.send()
    return str(visit)


def picture(n: int) -> bytes:
    """A small photo; the same number is the same bytes."""
    out = BytesIO()
    Image.new("RGB", (16, 16), (40 * n, 90, 120)).save(out, "JPEG")
    return out.getvalue()


@dataclass(frozen=True)
class Typed:
    """One word typed by a person: on which phone, into what, and which words stood there on that screen."""

    word: str
    phone: str
    person: str
    n: int  # in order of typing on that phone
    key: tuple[str, str]
    group: str = ""  # of a visit: "ST-11.note"
    saw: frozenset[str] = frozenset()


@dataclass
class Known:
    """What the server is known to know, in plain dictionaries; a backup takes them along."""

    posts: dict[str, set[int]] = field(default_factory=lambda: {"inspector": {0, 1}, "colleague": {0, 1}})
    under: list[int] = field(default_factory=lambda: [0, 0, 1])
    papers: list[Paper] = field(default_factory=list)
    live: set[str] = field(default_factory=set)  # papers that are not withdrawn
    acknowledged: dict[UUID, bytes] = field(default_factory=dict)  # answered with any verdict but retry
    brought: set[tuple[UUID, str]] = field(default_factory=set)  # person, SHA-256 of bytes


STAMP = """
    SELECT seq, epoch, (SELECT count(*) FROM sync_operation), (SELECT count(*) FROM sync_verdict) FROM safety_clock
"""


class Ledger:
    """The server's tables as they stand, read once for all checkers of a step."""

    def __init__(self):
        self.index: dict[tuple[str, str], Index] = {}
        for row in Index.objects.order_by("seq"):
            self.index.setdefault((row.collection, str(row.doc_id)), row)
        self.operations = {each.op_id: each for each in Operation.objects.all()}
        self.verdicts = {each.op_id: each for each in Verdict.objects.all()}
        self.waiting = set(Waiting.objects.values_list("op_id", flat=True))
        self.changes = list(Change.objects.order_by("seq"))
        self.clock = Clock.objects.get(id=1)

    @cached_property
    def docs(self) -> dict[tuple[str, str], dict]:
        return {key: msgspec.json.decode(row.wire) for key, row in self.index.items() if not row.deleted}

    @cached_property
    def out_of_order(self) -> set[UUID]:
        """Operations that had waited for too long."""
        told = [doc for (collection, _), doc in self.docs.items() if collection == "sync_results"]
        return {UUID(doc["op_id"]) for doc in told if doc["out_of_order"]}

    @cached_property
    def noticed(self) -> set[str]:
        """Items of which the school has been told."""
        return {doc["rectification_id"] for (collection, _), doc in self.docs.items() if collection == "notices"}

    @cached_property
    def seqs(self) -> dict[tuple[str, str], list[int]]:
        """The numbers of each document's changes."""
        seqs: dict[tuple[str, str], list[int]] = {}
        for change in self.changes:
            seqs.setdefault((change.collection, str(change.doc_id)), []).append(change.seq)
        return seqs

    def owed_to(self, person_id: UUID) -> list[dict]:
        """Documents of one person alone: scope, alerts, results."""
        return [
            doc
            for key, doc in self.docs.items()
            if (self.index[key].audience, self.index[key].key) == ("person", person_id)
        ]

    @cached_property
    def beside(self) -> dict[str, set[str]]:
        """By visit, the words that stand beside it: values that lost, and what came after the record was closed."""
        beside: dict[str, set[str]] = {}
        for (collection, _), doc in self.docs.items():
            if collection == "conflicts":
                beside.setdefault(doc["target_id"], set()).update(words_in([doc["kept"], doc["lost"]]))
            elif collection == "submissions":
                beside.setdefault(doc["inspection_id"], set()).update(words_in(doc["content"]))
        return beside


class World:
    """One example's world. Its rows are those of `build`; a backup is a savepoint under everything that follows."""

    def __init__(self, base: dict, clock):
        self.base, self.clock, self.known = base, clock, Known()
        self.persons = {name: Person.objects.get(pk=pk) for name, pk in base["persons"].items()}
        self.names = {person.pk: name for name, person in self.persons.items()}
        self.checklist = TemplateVersion.objects.get(pk=base["checklist"])
        self.site_ids = [str(pk) for pk in base["sites"]]
        self.school_ids = [str(pk) for pk in base["schools"]]
        self.words, self.visits = 0, [base["visit"]]
        self.typed: dict[str, Typed] = {}
        self.sayings: dict[UUID, tuple[str, Kept]] = {}  # what was said on which phone, for ever
        self.highest: dict[tuple, int] = {}
        self.hashes: set[tuple[str, str]] = set()  # (item, evidence hash) that ever stood
        self.epochs = 0
        self.road = Road()
        self.deletions: dict[UUID, frozenset[str]] = {}  # operation → the words that its author had before them
        self.crossed: set[tuple[str, str]] = set()  # documents on which something was said in an epoch that has ended
        self.stale, self._ledger, self._stamp = True, None, None
        self.phones = {name: Engine(name, self.persons[who], self.road) for name, who in PHONES.items()}
        self.backup()

    # The server's side

    @property
    def ledger(self) -> Ledger:
        """The tables as they stand, read again when anything has moved."""
        if self.stale:
            with connection.cursor() as cursor:
                cursor.execute(STAMP)
                stamp = cursor.fetchone()
            if stamp != self._stamp:
                self._ledger, self._stamp = Ledger(), stamp
            self.stale = False
        return self._ledger

    def post(self, person: str, schools: set[int]) -> None:
        """The posts of a person have ended yesterday, and others begin today, as the admin does it."""
        who, day = Person.objects.get(pk=self.persons[person].pk), today(timezone.now())
        self.known.posts[person], self.stale = set(schools), True
        held = Post.objects.filter(person=who)
        held.filter(from_on=day).delete()
        held.filter(to_on__isnull=True).update(to_on=day - timedelta(days=1))
        nodes = Organisation.objects.in_bulk(self.base["schools"][n] for n in schools)
        posts = [Post(person=who, role="inspector", node=node, from_on=day) for node in nodes.values()]
        Post.objects.bulk_create(posts)
        who.meet(posts)
        with unit(actor=None, source="test") as work:
            work.say(who, "person.posted", body=None, urgency=None)

    def move(self, school: int, district: int) -> None:
        self.known.under[school] = district
        self.stale = True
        node = Organisation.objects.get(pk=self.base["districts"][district])
        move_school(Organisation.objects.get(pk=self.base["schools"][school]), node)

    def write(self, paper: Paper, *, deleted: bool = False) -> None:
        """A paper of the bureau is shown, shown to others, or withdrawn."""
        self.stale = True
        if paper not in self.known.papers:
            self.known.papers.append(paper)
        (self.known.live.discard if deleted else self.known.live.add)(str(paper.id))
        say(paper, deleted=deleted)

    def backup(self) -> None:
        """What a restore will bring back: every table, and what is known of them."""
        clock = self.ledger.clock
        self.saved = transaction.savepoint(), deepcopy(self.known), frozenset(self.ledger.operations)
        self.backed_up = clock.seq, self.epochs
        record_backup(clock.epoch, clock.seq, now=timezone.now())

    @property
    def has_moved_on(self) -> bool:
        """Whether anything stands here that the backup lacks."""
        return (self.ledger.clock.seq, self.epochs) != self.backed_up

    def restore(self) -> None:
        """Yesterday's backup, under a new epoch: what was said since is gone from here, and from nowhere else."""
        savepoint, known, survivors = self.saved
        self.crossed |= {kept.key for op_id, (_, kept) in self.sayings.items() if op_id not in survivors}
        self.stale = True
        transaction.savepoint_rollback(savepoint)
        self.known, self.epochs = deepcopy(known), self.epochs + 1
        begin_epoch(now=timezone.now())

    def order_wipe(self, phone: str, *, rescue: bool) -> None:
        """An administrator has a phone wiped, at once or after its last words; not one whose owner works elsewhere by now."""
        self.stale, by = True, Person.objects.get(pk=self.base["administrator"])
        for device in self._registered(phone):
            with suppress(NotAllowed):
                order_wipe(device, rescue=rescue, by=by, now=timezone.now())

    def revoke(self, phone: str, *, lost: bool) -> None:
        """Its owner has it revoked, or reports it lost."""
        self.stale = True
        for device in self._registered(phone):
            (lose if lost else revoke)(device, by=self.persons[PHONES[phone]], now=timezone.now())

    def _registered(self, phone: str):
        """The device of a phone, unless a restore has taken it away."""
        return Device.objects.filter(pk=self.phones[phone].device.pk)

    # Who sees what, said again

    def pairs(self, person: str) -> set[tuple[str, int]]:
        """(audience, school) that a person reads today."""
        if person == "principal":
            return {("shared", 0)}
        district = {"office": 0, "stranger": 1}.get(person)
        if district is None:
            covered: Iterable[int] = self.known.posts[person]
        else:
            covered = [n for n in range(SCHOOLS) if self.known.under[n] == district]
        return {(audience, n) for n in covered for audience in ("shared", "bureau")}

    def place_of(self, collection: str, doc: dict) -> tuple[str, int] | None:
        """The (audience, school) under which a document stands; None for what this page does not speak of."""
        docs, noticed = self.ledger.docs, self.ledger.noticed
        if collection == "inspections":
            return ("shared" if doc["state"] == "submitted" else "bureau", self._school(doc))
        if collection == "rectifications":
            return ("shared" if doc["id"] in noticed else "bureau", self._school(doc))
        if collection == "quick_hazards":
            return ("shared" if doc["rectification_id"] in noticed else "bureau", self._school(doc))
        if collection in OF_ITEM:
            above = ("rectifications", doc["rectification_id"])
        elif collection in OF_INSPECTION:
            above = ("inspections", doc.get("inspection_id") or doc["target_id"])
        elif collection == "photos":
            above = (doc["subject_collection"], doc["subject_id"])
        else:
            return None
        return self.place_of(above[0], docs[above]) if above in docs else None  # an orphan is nobody's to see

    def _school(self, doc: dict) -> int:
        return self.school_ids.index(doc["unit_id"])

    def paper_pairs(self, person: str) -> set[tuple[str, UUID]]:
        own = {("person", self.persons[person].pk)}
        return own | {(audience, self.base["schools"][n]) for audience, n in self.pairs(person)}

    def visible(self, person: str) -> set[tuple[str, str]]:
        """Every document of the collections spoken of here that a person reads now."""
        pairs, reads = self.pairs(person), self.paper_pairs(person)
        live = [paper for paper in self.known.papers if str(paper.id) in self.known.live]
        seen = {("papers", str(paper.id)) for paper in live if reads & paper.shown_to}
        for key, doc in self.ledger.docs.items():
            if key[0] != "papers" and self.place_of(key[0], doc) in pairs:
                seen.add(key)
        return seen

    def speaks_of(self, collection: str) -> bool:
        told = ("inspections", "rectifications", "quick_hazards", "photos", "papers", *OF_ITEM, *OF_INSPECTION)
        return collection in told

    # What persons type

    def word(self) -> str:
        self.words += 1
        return f"⟦{self.words}⟧"

    def say(self, phone: str, collection: str, kind: str, said: dict, **more) -> Kept:
        """Says a thing on a phone and remembers it beside the phone; what it replaces there is forgotten with it."""
        engine = self.phones[phone]
        before = {kept.op_id for kept in engine.outbox}
        kept = engine.say(collection, kind, said, **more)
        for gone in before - {each.op_id for each in engine.outbox}:
            del self.sayings[gone]  # two patches became one
        self.sayings[kept.op_id] = (phone, kept)
        if engine.epoch not in ("", self.ledger.clock.epoch):
            self.crossed.add(kept.key)
        return kept

    def type_into(self, phone: str, word: str, key: tuple[str, str], group: str = "", saw: Iterable[str] = ()) -> None:
        n, saw = self.phones[phone].n, set(saw)
        for own in [self.typed[each] for each in saw if each in self.typed and self.typed[each].phone == phone]:
            saw |= own.saw  # two patches may become one: what the first had seen, the second has
        self.typed[word] = Typed(word, phone, PHONES[phone], n, key, group, frozenset(saw))

    def met(self) -> Counter:
        """What has come to pass, by kind: verdicts, changes, exits, ended epochs."""
        met = Counter(verdict.status for verdict in self.ledger.verdicts.values())
        met.update((verdict.problem or {}).get("code", "") for verdict in self.ledger.verdicts.values())
        met.update(change.kind for change in self.ledger.changes)
        met.update({"exit": Exit.objects.count(), "epoch": self.epochs})
        return met

    def hear(self, kind: str, answer: dict) -> None:
        """Remembers what an answer acknowledged."""
        for result in answer["results"] if kind == "push" else ():
            op_id = UUID(result["op_id"])
            if result["status"] != "retry" and op_id in self.sayings:
                self.known.acknowledged[op_id] = self.sayings[op_id][1].wire

    def accepted(self) -> list[Typed]:
        """What was typed in operations that have had their effect, or were kept beside the record."""
        verdicts, accepted = self.ledger.verdicts, []
        for op_id, (_, kept) in self.sayings.items():
            verdict = verdicts.get(op_id)
            # a snapshot only repeats what was said before
            if verdict is not None and verdict.status != "rejected" and kept.verb != "inspections.submit":
                accepted += [self.typed[word] for word in words_in(kept.wire) if word in self.typed]
        return accepted


def words_in(value) -> set[str]:
    """The words of ours in any text, bytes or JSON value."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return set(WORD.findall(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))


def new_paper(world: World, shown_to: set) -> Paper:
    return Paper(shown_to, text=f"通报{world.word()}", id=new_id())
