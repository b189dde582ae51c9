"""Where the day plays: the school, its sites and the checklists, all found by asking; and what one act hands to the next."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from inspections.schoolday.camera import Photograph, take
from inspections.schoolday.cast import Cast
from inspections.schoolday.desk import Desk
from inspections.schoolday.phone import Doc, Phone, now
from inspections.schoolday.timeline import Check, Timeline
from inspections.schoolday.wire import Unexpected

LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CANTEEN_CHECKLIST, SURROUNDINGS_CHECKLIST = "T01", "QX-ZB"


@dataclass(frozen=True, slots=True)
class Stage:
    """The school of the principal who plays, with what is inspected there."""

    school: Doc
    canteen: Doc
    surroundings: Doc
    whole: Doc
    canteen_checklist: Doc
    surroundings_checklist: Doc


@dataclass(slots=True)
class Day:
    """One run. `tag` stands in every place that is named, so that no run meets what an earlier one left open."""

    timeline: Timeline
    cast: Cast
    stage: Stage
    tag: str = field(default_factory=lambda: "".join(secrets.choice(LETTERS) for _ in range(5)))
    things: dict[str, str] = field(default_factory=dict)  # collection → one document of this run, for the strangers
    refused: dict[str, str] = field(default_factory=dict)  # the same, as far as the strangers have tried
    overheard: list[dict] = field(default_factory=list)  # an operation of the inspector's that a stranger says again
    photographs: list[Photograph] = field(default_factory=list)
    desks: dict[str, Desk] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)  # rectification items of this run by what they are about
    alerts: list[str] = field(default_factory=list)
    alarmed_at: float = 0.0  # when the last of them was told; `time.perf_counter()`

    def place(self, name: str) -> str:
        return f"{name}{self.tag}"

    def shoot(self, caption: str) -> Photograph:
        """A photograph taken now at the school."""
        latitude, longitude = self.stage.school["latitude"], self.stage.school["longitude"]
        photo = take(f"{caption} {self.tag}", taken_at=now(), latitude=latitude, longitude=longitude)
        self.photographs.append(photo)
        return photo

    def close(self) -> None:
        for desk in self.desks.values():
            desk.close()

    def event(self, who: str, what: str, result: str = "", *checks: Check) -> None:
        self.timeline.event(who, what, result, *checks)


def find_stage(cast: Cast) -> Stage:
    """What the principal and the inspector both pulled. Raises Unexpected where the demonstration lacks something."""
    schools = [each for each in cast.principal.held("organisations") if each["kind"] == "school"]
    if len(schools) != 1:
        raise Unexpected(f"{cast.principal.title} 应当只看得到自己的学校,实际看到 {len(schools)} 所")
    school = schools[0]
    inspector = cast.inspector
    return Stage(
        school=school,
        canteen=_site(inspector, school, "canteen"),
        surroundings=_site(inspector, school, "surroundings"),
        whole=_site(inspector, school, "whole"),
        canteen_checklist=_checklist(inspector, CANTEEN_CHECKLIST),
        surroundings_checklist=_checklist(inspector, SURROUNDINGS_CHECKLIST),
    )


def _site(phone: Phone, school: Doc, kind: str) -> Doc:
    sites = (each for each in phone.held("sites") if each["kind"] == kind and each["unit_id"] == school["id"])
    return _first(sites, f"{school['name']} 没有 {kind} 场所")


def _checklist(phone: Phone, code: str) -> Doc:
    versions = [each for each in phone.held("templates") if each["code"] == code]
    return _first(sorted(versions, key=lambda each: -each["version"]), f"没有检查表 {code},请先运行 manage.py seed")


def _first(found: Iterable[Doc], missing: str) -> Doc:
    for each in found:
        return each
    raise Unexpected(missing)
