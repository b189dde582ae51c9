"""The files of `seeds/` against the text of the regulations, and what the loader refuses."""

import hashlib
import json
import re
import shutil
from collections import Counter

import msgspec
import pytest

from inspections.catalogue import CatalogueFault, json_schema, load_catalogue
from inspections.frozen import Printing, citation_line, frozen_template, printing
from tests.inspections import regulations
from tests.inspections.regulations import INDEX, ROWS, SEEDS

SHA256 = {
    ROWS: "4e3e364519f4d7f9b376fe5a57f08db5c7923066487b85fa0438dd8d2d74d8d8",
    INDEX: "0d3588bcfff1f2041cfa779e317a84b668752a86b0b552006d533f90f713e855",
}
COUNTS = {
    "ST": 30,
    "SS": 24,
    "XC": 26,
    "ZB": 19,
    "XF": 26,
    "AB": 23,
    "YL": 15,
    "QL": 16,
    "WS": 22,
    "JZ": 24,
    "SY": 18,
    "ZR": 12,
    "YE": 20,
    "PX": 20,
    "SJ": 12,
    "DX": 12,
    "PA": 12,
    "YY": 14,
    "FZ": 12,
    "BX": 13,
}


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(SEEDS)


# --- the rows ---


@pytest.mark.parametrize("path", SHA256, ids=lambda path: path.name)
def test_the_text_is_the_one_that_was_reviewed(path):
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[path]


def test_the_text_and_the_catalogue_have_the_same_rows_in_every_area(catalogue):
    written = Counter(code[:2] for code in regulations.rows())
    assert written == COUNTS
    assert {code: len(area.items) for code, area in catalogue.areas.items()} == COUNTS
    assert len(catalogue.items) == sum(COUNTS.values()) == 370
    assert list(catalogue.items) == list(regulations.rows())


def test_every_cell_of_every_row_is_loaded_as_it_is_written(catalogue):
    assert regulations.differences(catalogue.items) == []


def test_the_comparison_notices_any_one_cell_that_is_changed(catalogue):
    """The comparison itself is tried: each field, changed in one item, must show."""
    item = catalogue.items["ZB-01"]
    for field, value in {
        "text": item.text + "。",
        "methods": item.methods[:1],
        "bases": (),
        "grade": "general",
        "photo": "on_fail",
        "confidence": "likely",
        "departments": ("公安",),
        "kind": "mechanism",
        "row": {},
    }.items():
        changed = catalogue.items | {"ZB-01": _replaced(item, field, value)}
        assert len(regulations.differences(changed)) == 1, field


def _replaced(item, field, value):
    return msgspec.convert(msgspec.to_builtins(item) | {field: value}, type(item))


# --- the bases ---


def test_every_row_of_the_index_is_a_basis_with_its_title_number_dates_and_confidence(catalogue):
    by_row = {}
    for basis in catalogue.bases.values():
        if basis.row:
            by_row.setdefault(basis.row["简称"], []).append(basis)
    [(columns, lines)] = regulations.sections(INDEX)
    assert set(by_row) == {cells[0] for cells in lines}
    for cells in lines:
        for basis in by_row[cells[0]]:
            assert list(basis.row.values()) == cells and list(basis.row) == columns
            _compare_with_index(basis, *cells)


def _compare_with_index(basis, short, title, year, confidence):
    alone = short == basis.short
    assert basis.title.removeprefix("中华人民共和国") in f"{title} {short}".replace("中华人民共和国", ""), basis.short
    number = re.sub(r"[,() ]|^GB (?=\d+$)", "", basis.number)
    assert number in re.sub(r"[,() ]", "", title + short + confidence), basis.short
    assert basis.confidence == re.match(r"certain|likely|verify|edition certain", confidence)[0].split()[-1], (
        basis.short
    )
    in_force_from = re.findall(r"\d{4}-\d\d-\d\d", f"{title} {year}".partition("施行")[2])
    if basis.valid_from is not None:
        assert str(basis.valid_from) in in_force_from, basis.short
    elif alone:
        assert in_force_from == [], basis.short


def test_a_cited_title_that_the_index_lacks_is_a_reference_at_most(catalogue):
    lacking = [basis for basis in catalogue.bases.values() if not basis.row]
    assert {str(basis.confidence) for basis in lacking} == {"likely", "verify"}
    for basis in lacking:
        local = re.match(r"属地|地方|2020–2022 本地", basis.short) is not None
        assert (str(basis.confidence), bool(basis.jurisdiction)) == (("verify", True) if local else ("likely", False))


