"""Who may know of which school, read literally off the tables of posts, sites and named documents.

Written beside the product's gate and not with it: roles are listed by hand, sight is a prefix of a path. A document's
school is the one whose chain logged it. Plain SQL, for it is asked at every answer; ids are hexadecimal digits, as one
engine keeps them and the other does not.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

OF_THE_SCHOOL = ("principal", "school_safety_officer", "delegate")
OF_THE_BUREAU = ("inspector", "duty_officer", "shift_leader", "safety_officer", "approver", "administrator")

UNITS = "SELECT id, path FROM safety_organisation WHERE kind NOT IN ('province', 'city', 'district')"
POSTS = """
    SELECT p.role, p.node_id, o.path FROM safety_post p JOIN safety_organisation o ON o.id = p.node_id
    WHERE p.person_id = %s AND p.from_on <= %s AND (p.to_on IS NULL OR p.to_on >= %s)
"""
SITES = "SELECT id, unit_id FROM safety_site"
SERVED = "SELECT site_id, organisation_id FROM safety_site_serves"
# templates, people and scopes are no school's
LOGGED = """
    SELECT DISTINCT doc_id, chain_id FROM safety_change
    WHERE chain_id IS NOT NULL AND collection NOT IN ('templates', 'people', 'scope') AND doc_id IN ({})
"""
NAMED = "SELECT doc_id, wire FROM safety_index WHERE audience IN ('person', 'restricted') AND key = %s"


@dataclass(frozen=True)
class Told:
    """What one text says of schools: by the ends of their ids, found in names, and by ids of rows."""

    tails: set[str]
    ids: set[UUID]


def strangers(told: Told, *, reader: UUID | None) -> list[str]:
    """What of it the reader may not know, in words; nobody signed in may know of none."""
    ids = {each.hex for each in told.ids}
    paths = dict(_asked(UNITS))
    units = {each for each in paths if each[-12:] in told.tails or each in ids}
    known = _under_posts(paths, reader) if reader else set()
    of_documents = _units_of(ids - units, paths)
    if units | set(of_documents.values()) <= known:
        return []
    known |= _beside(known)
    named = {doc: bytes(wire) for doc, wire in _asked(NAMED, reader)} if reader else {}
    found = [f"unit {UUID(each)}" for each in units - known if not _is_named(each, named)]
    foreign = {doc: unit for doc, unit in of_documents.items() if unit not in known and doc not in named}
    return found + [f"document {UUID(doc)} of {UUID(unit)}" for doc, unit in foreign.items()]


def _units_of(ids: Collection[str], paths: dict[str, str]) -> dict[str, str]:
    """The unit behind each of these ids, by the chain that has it: of a site it is the one that runs it."""
    if not ids:
        return {}
    logged = _asked(LOGGED.format(", ".join(["%s"] * len(ids))), *map(UUID, ids))
    return {doc: chain for doc, chain in logged if chain in paths}


def _under_posts(paths: dict[str, str], reader: UUID) -> set[str]:
    """Units under a bureau's post of today, and units of a school's post."""
    today = timezone.now().astimezone(ZoneInfo("Asia/Shanghai")).date()
    posts = _asked(POSTS, reader, today, today)
    bureaus = tuple(path for role, _, path in posts if role in OF_THE_BUREAU)
    known = {unit for unit, path in paths.items() if path.startswith(bureaus)} if bureaus else set()
    return known | {node for role, node, _ in posts if role in OF_THE_SCHOOL}


def _beside(known: set[str]) -> set[str]:
    """Who shares a site with them: a bus names every school that it serves to each of them."""
    parties = [*_asked(SITES), *_asked(SERVED)]
    shared = {site for site, unit in parties if unit in known}
    return {unit for site, unit in parties if site in shared}


def _is_named(unit: str, named: dict[str, bytes]) -> bool:
    return any(str(UUID(unit)).encode() in wire or unit[-12:].encode() in wire for wire in named.values())


def _asked(sql: str, *values) -> list[tuple]:
    """Rows, their ids as hexadecimal digits."""
    if connection.vendor == "sqlite":
        values = tuple(each.hex if isinstance(each, UUID) else each for each in values)
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [tuple(each.hex if isinstance(each, UUID) else each for each in row) for row in cursor.fetchall()]
