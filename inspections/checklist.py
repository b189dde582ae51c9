"""The frozen text of a template version, decoded once and kept: versions never change."""

from functools import lru_cache

import msgspec

from inspections.frozen import FrozenItem, FrozenTemplate
from inspections.models import Inspection, TemplateVersion
from safety.verbs import World


def items_of(world: World, visit: Inspection) -> dict[str, FrozenItem]:
    """The items of a visit's checklist by code, out of what the unit has loaded."""
    return items_in(world.get("versions", visit.version_id))


def items_in(version: TemplateVersion) -> dict[str, FrozenItem]:
    """The items of a version by code, those that may be chosen besides included."""
    if not hasattr(version, "decoded_items"):  # the row is asked at every operation of a unit
        version.decoded_items = _decoded(version.sha256, bytes(version.content))
    return version.decoded_items


@lru_cache(maxsize=256)
def _decoded(sha256: str, content: bytes) -> dict[str, FrozenItem]:
    text = msgspec.json.decode(content, type=FrozenTemplate)
    return {item.code: item for item in (*text.items, *text.pool)}
