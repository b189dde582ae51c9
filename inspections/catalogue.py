"""The catalogue as files: what `seeds/` may say, and whether it says it rightly.

Pure: structs and checks; no database, no clock. The structs are the schema. What a checklist says once it is
published stands in `inspections.frozen`. `load_catalogue` reads
`bases.json`, `cells.json`, `checklists/*.json` and `templates.json` of a folder; a fault names its file and code.
The rows come from the regulations brief: each item keeps the cells it was read from, and `cells.json`, the reviewed
table of what each distinct cell means, must agree with the item's fields.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, field

T = TypeVar("T")
Code = Annotated[str, Meta(pattern=r"^[A-Z]{2}-\d{2}$")]
AreaCode = Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]
TemplateCode = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9-]{1,11}$")]
Key = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Line = Annotated[str, Meta(min_length=1, max_length=60)]
Text = Annotated[str, Meta(min_length=1, max_length=300)]
Note = Annotated[str, Meta(max_length=300)]
HourMinute = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]

RESTRICTED_AREAS = frozenset({"QL"})  # personal-data red zone (regulations §1.8): never mixed with another area
MOST_EDITORIAL = 40  # T14 (regulations §1.21)


class Kind(StrEnum):
    """What a row of the regulations is to us: only items go into templates."""

    ITEM = "item"  # looked at on a visit
    MECHANISM = "mechanism"  # a rule or procedure that the product itself keeps
    EVIDENCE = "evidence"  # collected from what is there already, never asked of a school again


class Method(StrEnum):
    LOOK = "look"
    DOCUMENTS = "documents"
    ASK = "ask"
    MEASURE = "measure"
    SYSTEM = "system"  # checked by the product itself


class Grade(StrEnum):
    """The default grade if an item fails. `incident` stands for 重大*(事件): an event, not a hazard of the ledger."""

    NONE = "none"
    GENERAL = "general"
    SERIOUS = "serious"
    MAJOR_CANDIDATE = "major_candidate"
    INCIDENT = "incident"


class Photo(StrEnum):
    OPTIONAL = "optional"
    ON_FAIL = "on_fail"
    ALWAYS = "always"
    BAN = "ban"


class BanMode(StrEnum):
    CAMERA = "camera"  # no picture at all
    COVER_ONLY = "cover_only"  # the cover, the blank form or a count


class Disposition(StrEnum):
    RECTIFY = "rectify"
    TRANSFER = "transfer"


class Confidence(StrEnum):
    """How sure a row or a basis is, surest first (regulations §0.1)."""

    CERTAIN = "certain"
    LIKELY = "likely"
    VERIFY = "verify"
    NONE = "none"


class Effect(StrEnum):
    JUDGE = "judge"  # a reading out of bounds proposes 不符合
    HINT = "hint"  # a reading out of bounds only shows the note


class TemplateKind(StrEnum):
    FIXED = "fixed"
    CHOOSE = "choose"  # a fixed part and some of one's own choice
    GENERATOR = "generator"  # its items come from a document, a hazard or a clause when it is used


class Generator(StrEnum):
    DOCUMENT = "document"  # T18: ticked off a document
    RECTIFICATION = "rectification"  # T19: the hazards to be revisited
    GUIDE = "guide"  # T20: the clauses of 判定指南


class Audience(StrEnum):
    REF = "ref"
    RESTRICTED = "restricted"


class Requirement(StrEnum):
    """What must be settled before a visit by a template may begin."""

    ENFORCEMENT_CARD = "enforcement_card"  # two certified officers show their cards
    FREQUENCY_CHECK = "frequency_check"  # the year's visits are not used up (PX-20)
    SAFETY_AGREED = "safety_agreed"  # unannounced, but the conditions of safety are agreed before


class Bound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One end of a range: a value in the measure's unit, or `times` (numerator, denominator) another reading."""

    value: int | float | None = None
    of: str = ""
    times: tuple[int, int] = (1, 1)
    inclusive: bool = True


class Measure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One number that an inspector may enter for an item; an absent reading says nothing.

    Measures of the same `either` are alternatives: one within its bounds is enough. A `located` reading names how it
    was measured and its datum, and is never more than a hint (regulations §1.4).
    """

    key: Key
    label: Line
    unit: Annotated[str, Meta(min_length=1, max_length=10)]
    low: Bound | None = None
    high: Bound | None = None
    repeatable: bool = False
    either: str = ""
    located: bool = False
    confidence: Confidence
    effect: Effect
    note: Note = ""


class Cited(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A basis of an item, with the articles as they were cited; never one that was not."""

    basis: str
    articles: str = ""
    note: Annotated[str, Meta(max_length=60)] = ""
    cited: str | None = None  # how the row names it, if not by the short name; "" where the column implies it
    confidence: Confidence | None = None  # of this citation, where it is less than the row's


