"""The page for outsiders tells what the doors answer: its examples and its catalogue are drawn from them."""

import os

import pytest

from inspections.verbs import VERBS
from tests.protocol import PAGE, TO_DO, catalogue, conversation, drawn_into, refusals

TOLD_ELSEWHERE = {"alerts", "alerts_mine"}  # docs/live.md


@pytest.mark.django_db
def test_examples_and_catalogue_of_the_page_are_as_the_doors_answer(town):
    page = PAGE.read_text(encoding="utf-8")
    drawn = drawn_into(page, conversation(town) | {"catalogue": catalogue()})
    if os.environ.get("REDRAW") == "1":
        PAGE.write_text(drawn, encoding="utf-8")
        pytest.skip(f"{PAGE.name} is drawn anew")
    assert drawn == page, "docs/protocol.md is stale: REDRAW=1 .venv/bin/pytest tests/test_protocol.py"


def test_what_a_client_does_of_itself_stands_beside_the_code():
    known = {each.code for each in refusals()}
    assert {"cursor-expired", "epoch-changed", "busy", "token-expired", "op-id-reused"} <= known & TO_DO.keys()
    assert "resnapshot, then drop what did not come" in catalogue()


def test_every_verb_that_a_phone_may_say_is_named():
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        verb
        for verb in VERBS
        if f"`{verb}`" not in page and verb.partition(".")[0] not in TOLD_ELSEWHERE and not verb.endswith(".create")
    ]
    assert missing == []
