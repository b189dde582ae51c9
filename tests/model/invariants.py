"""The invariants of sync.md §7.1 by name. Each takes the world and raises `Broken` with its own name, and says what broke it.

`HOLD_ALWAYS` hold after every step, `HOLD_AT_ONCE` at each answer, `HOLD_AT_REST` once every phone has synced in a fair
network. Those that the model cannot express are named in `PROVEN_ELSEWHERE`, with the test that holds them.
"""

import hashlib
from collections import Counter
from uuid import UUID

from django.utils import timezone

from inspections.models import Photo, PhotoState
from inspections.photos import path_of
from safety.chains import log_faults
from safety.models import Body
from sync.models import Waiting
from sync.waiting import TEN_DAYS
from tests.model.engine import Engine
from tests.model.road import Sent
from tests.model.world import Typed, World, words_in
from tests.sync.mirror import Mirror, fresh
from tests.taint.watch import leaks

FINAL = ("applied", "merged", "superseded", "rejected")
DELETED = "由检查人删除"
STATES = [
    "registered",
    "notified",
    "rectifying",
    "awaiting_revisit",
    "awaiting_closure",
    "closed",
    "transferred",
    "withdrawn",
]
LEGAL = {  # from → to, written off the table of design §5
    ("", "registered"), ("", "closed"), ("", "awaiting_closure"),
    ("registered", "notified"), ("registered", "rectifying"), ("registered", "awaiting_revisit"),
    ("registered", "closed"), ("registered", "awaiting_closure"),
    ("notified", "rectifying"), ("notified", "awaiting_revisit"), ("notified", "closed"),
    ("notified", "awaiting_closure"),
    ("rectifying", "awaiting_revisit"), ("rectifying", "closed"), ("rectifying", "awaiting_closure"),
    ("rectifying", "rectifying"),
    ("awaiting_revisit", "rectifying"), ("awaiting_revisit", "closed"), ("awaiting_revisit", "awaiting_closure"),
    ("awaiting_closure", "rectifying"), ("awaiting_closure", "closed"),
    ("closed", "rectifying"),
    ("withdrawn", "registered"),
    *((state, "transferred") for state in ("registered", "notified", "rectifying", "awaiting_revisit")),
    ("transferred", "closed"), ("transferred", "registered"), ("transferred", "awaiting_closure"),
    *((state, "withdrawn") for state in STATES if state not in ("closed", "withdrawn")),
}  # fmt: skip


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, name: str, what: str):
        self.name = name
        super().__init__(f"{name}: {what}")


def require(name: str, truth: bool, what: str) -> None:
    if not truth:
        raise Broken(name, what)


def acknowledged_is_kept(world: World) -> None:
    """I1: what was answered lies in the operations with its bytes, and has its verdict or waits; its id means it alone."""
    ledger = world.ledger
    bodies = dict(
        Body.objects.filter(id__in=[each.body_id for each in ledger.operations.values()]).values_list("id", "bytes")
    )
    for op_id, wire in world.known.acknowledged.items():
        operation = ledger.operations.get(op_id)
        require("I1", operation is not None, f"operation {op_id} was acknowledged and is not here")
        require("I1", bytes(bodies[operation.body_id]) == wire, f"operation {op_id} is kept with other bytes")
        require(
            "I1", op_id in ledger.verdicts or op_id in ledger.waiting, f"operation {op_id} has no verdict, nor waits"
        )
    for engine in world.phones.values():
        for kept in (*engine.journal.values(), *engine.quarantine.values()):
            require("I1", kept.problem != "op-id-reused", f"{engine.name} sent two things under the id {kept.op_id}")


def effect_is_exactly_once(world: World) -> None:
    """I2: a document's rev counts its changes; an operation moves its document once, in one transaction with its verdict."""
    ledger = world.ledger
    for key, row in ledger.index.items():
        require(
            "I2", row.rev == len(ledger.seqs.get(key, ())), f"{key} has rev {row.rev}, {len(ledger.seqs[key])} changes"
        )
    moved = Counter()
    for change in ledger.changes:
        if change.operation_id is None:
            continue
        operation = ledger.operations.get(change.operation_id)
        require("I2", operation is not None, f"change {change.seq} comes of an operation that is not kept")
        require(
            "I2", change.operation_id in ledger.verdicts, f"change {change.seq} stands without its operation's verdict"
        )
        if (change.collection, change.doc_id) == (operation.collection, operation.doc_id):
            moved[change.operation_id] += change.kind not in ("scope.moved", "inspection.supplemented")
    twice = [op_id for op_id, times in moved.items() if times > 1]
    require("I2", not twice, f"had its effect twice: {twice}")


