"""The README keeps its promises: every setting is explained, every page it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PRODUCT = [path for room in ("safety", "inspections", "sync") for path in (ROOT / room).rglob("*.py")]


def test_every_setting_is_explained():
    read = {name for path in PRODUCT for name in re.findall(r'\benv\(\s*"([A-Z_]+)"', path.read_text())}
    explained = set(re.findall(r"^\| `SAFETY_([A-Z_]+)` \|", README, re.M))
    assert explained == read


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh.md", *(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))]
)
def test_every_page_that_is_named_is_there(page):
    text = (ROOT / page).read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_both_commands_are_shown(page):
    text = (ROOT / page).read_text()
    assert "python3 dev.py up" in text
    assert "python3 dev.py test" in text
