"""The machine: what persons, phones, the office, the network and misfortune do, in any order (sync.md §7.2, layer 2)."""

import json
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial

import time_machine
from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sync.jobs import drain_deferred
from tests.history import answer
from tests.model import invariants as checks
from tests.model.engine import Died, Engine
from tests.model.road import FAULTS, Sent
from tests.model.world import CODES, FIELD_PHONES, PHONES, PLACES, SCHOOLS, World, picture, words_in
from tests.sync.papers import Paper

OFTEN = {  # how many times as often as the rest
    "edit": 6,
    "attach": 2,
    "tell_hazard": 2,
    "report": 2,
    "reassign": 2,
    "publish": 2,
    "sync": 4,
    "sync_all": 3,
    "sync_over_a_bad_road": 3,
}
OPENINGS = {  # what an example may begin with, and what must be drawn for it
    "lose_an_answer": ("pair",),
    "die_in_a_pull": ("pair", "at"),
    "delete_what_another_fills_in": ("pair",),
    "disagree_and_pick": ("pair", "pick"),
    "wipe": ("pair", "at"),
    "end_with_work_on_it": ("pair", "at"),
    "wait_in_vain": ("pair",),
    "show_to_others": ("pair",),
    "change_schools": ("pair",),
}
ROUNDS = 8  # syncs of every phone after which nothing may be waiting any more

fields = st.sampled_from(FIELD_PHONES)
phones = st.sampled_from(tuple(PHONES))
pairs = st.permutations(FIELD_PHONES).map(lambda turned: turned[:2])
bad_roads = st.lists(st.sampled_from(["lost answer", *FAULTS]), min_size=1, max_size=2)
busy = st.sampled_from([*FIELD_PHONES, "head"])
schools = st.integers(0, SCHOOLS - 1)
some = st.integers(0, 5)  # one of what is there, by its age
openings = st.lists(st.sampled_from(tuple(OPENINGS)), min_size=2, max_size=3, unique=True)
picks = st.sampled_from(["kept", "lost"])
limits = st.sampled_from([1, 2, 3, 7, 1000])
batches = st.sampled_from([1, 2, 100])
codes = st.sampled_from(CODES)
places = st.sampled_from(PLACES)
groups = st.sampled_from(["result", "result note", "note", "header"])
values = st.sampled_from(["fail", "fail", "ok", "na"])


