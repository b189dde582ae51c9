"""Drafts of checklists that a bureau makes of its own: which items, in which order; the catalogue gives their text."""

from collections.abc import Iterable
from datetime import date
from functools import cache

import msgspec
from django.conf import settings

from inspections import catalogue as files
from inspections.frozen import FrozenTemplate, freeze
from inspections.models import ChecklistTemplate, TemplateVersion
from inspections.seeding import stored_bases, stored_items

KEPT = ("when", "windows", "minutes", "people", "women_for", "requires", "procedures", "notes")


class DraftFault(ValueError):
    """The draft cannot be: a sentence for its author."""


def newest_text(template: ChecklistTemplate) -> FrozenTemplate | None:
    """The text of the newest version, published or not, or None."""
    version = template.versions.order_by("-version").first()
    return None if version is None else text_of(version)


def text_of(version: TemplateVersion) -> FrozenTemplate:
    return msgspec.json.decode(bytes(version.content), type=FrozenTemplate)


def draft(template: ChecklistTemplate, codes: Iterable[str], *, version: int, on: date) -> bytes:
    """The bytes of a version with these items as the catalogue has them on a day; conditions stay as they last were.

    Raises DraftFault: an unknown code, one that is no item, or one whose area only a restricted checklist may hold.
    """
    items, codes = stored_items(), list(dict.fromkeys(codes))
    _require_items(codes, items)
    last = newest_text(template)
    kept = {name: getattr(last, name) for name in KEPT} if last else {}
    text = files.Template(code=template.code, name=template.name, items=tuple(codes), **kept)
    catalogue = files.Catalogue(areas=_shipped().areas, items=items, bases=stored_bases(), templates={}, as_of=on)
    return freeze(catalogue, text, version=version)


def _require_items(codes: list[str], items: dict[str, files.Item]) -> None:
    if not codes:
        raise DraftFault("检查表里至少要有一个检查项。")
    unknown = [code for code in codes if code not in items or items[code].kind is not files.Kind.ITEM]
    if unknown:
        raise DraftFault(f"目录里没有这些检查项:{'、'.join(unknown[:8])}。")
    guarded = [code for code in codes if items[code].area in files.RESTRICTED_AREAS]
    if guarded:
        raise DraftFault(f"这些检查项涉及个人，只能用系统自带的限定检查表:{'、'.join(guarded[:8])}。")


@cache
def _shipped() -> files.Catalogue:
    """The files that came with the product: the tables keep items and bases, but not what an area is called."""
    return files.load_catalogue(settings.BASE_DIR / "seeds")