class Item(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row of an area."""

    code: Code
    text: Text
    kind: Kind = Kind.ITEM
    methods: tuple[Method, ...] = ()
    method_note: str = ""
    bases: tuple[Cited, ...] = ()
    grade: Grade = Grade.NONE
    listed: bool = False  # ◎: expressly in the verified part of 判定指南
    photo: Photo = Photo.OPTIONAL
    ban_mode: BanMode | None = None
    photo_note: str = ""
    disposition: Disposition = Disposition.RECTIFY
    departments: tuple[str, ...] = ()
    confidence: Confidence
    confidence_note: str = ""
    source: str = ""  # where evidence is collected from
    archived: bool = False  # of its time; only a template that names it shows it
    measures: tuple[Measure, ...] = ()
    row: dict[str, str] = field(default_factory=dict)  # the cells as written, by column
    deviates: dict[str, str] = field(default_factory=dict)  # column → why the fields say otherwise

    @property
    def area(self) -> str:
        return self.code[:2]

    @property
    def finding(self) -> tuple[str, str]:
        """(kind, grade) of a finding from a failed answer, in the words of `rules`."""
        if self.grade is Grade.INCIDENT:
            return "incident", Grade.MAJOR_CANDIDATE.value
        return "issue" if self.grade is Grade.NONE else "hazard", self.grade.value


class Area(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of checklists/: an area with its columns and rows, in the order of the regulations."""

    code: AreaCode
    name: Line
    section: str
    columns: tuple[str, ...]
    guidance: tuple[Text, ...] = ()
    items: tuple[Item, ...]


class Basis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A law, standard or document. Dates are inclusive; one that the index does not state is absent, never guessed."""

    short: Line
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    number: Annotated[str, Meta(max_length=120)] = ""
    number_confidence: Confidence | None = None  # where it is less than the document's
    edition: str = ""
    year: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    superseded_by: str = ""
    confidence: Confidence
    jurisdiction: str = ""  # 行政区划代码, or "local" for what each place has of its own; empty: the whole country
    binds_schools: bool = True  # False: on a notice to a school it is no more than a reference (regulations §2.1)
    bare: bool = False  # a number or a description, printed without 《》
    note: Note = ""
    row: dict[str, str] = field(default_factory=dict)  # the cells of the index; empty for a title that it lacks


class Bases(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    as_of: date  # the day on which validity was judged; a frozen text must not depend on the day of loading
    bases: tuple[Basis, ...]


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time of day at the school, both ends inclusive."""

    begins: HourMinute
    ends: HourMinute


class Choose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    least: Annotated[int, Meta(ge=1)]
    most: Annotated[int, Meta(ge=1)]
    areas: tuple[AreaCode, ...]


class Template(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A checklist: every item of `areas`, then `items`, and under which conditions it is walked."""

    code: TemplateCode
    name: Line
    kind: TemplateKind = TemplateKind.FIXED
    audience: Audience = Audience.REF
    areas: tuple[AreaCode, ...] = ()
    items: tuple[Code, ...] = ()
    procedures: tuple[Code, ...] = ()  # mechanisms that bind a visit by this template
    choose: Choose | None = None
    generator: Generator | None = None
    editorial: bool = False  # a selection of ours; `reasons` says why each item is in it
    reasons: dict[Code, Line] = field(default_factory=dict)
    when: str = ""
    windows: tuple[Window, ...] = ()
    minutes: Annotated[int, Meta(ge=1)] | None = None
    people: Annotated[int, Meta(ge=1)] | None = None
    women_for: str = ""  # the part that only women inspect
    requires: tuple[Requirement, ...] = ()
    notes: tuple[Text, ...] = ()
    row: dict[str, str] = field(default_factory=dict)  # the cells of §1.21; empty for the 全项 ones


class Templates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    templates: tuple[Template, ...]


class Meaning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one cell means: the fields of an item that it decides, and why, where that is not plain."""

    methods: tuple[Method, ...] | None = None
    method_note: str | None = None
    grade: Grade | None = None
    kind: Kind | None = None
    listed: bool | None = None
    photo: Photo | None = None
    ban_mode: BanMode | None = None
    photo_note: str | None = None
    disposition: Disposition | None = None
    departments: tuple[str, ...] | None = None
    confidence: Confidence | None = None
    confidence_note: str | None = None
    why: str = ""


FILES = {"bases.json": Bases, "templates.json": Templates, "cells.json": dict[str, dict[str, Meaning]]}


class CatalogueFault(ValueError):
    """The files are not a catalogue; one line a fault, each naming file and code, for whoever edits them."""

    def __init__(self, faults: list[str]):
        self.faults = faults
        super().__init__("\n".join(faults))


class Catalogue(NamedTuple):
    """Everything in a folder of seeds, checked: areas in the order of the regulations, the rest by name."""

    areas: dict[str, Area]
    items: dict[str, Item]
    bases: dict[str, Basis]
    templates: dict[str, Template]
    as_of: date

    def items_of(self, template: Template) -> list[Item]:
        """The items of a template, each once: whole areas first, then those named, in the order given."""
        whole = [item.code for area in template.areas for item in self.live_items(area)]
        return [self.items[code] for code in dict.fromkeys([*whole, *template.items])]

    def pool_of(self, template: Template) -> list[Item]:
        """What may be chosen besides the fixed part."""
        fixed = {item.code for item in self.items_of(template)}
        areas = template.choose.areas if template.choose else ()
        return [item for area in areas for item in self.live_items(area) if item.code not in fixed]

    def live_items(self, area: str) -> list[Item]:
        """What "all of an area" means: its items, without mechanisms, evidence and what is archived."""
        return [item for item in self.areas[area].items if item.kind is Kind.ITEM and not item.archived]


def load_catalogue(folder: Path) -> Catalogue:
    """Reads and checks a folder of seeds. Raises CatalogueFault with every fault found."""
    faults: list[str] = []
    files = {name: _read(folder / name, name, kind, faults) for name, kind in FILES.items()}
    paths = sorted((folder / "checklists").glob("*.json"))
    areas = [_read(path, f"checklists/{path.name}", Area, faults) for path in paths]
    if faults:
        raise CatalogueFault(faults)
    areas.sort(key=lambda area: [int(part) for part in re.findall(r"\d+", area.section)])
    faults += _twice("checklists/", (item.code for area in areas for item in area.items))
    faults += _twice("checklists/", (area.code for area in areas))
    faults += _twice("bases.json", (basis.short for basis in files["bases.json"].bases))
    faults += _twice("templates.json", (template.code for template in files["templates.json"].templates))
    catalogue = Catalogue(
        areas={area.code: area for area in areas},
        items={item.code: item for area in areas for item in area.items},
        bases={basis.short: basis for basis in files["bases.json"].bases},
        templates={template.code: template for template in files["templates.json"].templates},
        as_of=files["bases.json"].as_of,
    )
    faults += _faults_of_bases(catalogue)
    faults += _faults_of_areas(catalogue, files["cells.json"])
    faults += _faults_of_templates(catalogue)
    if faults:
        raise CatalogueFault(faults)
    return catalogue


def json_schema() -> dict:
    """JSON Schema of the files in a folder of seeds, for editors and for whoever writes a catalogue of their own."""
    types = [Area, Bases, Templates]
    (area, bases, templates), definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    files = {"checklists/*.json": area, "bases.json": bases, "templates.json": templates}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "files": files, "$defs": definitions}


def _read(path: Path, name: str, kind: type[T], faults: list[str]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        faults.append(f"{name}:没有这个文件")
    except msgspec.DecodeError as error:  # its subclass ValidationError names the place by itself
        faults.append(f"{name}:{_with_code(path.read_bytes(), str(error))}")
    return None


def _with_code(raw: bytes, error: str) -> str:
    """The decoder says `$.items[3].grade`; whoever edits the file looks for a code."""
    place = re.search(r"\$\.(items|bases|templates)\[(\d+)\]", error)
    if place is None:
        return error
    entry = msgspec.json.decode(raw)[place[1]][int(place[2])]
    return f"{entry.get('code') or entry.get('short')} {error}" if isinstance(entry, dict) else error


def _twice(file: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{file} {name}:出现了两次"
        seen.add(name)


def _faults_of_bases(catalogue: Catalogue) -> Iterator[str]:
    for basis in catalogue.bases.values():
        where = f"bases.json {basis.short}"
        if basis.superseded_by and basis.superseded_by not in catalogue.bases:
            yield f"{where}:被替代为“{basis.superseded_by}”,但没有这个依据"
        if basis.superseded_by == basis.short:
            yield f"{where}:不能被自己替代"
        if basis.valid_from and basis.valid_to and basis.valid_to < basis.valid_from:
            yield f"{where}:失效日期早于施行日期"


def _faults_of_areas(catalogue: Catalogue, cells: dict[str, dict[str, Meaning]]) -> Iterator[str]:
    for area in catalogue.areas.values():
        for item in area.items:
            where = f"checklists/{area.code}.json {item.code}"
            if item.area != area.code:
                yield f"{where}:代码不属于本领域 {area.code}"
            for fault in (
                *_faults_of_item(item, catalogue.bases),
                *_faults_of_measures(item.measures),
                *_faults_of_cells(item, cells),
            ):
                yield f"{where}:{fault}"


def _faults_of_item(item: Item, bases: Mapping[str, Basis]) -> Iterator[str]:
    for cited in item.bases:
        if cited.basis not in bases:
            yield f"依据“{cited.basis}”不在 bases.json"
    if (item.photo is Photo.BAN) != (item.ban_mode is not None):
        yield "禁拍须写明 ban_mode,不禁拍的不得写"
    if item.listed and item.grade is not Grade.MAJOR_CANDIDATE:
        yield "判定指南列明(listed)的,等级须为 major_candidate"
    if (item.disposition is Disposition.TRANSFER) != bool(item.departments):
        yield "移送须写明部门,整改的不得写"


def _faults_of_measures(measures: tuple[Measure, ...]) -> Iterator[str]:
    keys = [measure.key for measure in measures]
    for measure in measures:
        where = f"测量项 {measure.key}"
        if keys.count(measure.key) > 1:
            yield f"{where} 出现了两次"
        if measure.located and measure.effect is not Effect.HINT:
            yield f"{where} 是距离,只能作提示(hint)"
        for bound in (measure.low, measure.high):
            if bound is None:
                continue
            if (bound.value is None) == (bound.of == ""):
                yield f"{where} 的界限须是一个数,或另一个测量项,二者取一"
            if bound.of and (bound.of == measure.key or bound.of not in keys):
                yield f"{where} 的界限取自“{bound.of}”,但本条没有这个测量项"
            if min(bound.times) < 1:
                yield f"{where} 的倍数须是两个正整数"
        if not _in_order(measure.low, measure.high):
            yield f"{where} 的下限高于上限"


def _in_order(low: Bound | None, high: Bound | None) -> bool:
    if low is None or high is None or low.value is None or high.value is None:
        return True
    if low.value == high.value:
        return low.inclusive and high.inclusive
    return low.value < high.value


def _faults_of_cells(item: Item, cells: dict[str, dict[str, Meaning]]) -> Iterator[str]:
    for column, cell in item.row.items():
        if column not in cells or column in item.deviates:
            continue
        meaning = cells[column].get(cell)
        if meaning is None:
            yield f"“{column}”栏的“{cell}”不在 cells.json"
            continue
        for name in Meaning.__struct_fields__:
            said = getattr(meaning, name)
            if name != "why" and said is not None and said != getattr(item, name):
                yield f"“{column}”栏的“{cell}”应为 {name}={said},写的是 {getattr(item, name)};有意不同的请在 deviates 写明理由"


def _faults_of_templates(catalogue: Catalogue) -> Iterator[str]:
    for template in catalogue.templates.values():
        for fault in _faults_of_template(catalogue, template):
            yield f"templates.json {template.code}:{fault}"


def _faults_of_template(catalogue: Catalogue, template: Template) -> Iterator[str]:
    chosen = template.choose.areas if template.choose else ()
    unknown = [code for code in (*template.areas, *chosen) if code not in catalogue.areas]
    unknown += [code for code in (*template.items, *template.procedures) if code not in catalogue.items]
    if unknown:
        yield f"没有 {'、'.join(unknown)}"
        return
    for code in template.items:
        if catalogue.items[code].kind is not Kind.ITEM:
            yield f"{code} 不是检查项,不能列入检查表"
    for code in template.procedures:
        if catalogue.items[code].kind is not Kind.MECHANISM:
            yield f"{code} 不是程序要求"
    items = catalogue.items_of(template)
    if (template.kind is TemplateKind.GENERATOR) == bool(items):
        yield "按需生成的检查表不列条目,其他的须有条目"
    if (template.kind is TemplateKind.GENERATOR) != (template.generator is not None):
        yield "generator 只用于按需生成的检查表,且必须写"
    if (template.kind is TemplateKind.CHOOSE) != (template.choose is not None):
        yield "choose 只用于固定加自选的检查表,且必须写"
    if template.choose and template.choose.least > template.choose.most:
        yield "自选的最少项数大于最多项数"
    if template.editorial and (len(items) > MOST_EDITORIAL or set(template.reasons) != {item.code for item in items}):
        yield f"选编的检查表不超过 {MOST_EDITORIAL} 项,且每项写明理由"
    yield from _faults_of_mixing(catalogue, template, items)


def _faults_of_mixing(catalogue: Catalogue, template: Template, items: list[Item]) -> Iterator[str]:
    """A restricted area stands alone and only in a restricted template (design §2, regulations §1.8)."""
    areas = {item.area for item in (*items, *catalogue.pool_of(template))}
    restricted = bool(areas & RESTRICTED_AREAS)
    if restricted and len(areas) > 1:
        yield "防欺凌(QL)的条目不得与其他领域混用"
    if restricted != (template.audience is Audience.RESTRICTED):
        yield "含防欺凌(QL)条目的检查表须为 restricted,其他的不得为 restricted"
