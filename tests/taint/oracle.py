"""Who may know of which school, read literally off the tables of posts, sites and named documents.

Written beside the product's gate and not with it: roles are listed by hand, sight is a prefix of a path. A document's
school is the one whose chain logged it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

from safety.models import Change, Index, Organisation, Post, Site

OF_THE_SCHOOL = ("principal", "school_safety_officer", "delegate")
OF_THE_BUREAU = ("inspector", "duty_officer", "shift_leader", "safety_officer", "approver", "administrator")
BUREAUS = ("province", "city", "district")
FOR_EVERYBODY = ("templates", "people", "scope")  # not a school's: no canary


@dataclass(frozen=True)
class Told:
    """What one text says of schools: by the ends of their ids, found in names, and by ids of rows."""

    tails: set[str]
    ids: set[UUID]


def strangers(told: Told, *, reader: UUID | None) -> list[str]:
    """What of it the reader may not know, in words; nobody signed in may know of none."""
    units = {each: path for each, path in _units() if each.hex[-12:] in told.tails or each in told.ids}
    of_documents = _units_of(told.ids - units.keys())
    concerned = {*units, *of_documents.values()}
    if not concerned:
        return []
    known = _known_to(reader)
    foreign = concerned - known
    if not foreign:
        return []
    named = _named_to(reader)
    found = [f"unit {each}" for each in units.keys() & foreign if not _is_named(each, named)]
    return found + [
        f"document {doc} of {unit}" for doc, unit in of_documents.items() if unit in foreign and doc not in named
    ]


def _units() -> Iterable[tuple[UUID, str]]:
    return Organisation.objects.exclude(kind__in=BUREAUS).values_list("id", "path")


def _units_of(ids: set[UUID]) -> dict[UUID, UUID]:
    """The unit behind each of these ids: of a site the one that runs it, of a document the one whose chain has it."""
    if not ids:
        return {}
    found = dict(Site.objects.filter(id__in=ids).values_list("id", "unit_id"))
    units = {each for each, _ in _units()}
    logged = Change.objects.filter(doc_id__in=ids - found.keys(), chain_id__isnull=False)
    logged = logged.exclude(collection__in=FOR_EVERYBODY)
    return found | {doc: chain for doc, chain in logged.values_list("doc_id", "chain_id").distinct() if chain in units}


def _known_to(reader: UUID | None) -> set[UUID]:
    """Units under a bureau's post of today, units of a school's post, and who shares a site with them."""
    if reader is None:
        return set()
    today = timezone.now().astimezone(ZoneInfo("Asia/Shanghai")).date()
    posts = Post.objects.filter(Q(to_on=None) | Q(to_on__gte=today), person_id=reader, from_on__lte=today)
    bureaus = [path for role, _, path in _rows(posts) if role in OF_THE_BUREAU]
    known = {node for role, node, _ in _rows(posts) if role in OF_THE_SCHOOL}
    known |= {unit for unit, path in _units() if any(path.startswith(each) for each in bureaus)}
    # a bus names every school that it serves to each of them
    shared = set(Site.objects.filter(Q(unit_id__in=known) | Q(serves__in=known)).values_list("id", flat=True))
    for unit, school in Site.objects.filter(id__in=shared).values_list("unit_id", "serves"):
        known |= {unit, school} - {None}
    return known


def _rows(posts) -> list[tuple[str, UUID, str]]:
    return list(posts.values_list("role", "node_id", "node__path"))


def _named_to(reader: UUID | None) -> dict[UUID, bytes]:
    """Documents that stand under the reader's own name, with what they say."""
    if reader is None:
        return {}
    own = Index.objects.filter(audience__in=("person", "restricted"), key=reader)
    return {doc_id: bytes(wire) for doc_id, wire in own.values_list("doc_id", "wire")}


def _is_named(unit: UUID, named: dict[UUID, bytes]) -> bool:
    return any(str(unit).encode() in wire or unit.hex[-12:].encode() in wire for wire in named.values())
