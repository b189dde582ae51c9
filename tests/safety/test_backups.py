"""Backups that are read again before they count, and the new epoch after one was put back: nothing lost, nothing twice."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from inspections.models import QuickHazard
from safety.backups import (
    BackupFailed,
    Held,
    begin_epoch,
    kept_of,
    read_rows,
    record_backup,
    require_whole,
    take_backup,
)
from safety.changes import clock_state
from safety.guard import lifted
from safety.models import Alert, Backup, Change, Clock, Delivery, EndedEpoch
from sync.jobs import drain_deferred
from sync.models import Operation, Verdict
from tests import engines
from tests.sync.mirror import Mirror
from tests.sync.phone import Phone

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite only")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only")


@pytest.fixture
def file(tmp_path, settings):
    if connection.vendor == "postgresql":
        settings.PG_BIN = str(engines.postgresql_folder())
    return tmp_path / "backup"


def said(command, *words, **options):
    out = StringIO()
    call_command(command, *words, stdout=out, **options)
    return out.getvalue()


def put_back(file: Path) -> None:
    """What an operator does: the file in place of the database, or pg_restore over it."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(file)) as copy, closing(sqlite3.connect(connection.settings_dict["NAME"])) as ours:
            copy.backup(ours)
        return
    database = connection.settings_dict
    connections.close_all()
    connection.close_pool()
    command = [engines.postgresql_folder() / "pg_restore", "--clean", "--if-exists", "--single-transaction"]
    address = ["-h", database["HOST"], "-p", database["PORT"], "-U", database["USER"], "-d", database["NAME"]]
    subprocess.run([*command, *address, file], check=True, capture_output=True)


class Keeper(Phone):
    """A phone that keeps what was acknowledged, with its number, until a backup holds it (sync.md §6.2)."""

    def __init__(self, person, town):
        super().__init__(person)
        self.town, self.mirror, self.journal = town, Mirror(person), []

    def tell(self, text, **more):
        self.op("quick_hazards", "create", {"site_id": self.town.canteen.id, "text": text, **more})
        self.send_and_keep()

    def send_and_keep(self):
        batch = list(self.outbox)
        (result,) = self.send()
        assert result["status"] == "applied"
        self.journal.append((result["seq"], batch[0]))

    def offer_again(self, after, *, epoch):
        """All that was acknowledged above a number, in a batch that carries the old epoch."""
        operations = [operation for seq, operation in self.journal if seq > after]
        return self.send(operations, epoch=epoch) if operations else []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_and_nothing_is_twice_after_yesterdays_backup_is_put_back(town, file):
    one, two = Keeper(town.inspector, town), Keeper(town.colleague, town)
    one.tell("早上一"), two.tell("早上二")
    one.mirror.sync(), two.mirror.sync()
    said("backup", str(file))
    held, old = clock_state().seq, clock_state().epoch
    for n in range(3):
        one.tell(f"下午一 {n}"), two.tell(f"下午二 {n}")
    one.mirror.sync(), two.mirror.sync()
    before = sorted(QuickHazard.objects.values_list("text", flat=True))
    put_back(file)
    assert QuickHazard.objects.count() == 2 and clock_state().seq == held
    assert f"止于第 {held} 号" in said("restored")
    for phone in (one, two):
        refused = phone.mirror.ask(cursor=phone.mirror.cursor)
        problem = msgspec.json.decode(refused.content)
        assert (refused.status_code, problem["code"], problem["action"]) == (410, "epoch-changed", "resnapshot")
        assert problem["replay_after_seq"] == held
        results = phone.offer_again(problem["replay_after_seq"], epoch=old)
        assert [result["status"] for result in results] == ["applied"] * 3
        assert [result["status"] for result in phone.offer_again(0, epoch=old)] == ["applied"] * 4
        phone.mirror.cursor, phone.mirror.docs, phone.mirror.seq = None, {}, 0
    assert sorted(QuickHazard.objects.values_list("text", flat=True)) == before
    assert Operation.objects.count() == Verdict.objects.count() == 8
    numbers = list(Change.objects.order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(1, clock_state().seq + 1))
    one.mirror.sync(), two.mirror.sync()
    assert len(one.mirror.ids("quick_hazards")) == len(two.mirror.ids("quick_hazards")) == 8


