"""How long the machine runs, and from which seed: the ordinary profile of CI, or what the environment asks for."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Campus

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", 25))
STEPS = int(os.environ.get("MODEL_STEPS", 40))
LONG = "MODEL_LONG" in os.environ  # another seed each time, and it is printed


@contextmanager
def silence() -> Iterator[None]:
    """Thousands of lines of a log that nobody reads take as long as the requests that they tell of."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def run(base: dict, *, examples: int = EXAMPLES) -> type[Campus]:
    """Runs the machine; raises what it meets. Gives the class that ran, with what came to pass in it."""
    campus = type("Campus", (Campus,), {"base": base, "met": Counter()})
    with silence():
        run_state_machine_as_test(
            campus,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                derandomize=not LONG,
                database=None,
                deadline=None,
                phases=(Phase.generate,),  # a history is readable as it is; shrinking one takes minutes
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                print_blob=LONG,
            ),
        )
    return campus
