"""The mark that the makers put into the name of every school, and how it is found again in what the product says.

A canary ends the name, is ASCII (so that no escape hides it) and names its organisation by the last digits of its id.
"""

import re
from uuid import UUID

CANARY = re.compile(rb"Zq([0-9a-f]{12})")
ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
made = 0


def canary(organisation_id: UUID) -> str:
    return f"Zq{organisation_id.hex[-12:]}"


def marked(name: str, organisation_id: UUID) -> str:
    """The name with its canary; counted, so that a run can say how many are known."""
    global made
    made += 1
    return f"{name}{canary(organisation_id)}"


def canaries_in(text: bytes) -> set[str]:
    """The last twelve digits of each organisation that a text gives away by its name."""
    return {tail.decode() for tail in CANARY.findall(text)}


def ids_in(text: bytes) -> set[UUID]:
    return {UUID(each.decode()) for each in ID.findall(text)}