def mirror_is_complete(world: World, engine: Engine) -> None:
    """I3, I9: after a pull to the end the mirror holds what its person may see, as it stands, and nothing else."""
    person = world.names[engine.person.pk]
    held = {key for key in engine.docs if world.speaks_of(key[0])}
    visible, docs = world.visible(person), world.ledger.docs
    require("I3", visible <= held, f"{engine.name} lacks {sorted(visible - held)}")
    require("I9", held <= visible, f"{engine.name} still holds {sorted(held - visible)}")
    stale = [key for key in held if engine.docs[key] != docs[key]]
    require("I3", not stale, f"{engine.name} holds stale {stale}")


def mirrors_equal_a_fresh_one(world: World) -> None:
    """I3, I4: at rest each mirror is what a new phone of its person gets, so two phones of one person are equal."""
    whole = {}
    for engine in world.phones.values():
        if engine.person.pk not in whole:
            whole[engine.person.pk] = fresh(engine.person)
        expected = whole[engine.person.pk]
        differing = {key for key in engine.docs.keys() | expected.keys() if engine.docs.get(key) != expected.get(key)}
        name = "I9" if differing <= engine.docs.keys() - expected.keys() and differing else "I3"
        require(name, not differing, f"{engine.name} differs from a fresh phone in {sorted(differing)}")
    one, two = world.phones["one"], world.phones["two"]
    require("I4", one.docs == two.docs, "two phones of one person differ")


def digests_are_told_right(world: World) -> None:
    """I3: at rest the digest that the server tells is that of the mirror, also of a mirror of some collections."""
    some = Mirror(world.persons["office"], collections="inspections,rectifications")
    some.sync()
    for mirror in (*world.phones.values(), some):
        told, held = mirror.servers_digest(), mirror.digest()
        require("I3", told == held, f"{mirror.device.person_id} holds {held}, and is told {told}")


def reads_are_monotonic(world: World, engine: Engine, kind: str, answer: dict) -> None:
    """I5: within an epoch no document comes back older than this phone was given it, and the number never falls."""
    if kind == "push":
        given = [
            (world.sayings[UUID(each["op_id"])][1].key, each["doc"]["rev"]) for each in answer["results"] if each["doc"]
        ]
    else:
        given = [((put["collection"], put["id"]), put["rev"]) for put in answer["changes"] if put["op"] == "put"]
        require("I5", answer["seq"] >= engine.seq, f"{engine.name} stood at {engine.seq}, now at {answer['seq']}")
    for what, rev in given:
        place = (engine.name, answer["epoch"], what)
        before = world.highest.get(place, 0)
        require("I5", rev >= before, f"{engine.name} was given {what} at {before}, now at {rev}")
        world.highest[place] = rev


def answers_are_current(world: World, engine: Engine, kind: str, answer: dict) -> None:
    """I5: the answer to a push shows each document as it stands, also to what was asked before (sync.md §1.4 step 4)."""
    for result in answer["results"] if kind == "push" else ():
        key = world.sayings[UUID(result["op_id"])][1].key
        current = result["doc"] is None or result["doc"] == world.ledger.docs.get(key)
        require(
            "I5", current, f"{engine.name} was given {key} at rev {(result['doc'] or {}).get('rev')}, not as it stands"
        )


def own_writes_are_read(world: World, engine: Engine) -> None:
    """I6: a pull past the number of an acknowledged effect shows it, or the document is not this person's to see any more."""
    seen = world.visible(world.names[engine.person.pk])
    for kept in engine.journal.values():
        if kept.seq is None or kept.seq > engine.seq or not world.speaks_of(kept.key[0]):
            continue
        rev = sum(seq <= kept.seq for seq in world.ledger.seqs.get(kept.key, ()))
        shown = engine.docs.get(kept.key, {}).get("rev", 0)
        require(
            "I6",
            kept.key not in seen or shown >= rev,
            f"{engine.name} has pulled {engine.seq}, not {kept.key} at {rev}",
        )


def causes_come_first(world: World) -> None:
    """I7: nothing is applied before what it names in `after`, or after what it names was refused.

    Save for the five-day rule: what waited in vain is heard out of order, and its author is told so.
    """
    ledger = world.ledger
    for op_id, (phone, kept) in world.sayings.items():
        verdict = ledger.verdicts.get(op_id)
        if verdict is None or verdict.status == "rejected" or op_id in ledger.out_of_order:
            continue
        for needed in map(_uuid, kept.said["after"]):
            cause = ledger.verdicts.get(needed)
            require("I7", cause is not None and cause.status != "rejected", f"{op_id} of {phone} came before {needed}")
            in_order = None in (cause.seq, verdict.seq) or cause.seq < verdict.seq
            require("I7", in_order, f"{op_id} has {verdict.seq}, {needed} before it {cause.seq}")


