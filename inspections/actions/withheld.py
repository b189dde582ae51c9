"""What is said on an incident item of an ordinary visit: its words go where only named persons read them (design §2).

The answer keeps the result alone. The words become the text of the item that the result opens, a comment on it if they
come later, and a submission of their own while there is none.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from inspections import inputs
from inspections.frozen import FrozenItem
from inspections.models import Inspection, Submission
from safety.models import Audience
from safety.verbs import Saying, World

KIND = "withheld"
INCIDENT = "incident"
NO_WORDS = frozenset({"value", "grade", "by", "note_by"})  # members of an answer that are no free text


class Words(NamedTuple):
    """Words that were withheld in this unit, and the saying that brought them."""

    text: str
    saying: Saying


def withhold(
    world: World,
    saying: Saying,
    visit: Inspection,
    items: dict[str, FrozenItem],
    patches: dict[str, inputs.AnswerPatch],
) -> dict[str, inputs.AnswerPatch]:
    """The patches without the words of incident items; those are kept for the end of the unit."""
    if visit.audience == Audience.RESTRICTED:
        return patches
    of_incidents = [code for code in patches if items[code].grade == INCIDENT]
    return patches | {code: _withhold(world, saying, visit, code, patches[code]) for code in of_incidents}


def _withhold(
    world: World, saying: Saying, visit: Inspection, code: str, patch: inputs.AnswerPatch
) -> inputs.AnswerPatch:
    words, result = [patch.note or ""], patch.result
    if result is not UNSET:
        readings = [f"{key} {value}" for key, value in result.measures.items()]
        words += [result.place, result.reason, result.responsible, *readings]
        result = inputs.Result(value=result.value, grade=result.grade)
    if text := ";".join(word for word in words if word.strip()):
        world.store.setdefault(KIND, {})[visit.id, code] = Words(text[:500], saying)
    return inputs.AnswerPatch(result=result)


def words_withheld(world: World, visit: Inspection, code: str) -> str:
    """What was last said on an incident item, in this unit or before it; empty if nothing was."""
    if said := world.store.get(KIND, {}).get((visit.id, code)):
        return said.text
    return next((text for each, text in reversed([*_kept(world, visit)]) if each == code), "")


def _kept(world: World, visit: Inspection) -> Iterator[tuple[str, str]]:
    for submission in sorted(world.rows["submissions"].values(), key=lambda each: each.id.int):
        if (submission.inspection_id, submission.kind) == (visit.id, KIND) and submission.content:
            yield from unpacked(submission)


def packed(code: str, text: str) -> str:
    """The content of a submission that keeps words for named persons: JSON in the shape of answers."""
    return msgspec.json.encode({"answers": {code: {"note": text}}}).decode()


def unpacked(submission: Submission) -> Iterator[tuple[str, str]]:
    """(code, words) of such a submission."""
    answers = msgspec.json.decode(submission.content)["answers"]
    return ((code, answer["note"]) for code, answer in answers.items())


def speaks_of_incidents(items: dict[str, FrozenItem], content: str) -> bool:
    """Whether a JSON text, whatever its shape, says words under the code of an incident item."""
    codes = {code for code, item in items.items() if item.grade == INCIDENT}
    return bool(codes) and any(_has_words(value) for value in _under(codes, _decoded(content)))


def _under(codes: set[str], value: Any) -> Iterator[Any]:
    """What stands under one of these codes, JSON within JSON included."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        yield from _under(codes, _decoded(value))
    elif isinstance(value, list):
        for each in value:
            yield from _under(codes, each)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in codes:
                yield inner
            else:
                yield from _under(codes, inner)


def _has_words(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_words(inner) for name, inner in value.items() if name not in NO_WORDS)
    if isinstance(value, list):
        return any(_has_words(each) for each in value)
    return isinstance(value, str) and bool(value.strip()) or isinstance(value, int | float) and value is not False


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
