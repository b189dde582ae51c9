"""From the files of a catalogue to its tables, through the unit of work; twice is the same as once.

Ids come from codes, so every installation agrees on them. What a bureau made or changed itself (`origin` own) is left
alone; a template whose text changed gets a new version beside the old one, which stays frozen.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
from django.db.models import Model

from inspections import catalogue as files
from inspections.frozen import freeze
from inspections.models import Basis, ChecklistItem, ChecklistTemplate, Citation, TemplateVersion
from inspections.models.catalogue import CATALOGUE_CHAIN, OWN, SEED
from safety.changes import Work
from safety.ids import seeded_id


@dataclass(slots=True)
class Planted:
    """What became of each thing, by code: `basis 45号令`, `checklistitem ST-01`, `version T01 v1`."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)  # differs from the files because the bureau wants it so
    gone: list[str] = field(default_factory=list)  # came with an older release, is in the files no more, stays


def plant(work: Work, catalogue: files.Catalogue) -> Planted:
    """Brings the tables to what the files say; says `template.published` for each new version. Locks the catalogue."""
    work.lock({CATALOGUE_CHAIN})
    planted = Planted()
    _write(work, planted, Basis, [_basis_row(basis) for basis in catalogue.bases.values()])
    items = [
        _item_row(item, position) for area in catalogue.areas.values() for position, item in enumerate(area.items, 1)
    ]
    left_alone = _write(work, planted, ChecklistItem, items)
    _write_citations(work, [item for item in catalogue.items.values() if seeded_id(_name(item)) not in left_alone])
    templates = [_template_row(template) for template in catalogue.templates.values()]
    _write(work, planted, ChecklistTemplate, templates)
    _publish(work, planted, catalogue, {row.code: row for row in templates})
    return planted


def stored_bases() -> dict[str, files.Basis]:
    """The bases as they stand in the tables, by short name, in the shape of the files."""
    rows = Basis.objects.select_related("superseded_by")
    return {
        row.short: _struct(files.Basis, row, superseded_by=row.superseded_by and row.superseded_by.short)
        for row in rows
    }


def stored_items() -> dict[str, files.Item]:
    """The items with their citations as they stand in the tables, by code, in the shape of the files."""
    rows = ChecklistItem.objects.prefetch_related("citations__basis")
    return {row.code: _struct(files.Item, row, bases=[_cited(each) for each in row.citations.all()]) for row in rows}


def _cited(row: Citation) -> files.Cited:
    return _struct(files.Cited, row, basis=row.basis.short)


def _struct(kind: type[msgspec.Struct], row: Model, **given: Any) -> Any:
    """A row in the shape of the files: an empty column stands for the field's default."""
    values = {name: given[name] if name in given else getattr(row, name) for name in kind.__struct_fields__}
    return msgspec.convert({name: value for name, value in values.items() if _is_said(name, value)}, kind)


def _is_said(name: str, value: Any) -> bool:
    return value is not None and (value != "" or name == "cited")


