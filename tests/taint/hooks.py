"""pytest's part of the watch: a leak fails its test at once, and the run says how much was looked at."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.taint import canary, watch


def pytest_configure() -> None:
    handle, os.environ[watch.SHARED] = tempfile.mkstemp(prefix="taint-")  # one a process: xdist has several
    os.close(handle)


def pytest_runtest_setup() -> None:
    watch.watch_log()  # whoever imports the served application sets logging up anew


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    found = taken()
    if found:
        pytest.fail("told somebody of another's school:\n" + "\n".join(found), pytrace=False)
    return result


def pytest_runtest_teardown() -> None:
    taken()  # of a test that failed for another reason


def taken() -> list[str]:
    """The leaks that were written down since, here and in the servers that tests started; they are then forgotten."""
    shared = Path(os.environ[watch.SHARED])
    lines = [json.loads(line) for line in shared.read_text().splitlines()]
    shared.write_text("")
    lines = [line for line in lines if line["pid"] != os.getpid()]
    for line in lines:
        watch.looked_at.update(line.get("looked_at", {}))
        watch.carrying.update(line.get("carrying", {}))
    found = watch.leaks + [line["leak"] for line in lines if "leak" in line]
    watch.leaks.clear()
    return found


@contextmanager
def leaking() -> Iterator[list[str]]:
    """Inside, a test leaks on purpose; gives what was seen of it."""
    found: list[str] = []
    yield found
    found += taken()


def pytest_terminal_summary(terminalreporter) -> None:
    told = ", ".join(f"{kind} {n}" for kind, n in sorted(watch.looked_at.items()))
    terminalreporter.write_line(
        f"isolation: {canary.made} canaries; looked at {watch.looked_at.total()} ({told}); "
        f"{watch.carrying.total()} of them told of schools"
    )


def pytest_unconfigure() -> None:
    Path(os.environ[watch.SHARED]).unlink(missing_ok=True)
