"""Documents without a table: what pull does depends on who reads a document, not on what it is."""

from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from safety.changes import unit
from safety.ids import new_id


@dataclass
class Paper:
    """A sheet that says `text` to these readers: (audience, key) pairs."""

    shown_to: set[tuple[str, UUID]]
    text: str = ""
    collection: str = "papers"
    id: UUID = field(default_factory=new_id)
    rev: int = 0
    chain_id: UUID | None = None

    def wire(self) -> bytes:
        return msgspec.json.encode({"id": self.id, "rev": self.rev, "text": self.text, "mark": None})

    def readers(self) -> set[tuple[str, UUID]]:
        return set(self.shown_to)


def shared(*schools) -> set[tuple[str, UUID]]:
    return {("shared", school.id) for school in schools}


def bureau(*schools) -> set[tuple[str, UUID]]:
    return {("bureau", school.id) for school in schools}


def own(*persons) -> set[tuple[str, UUID]]:
    return {("person", person.id) for person in persons}


def say(*papers: Paper, deleted: bool = False) -> None:
    """One unit in which each of these papers moves once."""
    with unit(actor=None, source="test") as work:
        for paper in papers:
            work.say(paper, "paper.said", body=None, urgency=None, deleted=deleted)


def write(readers: set, text: str = "", **more) -> Paper:
    paper = Paper(readers, text, **more)
    say(paper)
    return paper


def move_school(school, district) -> None:
    """The school comes under another district: its place in the tree moves, and nothing else."""
    school.parent = district
    school.place_in_tree()
    with unit(actor=None, source="test") as work:
        work.lock({school.id})
        work.say(school, "organisation.moved", body=work.body(b"{}"), urgency=None)
