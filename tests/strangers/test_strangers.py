"""RxDB and WatermelonDB, unmodified, over a bad network: they converge, and nothing that was typed is lost."""

from collections.abc import Iterable

import pytest
from django.db import connection

from tests.strangers.checker import gaps_in_the_clock, repeated_effects, wrongs_of
from tests.strangers.crowd import CASTS, Play, Stage
from tests.strangers.proxy import NO_FAULTS, Faults

SEEDS = {
    "sqlite": range(1, 21, 2),
    "postgresql": range(2, 21, 2),
}  # a run of both plays twenty; more: dev.py bench strangers


def played(stage: Stage, casts: Iterable[tuple[str, int]], *, faults: Faults) -> list[Play]:
    """Plays these (cast, seed) and fails with all that is wrong."""
    plays = stage.play(casts, faults=faults, log=stage.var / "clients.log")
    wrong = [f"{each.cast}, seed {each.seed}: {sentence}" for each in plays for sentence in wrongs_of(each, stage.url)]
    assert wrong == [], "\n".join(wrong)
    assert repeated_effects() == []
    assert gaps_in_the_clock() == set()
    assert "Traceback" not in (stage.var / "server.log").read_text(errors="replace")
    return plays


@pytest.mark.django_db(transaction=True)
def test_strangers_converge_and_lose_nothing_when_the_network_is_bad(strangers):
    seeds = SEEDS[connection.vendor]
    # the longest first: at the end nobody waits for one that began last
    played(
        strangers, [(cast, seed) for cast in ("together", "rxdb", "watermelondb") for seed in seeds], faults=Faults()
    )
    counts = strangers.lines.counts
    assert {*Faults.__slots__} <= counts.keys(), f"some fault never happened: {counts}"
    assert counts["lost_response"] > len(seeds) * len(CASTS)


@pytest.mark.django_db(transaction=True)
def test_strangers_need_no_second_try_when_the_network_is_good(strangers):
    plays = played(strangers, [("together", 0)], faults=NO_FAULTS)
    assert [report["http"]["retries"] for each in plays for report in each.reports] == [0, 0, 0]
