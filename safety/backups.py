"""Backups: a copy of the database that was read again before it counts, and the epoch that begins when one is restored.

A phone keeps what was acknowledged until `durable_seq` says that a verified backup holds it. A restored database goes
on with numbers that phones have seen with other content: `begin_epoch` gives the numbers a new name, so that each
phone learns of it and offers again what came after the number at which the old ones were cut off (sync.md D8).
Photographs lie beside the database and are copied after it: whatever a copied row points to is then there.
"""

import hashlib
import logging
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from safety.changes import snapshot
from safety.env import environment_of_child
from safety.ids import new_id
from safety.models import Backup, Change, Clock, EndedEpoch

log = logging.getLogger(__name__)

CHANGES, CLOCK = "safety_change", "safety_clock"


class BackupFailed(Exception):
    """There is no backup, and nothing was recorded; the text says why and what to do."""


class Held(NamedTuple):
    """What a copy says of itself when it is read again."""

    epoch: str
    seq: int
    changes: int


def take_backup(target: Path, *, now: datetime) -> Backup:
    """Copies the database to a new file, reads the copy again, and records what it holds. Raises BackupFailed.

    SQLite: one file that may be put in place of the database. PostgreSQL: pg_dump's custom format, for pg_restore.
    """
    if target.exists():
        raise BackupFailed(f"{target} 已经存在。请换一个文件名:旧的备份不会被覆盖。")
    part = target.with_name(f"{target.name}.part")
    copy, read = (_dump, _read_dump) if connection.vendor == "postgresql" else (_copy, _read_copy)
    try:
        copy(part)
        held = read(part)
        require_whole(held)
        sha256 = _settle(part, target)
    finally:
        part.unlink(missing_ok=True)
    return record_backup(held.epoch, held.seq, now=now, file=target, sha256=sha256)


def record_backup(epoch: str, seq: int, *, now: datetime, file: Path | None = None, sha256: str = "") -> Backup:
    """Notes that everything up to `seq` of this epoch is safe elsewhere; phones are told so from now on.

    Raises BackupFailed for a number that was not given, and when a backup was restored meanwhile.
    """
    with transaction.atomic(durable=True):
        clock = Clock.objects.select_for_update().get(id=1)
        if clock.epoch != epoch:
            raise BackupFailed("备份期间数据批次变了(刚恢复过备份),这份备份没有记录。请重新备份。")
        if not 1 <= seq <= clock.seq:
            raise BackupFailed(f"没有第 {seq} 号记录:现在记录到第 {clock.seq} 号。")
        Clock.objects.filter(id=1).update(durable_seq=max(seq, clock.durable_seq or 0))
        taken = Backup.objects.create(
            epoch=epoch,
            seq=seq,
            at=now,
            file=file.name[-200:] if file else "",
            bytes=file.stat().st_size if file else None,
            sha256=sha256,
        )
    log.info("backup.recorded seq=%d epoch=%s sha256=%s", seq, epoch, sha256 or "reported")
    return taken


def require_whole(held: Held) -> None:
    """Raises BackupFailed unless the copy holds every number that its own clock has given."""
    if held.changes != held.seq:
        raise BackupFailed(f"备份不完整:时钟是第 {held.seq} 号,变更只有 {held.changes} 条。请运行 manage.py verify。")


def begin_epoch(*, now: datetime, seq: int | None = None) -> EndedEpoch:
    """Ends the epoch of a restored database at its clock (or at `seq`, if it has moved on since) and begins a new one.

    No backup covers the new epoch yet. Raises BackupFailed for a number beyond the clock.
    """
    with transaction.atomic(durable=True):
        clock = Clock.objects.select_for_update().get(id=1)
        if seq is not None and not 0 <= seq <= clock.seq:
            raise BackupFailed(f"没有第 {seq} 号记录:现在记录到第 {clock.seq} 号。")
        ended = EndedEpoch.objects.create(epoch=clock.epoch, seq=clock.seq if seq is None else seq, ended_at=now)
        Clock.objects.filter(id=1).update(epoch=f"e-{new_id()}", durable_seq=None)
    log.warning("epoch.ended epoch=%s seq=%d", ended.epoch, ended.seq)
    return ended


def kept_of(epoch: str) -> int:
    """The last number of an ended epoch that is still here; 0 for an epoch that is not known here: nothing is sure."""
    return EndedEpoch.objects.filter(epoch=epoch).values_list("seq", flat=True).first() or 0


