"""`manage.py schoolday`: plays a whole inspection day against a running server, through its public doors alone."""

from argparse import ArgumentTypeError

from django.core.management.base import BaseCommand

from inspections.schoolday.cast import PARTS, PASSWORD
from inspections.schoolday.day import play
from inspections.schoolday.wire import Server


class Command(BaseCommand):
    help = "对着运行中的服务器演练一整天:离线检查、预警、整改、复查、销号。有一处不符即以非零状态结束。"
    requires_system_checks = []  # a client: it needs neither the database nor the settings of the server

    def add_arguments(self, parser):
        parser.add_argument("--server", type=_url, default="http://127.0.0.1:8000", help="服务器地址")
        parser.add_argument("--password", default=PASSWORD, help="演示账号的口令")
        parser.add_argument(
            "--account",
            type=_account,
            action="append",
            default=[],
            metavar="角色=账号",
            help=f"换用别的账号,可重复;角色:{'、'.join(PARTS)}",
        )

        parser.add_argument("--no-strangers", action="store_true", help="不试陌生人的门(约快一半)")

    def handle(self, *args, server: str, password: str, account: list[tuple[str, str]], no_strangers: bool, **options):
        timeline = play(
            server, password=password, accounts=dict(account), write=self._write, strangers=not no_strangers
        )
        if timeline.failed:
            raise SystemExit(1)

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _url(text: str) -> str:
    try:
        Server.at(text)
    except ValueError as wrong:
        raise ArgumentTypeError(f"不是服务器地址:{text}(例如 http://127.0.0.1:8000)") from wrong
    return text


def _account(text: str) -> tuple[str, str]:
    part, _, username = text.partition("=")
    if part not in PARTS or not username:
        raise ArgumentTypeError(f"应写成 角色=账号,例如 inspector=guoxiuying:{text}")
    return part, username
