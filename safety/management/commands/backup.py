"""`manage.py backup`: copies the database, reads the copy again, and tells phones how far they may forget."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from safety.backups import BackupFailed, record_backup, take_backup
from safety.changes import clock_now


class Command(BaseCommand):
    help = "备份数据库到一个新文件,读回核对后记下编号;手机据此才删去已上传的内容。照片文件夹请随后另行复制。"

    def add_arguments(self, parser):
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("file", nargs="?", type=Path, metavar="文件", help="新文件;已有的不会被覆盖")
        what.add_argument("--seq", action="store_true", help="只打印现在的编号,自行备份之前用")
        what.add_argument("--reported-seq", type=int, metavar="编号", help="自行备份并核对之后,报告备份开始前的编号")

    def handle(self, *args, file: Path | None, seq: bool, reported_seq: int | None, **options):
        number, epoch = clock_now()
        if seq:
            self.stdout.write(str(number))
            return
        try:
            if file is not None:
                taken = take_backup(file, now=timezone.now())
            else:
                taken = record_backup(epoch, reported_seq, now=timezone.now())
        except BackupFailed as failed:
            raise CommandError(str(failed)) from failed
        if file is not None:
            self.stdout.write(f"已备份并读回核对:{file}({taken.bytes} 字节,SHA-256 {taken.sha256})。")
        self.stdout.write(f"第 {taken.seq} 号及以前的内容已有备份(数据批次 {taken.epoch})。")
