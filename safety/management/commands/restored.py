"""`manage.py restored`: said once after a backup was put back, before the server starts."""

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from safety.backups import BackupFailed, begin_epoch
from safety.changes import clock_now


class Command(BaseCommand):
    help = "恢复备份之后、启动服务之前运行一次:开始新的数据批次,手机会重新下载,并把备份之后上传过的内容再报一遍。"

    def add_arguments(self, parser):
        parser.add_argument(
            "--seq", type=int, metavar="编号", help="备份所到的编号;恢复后服务已经运行过的,必须给出(备份时打印过)"
        )

    def handle(self, *args, seq: int | None, **options):
        try:
            ended = begin_epoch(now=timezone.now(), seq=seq)
        except BackupFailed as failed:
            raise CommandError(str(failed)) from failed
        self.stdout.write(f"数据批次 {ended.epoch} 止于第 {ended.seq} 号;新的批次是 {clock_now()[1]}。")
        self.stdout.write(f"手机下次联系时会重新下载,并把第 {ended.seq} 号以后上传过的内容再报一遍。")