def revs_at_end(epoch: str, documents: Collection[tuple[str, UUID]]) -> Counter[tuple[str, UUID]]:
    """The revision at which each of these documents (collection, id) stood when an epoch ended; 0: it was not yet.

    Each change of a document raises its revision by one.
    """
    found = Change.objects.filter(
        seq__lte=kept_of(epoch),
        collection__in={collection for collection, _ in documents},
        doc_id__in={doc_id for _, doc_id in documents},
    )
    return Counter(found.values_list("collection", "doc_id"))


def _settle(part: Path, target: Path) -> str:
    """The copy under its name, on the disk for good. Gives its SHA-256 in hex."""
    with part.open("rb") as copied:
        sha256 = hashlib.file_digest(copied, "sha256").hexdigest()
        os.fsync(copied.fileno())
    part.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return sha256


# SQLite: the engine's own backup, which holds up no writer.


def _copy(part: Path) -> None:
    source, name = Path(connection.settings_dict["NAME"]), str(part)
    try:
        with closing(sqlite3.connect(source, timeout=20)) as database, closing(sqlite3.connect(name)) as copy:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file: a write-ahead log of its own could be forgotten
    except sqlite3.Error as wrong:
        raise BackupFailed(f"数据库没有复制成:{wrong}") from wrong


def _read_copy(part: Path) -> Held:
    try:
        with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            faults = [fault for (fault,) in copy.execute("PRAGMA integrity_check")]
            if faults != ["ok"]:
                raise BackupFailed(f"备份文件读回时有错:{faults[0]}")
            epoch, seq = copy.execute(f"SELECT epoch, seq FROM {CLOCK} WHERE id = 1").fetchone()
            (changes,) = copy.execute(f"SELECT count(*) FROM {CHANGES} WHERE seq <= ?", [seq]).fetchone()
    except sqlite3.Error as wrong:
        raise BackupFailed(f"备份文件读不回来:{wrong}") from wrong
    return Held(epoch, seq, changes)


# PostgreSQL: pg_dump; the dump is unpacked to its last row before it counts.


def _dump(part: Path) -> None:
    with snapshot(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # while pg_dump reads in our snapshot
        cursor.execute("SELECT pg_export_snapshot()")
        (shared,) = cursor.fetchone()
        with _program("pg_dump", "--format=custom", f"--snapshot={shared}", f"--file={part}"):
            pass


def _read_dump(part: Path) -> Held:
    with _program("pg_restore", "--data-only", "--file=-", str(part)) as text:
        return read_rows(text)


def read_rows(text: Iterable[bytes]) -> Held:
    """What the rows of a dump say, read to the end as psql would. Raises BackupFailed when no clock is among them."""
    table, columns, counted, clock = "", [], Counter(), {}
    for line in text:
        if line == b"\\.\n":
            table = ""
        elif table:
            counted[table] += 1
            if table == CLOCK:
                clock = dict(zip(columns, line.decode().rstrip("\n").split("\t"), strict=True))
        elif line.startswith(b"COPY "):
            head = line.decode()
            table = head.split()[1].split(".")[-1].strip('"')
            columns = [name.strip(' "') for name in head[head.index("(") + 1 : head.index(")")].split(",")]
    if not clock:
        raise BackupFailed("备份文件里没有时钟,不能算作备份。")
    return Held(clock["epoch"], int(clock["seq"]), counted[CHANGES])


@contextmanager
def _program(name: str, *words: str) -> Iterator[IO[bytes]]:
    """Starts a program of PostgreSQL's for our database; gives its output, and raises BackupFailed if it fails."""
    program = shutil.which(name, path=settings.PG_BIN or None)
    if program is None:
        raise BackupFailed(
            f"没有找到 {name}。请安装 PostgreSQL 客户端,或用 SAFETY_PG_BIN 指出它所在的文件夹;"
            "如果用别的办法备份,备好后用 --reported-seq 报告编号。"
        )
    parameters = connection.get_connection_params()
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "dbname"}
    told = environment_of_child(**{each: str(parameters[key]) for each, key in names.items() if parameters.get(key)})
    with tempfile.TemporaryFile() as complained:
        child = subprocess.Popen(
            [program, *words], env=told, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complained
        )
        with child, child.stdout as output:
            yield output
        if child.returncode:
            complained.seek(0)
            raise BackupFailed(f"{name} 失败:{complained.read().decode('utf-8', 'replace').strip()[-500:]}")