def test_nothing_tagged_verify_may_print_as_a_legal_basis(catalogue):
    for template in catalogue.templates.values():
        frozen = frozen_template(catalogue, template, version=1)
        for item in (*frozen.items, *frozen.pool):
            for basis in item.bases:
                tags = {str(item.confidence), str(basis.confidence), str(catalogue.bases[basis.short].confidence)}
                if tags & {"verify", "none"}:
                    assert (basis.printing, basis.line) == (Printing.NEVER, ""), item.code
                elif "likely" in tags:
                    assert basis.printing is Printing.REFERENCE, item.code
                assert (basis.line == "") == (basis.printing is Printing.NEVER)


def test_what_is_never_printed_is_known_by_name(catalogue):
    never = {
        f"{item.code} {cited.basis}"
        for item in catalogue.items.values()
        for cited in item.bases
        if printing(item, cited, catalogue.bases, as_of=catalogue.as_of) is Printing.NEVER
    }
    assert never == {
        "ZB-06 属地摊贩条例",
        "ZB-13 属地防汛要求",
        "YL-12 判定指南",
        "YL-13 属地预案",
        "YL-15 属地",
        "WS-22 2020–2022 本地文件",
        "JZ-02 判定指南",
        "JZ-10 属地要求",
        "JZ-14 判定指南",
        "JZ-24 属地住建要求",
        "SY-15 属地监管要求",
        "PX-17 地方规定",
        "SJ-12 地方细则",
        "YY-10 地方阳光食堂",
        'YY-12 地方标准(陕西"标准化食堂")',
        "BX-01 地方规定",
        'BX-09 地方"社会事务进校园"白名单',
    }


def test_a_number_that_is_not_certain_is_left_out_of_what_is_printed(catalogue):
    cited = catalogue.items["AB-18"].bases[0]
    assert citation_line(catalogue.bases["岗位指南"], cited) == "《中小学校岗位安全工作指南》"
    cited = catalogue.items["XC-03"].bases[0]
    assert citation_line(catalogue.bases["校车条例"], cited) == "《校车安全管理条例》(国务院令第617号)第二十条"


def test_a_basis_whose_successor_is_in_force_is_a_reference_at_most(catalogue):
    """The act on hazardous chemicals renumbers the regulation's articles (regulations §0.6)."""
    item = catalogue.items["SY-02"]
    [cited] = item.bases
    before = catalogue.bases["危化法"].valid_from.replace(month=4, day=30)
    assert printing(item, cited, catalogue.bases, as_of=before) is Printing.BASIS
    assert printing(item, cited, catalogue.bases, as_of=catalogue.as_of) is Printing.REFERENCE


# --- the measures ---

# bounds whose number the text says in words
IN_WORDS = {
    ("ST-05", 12): "每年",
    ("XC-03", 6): "每半年",
    ("XC-06", 12): "每年",
    ("XC-06", 0): "无满分记录",
    ("XC-07", 0): "无站立",
    ("ST-22", 3): "每季度",
    ("ST-23", 5): "粗加工、烹饪、备餐、洗消、留样",
    ("ST-29", 1): "每学期一次",
    ("SS-21", 1): "每学期",
}


def test_every_bound_of_a_measure_stands_in_the_text(catalogue):
    for item in catalogue.items.values():
        text = item.text + regulations.prose(catalogue.areas[item.area].section).replace("−", "-").replace(",", "")
        for bound in [bound for m in item.measures for bound in (m.low, m.high) if bound and bound.value is not None]:
            words = IN_WORDS.get((item.code, bound.value))
            if words is not None:
                assert words in item.text, item.code
            else:
                numbers = {float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text.replace("–", " "))}
                assert float(bound.value) in numbers, (item.code, bound.value)


def test_measures_are_modelled_for_the_four_areas_that_were_gone_through_by_hand(catalogue):
    measured = Counter(item.area for item in catalogue.items.values() if item.measures)
    assert measured == {"ST": 17, "SS": 6, "XC": 11, "ZB": 3}


