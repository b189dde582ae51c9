"""Erasing what was once said: its bytes go from every place that holds them, the hashes stay and the chains still verify.

What is erased is the body of one change: everything that one person said at once, wherever it went from there. Those
who keep its text are named in settings (`ERASERS`), as jobs are; each takes the `Erasure`, changes its rows and says
`….erased`, so that phones drop the text too. The first of them learns the words, the others meet them.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from django.utils.module_loading import import_string

from safety.access import sight_of, today
from safety.changes import BodyRef, Work, unit
from safety.errors import NotAllowed, NotFound, Problem
from safety.models import Alert, Body, Change, Delivery, Person, Role
from safety.verbs import MoreToLock, with_locks

CUT_OFF = 200  # derived sentences longer than this may end in the middle of a word that was said


class NothingToErase(Problem):
    code, status = "nothing-to-erase", 422
    message = "这条变更没有可以删除的文字,或已经删除。"


@dataclass(slots=True)
class Erasure:
    """One erasing on its way: which bodies go, what was said in them, and what was done about it."""

    work: Work
    note: BodyRef  # why, by whom: the body of what is said about it
    tag: str  # stands in the marks, so that marks of two erasures differ
    bodies: dict[UUID, Body]
    changes: list[Change]  # those that the erased bodies caused
    words: dict[str, str] = field(default_factory=dict)  # what was said → the mark that takes its place
    keys: frozenset[str] = frozenset()  # names of members that hold free text
    homes: set[tuple[str, UUID]] = field(default_factory=set)  # documents whose other bodies may repeat the words
    subjects: dict[UUID, str] = field(default_factory=dict)  # documents that alerts speak of → their dedupe key now

    @property
    def mark(self) -> str:
        return f"〔已删除 第{self.tag}条〕"

    def moved(self, collection: str) -> set[UUID]:
        """Ids of the documents of a collection that were moved by what is erased."""
        return {change.doc_id for change in self.changes if change.collection == collection}

    def learn(self, keys: Iterable[str]) -> None:
        """Takes as words what stands under these names in the bodies, JSON within JSON included."""
        self.keys = frozenset(keys)
        for body in self.bodies.values():
            for word in sorted(text for text, key in strings_in(decoded(bytes(body.bytes))) if key in self.keys):
                if word.strip():
                    self.words.setdefault(word, f"〔已删除 第{self.tag}条之{len(self.words) + 1}〕")

    def scrub(self, value: Any, key: str = "") -> Any:
        """JSON with its marks where words stood as values under a name for text; itself unchanged."""
        if isinstance(value, str):
            return self.words.get(value, value) if not key or key in self.keys else value
        if isinstance(value, list):
            return [self.scrub(each, key) for each in value]
        if isinstance(value, dict):
            return {name: self.scrub(inner, name) for name, inner in value.items()}
        return value

    def is_held_in(self, sentence: str) -> bool:
        """Whether a sentence that was made from what was said holds a word of it, or the beginning of one at its end."""
        quoted = (word for word in self.words if len(word) > 1)
        return sentence in self.words or any(word in sentence or _is_cut_off(word, sentence) for word in quoted)

    def repeats(self, bodies: Iterable[Body]) -> list[Body]:
        """Of these bodies, those that say any of the words again, whole."""
        return [
            body
            for body in bodies
            if body.bytes is not None and any(text in self.words for text, _ in strings_in(decoded(bytes(body.bytes))))
        ]

    def take(self, bodies: Iterable[Body]) -> None:
        """These bodies go as well."""
        self.bodies |= {body.id: body for body in bodies}

    def say(self, doc: Any, kind: str) -> None:
        """Says that a document was erased. Raises MoreToLock when its chain is not locked."""
        if doc.chain_id is not None and doc.chain_id not in self.work.heads:
            raise MoreToLock({doc.chain_id})
        note = self.note if doc.chain_id is not None else None
        self.work.say(doc, kind, body=note, urgency=None)

    def update(self, row: Model) -> None:
        self.work.update(row)


def strings_in(value: Any, key: str = "") -> Iterable[tuple[str, str]]:
    """Every string of a JSON value with the name under which it stands; a string that is JSON is looked into as well."""
    if isinstance(value, str):
        yield value, key
        if value[:1] in ("{", "["):
            yield from strings_in(decoded(value.encode()))
    elif isinstance(value, list):
        for each in value:
            yield from strings_in(each, key)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings_in(inner, name)


def decoded(said: bytes) -> Any:
    """The JSON value, or None for what is none."""
    try:
        return msgspec.json.decode(said)
    except msgspec.DecodeError:
        return None


def _is_cut_off(word: str, sentence: str) -> bool:
    return len(sentence) >= CUT_OFF and any(sentence.endswith(word[:n]) for n in range(4, len(word)))


def body_of_change(seq: int) -> UUID:
    """The body behind a change. Raises NotFound, NothingToErase."""
    change = Change.objects.filter(pk=seq).first()
    if change is None:
        raise NotFound()
    if change.body_id is None:
        raise NothingToErase()
    return change.body_id


def erase(body_id: UUID, *, by: Person, reason: str, organisations: Collection[UUID], tag: str = "") -> dict[str, int]:
    """Erases one body wherever its text went. Gives how many bodies went and how many documents say so.

    `organisations` are those that `by` must administer one of, beside those of the chains. Raises NotAllowed,
    NothingToErase. Erasing twice is refused, and harmless.
    """
    chains = _chains_of(body_id)
    require_administrator(by, {*organisations, *chains})

    def door(more: frozenset[UUID]) -> dict[str, int]:
        with unit(actor=by.id, source="erase") as work:
            work.lock(chains | more)
            changes = list(Change.objects.filter(body_id=body_id).order_by("seq"))
            body = Body.objects.filter(pk=body_id, erased_at__isnull=True, bytes__isnull=False).first()
            if body is None:
                raise NothingToErase()
            why = json.dumps({"erased": str(body_id), "reason": reason}, ensure_ascii=False)
            number = tag or (str(changes[0].seq) if changes else body_id.hex[-8:])
            erasure = Erasure(work, work.body(why.encode()), number, {body_id: body}, changes)
            for eraser in _erasers():
                eraser(erasure)
            for each in erasure.bodies.values():
                each.bytes, each.salt, each.erased_at = None, None, work.now
                work.update(each)
            return {"bodies": len(erasure.bodies), "documents": len(work.entries)}

    return with_locks(door)


def _chains_of(body_id: UUID) -> set[UUID]:
    changes = Change.objects.filter(body_id=body_id, chain_id__isnull=False)
    return set(changes.values_list("chain_id", flat=True))


def require_administrator(person: Person, organisations: Collection[UUID]) -> None:
    """Raises NotAllowed unless a post of today's makes the person administrator over one of these organisations."""
    sight = sight_of(person, on=today(timezone.now()))
    if Role.ADMINISTRATOR not in sight.roles_at(organisations):
        raise NotAllowed("not-an-administrator", "只有管理这个单位的系统管理员才能删除已经说过的内容。")


def _erasers() -> list[Callable[[Erasure], None]]:
    return [import_string(name) for name in settings.ERASERS]


def erase_alerts(erasure: Erasure) -> None:
    """Sentences of alerts and deliveries that were made from what is erased, and the key that holds a place."""
    alerts = {alert.id: alert for alert in Alert.objects.filter(subject_id__in=erasure.subjects)}
    alerts |= {alert.id: alert for alert in Alert.objects.filter(id__in=erasure.moved(Alert.collection))}
    for alert in alerts.values():
        alert.dedupe_key = erasure.subjects.get(alert.subject_id) or alert.dedupe_key
        if erasure.is_held_in(alert.sentence):
            alert.sentence = f"{alert.organisation.name}:{erasure.mark}"
        erasure.say(alert, "alert.erased")
    for delivery in Delivery.objects.filter(subject_id__in={*alerts, *erasure.subjects}):
        if erasure.is_held_in(delivery.sentence):
            delivery.sentence = f"{delivery.organisation.name}:{erasure.mark}"
            erasure.say(delivery, "delivery.erased")
