"""What a checklist says once it is published: its whole text, and how each basis may be printed.

Pure: structs and bytes; no database, no clock. The bytes of a version are what phones fetch by hash and what a visit
was held against, years later, when items and bases have moved on.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

import msgspec
from msgspec import Struct

from inspections.catalogue import (
    Area,
    Audience,
    BanMode,
    Basis,
    Catalogue,
    Cited,
    Confidence,
    Disposition,
    Generator,
    Grade,
    Item,
    Measure,
    Method,
    Photo,
    Requirement,
    Template,
    TemplateKind,
    Window,
)

FROZEN_SCHEMA = 1  # of the bytes below


class Printing(StrEnum):
    """How a basis may stand on a formal document: as 依据, as 参照, or not at all."""

    BASIS = "basis"
    REFERENCE = "reference"
    NEVER = "never"


class FrozenBasis(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A citation as it stood when the checklist was published; `line` is what a document may print, or empty."""

    short: str
    articles: str = ""
    note: str = ""
    title: str
    number: str = ""
    edition: str = ""
    valid_from: date | None = None
    confidence: Confidence
    printing: Printing
    line: str = ""
    binds_schools: bool = True


class FrozenItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The full text of an item inside a published version."""

    code: str
    area: str
    text: str
    methods: tuple[Method, ...] = ()
    method_note: str = ""
    finding: str
    grade: Grade
    listed: bool = False
    photo: Photo
    ban_mode: BanMode | None = None
    photo_note: str = ""
    disposition: Disposition
    departments: tuple[str, ...] = ()
    confidence: Confidence
    confidence_note: str = ""
    archived: bool = False
    measures: tuple[Measure, ...] = ()
    bases: tuple[FrozenBasis, ...] = ()


class FrozenArea(Struct, frozen=True, kw_only=True, omit_defaults=True):
    code: str
    name: str
    guidance: tuple[str, ...] = ()


class FrozenTemplate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A published checklist, whole: what its bytes decode to. `pool` holds what may be chosen besides `items`."""

    schema: int
    code: str
    name: str
    version: int
    kind: TemplateKind
    audience: Audience
    as_of: date
    areas: tuple[FrozenArea, ...] = ()
    items: tuple[FrozenItem, ...] = ()
    pool: tuple[FrozenItem, ...] = ()
    choose_least: int | None = None
    choose_most: int | None = None
    generator: Generator | None = None
    procedures: tuple[str, ...] = ()
    editorial: bool = False
    when: str = ""
    windows: tuple[Window, ...] = ()
    minutes: int | None = None
    people: int | None = None
    women_for: str = ""
    requires: tuple[Requirement, ...] = ()
    notes: tuple[str, ...] = ()


def freeze(catalogue: Catalogue, template: Template, *, version: int) -> bytes:
    """The canonical JSON bytes of a template's text: keys sorted, UTF-8, no space; they decode to FrozenTemplate."""
    return msgspec.json.encode(frozen_template(catalogue, template, version=version), order="sorted")


def printing(item: Item, cited: Cited, bases: Mapping[str, Basis], *, as_of: date) -> Printing:
    """How a citation may stand on a formal document: the least sure of row, citation and basis decides.

    certain → 依据, likely → 参照, verify and none → not at all. A basis that is not in force is not printed, one
    whose successor is in force is a reference at most. Source: regulations §0.1, §0.6.
    """
    basis = bases[cited.basis]
    surest_first = list(Confidence)
    least = max(
        surest_first.index(each) for each in (item.confidence, cited.confidence or item.confidence, basis.confidence)
    )
    if least > surest_first.index(Confidence.LIKELY) or not in_force(basis, as_of):
        return Printing.NEVER
    successor = bases.get(basis.superseded_by)
    replaced = successor is not None and in_force(successor, as_of)
    if least == surest_first.index(Confidence.LIKELY) or replaced:
        return Printing.REFERENCE
    return Printing.BASIS


def in_force(basis: Basis, day: date) -> bool:
    """Whether nothing that we know says otherwise; both dates are inclusive, an unknown one speaks for it."""
    began = basis.valid_from is None or basis.valid_from <= day
    return began and (basis.valid_to is None or day <= basis.valid_to)


def citation_line(basis: Basis, cited: Cited) -> str:
    """What a document prints, e.g. 《校车安全管理条例》(国务院令第617号)第二十条; an unsure number is left out."""
    title = basis.title if basis.bare else f"《{basis.title}》"
    number = sure_number(basis)
    return f"{title}({number}){cited.articles}" if number else f"{title}{cited.articles}"


def sure_number(basis: Basis) -> str:
    """Issuer and number if they are certain, else nothing: a document must not carry a number that may be wrong."""
    return basis.number if (basis.number_confidence or basis.confidence) is Confidence.CERTAIN else ""


def frozen_template(catalogue: Catalogue, template: Template, *, version: int) -> FrozenTemplate:
    """The whole text of a template as of the catalogue's day: items, citations and conditions, nothing by reference."""
    items, pool = catalogue.items_of(template), catalogue.pool_of(template)
    areas = dict.fromkeys(item.area for item in [*items, *pool])
    return FrozenTemplate(
        schema=FROZEN_SCHEMA,
        code=template.code,
        name=template.name,
        version=version,
        kind=template.kind,
        audience=template.audience,
        as_of=catalogue.as_of,
        areas=tuple(_frozen_area(catalogue.areas[code]) for code in areas),
        items=tuple(_frozen_item(catalogue, item) for item in items),
        pool=tuple(_frozen_item(catalogue, item) for item in pool),
        choose_least=template.choose.least if template.choose else None,
        choose_most=template.choose.most if template.choose else None,
        generator=template.generator,
        procedures=template.procedures,
        editorial=template.editorial,
        when=template.when,
        windows=template.windows,
        minutes=template.minutes,
        people=template.people,
        women_for=template.women_for,
        requires=template.requires,
        notes=template.notes,
    )


def _frozen_area(area: Area) -> FrozenArea:
    return FrozenArea(code=area.code, name=area.name, guidance=area.guidance)


def _frozen_item(catalogue: Catalogue, item: Item) -> FrozenItem:
    kind, grade = item.finding
    return FrozenItem(
        code=item.code,
        area=item.area,
        text=item.text,
        methods=item.methods,
        method_note=item.method_note,
        finding=kind,
        grade=Grade(grade),
        listed=item.listed,
        photo=item.photo,
        ban_mode=item.ban_mode,
        photo_note=item.photo_note,
        disposition=item.disposition,
        departments=item.departments,
        confidence=item.confidence,
        confidence_note=item.confidence_note,
        archived=item.archived,
        measures=item.measures,
        bases=tuple(_frozen_basis(catalogue, item, cited) for cited in item.bases),
    )


def _frozen_basis(catalogue: Catalogue, item: Item, cited: Cited) -> FrozenBasis:
    basis, how = catalogue.bases[cited.basis], printing(item, cited, catalogue.bases, as_of=catalogue.as_of)
    return FrozenBasis(
        short=basis.short,
        articles=cited.articles,
        note=cited.note,
        title=basis.title,
        number=sure_number(basis),
        edition=basis.edition,
        valid_from=basis.valid_from,
        confidence=cited.confidence or basis.confidence,
        printing=how,
        line="" if how is Printing.NEVER else citation_line(basis, cited),
        binds_schools=basis.binds_schools,
    )
