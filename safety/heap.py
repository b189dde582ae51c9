"""How often a server's memory is looked through for dead circles of objects."""

import gc

YOUNG = 100_000  # objects made before the youngest are looked through; a push of 50 visits makes some 20,000


def settle() -> None:
    """Once, after start-up: what is there now stays, and is never looked through again; new objects less often.

    Python's own 700 suit a script. Here they cost each push 6 % of its instructions (bench/push.py); one look a
    push would still cost 3.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
