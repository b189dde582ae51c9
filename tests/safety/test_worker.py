"""The worker: leases that outlive a killed worker, waiting longer each time, jobs that fail without stopping others."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.utils import timezone

from safety import checks, jobs
from safety.changes import unit
from safety.models import Alert, Change, Channel, Delivery
from safety.worker import LEASE, Worker, backoff, jobs_of_settings
from tests.makers import raise_alert

NOON = datetime(2026, 11, 24, 4, tzinfo=UTC)
DUE = timedelta(seconds=11)


def test_waiting_doubles_with_each_try_up_to_ten_minutes():
    waits = [backoff(attempts).total_seconds() for attempts in (1, 2, 3, 6, 7, 50)]
    assert waits == [10, 20, 40, 320, 600, 600]


@pytest.mark.django_db
def test_delivery_of_a_worker_that_was_killed_is_taken_again_when_its_lease_has_run_out(town):
    now = raise_alert(site=town.canteen).first_known_at + DUE
    assert len(jobs.lease(now)) == 1  # killed here: nothing after the lease was done
    assert jobs.deliver(now + LEASE - timedelta(seconds=1)) == 0
    assert jobs.deliver(now + LEASE) == 1
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.lease_until, delivery.state) == (2, None, "pending")


@pytest.mark.django_db
def test_delivery_that_nobody_opened_is_put_off_longer_each_time_and_never_called_sent(town):
    now = raise_alert(site=town.canteen).first_known_at + DUE
    waits = []
    for _ in range(4):
        jobs.deliver(now)
        delivery = Delivery.objects.get()
        waits.append((delivery.try_at - now).total_seconds())
        now = delivery.try_at
    assert waits == [10, 20, 40, 80]
    assert (delivery.state, delivery.attempts, delivery.answer) == ("pending", 4, "值班台没有打开")
    assert not Change.objects.filter(kind__in=("delivery.sent", "delivery.arrived")).exists()


@pytest.mark.django_db
def test_text_message_without_a_provider_fails_and_says_so(town):
    raise_alert(site=town.canteen)
    delivery = Delivery.objects.get()
    with unit(actor=None, source="test") as work:
        delivery.channel = Channel.SMS
        work.update(delivery)
    jobs.deliver(timezone.now() + DUE)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.answer, delivery.try_at) == ("failed", "没有配置短信通道", None)
    assert Change.objects.filter(kind="delivery.failed", doc_id=delivery.id).count() == 1


def in_threads(n, function):
    """What n threads that begin at once give."""
    gate, found = threading.Barrier(n), []

    def run():
        gate.wait()
        found.append(function())
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.django_db(transaction=True)
def test_two_workers_take_a_delivery_once(town):
    now = raise_alert(site=town.canteen).first_known_at + DUE
    assert sorted(in_threads(2, lambda: jobs.deliver(now))) == [0, 1]
    assert Delivery.objects.get().attempts == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_escalate_an_alert_once_and_raise_an_empty_desk_once(town):
    alert = raise_alert(site=town.canteen)
    later = alert.escalate_at + timedelta(seconds=1)
    assert sorted(in_threads(2, lambda: jobs.escalate(later))) == [0, 1]
    assert Change.objects.filter(kind="alert.escalated").count() == 1
    in_threads(2, lambda: jobs.watch_duty(later))
    assert Alert.objects.filter(severity="system", node=town.elsewhere).count() == 1


def test_job_that_the_database_refuses_rests_and_the_others_go_on():
    calls, time = [], [NOON]

    def away(now):
        calls.append("away")
        raise DatabaseError("gone")

    worker = Worker({"away": away, "well": lambda now: calls.append("well") or 1}, clock=lambda: time[0])
    assert (worker.turn(), worker.turn()) == (1, 1)
    assert calls == ["away", "well", "well"]
    time[0] += backoff(1)
    worker.turn()
    assert calls[3:] == ["away", "well"]
    assert worker.resting["away"] == time[0] + backoff(2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_fault_of_a_job_ends_its_turn_and_not_the_worker():
    calls, stop = [], threading.Event()

    def faulty(now):
        calls.append("faulty")
        raise KeyError("our own")

    def well(now):
        calls.append("well")
        if calls.count("well") == 3:
            stop.set()
        return 1

    Worker({"faulty": faulty, "well": well}, pause=0.01).run(stop)
    assert calls == ["faulty", "well", "well", "well"]


def test_worker_that_has_nothing_to_do_stops_when_told():
    stop = threading.Event()
    thread = threading.Thread(target=Worker({"idle": lambda now: 0}, pause=30).run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.django_db
def test_command_does_what_is_due_and_ends(town):
    raise_alert(site=town.canteen)
    said = StringIO()
    call_command("work", "--once", stdout=said)
    assert "完成 1 项" in said.getvalue()  # 无人值班 in the other district


def test_every_job_of_the_settings_is_there():
    assert all(callable(job) for job in jobs_of_settings().values())


def test_job_that_is_named_and_not_there_stops_the_start(settings):
    settings.JOBS = [*settings.JOBS, "safety.jobs.no_such_thing"]
    (error,) = checks.names_in_settings(None)
    assert error.id == "safety.E004" and "no_such_thing" in error.msg