def _columns(struct: msgspec.Struct, *, leave: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of a struct as a row gives them back: enums as text, structs and tuples as plain JSON."""
    return {name: _plain(getattr(struct, name)) for name in struct.__struct_fields__ if name not in leave}


def _plain(value: Any) -> Any:
    return value if isinstance(value, date) else msgspec.json.decode(msgspec.json.encode(value))


def _basis_row(basis: files.Basis) -> Basis:
    columns = _columns(basis, leave=frozenset({"superseded_by"}))
    columns["number_confidence"] = columns["number_confidence"] or ""
    successor = seeded_id(f"basis {basis.superseded_by}") if basis.superseded_by else None
    return Basis(id=seeded_id(f"basis {basis.short}"), superseded_by_id=successor, origin=SEED, **columns)


def _item_row(item: files.Item, position: int) -> ChecklistItem:
    columns = _columns(item, leave=frozenset({"bases"}))
    columns["ban_mode"] = columns["ban_mode"] or ""
    return ChecklistItem(id=seeded_id(_name(item)), area=item.area, position=position, origin=SEED, **columns)


def _name(item: files.Item) -> str:
    return f"item {item.code}"


def _template_row(template: files.Template) -> ChecklistTemplate:
    identity = seeded_id(f"template {template.code}")
    return ChecklistTemplate(id=identity, code=template.code, name=template.name, kind=template.kind.value)


def _write(work: Work, planted: Planted, model: type[Model], rows: list[Model]) -> set:
    """Inserts what is new, updates what came with the product and differs; gives the ids that were left alone."""
    names = [each.attname for each in model._meta.concrete_fields]
    stored = {row.pk: row for row in model._default_manager.all()}
    left_alone = set()
    for row in rows:
        before, what = stored.pop(row.pk, None), _label(row)
        if before is None:
            work.insert(row)
            planted.new.append(what)
        elif getattr(before, "origin", SEED) == OWN:
            left_alone.add(row.pk)
            planted.own.append(what)
        elif any(getattr(before, name) != getattr(row, name) for name in names):
            work.update(row)
            planted.changed.append(what)
    planted.gone += [
        f"{model._meta.model_name} {row}" for row in stored.values() if getattr(row, "origin", OWN) == SEED
    ]
    return left_alone


def _label(row: Model) -> str:
    return f"{row._meta.model_name} {row.short if isinstance(row, Basis) else row.code}"


def _write_citations(work: Work, items: Iterable[files.Item]) -> None:
    """The citations of seeded items, whole; one that an item no longer makes goes, the frozen versions keep it."""
    rows = {row.pk: row for item in items for row in _citation_rows(item)}
    owners = {row.item_id for row in rows.values()} | {seeded_id(_name(item)) for item in items}
    stored = {row.pk: row for row in Citation.objects.filter(item_id__in=owners)}
    names = [each.attname for each in Citation._meta.concrete_fields]
    Citation.objects.filter(pk__in=stored.keys() - rows.keys()).delete()
    for pk, row in rows.items():
        if pk not in stored:
            work.insert(row)
        elif any(getattr(stored[pk], name) != getattr(row, name) for name in names):
            work.update(row)


def _citation_rows(item: files.Item) -> list[Citation]:
    return [
        Citation(
            id=seeded_id(f"citation {item.code} {position}"),
            item_id=seeded_id(_name(item)),
            basis_id=seeded_id(f"basis {cited.basis}"),
            position=position,
            articles=cited.articles,
            note=cited.note,
            cited=cited.cited,
            confidence=cited.confidence.value if cited.confidence else "",
        )
        for position, cited in enumerate(item.bases, 1)
    ]


def _publish(work: Work, planted: Planted, catalogue: files.Catalogue, rows: dict[str, ChecklistTemplate]) -> None:
    newest: dict[str, TemplateVersion] = {}
    for version in TemplateVersion.objects.select_related("template").order_by("version"):
        newest[version.template.code] = version
    for template in catalogue.templates.values():
        standing = newest.get(template.code)
        if standing is not None and standing.origin == OWN:
            planted.own.append(f"version {template.code} v{standing.version}")
            continue
        number = standing.version if standing else 1
        content = freeze(catalogue, template, version=number)
        if standing is not None and hashlib.sha256(content).hexdigest() != standing.sha256:
            number, standing = number + 1, None
            content = freeze(catalogue, template, version=number)
        if standing is None:
            publish(work, rows[template.code], content, version=number, audience=template.audience.value, origin=SEED)
            planted.new.append(f"version {template.code} v{number}")


def publish(
    work: Work, template: ChecklistTemplate, content: bytes, *, version: int, audience: str, origin: str
) -> TemplateVersion:
    """Freezes a version of a template and says so. `content` are the bytes of `freeze`; the catalogue is locked.

    A restricted version has no reader until somebody is named by a task.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    row = TemplateVersion(
        id=seeded_id(f"version {template.code} {version} {sha256}"),
        template=template,
        version=version,
        state=TemplateVersion.PUBLISHED,
        audience=audience,
        content=content,
        sha256=sha256,
        published_at=work.now,
        origin=origin,
    )
    said = msgspec.json.encode({"template": template.code, "version": version, "sha256": sha256}, order="sorted")
    work.say(row, "template.published", body=work.body(said), urgency=None)
    return row
