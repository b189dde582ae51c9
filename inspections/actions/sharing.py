"""Who comes to read a document later than it was said: technical changes, nothing of what was said moves."""

from collections.abc import Iterable, Iterator

from inspections.loading import cure_of
from inspections.models import Inspection, Photo, RectificationItem, Statement, StatementKind
from safety.models import Audience, Document
from safety.verbs import World


def open_to_school(world: World, item: RectificationItem) -> None:
    """A notice shows the school the item, what else was said of it, the quick hazards behind it and their photos.

    What only named persons may read gets the principal as a reader more. Source: design §2.
    """
    principals = cure_of(world).principals[item.site_id]
    if item.audience == Audience.BUREAU:
        item.audience = Audience.SHARED
        for document in _behind(world, item):
            share(world, document)
    elif item.audience == Audience.RESTRICTED:
        item.named = sorted({*item.named, *principals})
        for document in _behind(world, item):
            let_read(world, document, principals)


def _behind(world: World, item: RectificationItem) -> Iterator[Document]:
    cure = cure_of(world)
    statements = [each for each in world.rows["statements"].values() if each.item_id == item.id]
    hazards = [each for each in world.rows["quick_hazards"].values() if each.item_id == item.id]
    for document in (*statements, *hazards):
        if is_for_the_school(document):
            yield document
            yield from cure.photos_of[document.id]


def is_for_the_school(document: Document) -> bool:
    """Whether a document opens with its parent: a comment says itself for whom it is, a cover stays with the bureau."""
    if isinstance(document, Statement) and document.kind == StatementKind.COMMENT:
        return document.content["audience"] == Audience.SHARED
    return not (isinstance(document, Photo) and document.cover_only)


def share(world: World, document: Document) -> None:
    """Opens a document of the bureau to the school."""
    if document.audience == Audience.BUREAU and is_for_the_school(document):
        document.audience = Audience.SHARED
        _move(world, document)


def let_read(world: World, document: Document, persons: Iterable[str]) -> None:
    """Lets persons read a document whatever their posts; nothing is said where they do so already."""
    more = {*persons} - {*document.named}
    if more:
        document.named = sorted({*document.named, *more})
        _move(world, document)


def _move(world: World, document: Document) -> None:
    """Nothing is said of a document that this unit itself has made: nobody has read it under what it was before."""
    if not world.work.has_made(document):
        world.work.say(document, "scope.moved", body=None, urgency=None)


def named_on_incidents(world: World, visit: Inspection) -> list[str]:
    """Who reads what is said on an incident item of a visit: those who were there, and the approvers over the unit."""
    return sorted({*visit.participants, *cure_of(world).approvers[visit.site_id]})