@pytest.mark.django_db(transaction=True)
def test_alert_is_the_same_and_acknowledged_again_when_its_phones_offer_again_in_another_order(town, file):
    """Who acknowledged it and who opened what was owed name it by its id, from phones that keep what they had said."""
    one, two = Keeper(town.inspector, town), Keeper(town.officer, town)
    said("backup", str(file))
    held, old = clock_state().seq, clock_state().epoch
    smoke = {"grade": "major_candidate", "place": "操作间"}
    one.tell("操作间冒烟", **smoke), two.tell("操作间有烟", **smoke)
    alert = Alert.objects.get()
    owed = set(alert_deliveries(alert))
    two.op("alerts_mine", "open", {}, doc_id=dict(owed)[town.officer.id]), two.send_and_keep()
    two.op("alerts", "acknowledge", {}, doc_id=alert.id), two.send_and_keep()
    put_back(file), said("restored")
    assert not Alert.objects.exists()
    two.offer_again(held, epoch=old), one.offer_again(held, epoch=old)
    drain_deferred(timezone.now())  # what was said of the alert came in one batch with what raises it
    again = Alert.objects.get()
    assert (again.id, again.state, again.occurrences) == (alert.id, "acknowledged", 2)
    assert set(alert_deliveries(again)) == owed
    assert Delivery.objects.get(id=dict(owed)[town.officer.id]).receipt_at


@pytest.mark.django_db(transaction=True)
def test_second_alert_of_a_thing_is_another_one_than_the_first(town):
    phone = Keeper(town.inspector, town)
    smoke = {"grade": "major_candidate", "place": "操作间"}
    phone.tell("操作间冒烟", **smoke)
    with lifted():
        Alert.objects.update(state="resolved")
    phone.tell("操作间又冒烟", **smoke)
    assert Alert.objects.values("subject_id").distinct().count() == 1
    assert [alert.occurrences for alert in Alert.objects.all()] == [1, 1]


def alert_deliveries(alert):
    return Delivery.objects.filter(subject_id=alert.id).values_list("person_id", "id")


@pytest.mark.django_db(transaction=True)
def test_backup_counts_once_it_was_read_again_and_both_doors_then_say_so(town, file):
    phone, mirror = Phone(town.inspector), Mirror(town.inspector)
    assert mirror.page()["durable_seq"] is None
    seq, epoch = clock_state()[:2]
    words = said("backup", str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (taken,) = Backup.objects.all()
    assert (taken.seq, taken.epoch, taken.sha256, taken.file, taken.bytes) == (
        seq,
        epoch,
        digest,
        "backup",
        file.stat().st_size,
    )
    assert digest in words and f"第 {seq} 号" in words
    assert not list(file.parent.glob("*.part*"))
    assert mirror.page()["durable_seq"] == seq
    answer = mirror.post_push(msgspec.json.encode({"device_id": mirror.device.id, "ops": []}))
    assert msgspec.json.decode(answer.content)["durable_seq"] == seq
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "后来"})
    phone.send()
    assert mirror.page()["durable_seq"] == seq < clock_state().seq


