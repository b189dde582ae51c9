"""A reader of the regulations' text that shares nothing with the loader: what each cell says, by rules of its own.

`differences(items)` compares every cell of every row with items as they were loaded. What is deliberately otherwise
stands in DELIBERATE with its reason, and must really be otherwise.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SEEDS = Path(__file__).resolve().parents[2] / "seeds"
ROWS = SEEDS / "regulations-1.md"
INDEX = SEEDS / "regulations-0a.md"

METHODS = {"现": "look", "资": "documents", "询": "ask", "测": "measure"}
GRADES = {
    "一般": ("general", False, "hazard"),
    "较大": ("serious", False, "hazard"),
    "重大*": ("major_candidate", False, "hazard"),
    "重大◎": ("major_candidate", True, "hazard"),
    "重大*(事件)": ("incident", False, "incident"),
    "—(问题)": ("none", False, "issue"),
    "—": ("none", False, "issue"),
    "程序项": ("none", False, "issue"),
}
PHOTOS = {"必": "always", "缺": "on_fail", "—": "optional", "禁": "ban"}
WORDS = {"certain": "certain", "likely": "likely", "verify": "verify", "–": "none"}
NOT_ITEMS = {"SJ": "mechanism", "PA": "evidence", "PX-20": "mechanism", "DX-07": "mechanism"}
ARTICLES = re.compile(r"第[一二三四五六七八九十百零]+.*[条款项]((.)\d)?|第三条\(一\)\d")

DELIBERATE = {
    ("SJ-04", "依据"): ("", "“产品要求”是我们自己的要求,不是依据:不成为引用,永不印出"),
    ("SY-03", "信"): (
        ("likely", "双人收发、保管 certain,余 likely"),
        "一行里多数要求是 likely,整行按 likely,只印作参照",
    ),
    ("YL-12", "信"): (
        ("certain", "领域 certain,情形 verify"),
        "情形未核:所引判定指南在引用处记 verify,不印;说明改写成一句",
    ),
}
VERIFY_CITED = {"JZ-02": "判定指南", "JZ-14": "判定指南", "YL-12": "判定指南"}  # 情形 verify: the clause is not known


def sections(path: Path) -> list[tuple[list[str], list[list[str]]]]:
    """(column names, rows) of each table of a Markdown text."""
    tables = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| "):
            continue
        cells = [cell.strip() for cell in line[1:-1].split(" | ")]
        if set("".join(cells)) == {"-"}:
            continue
        if cells[0] in ("码", "简称", "template"):
            tables.append((cells, []))
        else:
            tables[-1][1].append(cells)
    return tables


def rows() -> dict[str, dict[str, str]]:
    """code → column → cell, of all areas, in order."""
    found = {}
    for columns, lines in sections(ROWS):
        if columns[0] == "码":
            for cells in lines:
                assert cells[0] not in found and len(cells) == len(columns), cells
                found[cells[0]] = dict(zip(columns, cells, strict=True))
    return found


def prose(section: str) -> str:
    """The lines of a section (`1.1`) that are no table."""
    text = ROWS.read_text(encoding="utf-8")
    part = re.search(rf"^### {re.escape(section)} .*?(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)[0]
    return "\n".join(line for line in part.splitlines() if not line.startswith("|"))


def differences(items: Mapping) -> list[str]:
    """Every cell that was loaded otherwise than it was written; empty when all is as it should be."""
    said = rows()
    found = [f"{code} is missing" for code in said.keys() - items.keys()]
    found += [f"{code} is not in the text" for code in items.keys() - said.keys()]
    for code in said.keys() & items.keys():
        for column, expected, loaded in _pairs(code, said[code], items[code]):
            deliberate = DELIBERATE.get((code, column))
            if deliberate is not None:
                assert expected != deliberate[0], f"{code} {column} is no difference any more"
                expected = deliberate[0]
            if expected != loaded:
                found.append(f"{code} {column}: {expected!r} was loaded as {loaded!r}")
    return found


def _pairs(code: str, row: dict[str, str], item) -> Iterator[tuple[str, object, object]]:
    """(column, what the cell says, what was loaded), one for every cell of a row."""
    text = next(name for name in ("检查项", "要求", "检查项/证据") if name in row)
    yield text, row[text], item.text
    yield "kind", NOT_ITEMS.get(code) or NOT_ITEMS.get(code[:2]) or "item", item.kind
    methods, note = _methods(row.get("方式", ""))
    yield "方式", (methods, note), ([str(each) for each in item.methods], item.method_note)
    bases = next((name for name in row if name.startswith("依据")), None)
    yield "依据", row.get(bases, ""), read_back(row.get(bases, ""), item.bases, implied=bases)
    yield (
        "依据 confidence",
        VERIFY_CITED.get(code),
        next((c.basis for c in item.bases if c.confidence == "verify"), None),
    )
    grade = GRADES.get(row.get("级"), ("none", False, "issue"))
    yield "级", grade, (item.grade, item.listed, item.finding[0])
    yield "照", _photo(row.get("照", "—")), (item.photo, item.ban_mode, item.photo_note)
    yield "信", _confidence(row["信"]), (item.confidence, item.confidence_note)
    departments = [] if row.get("移送 to", "–") == "–" else row["移送 to"].split("、")
    yield "移送 to", ("transfer" if departments else "rectify", departments), (item.disposition, [*item.departments])
    yield "来源", row.get("来源", ""), item.source
    written = {name.removesuffix("(校车条例)"): cell for name, cell in row.items() if name not in ("码", text)}
    yield "as written", written, dict(item.row)


def _methods(cell: str) -> tuple[list[str], str]:
    if cell == "系统校验":
        return ["system"], ""
    note = re.search(r"\((.*)\)", cell)
    return [METHODS[each] for each in re.sub(r"\(.*\)", "", cell)], note[1] if note else ""


def _photo(cell: str) -> tuple[str, str | None, str]:
    rule, note = PHOTOS[cell[0]], cell[2:-1]
    if rule != "ban":
        return rule, None, note
    if note.startswith("只拍"):
        return rule, "cover_only", note
    return rule, "camera", f"不拍{note}" if note else ""  # what the brackets name is what must not be taken


def _confidence(cell: str) -> tuple[str, str]:
    word, rest = re.match(r"(certain|likely|verify|–)(.*)", cell).groups()
    return WORDS[word], rest.removeprefix("(").removesuffix(")")


def read_back(cell: str, bases, *, implied: str | None) -> str:
    """The cell as the citations would write it; stops where they do not follow the cell from left to right."""
    at, before = 0, None
    for cited in bases:
        name = cited.basis if cited.cited is None else cited.cited
        if cited.cited == "" and cited.basis != (before or re.search(r"\((.+)\)", implied)[1]):
            return f"{cell[:at]}…implies {cited.basis}"
        if cited.articles and not ARTICLES.fullmatch(cited.articles):
            return f"{cell[:at]}…no article: {cited.articles}"
        if re.search(r"第.+条", name) or ";" in name:
            return f"{cell[:at]}…swallowed: {name}"
        words = name + cited.articles + (f"({cited.note})" if cited.note else "")
        separator = re.match("[;、]" if at else "", cell[at:])
        if separator is None or not cell.startswith(words, at + separator.end()):
            return f"{cell[:at]}…expected {words}"
        at += separator.end() + len(words)
        before = cited.basis
    return cell[:at]