@pytest.mark.parametrize(
    ("code", "key", "low", "high", "confidence", "effect"),
    [
        ("ST-11", "chilled", (0, True), (8, True), "likely", "judge"),
        ("ST-11", "frozen", None, (-12, True), "likely", "judge"),
        ("ST-14", "core_temperature", (70, True), None, "likely", "judge"),
        ("ST-14", "hours_to_serving", None, (2, True), "likely", "judge"),
        ("ST-14", "holding_temperature", (60, False), None, "likely", "judge"),
        ("ST-15", "grams", (125, True), None, "likely", "judge"),
        ("ST-15", "hours", (48, True), None, "likely", "judge"),
        ("ST-17", "room_temperature", None, (25, True), "likely", "judge"),
        ("ST-18", "guard_height", (60, True), None, "likely", "judge"),
        ("SS-15", "area_per_pupil", (3.0, True), None, "likely", "hint"),
        ("SS-15", "pupils_per_room", None, (6, True), "likely", "hint"),
        ("SS-15", "height_single", (3.0, True), None, "likely", "judge"),
        ("SS-15", "height_double", (3.1, True), None, "likely", "judge"),
        ("SS-16", "guard_height", (0.25, True), None, "likely", "judge"),
        ("SS-16", "upper_height", None, (1.6, True), "likely", "judge"),
        ("XC-02", "seats_kindergarten", None, (45, True), "certain", "judge"),
        ("XC-02", "seats_primary", None, (56, True), "certain", "judge"),
        ("XC-05", "age", (25, True), (60, True), "certain", "judge"),
        ("XC-05", "licence_years", (3, True), None, "certain", "judge"),
        ("XC-07", "standing", None, (0, True), "certain", "judge"),
        ("XC-14", "expressway", None, (80, True), "certain", "judge"),
        ("XC-14", "other_roads", None, (60, True), "certain", "judge"),
        ("XC-14", "difficult", None, (20, True), "certain", "judge"),
        ("ZB-01", "distance", (200, False), None, "certain", "hint"),
        ("ZB-03", "distance", (200, False), None, "verify", "hint"),
    ],
)
def test_a_measure_has_the_bounds_of_the_text(catalogue, code, key, low, high, confidence, effect):
    measure = next(measure for measure in catalogue.items[code].measures if measure.key == key)
    bounds = [bound and (bound.value, bound.inclusive) for bound in (measure.low, measure.high)]
    assert (*bounds, measure.confidence, measure.effect) == (low, high, confidence, effect)


def test_a_distance_is_a_hint_and_names_its_datum(catalogue):
    distances = [m for item in catalogue.items.values() for m in item.measures if m.key == "distance"]
    assert [(m.effect, m.located) for m in distances] == [("hint", True)] * 3


# --- the templates ---

WHOLE = {"T02": ["ST"], "T10": ["SY"], "T13": ["PX"], "T12": ["YE", "ST", "AB"]}
OURS = {"T14": "摘要 ≤40 项,条目由我们选编", "T17": "固定部分另加自选", "T18": "生成", "T19": "生成", "T20": "生成"}


def listed_codes(cell: str) -> list[str]:
    """`SS-01…09, 13…20;XF-06` → codes."""
    codes, area = [], ""
    for part in re.split("[,;]", cell):
        first, last = re.fullmatch(r"([A-Z]{2}-)?(\d\d)(?:…(\d\d))?", part.strip()).group(2, 3)
        area = (re.match(r"[A-Z]{2}", part.strip()) or [area])[0]
        codes += [f"{area}-{number:02}" for number in range(int(first), int(last or first) + 1)]
    return codes


def test_the_templates_of_the_text_have_the_items_that_it_lists(catalogue):
    [(columns, lines)] = [table for table in regulations.sections(ROWS) if table[0][0] == "template"]
    assert [cells[0][:3] for cells in lines] == [f"T{number:02}" for number in range(1, 21)]
    for cells in lines:
        code, name = cells[0].split(" ", 1)
        template = catalogue.templates[code]
        assert (template.name, template.row) == (name, dict(zip(columns, cells, strict=True)))
        loaded = [item.code for item in catalogue.items_of(template)]
        if code in WHOLE:
            areas = [item for item in catalogue.items.values() if item.area in WHOLE[code] and item.kind == "item"]
            assert set(loaded) == {item.code for item in areas} | set(template.items), code
        elif code not in OURS:
            assert loaded == listed_codes(cells[1]), code
    assert catalogue.templates["T12"].items == ("XF-03",)
    assert catalogue.templates["T17"].items == ("DX-01", "DX-03", "DX-04")


