"""The README keeps its promises: every setting is explained, every page it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = [path for room in ("safety", "inspections", "sync") for path in (ROOT / room).rglob("*.py")]


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_every_setting_is_explained(page):
    read = {name for path in PRODUCT for name in re.findall(r'\benv\(\s*"([A-Z_]+)"', path.read_text())}
    assert {name for name, _ in settings_in(page)} == read


def test_both_languages_tell_the_same_defaults_and_lead_to_the_same_pages():
    one, other = dict(settings_in("README.md")), dict(settings_in("README.zh.md"))
    assert list(one) == list(other)
    exact = {name: default for name, default in one.items() if re.fullmatch(r"`[^`]+`", default)}
    assert {name: other[name] for name in exact} == exact
    led = [
        set(re.findall(r"\]\((docs/[\w./-]+)\)", (ROOT / page).read_text())) for page in ("README.md", "README.zh.md")
    ]
    assert led[0] == led[1]


def settings_in(page):
    """(name, default) of each row of a README's table of settings."""
    return re.findall(r"^\| `SAFETY_([A-Z_]+)` \| (.*?) \|", (ROOT / page).read_text(), re.M)


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
