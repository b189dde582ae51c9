"""Eight phones in eight processes against a live server, on SQLite and PostgreSQL; two servers there, rung by Redis.

Longer than in CI: `pytest tests/concurrency --seconds 600 --deaths 1000`.
"""

import json
import random
import signal
import time
from collections import Counter
from copy import deepcopy
from statistics import median

import pytest
from django.db import connection, transaction
from django.db.models import F

from safety.guard import lifted
from safety.models import Body, Change, Index
from sync.models import Operation, Verdict
from tests.concurrency.afterwards import CHECKS, complaints, faults
from tests.concurrency.crowd import FEW, Crowd
from tests.history import make_history
from tests.serving import DURABLE, serving
from tests.sync.mirror import Mirror, fresh

pytestmark = pytest.mark.django_db(transaction=True)

OUTSIDE_KILLS = (2.0, 5.0)  # seconds between two from outside, at a moment that nobody chose


def judged(crowd, histories):
    """No complaint, also when each phone goes on from its cursor to the end and is compared with a new one."""
    assert faults(histories) == []
    for person, history in zip(crowd.people, histories, strict=True):
        mirror = Mirror(person)
        mirror.cursor, mirror.docs = history.cursor, history.docs
        mirror.sync()
        assert mirror.docs == fresh(person), history.name


def durable(server):
    """Each connection that any life of the server opened keeps what it commits."""
    found = Counter(json.dumps(line["found"], sort_keys=True) for line in server.witnessed("connection"))
    assert set(found) == {json.dumps(DURABLE[connection.vendor], sort_keys=True)}, found
    return found.total()


@pytest.fixture
def several(request):
    """How many servers, and their Redis: two on PostgreSQL, where one is to be had."""
    if connection.vendor != "postgresql":
        return {}
    return {"workers": 2, "SAFETY_REDIS_URL": request.getfixturevalue("redis_url")}


def test_eight_phones_miss_nothing_and_nothing_happens_twice(town, database_url, tmp_path, several, pytestconfig):
    make_history(town)
    crowd = Crowd(town, tmp_path)
    with serving(database_url, tmp_path, **several) as server:
        histories = crowd.play(server, seconds=pytestconfig.getoption("seconds"))
        assert durable(server) > len(histories)
        assert server.witnessed("died") == []
    judged(crowd, histories)
    kinds = Counter(Change.objects.filter(operation_id__isnull=False).values_list("kind", flat=True))
    assert {"inspection.patched", "inspection.submitted", "notice.said"} <= set(kinds), kinds
    statuses = Counter(status for history in histories for _, status, *_ in history.answers)
    assert statuses["applied"] > 50, statuses
    assert min(len(history.pages) for history in histories) > 3
    print(f"\n{connection.vendor}: {sum(statuses.values())} answers {dict(statuses)}, changes {dict(kinds)}")
    for check, tamper in TAMPERED.items():
        with transaction.atomic(), lifted():
            tampered = deepcopy(histories)
            tamper(tampered)
            found = {each.partition(":")[0] for each in complaints(tampered)}
            assert check in found, f"{check} sees nothing: it would not see a fault either"
            transaction.set_rollback(True)


def _repeat_a_page(histories):
    pages = histories[0].pages
    pages.append(max(pages, key=lambda page: len(page["changes"])))


def _lose_a_document(histories):
    for history in histories:
        history.docs = {key: doc for key, doc in history.docs.items() if key[0] != "inspections"}


def _move_twice(histories):
    sent = [op_id for history in histories for op_id in history.sent]
    first, second = Change.objects.filter(operation_id__in=sent, kind="inspection.patched")[:2]
    Change.objects.filter(pk=second.pk).update(operation_id=first.operation_id, doc_id=first.doc_id)


def _first(model, **which):
    return model.objects.filter(pk=model.objects.filter(**which).order_by("pk").first().pk)


TAMPERED = {
    "everything_sent_is_stored_as_it_was_sent": lambda histories: _first(
        Operation, op_id__in=list(histories[0].sent)
    ).delete(),
    "everything_is_answered_with_the_verdict_that_stands": lambda histories: _first(
        Verdict, op_id__in=list(histories[0].sent)
    ).delete(),
    "every_effect_happened_once": _move_twice,
    "revisions_count_the_changes": lambda histories: _first(Index, collection="inspections").update(rev=F("rev") + 1),
    "numbers_have_no_gap": lambda histories: _first(Change, seq=20).delete(),
    "chains_hold": lambda histories: _first(
        Body, id__in=Change.objects.filter(kind="inspection.patched").values("body_id")
    ).update(bytes=b"{}"),
    "readers_go_forward_alone": _repeat_a_page,
    "readers_have_what_they_were_answered": _lose_a_document,
}


def test_every_check_is_seen_to_find_what_it_looks_for():
    assert set(TAMPERED) == {check.__name__ for check in CHECKS}


def test_fifty_deaths_between_commit_and_answer_lose_nothing_and_do_nothing_twice(
    town, database_url, tmp_path, pytestconfig
):
    """Beside them the server dies before a statement that a request names, and at moments that nobody chose."""
    deaths = pytestconfig.getoption("deaths")
    crowd = Crowd(town, tmp_path, FEW)
    with serving(database_url, tmp_path, SAFETY_LOG_LEVEL="ERROR") as server:
        next_kill = [time.monotonic() + OUTSIDE_KILLS[1]]

        def kill_sometimes():
            if time.monotonic() > next_kill[0]:
                server.kill()
                next_kill[0] = time.monotonic() + random.uniform(*OUTSIDE_KILLS)

        histories = crowd.play(server, seconds=0, deaths=deaths, meanwhile=kill_sometimes)
        durable(server)
        killed, died = server.witnessed("killed"), server.witnessed("died")
    judged(crowd, histories)
    assert len(killed) >= deaths
    assert {line["status"] for line in died} == {signal.SIGKILL}
    by_batch = {batch: ops for history in histories for batch, ops in history.batches.items()}
    for line in killed:  # it had committed: the verdicts are of the request that died, not of its repetition
        heard = Verdict.objects.filter(op_id__in=by_batch[line["batch"]])
        assert {verdict.at.timestamp() < line["at"] for verdict in heard} == {True}
    began = {line["pid"]: line["at"] for line in server.witnessed("born")}
    seconds = [line["at"] - began[line["pid"]] for line in server.witnessed("serves")]
    print(
        f"\n{connection.vendor}: {len(died)} deaths, {len(killed)} of them between commit and answer, "
        f"{sum(history.lost for history in histories)} answers lost, {len(by_batch)} batches; a life begins in {median(seconds) * 1000:.0f} ms"
    )
