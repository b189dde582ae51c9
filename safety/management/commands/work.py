"""`manage.py work`: the worker as a process of its own, beside servers that run with SAFETY_WORK_IN_SERVER=0."""

import signal
import threading

from django.core.management.base import BaseCommand

from safety.worker import Worker, jobs_of_settings


class Command(BaseCommand):
    help = "处理后台工作:送达、升级、交接班、无人值班、照片、清理。Ctrl-C 或 SIGTERM 结束。"

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="把现在到期的做完就结束")

    def handle(self, *, once: bool, **options):
        worker = Worker(jobs_of_settings())
        if once:
            done = 0
            while did := worker.turn():
                done += did
            self.stdout.write(f"完成 {done} 项。")
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"开始工作:{'、'.join(worker.jobs)}")
        worker.run(stop)
        self.stdout.write("已停止。")
