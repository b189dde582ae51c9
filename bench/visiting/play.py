"""Plays the seeds that bench/strangers.py asks for, on the engine that the settings choose."""

import argparse
import sys
import time

import django

django.setup()

from django.conf import settings  # noqa: E402  (models need the set-up above)
from django.core.management import call_command  # noqa: E402

from tests.live import live_server  # noqa: E402
from tests.strangers.checker import gaps_in_the_clock, repeated_effects, wrongs_of  # noqa: E402
from tests.strangers.crowd import CASTS, stage  # noqa: E402
from tests.strangers.proxy import Faults  # noqa: E402

AT_ONCE = 20  # seeds between two lines of progress


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, required=True)
    options.add_argument("--first", type=int, required=True)
    options.add_argument("--parallel", type=int, required=True)
    options.add_argument("--cast", choices=list(CASTS))
    wanted = options.parse_args()
    call_command("migrate", verbosity=0)
    began, failed = time.monotonic(), 0
    with live_server(settings.DATABASE_URL, var=settings.VAR) as url, stage(url) as ready:
        for first in range(wanted.first, wanted.first + wanted.seeds, AT_ONCE):
            seeds = range(first, min(first + AT_ONCE, wanted.first + wanted.seeds))
            casts = [(cast, seed) for cast in ([wanted.cast] if wanted.cast else CASTS) for seed in seeds]
            plays = ready.play(casts, faults=Faults(), log=settings.VAR / "clients.log", parallel=wanted.parallel)
            for each in plays:
                wrong = wrongs_of(each, url)
                failed += bool(wrong)
                print(
                    *(f"{each.cast} {each.seed}: {sentence}" for sentence in wrong), sep="\n", end="\n" if wrong else ""
                )
            print(f"seeds {seeds[0]}–{seeds[-1]}: {failed} failed so far, {time.monotonic() - began:.0f} s", flush=True)
    broken = len(repeated_effects()) + len(gaps_in_the_clock())
    print(f"{dict(ready.lines.counts)}\n{failed} plays failed, {broken} operations heard twice or numbers missing")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