def test_who_when_and_how_long_are_carried_where_the_text_says_so(catalogue):
    said = {code: catalogue.templates[code] for code in ("T01", "T04", "T05", "T10", "T13", "T17", "T20")}
    assert (said["T01"].people, said["T01"].minutes) == (2, 25)
    assert [(w.begins, w.ends) for w in said["T01"].windows] == [("10:00", "11:30")]
    assert (said["T04"].women_for, [(w.begins, w.ends) for w in said["T04"].windows]) == (
        "女生宿舍",
        [("21:30", "23:00")],
    )
    assert [(w.begins, w.ends) for w in said["T05"].windows] == [("06:30", "07:40")]
    assert (said["T10"].people, said["T20"].people) == (2, 2)
    assert said["T13"].requires == ("enforcement_card", "frequency_check")
    assert said["T13"].procedures == ("PX-20",)
    assert (said["T17"].choose.least, said["T17"].choose.most) == (3, 5)
    assert {t.code: str(t.generator) for t in catalogue.templates.values() if t.kind == "generator"} == {
        "T18": "document",
        "T19": "rectification",
        "T20": "guide",
    }


def test_every_item_is_in_a_template_and_nothing_else_is(catalogue):
    used = {item.code for template in catalogue.templates.values() for item in catalogue.items_of(template)}
    assert used == {item.code for item in catalogue.items.values() if item.kind == "item"}
    assert len(used) == 370 - 12 - 12 - 2


def test_what_is_archived_is_shown_only_by_the_template_that_names_it(catalogue):
    """The rules of 2020–2022 are an archived template, not live (regulations §1.9)."""
    assert [item.code for item in catalogue.items.values() if item.archived] == ["WS-22"]
    showing = [
        template.code
        for template in catalogue.templates.values()
        if "WS-22" in {item.code for item in (*catalogue.items_of(template), *catalogue.pool_of(template))}
    ]
    assert showing == ["GD-WS"]


def test_the_opening_summary_is_at_most_forty_items_each_with_its_reason(catalogue):
    summary = catalogue.templates["T14"]
    items = catalogue.items_of(summary)
    assert summary.editorial and len(items) <= 40
    assert {item.area for item in items} == {"ST", "SS", "XF", "AB", "JZ", "WS"}
    listed = {i.code for i in catalogue.items.values() if i.listed and i.area in ("ST", "SS", "XF", "AB", "JZ", "WS")}
    assert listed <= {item.code for item in items}


def test_bullying_is_restricted_and_stands_alone(catalogue):
    for template in catalogue.templates.values():
        items = [*catalogue.items_of(template), *catalogue.pool_of(template)]
        areas = {item.area for item in items}
        assert (str(template.audience), areas == {"QL"}) in {("ref", False), ("restricted", True)}
        assert areas == {"QL"} or "QL" not in areas


# --- what the loader refuses ---


def edit(folder, file, change):
    path = folder / file
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def item(code):
    return lambda area: next(item for item in area["items"] if item["code"] == code)


def template(code):
    return lambda templates: next(each for each in templates["templates"] if each["code"] == code)