class Campus(RuleBasedStateMachine):
    """One example: six phones of five persons, and whatever comes.

    What it writes is rolled back: to units inside, the example is the test's own transaction.
    """

    base: dict = {}  # set by the test, see `world.build`
    met: Counter = Counter()  # what came to pass in all examples: a machine that idles proves nothing

    def __init__(self):
        super().__init__()
        self.stack = ExitStack()
        block = transaction.atomic()
        block._from_testcase = True
        self.stack.enter_context(block)
        self.stack.callback(transaction.set_rollback, True)
        clock = self.stack.enter_context(time_machine.travel(timezone.now(), tick=False))
        self.world = World(self.base, clock)
        self.world.road.watch = self.watch
        for phone in self.world.phones.values():
            phone.watch = partial(self.answered, phone)

    @initialize(openings=openings, pair=pairs, at=st.integers(1, 4), pick=picks)
    def begin(self, openings, pair, at, pick):
        """Everybody has synced once, and some of what must befall phones often here has befallen them."""
        for phone in self.world.phones.values():
            phone.sync()
        for opening in openings:
            getattr(self, opening)(**{name: {"pair": pair, "at": at, "pick": pick}[name] for name in OPENINGS[opening]})

    # What inspectors do

    @rule(who=fields, n=some, code=codes, groups=groups, value=values, place=places, together=st.booleans())
    def edit(self, who, n, code, groups, value, place, together):
        """Fills in something of a visit that the phone shows, or begins another."""
        visit = self.a_visit(who, n) if n else None
        visit = visit or self.begin_visit(who, n, together=together)
        if visit is not None:
            self.fill_in(who, visit, code, groups, value=value, place=place)

    @rule(who=fields, n=some)
    def submit(self, who, n):
        visit = self.a_visit(who, n)
        if visit is None:
            return
        world, phone = self.world, self.world.phones[who]
        participants = phone.docs.get(("inspections", visit), {}).get("participants", [str(phone.person.pk)])
        snapshot = json.dumps({"answers": phone.screen(visit)}, ensure_ascii=False)
        said = {"snapshot": snapshot, "participants": participants, "finished_at": timezone.now()}
        world.say(who, "inspections", "submit", said, doc_id=visit)

    @rule(who=fields, n=some)
    def delete(self, who, n):
        visit = self.a_visit(who, n)
        if visit is None:
            return
        world, key = self.world, ("inspections", visit)
        saw = words_in(world.phones[who].docs.get(key, {})) | words_in(world.phones[who].screen(visit))
        world.deletions[world.say(who, "inspections", "delete", {}, doc_id=visit).op_id] = frozenset(saw)

    @rule(who=fields, n=some, image=st.integers(0, 1), code=codes, together=st.booleans())
    def attach(self, who, n, image, code, together):
        """Takes a photo on a visit that the phone shows, or as the first thing of another."""
        visit = self.a_visit(who, n) if n else self.begin_visit(who, n, together=together)
        if visit is not None:
            self.photograph(who, "inspections", visit, image, item_code=code)

    @rule(who=fields, school=schools, code=codes, place=places)
    def tell_hazard(self, who, school, code, place):
        world, site = self.world, self.a_site(who, school)
        if site is not None:
            word = world.word()
            said = {"site_id": site, "text": f"漏气{word}", "item_code": code, "place": place}
            world.type_into(who, word, world.say(who, "quick_hazards", "create", said).key)

    @rule(who=st.sampled_from([*FIELD_PHONES, "office"]), n=some, passed=st.booleans())
    def revisit(self, who, n, passed):
        item = self.an_item(who, n)
        if item is not None:
            judged = {"round": item["round"], "evidence_hash": item["evidence_hash"], "passed": passed}
            self.speak(who, "revisits", item, "reason", **judged)

    @rule(who=fields, n=some, pick=picks)
    def resolve(self, who, n, pick):
        """Picks one of two values that stand against each other."""
        shown = sorted(doc_id for collection, doc_id in self.world.phones[who].docs if collection == "conflicts")
        if shown:
            self.world.say(who, "conflicts", "resolve", {"pick": pick}, doc_id=shown[n % len(shown)])

    # What the school and the office do

    @rule(n=some)
    def notify(self, n):
        item = self.an_item("office", n)
        if item is not None:
            self.speak("office", "notices", item, "text")

    @rule(n=some, image=st.one_of(st.none(), st.integers(0, 1)), receipt=st.booleans())
    def report(self, n, image, receipt):
        item = self.an_item("head", n)
        if item is None:
            return
        if receipt:
            self.speak("head", "receipts", item, "text")
            return
        kept = self.speak("head", "reports", item, "text", round=item["round"])
        if image is not None:
            self.photograph("head", "reports", kept.key[1], image, after=[kept.op_id])

    @rule(person=st.sampled_from(["inspector", "colleague"]), of=st.sets(schools, max_size=2))
    def reassign(self, person, of):
        self.world.post(person, of)

    @rule(school=schools, district=st.integers(0, 1))
    def move_school(self, school, district):
        self.world.move(school, district)

    @rule(n=some, audience=st.sampled_from(["shared", "bureau"]), of=st.sets(schools, max_size=2))
    def publish(self, n, audience, of):
        """The bureau shows a paper, a new one or an old one to others; to nobody is to withdraw it."""
        papers, readers = self.world.known.papers, {(audience, self.world.base["schools"][each]) for each in of}
        if of and (n % 2 == 0 or not papers):
            self.world.write(Paper(readers, text=f"通报{self.world.word()}"))
        elif papers:
            paper = papers[n % len(papers)]
            paper.shown_to = readers or paper.shown_to
            self.world.write(paper, deleted=not of)

    @rule()
    def next_day(self):
        self.world.clock.shift(timedelta(days=1))

    # What the network does

    @rule(who=phones, limit=limits, most=batches, first=some)
    def sync(self, who, limit, most, first):
        self.world.phones[who].sync(limits=[limit], most=most, first=first)

    @rule(limit=limits, first=some)
    def sync_all(self, limit, first):
        for phone in self.world.phones.values():
            phone.sync(limits=[limit], first=first)

    @rule(who=phones, limit=limits, pages=st.integers(0, 3), most=batches, first=some)
    def sync_in_part(self, who, limit, pages, most, first):
        self.world.phones[who].sync(limits=[limit], pages=pages, most=most, first=first)

    @rule(who=busy, at=st.integers(1, 12), limit=limits, most=batches)
    def crash(self, who, at, limit, most):
        phone = self.world.phones[who]
        phone.disk.fuse = at
        with suppress(Died):
            phone.sync(limits=[limit], most=most)
        phone.restart()

    @rule(who=busy, faults=bad_roads, most=batches, types_on=st.booleans())
    def sync_over_a_bad_road(self, who, faults, most, types_on):
        """What comes of it the phone does not know; its person may go on typing where they were."""
        phone = self.world.phones[who]
        self.world.road.faults = list(faults)
        phone.sync(most=most)
        self.world.road.faults = []
        visits = [doc_id for collection, doc_id in (kept.key for kept in phone.outbox) if collection == "inspections"]
        if types_on and visits:
            self.fill_in(who, visits[-1], "ST-11", "note", value="ok", place="")

    # What befalls phones seldom, and must befall them often here: each is an opening too

    @rule(pair=pairs)
    def lose_an_answer(self, pair):
        """The phone has work, the server hears it, and the answer is lost; whoever holds the phone knows nothing of that."""
        self.edit(pair[0], 0, "ST-11", "note", "ok", "", True)
        self.sync_over_a_bad_road(pair[0], ["lost answer"], 100, True)

    @rule(pair=pairs, at=st.integers(1, 4))
    def die_in_a_pull(self, pair, at):
        """A phone with nothing to say dies over the pages that tell of another's work, and comes again."""
        who, other = pair
        self.world.phones[who].sync()
        self.edit(other, 1, "ST-15", "result note", "fail", "灶间", True)
        self.world.phones[other].sync()
        self.crash(who, at, 1000, 100)
        self.world.phones[who].sync()

    @rule(pair=pairs)
    def delete_what_another_fills_in(self, pair):
        """Neither has seen what the other does."""
        (who, other), visit = pair, self.a_visit(pair[0], 0)
        if visit is not None and ("inspections", visit) in self.world.phones[other].docs:
            self.fill_in(other, visit, "ST-21", "note", value="ok", place="")
            self.world.phones[other].sync()
            self.delete(who, 0)
            self.world.phones[who].sync()

    @rule(pair=pairs, pick=picks)
    def disagree_and_pick(self, pair, pick):
        """Two say different things of one item of one visit; one of them sees both, and picks."""
        for who in pair:
            self.fill_in(who, self.world.visits[0], "ST-11", "result", value="fail", place="")
        for who in (*pair, pair[0]):
            self.world.phones[who].sync()
        self.resolve(pair[0], 0, pick)
        self.world.phones[pair[0]].sync()

    @rule(pair=pairs, at=st.integers(1, 4))
    def wipe(self, pair, at):
        """The phone has something to say when the order meets it."""
        self.edit(pair[0], 0, "ST-11", "note", "ok", "", False)
        self.world.order_wipe(pair[0], rescue=at % 2 == 0)
        self.world.phones[pair[0]].sync()

    @rule(pair=pairs, at=st.integers(1, 4))
    def end_with_work_on_it(self, pair, at):
        """The phone is revoked or lost while something waits on it; its owner signs in anew."""
        self.edit(pair[0], 0, "ST-11", "note", "ok", "", False)
        self.world.revoke(pair[0], lost=at % 2 == 0)
        self.world.phones[pair[0]].sync()
        self.sign_in()

    @rule(pair=pairs)
    def send_a_photo_before_its_visit(self, pair):
        """The visit stays on the phone: the network is gone after the first request."""
        visit = self.begin_visit(pair[0], 0, together=True)
        if visit is not None:
            self.photograph(pair[0], "inspections", visit, 0, item_code="ST-11")
            self.world.road.faults = ["", "lost request"]
            self.world.phones[pair[0]].sync(most=1, first=-1)
            self.world.road.faults = []

    @rule(pair=pairs)
    def wait_in_vain(self, pair):
        """What waits for what never came waits no more."""
        self.send_a_photo_before_its_visit(pair)
        self.world.clock.shift(timedelta(days=6))
        self.work()
        checks.nothing_waits_beyond_its_time(self.world)

    @rule(pair=pairs)
    def show_to_others(self, pair):
        """What a phone holds is shown to others, and to it no more; meanwhile it is given other schools."""
        who, schools = pair[0], self.world.base["schools"]
        paper = Paper({("bureau", schools[0])}, text=f"通报{self.world.word()}")
        self.world.write(paper)
        self.world.phones[who].sync()
        paper.shown_to = {("bureau", schools[2])}
        self.world.write(paper)
        self.world.phones[who].sync()

    @rule(pair=pairs)
    def change_schools(self, pair):
        """Something moves in a school that is kept while another is taken away and given again."""
        who, other = pair
        person = PHONES[who]
        self.world.post(person, {0})
        self.world.phones[who].sync()
        self.edit(other, 1, "ST-15", "note", "ok", "", True)
        self.world.phones[other].sync()
        self.world.post(person, {0, 1})
        self.world.phones[who].sync(limits=[3])

    @precondition(lambda self: self.world.road.strays)
    @rule(n=some)
    def stray_request_arrives_again(self, n):
        strays = self.world.road.strays
        self.world.road.deliver(strays[-1 - n % len(strays)])

    # Misfortune, and what helps

    @rule(who=fields, lost=st.booleans())
    def revoke(self, who, lost):
        self.world.revoke(who, lost=lost)

    @rule(who=fields, rescue=st.booleans())
    def order_wipe(self, who, rescue):
        """It is obeyed at the next contact."""
        self.world.order_wipe(who, rescue=rescue)

    @precondition(lambda self: any(phone.signed_out for phone in self.world.phones.values()))
    @rule()
    def sign_in(self):
        for phone in self.world.phones.values():
            if phone.signed_out:
                phone.sign_in()

    @rule()
    def back_up(self):
        self.world.backup()

    @precondition(lambda self: self.world.has_moved_on)
    @rule()
    def restore(self):
        self.world.restore()

    @rule()
    def work(self):
        drain_deferred(timezone.now())
        self.world.stale = True

    # The invariants

    @invariant()
    def holds(self):
        self.world.clock.shift(timedelta(seconds=1))
        for check in checks.HOLD_ALWAYS:
            check(self.world)

    def teardown(self):
        try:
            if sys.exception() is None:  # what has failed already is told as it failed
                self.come_to_rest()
        finally:
            self.stack.close()

    def come_to_rest(self) -> None:
        """Everybody signs in, the network is fair, the worker works: then everything must be in its place."""
        self.world.road.faults = []
        for _ in range(ROUNDS):
            before = [len(engine.outbox) for engine in self.world.phones.values()], self.world.ledger.clock.seq
            for engine in self.world.phones.values():
                if engine.signed_out:
                    engine.sign_in()
                engine.sync()
            self.work()
            self.world.clock.shift(timedelta(seconds=1))
            quiet = all(engine.complete for engine in self.world.phones.values())
            if quiet and before == ([0] * len(PHONES), self.world.ledger.clock.seq):
                break
        for check in (*checks.HOLD_ALWAYS, *checks.HOLD_AT_REST):
            check(self.world)
        self.met.update(self.world.met())

    # Hands

    def watch(self, sent: Sent, response) -> None:
        """What the server answers, whoever hears it."""
        self.world.stale = True
        checks.no_school_is_named(self.world)
        checks.nothing_foreign_is_told(self.world, sent.person, response.content)
        checks.bytes_are_known_to_their_bringer(self.world, sent, response.status_code)
        checks.bytes_are_their_bringers(self.world)

    def answered(self, phone: Engine, kind: str, answer: dict) -> None:
        if kind == "complete":
            for check in checks.HOLD_WHEN_COMPLETE:
                check(self.world, phone)
            return
        self.world.hear(kind, answer)
        self.met.update([answer["phase"]] if kind == "pull" else [])
        for check in checks.HOLD_AT_ONCE:
            check(self.world, phone, kind, answer)

    def a_site(self, who: str, n: int) -> str | None:
        shown = [each for each in self.world.site_ids if ("sites", each) in self.world.phones[who].docs]
        return shown[n % len(shown)] if shown else None

    def begin_visit(self, who: str, n: int, *, together: bool) -> str | None:
        world, site = self.world, self.a_site(who, n)
        if site is None:
            return None
        said = {"site_id": site, "template_version_id": world.checklist.id, "started_at": timezone.now()}
        said["participants"] = [world.persons[name].id for name in ("inspector", "colleague") if together]
        world.visits.append(world.say(who, "inspections", "create", said).key[1])
        return world.visits[-1]

    def fill_in(self, who: str, visit: str, code: str, groups: str, *, value: str, place: str) -> None:
        """Types a new word into each of these groups of a visit."""
        world, phone, key = self.world, self.world.phones[who], ("inspections", visit)
        screen, header = phone.screen(visit).get(code, {}), phone.docs.get(key, {}).get("header", {})
        saw = {"header": header, f"{code}.result": screen.get("result"), f"{code}.note": screen.get("note")}
        words = {group: world.word() for group in saw if group.rpartition(".")[2] in groups}
        said = {}
        if word := words.get(f"{code}.result"):
            said["result"] = answer(value, place=place, reason=word)["result"]
        if word := words.get(f"{code}.note"):
            said["note"] = word
        content = {"answers": {code: said}} if said else {}
        if word := words.get("header"):
            content["header"] = {"summary": word}
        world.say(who, "inspections", "patch", content, doc_id=visit)
        for group, word in words.items():
            world.type_into(who, word, key, group, words_in(saw[group]))

    def a_visit(self, who: str, n: int) -> str | None:
        """One of the visits that this phone shows, the youngest first."""
        phone = self.world.phones[who]
        own = {kept.key for kept in phone.outbox}
        shown = [each for each in self.world.visits if ("inspections", each) in phone.docs.keys() | own]
        return shown[-1 - n // 2 % len(shown)] if shown else None

    def an_item(self, who: str, n: int) -> dict | None:
        docs = self.world.phones[who].docs
        items = [doc for (collection, _), doc in docs.items() if collection == "rectifications"]
        items.sort(key=lambda item: (item["found_on"], item["item_code"], item["place"], item["text"]))
        return items[n % len(items)] if items else None

    def speak(self, who: str, collection: str, item: dict, field: str, **said):
        word = self.world.word()
        kept = self.world.say(who, collection, "create", {"rectification_id": item["id"], field: f"说{word}", **said})
        self.world.type_into(who, word, kept.key)
        return kept

    def photograph(self, who: str, collection: str, subject: str, image: int, *, item_code: str = "", **more) -> None:
        content = picture(image)
        said = {
            "subject_collection": collection,
            "subject_id": subject,
            "sha256": self.world.phones[who].take_photo(content),
            "size_bytes": len(content),
            "item_code": item_code,
        }
        self.world.say(who, "photos", "create", said, **more)


# hypothesis draws each attribute alike: what happens often has more than one
for _name, _times in OFTEN.items():
    for _n in range(1, _times):
        setattr(Campus, f"{_name}_{_n}", getattr(Campus, _name))
