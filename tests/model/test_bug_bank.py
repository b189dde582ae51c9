"""The test of the tests: each bug of the bank, switched on, is seen by the invariant that is there to see it."""

import re
from pathlib import Path

import pytest

from tests.makers import make_token
from tests.model import invariants, uploads
from tests.model.bugs import CAUGHT_AT_UPLOADS, CAUGHT_BY_THE_MODEL
from tests.model.campaign import run
from tests.model.elsewhere import CAUGHT_ELSEWHERE, PROVEN_ELSEWHERE
from tests.model.invariants import Broken
from tests.model.world import build
from tests.sync.tus import Phone

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


def broken_in(fault: BaseException) -> list[str]:
    """The names of the invariants that a failure speaks of; a flaky one holds its failures inside."""
    if isinstance(fault, Broken):
        return [fault.name]
    inner = [*getattr(fault, "exceptions", ()), fault.__cause__]
    return [name for each in inner if each is not None for name in broken_in(each)]


@pytest.mark.parametrize("bug", CAUGHT_BY_THE_MODEL, ids=lambda bug: bug.__name__)
def test_bug_is_caught(db, monkeypatch, bug):
    base = build()
    bug(monkeypatch)
    with pytest.raises(Exception) as caught:
        run(base)
    names = broken_in(caught.value)
    assert names and set(names) <= set(CAUGHT_BY_THE_MODEL[bug]), caught.value


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bug", CAUGHT_AT_UPLOADS, ids=lambda bug: bug.__name__)
def test_bug_of_uploads_is_caught(town, settings, tmp_path, monkeypatch, bug):
    settings.BLOBS = tmp_path
    bug(monkeypatch)
    with pytest.raises(Broken) as caught:
        uploads.run(Phone(make_token(person=town.inspector)[1]))
    assert caught.value.name in CAUGHT_AT_UPLOADS[bug]


def test_every_invariant_has_its_checker_or_the_test_that_holds_it():
    checkers = [each for each in vars(invariants).values() if getattr(each, "__module__", "") == invariants.__name__]
    named = {name for each in checkers for name in re.findall(r"I\d+", each.__doc__ or "")}
    assert named | set(PROVEN_ELSEWHERE) == {f"I{n}" for n in range(1, 18)}
    assert {name for names in CAUGHT_BY_THE_MODEL.values() for name in names} <= named


@pytest.mark.parametrize("test", [*PROVEN_ELSEWHERE.values(), *CAUGHT_ELSEWHERE.values()])
def test_test_that_is_pointed_to_is_there(test):
    path, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text() if name else (ROOT / path).exists()