REFUSALS = {
    "an unknown basis": (
        "checklists/ST.json",
        lambda area: item("ST-01")(area)["bases"].append({"basis": "某法"}),
        "ST-01:依据“某法”不在",
    ),
    "a code twice": ("checklists/ST.json", lambda area: area["items"].append(area["items"][0]), "ST-01:出现了两次"),
    "a code of another area": (
        "checklists/ST.json",
        lambda area: item("ST-07")(area).update(code="SX-99"),
        "SX-99:代码不属于本领域 ST",
    ),
    "bounds out of order": (
        "checklists/ST.json",
        lambda area: item("ST-11")(area)["measures"][0].update(low={"value": 9}),
        "ST-11:测量项 chilled 的下限高于上限",
    ),
    "a bound from nowhere": (
        "checklists/XC.json",
        lambda area: item("XC-07")(area)["measures"][1].update(high={"of": "seats"}),
        "XC-07:测量项 aboard 的界限取自“seats”",
    ),
    "a distance as a verdict": (
        "checklists/ZB.json",
        lambda area: item("ZB-01")(area)["measures"][0].update(effect="judge"),
        "ZB-01:测量项 distance 是距离,只能作提示",
    ),
    "a ban without its mode": (
        "checklists/ST.json",
        lambda area: item("ST-30")(area).pop("ban_mode"),
        "ST-30:禁拍须写明 ban_mode",
    ),
    "a grade that the cell does not mean": (
        "checklists/SS.json",
        lambda area: item("SS-01")(area).update(grade="serious", listed=False),
        "SS-01:“级”栏的“重大◎”应为 grade=major_candidate",
    ),
    "a cell that nobody reviewed": (
        "checklists/SS.json",
        lambda area: item("SS-01")(area)["row"].update({"级": "特大"}),
        "SS-01:“级”栏的“特大”不在 cells.json",
    ),
    "a transfer to nobody": (
        "checklists/ZB.json",
        lambda area: item("ZB-15")(area).update(departments=[]),
        "ZB-15:移送须写明部门",
    ),
    "an unknown field": (
        "checklists/ST.json",
        lambda area: item("ST-03")(area).update(colour="red"),
        "ST-03 Object contains unknown field `colour`",
    ),
    "an unknown grade": (
        "checklists/ST.json",
        lambda area: item("ST-03")(area).update(grade="特大"),
        "ST-03 Invalid enum value '特大'",
    ),
    "an unknown item in a template": (
        "templates.json",
        lambda all_: template("T01")(all_)["items"].append("ST-99"),
        "T01:没有 ST-99",
    ),
    "a mechanism in a template": (
        "templates.json",
        lambda all_: (
            template("T13")(all_)["items"].append("PX-20")
            if "items" in template("T13")(all_)
            else template("T13")(all_).update(items=["PX-20"])
        ),
        "T13:PX-20 不是检查项",
    ),
    "bullying mixed with others": (
        "templates.json",
        lambda all_: template("T01")(all_)["items"].append("QL-01"),
        "T01:防欺凌(QL)的条目不得与其他领域混用",
    ),
    "bullying for everybody": (
        "templates.json",
        lambda all_: template("QX-QL")(all_).pop("audience"),
        "QX-QL:含防欺凌(QL)条目的检查表须为 restricted",
    ),
    "a selection of ours without reasons": (
        "templates.json",
        lambda all_: template("T14")(all_)["reasons"].pop("ST-01"),
        "T14:选编的检查表不超过 40 项,且每项写明理由",
    ),
    "a successor that is not there": (
        "bases.json",
        lambda bases: bases["bases"][0].update(superseded_by="某法"),
        "安全生产法:被替代为“某法”",
    ),
    "a basis twice": ("bases.json", lambda bases: bases["bases"].append(bases["bases"][0]), "安全生产法:出现了两次"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_the_loader_refuses_and_names_file_and_code_when_there_is(tmp_path, case):
    folder = tmp_path / "seeds"
    shutil.copytree(SEEDS, folder)
    file, change, words = REFUSALS[case]
    edit(folder, file, change)
    with pytest.raises(CatalogueFault) as refused:
        load_catalogue(folder)
    assert any(words in fault and fault.startswith(file.split("*")[0][:9]) for fault in refused.value.faults)


def test_a_difference_with_its_reason_is_accepted(tmp_path):
    folder = tmp_path / "seeds"
    shutil.copytree(SEEDS, folder)
    edit(
        folder,
        "checklists/ST.json",
        lambda area: item("ST-03")(area).update(grade="serious", deviates={"级": "本区2026年专项从严"}),
    )
    assert load_catalogue(folder).items["ST-03"].grade == "serious"


def test_a_missing_or_broken_file_is_named(tmp_path):
    folder = tmp_path / "seeds"
    shutil.copytree(SEEDS, folder)
    (folder / "cells.json").unlink()
    (folder / "checklists" / "XC.json").write_text("{", encoding="utf-8")
    with pytest.raises(CatalogueFault) as refused:
        load_catalogue(folder)
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["cells.json", "checklists/XC.json"]


def test_the_schema_is_given_for_whoever_writes_a_catalogue_of_their_own():
    schema = json_schema()
    assert set(schema["files"]) == {"checklists/*.json", "bases.json", "templates.json"}
    assert schema["$defs"]["Item"]["additionalProperties"] is False