def nothing_foreign_is_told(world: World, person_id, content: bytes) -> None:
    """I8: every word in an answer is its reader's own, or stands in a document that this reader sees now."""
    person = world.names[person_id]
    words = words_in(content)
    words -= {word for word in words if word in world.typed and world.typed[word].person == person}
    if words:
        allowed = words_in(_texts(world, person))
        require("I8", words <= allowed, f"{person} was told {sorted(words - allowed)}")


def no_school_is_named(world: World) -> None:
    """I8: no answer names a school that its reader has nothing to do with (tests/taint).

    The bare id of what one's own words met is told, also where it has gone out of sight since: of it, nothing else.
    """
    named = [each for each in leaks if " of document " not in each]
    leaks.clear()
    require("I8", not named, "; ".join(named))


def documents_are_in_sight(world: World, engine: Engine, kind: str, answer: dict) -> None:
    """I8: every document of an answer is one that its reader sees now."""
    if kind == "push":
        told = {world.sayings[UUID(each["op_id"])][1].key for each in answer["results"] if each["doc"]}
    else:
        told = {(change["collection"], change["id"]) for change in answer["changes"] if change["op"] == "put"}
    foreign = {key for key in told if world.speaks_of(key[0])} - world.visible(world.names[engine.person.pk])
    require("I8", not foreign, f"{engine.name} was given {sorted(foreign)}")


def _texts(world: World, person: str) -> str:
    docs = world.ledger.docs
    return str([docs[key] for key in world.visible(person)] + world.ledger.owed_to(world.persons[person].pk))


def bytes_are_known_to_their_bringer(world: World, sent: Sent, status: int) -> None:
    """I8: that bytes are here is told to who brought them, and to nobody else; who brings them has brought them."""
    pair = (sent.person, sent.url.rpartition("/")[2])
    if sent.method == "PUT" and status in (200, 201):
        world.known.brought.add(pair)
    elif sent.method == "HEAD" and status in (200, 404):
        brought = pair in world.known.brought
        require("I8", (status == 200) == brought, f"asked for bytes ({brought=}) the server said {status}")


def bytes_are_their_bringers(world: World) -> None:
    """I8, I14: a photo is stored only with bytes that its own author brought, and they hash to what it says."""
    for photo in Photo.objects.filter(state=PhotoState.STORED):
        mine = (photo.author_id, photo.sha256) in world.known.brought
        require("I8", mine, f"photo {photo.id} shows bytes that its author never brought")
        stored = hashlib.sha256(path_of(photo.sha256).read_bytes()).hexdigest()
        require("I14", stored == photo.sha256, f"photo {photo.id} has other bytes")


def nothing_is_lost_on_the_phone(world: World) -> None:
    """I10, I15: what was said on a phone stays on it until a backup is known to hold it, or an order has wiped the phone."""
    _, _, backed_up = world.saved
    for op_id, (phone, kept) in world.sayings.items():
        safe = world.phones[phone].holds(op_id) or op_id in backed_up or op_id in world.phones[phone].wiped
        require("I10", safe, f"{phone} holds {kept.verb} no more, and no backup does")


def nothing_is_silently_overwritten(world: World) -> None:
    """I10: what was typed stands in its document, or in `conflicts`, or in a `submissions`, or whoever replaced it saw it.

    Not asked of a visit of which something was said before a restore and heard after it: see docs/proofs.md.
    """
    accepted = world.accepted()
    for typed in accepted:
        doc = world.ledger.docs.get(typed.key, {})
        if not typed.group:
            require("I10", typed.word in words_in(doc), f"{typed} is nowhere")
        elif typed.key not in world.crossed and not _stands(world, typed, doc):
            replaced = any(_replaces(later, typed) for later in accepted)
            require("I10", replaced, f"{typed} was overwritten unseen by {doc.get('answers')} {doc.get('header')}")


def _stands(world: World, typed: Typed, doc: dict) -> bool:
    code, _, name = typed.group.partition(".")
    value = doc["header"] if code == "header" else doc["answers"].get(code, {}).get(name)
    return typed.word in words_in(value) or typed.word in world.ledger.beside.get(typed.key[1], ())


def _replaces(later: Typed, typed: Typed) -> bool:
    """Whether a value was written over knowingly: it stood on the screen, or was typed on that very phone."""
    if (later.key, later.group) != (typed.key, typed.group) or later == typed:
        return False
    return typed.word in later.saw or (later.phone == typed.phone and later.n >= typed.n)