@pytest.mark.django_db(transaction=True)
def test_backup_writes_over_no_file_and_records_nothing_when_it_fails(town, file):
    file.write_bytes(b"yesterday's")
    with pytest.raises(CommandError, match="已经存在"):
        said("backup", str(file))
    with pytest.raises(CommandError):
        said("backup", str(file.parent / "no such folder" / "backup"))
    assert file.read_bytes() == b"yesterday's"
    assert not Backup.objects.exists() and clock_state().durable_seq is None


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_copy_that_lacks_a_change_is_no_backup(town, file):
    """As when rows were taken out of the log by hand: a phone must not forget what such a copy holds."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as ours:
        ours.execute("DELETE FROM safety_change WHERE seq = 2")
        ours.commit()
    with pytest.raises(BackupFailed, match="不完整"):
        take_backup(file, now=timezone.now())
    assert not file.exists() and not Backup.objects.exists()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_bureau_without_pg_dump_is_told_what_else_it_can_do(town, file, settings):
    settings.PG_BIN = str(file.parent)
    with pytest.raises(CommandError, match="--reported-seq"):
        said("backup", str(file))


def test_copy_is_whole_when_it_holds_every_number_of_its_clock():
    require_whole(Held("e-1", 7, 7))
    for changes in (6, 8, 0):
        with pytest.raises(BackupFailed):
            require_whole(Held("e-1", 7, changes))


def test_dump_is_read_table_by_table_whatever_its_rows_say():
    dump = [
        b"SET row_security = off;\n",
        b"COPY public.safety_change (seq, kind) FROM stdin;\n",
        b"1\tCOPY public.safety_clock (id, seq) FROM stdin;\n",
        b"2\tx\n",
        b"\\.\n",
        b'COPY public."safety_clock" (id, seq, epoch) FROM stdin;\n',
        b"1\t2\te-1\n",
        b"\\.\n",
    ]
    assert read_rows(dump) == Held("e-1", 2, 2)
    with pytest.raises(BackupFailed):
        read_rows(dump[:5])


@pytest.mark.django_db(transaction=True)
def test_bureaus_own_backup_is_reported_by_the_number_before_it_began(town):
    number = int(said("backup", seq=True))
    assert number == clock_state().seq
    said("backup", reported_seq=number)
    assert clock_state().durable_seq == number
    said("backup", reported_seq=number - 1)
    assert clock_state().durable_seq == number
    for wrong in (number + 1, 0, -1):
        with pytest.raises(CommandError, match="没有第"):
            said("backup", reported_seq=wrong)
    assert list(Backup.objects.order_by("id").values_list("seq", "sha256")) == [(number, ""), (number - 1, "")]


@pytest.mark.django_db(transaction=True)
def test_each_ended_epoch_keeps_its_own_last_number(town):
    mirrors = []
    for _ in range(3):
        mirror = Mirror(town.inspector)
        mirror.sync()
        mirrors.append(mirror)
        begin_epoch(now=timezone.now())
        Phone(town.inspector).send([])
        Mirror(town.colleague).sync(), Mirror(town.principal).sync()
    ends = list(EndedEpoch.objects.order_by("seq").values_list("seq", flat=True))
    told = [msgspec.json.decode(mirror.ask(cursor=mirror.cursor).content)["replay_after_seq"] for mirror in mirrors]
    assert told == ends and len(set(ends)) >= 2
    assert kept_of("e-of another house") == 0


@pytest.mark.django_db(transaction=True)
def test_new_epoch_is_covered_by_no_backup_yet(town):
    record_backup(clock_state().epoch, 1, now=timezone.now())
    old = clock_state().epoch
    ended = begin_epoch(now=timezone.now(), seq=3)
    assert (ended.epoch, ended.seq) == (old, 3)
    assert clock_state().durable_seq is None
    with pytest.raises(BackupFailed, match="批次变了"):
        record_backup(old, 1, now=timezone.now())
    with pytest.raises(CommandError, match="没有第"):
        said("restored", seq=Clock.objects.get().seq + 1)


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_backup_holds_up_no_writer_and_may_be_served(town, file):
    """The copy stands by itself: another process reads it as its database."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0)) as writer:
        said("backup", str(file))
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("ROLLBACK")
    asked = [sys.executable, "manage.py", "verify"]
    told = os.environ | {"SAFETY_DATABASE_URL": f"sqlite:///{file}", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(asked, env=told, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