def no_edit_is_deleted_unseen(world: World) -> None:
    """I10: a draft is gone only if its deleter had seen what every other phone filled in, and nothing came after.

    What lost to another value stands in `conflicts`, whatever becomes of the draft.
    """
    gone = [key for key, doc in world.ledger.docs.items() if doc.get("void_reason") == DELETED]
    for key in set(gone) - world.crossed:
        last = max(
            (v for v in map(world.ledger.verdicts.get, _deletions(world, key)) if v and v.seq), key=lambda v: v.seq
        )
        phone, _ = world.sayings[last.op_id]
        accepted = [typed for typed in world.accepted() if typed.key == key]
        for typed in accepted:
            seen = typed.phone == phone or typed.word in world.deletions[last.op_id] | world.ledger.beside.get(
                key[1], set()
            )
            known = seen or any(_replaces(later, typed) for later in accepted)
            require("I10", known, f"{key} was deleted over {typed}, which {phone} had not seen")


def _deletions(world: World, key) -> list[UUID]:
    return [op_id for op_id in world.deletions if world.sayings[op_id][1].key == key]


def log_is_gap_free(world: World) -> None:
    """I11: numbers run 1…clock without a gap, and an index row stands at its document's last change."""
    faults = log_faults()
    require("I11", not faults, "; ".join(faults))
    ledger = world.ledger
    for key, row in ledger.index.items():
        require(
            "I11", row.seq == ledger.seqs[key][-1], f"{key} stands at {row.seq}, moved last at {ledger.seqs[key][-1]}"
        )
    seqs = Counter(row.seq for row in ledger.index.values())
    require("I11", max(seqs.values(), default=1) == 1, "two documents have one number")


def items_move_legally(world: World) -> None:
    """I12: an item goes from state to state as the table says, and what passed it named an evidence hash that stood."""
    ledger, states = world.ledger, {}
    for change in ledger.changes:
        noun, _, word = change.kind.partition(".")
        if noun != "rectification" or word not in STATES:
            continue
        step = (states.get(change.doc_id, ""), word)
        require("I12", step in LEGAL, f"{change.doc_id} went {step}")
        states[change.doc_id] = word
    for (collection, doc_id), doc in ledger.docs.items():
        if collection == "rectifications":
            world.hashes.add((doc_id, doc["evidence_hash"]))
            require("I12", states[_uuid(doc_id)] == doc["state"], f"{doc_id} is {doc['state']}, was said {states}")
        elif collection == "revisits" and doc["passed"] and doc["verdict"] in ("moved", "added"):
            named = (doc["rectification_id"], doc["evidence_hash"])
            require("I12", named in world.hashes, f"{doc_id} passed evidence that never stood")


def outboxes_are_empty(world: World) -> None:
    """I13: with a fair network everything has been heard; what was refused is set aside, visible."""
    left = {name: len(engine.outbox) for name, engine in world.phones.items() if engine.outbox}
    require("I13", not left, f"still waiting: {left}")


def nothing_waits_beyond_its_time(world: World) -> None:
    """I13: once the worker has worked, nothing waits for longer than the five-day rule lets it (sync.md §1.4)."""
    late = Waiting.objects.filter(since__lt=timezone.now() - TEN_DAYS).values_list("op_id", flat=True)
    require("I13", not late, f"still waiting: {list(late)}")


def nothing_acknowledged_is_missing(world: World) -> None:
    """I15: whatever backup was restored, every operation that any phone has had acknowledged is here with its bytes."""
    for engine in world.phones.values():
        for kept in engine.journal.values():
            require(
                "I15",
                kept.op_id in world.ledger.operations,
                f"{engine.name}: {kept.op_id} was acknowledged and is gone",
            )
    for op_id, (phone, kept) in world.sayings.items():
        refused = op_id in world.phones[phone].quarantine or op_id in world.phones[phone].wiped
        require("I15", refused or op_id in world.ledger.operations, f"{phone} said {kept.key}, and it is nowhere")


def _uuid(text: str) -> UUID:
    return UUID(text)


HOLD_ALWAYS = (
    acknowledged_is_kept,
    effect_is_exactly_once,
    causes_come_first,
    nothing_is_lost_on_the_phone,
    nothing_is_silently_overwritten,
    no_edit_is_deleted_unseen,
    log_is_gap_free,
    items_move_legally,
)
HOLD_AT_ONCE = (documents_are_in_sight, reads_are_monotonic, answers_are_current)
HOLD_WHEN_COMPLETE = (mirror_is_complete, own_writes_are_read)
HOLD_AT_REST = (
    mirrors_equal_a_fresh_one,
    digests_are_told_right,
    outboxes_are_empty,
    nothing_acknowledged_is_missing,
)
