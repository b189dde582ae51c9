"""`manage.py verify`: recomputes the chains and the numbers of the log; ends non-zero if anything does not hold."""

import time
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from safety.chains import every_chain, log_faults, verify_chain
from safety.changes import snapshot
from safety.models import Organisation

SHOW_EVERY_SECONDS = 2


class Command(BaseCommand):
    help = "核对证据链:从第一条变更重新计算每个单位的链,并核对全部编号没有缺口。"

    def add_arguments(self, parser):
        parser.add_argument("--organisation", metavar="编号或代码", help="只核对一个单位的链")

    def handle(self, *args, organisation: str | None, **options):
        chains = [_chain_of(organisation)] if organisation else every_chain()
        faults = [] if organisation else self._faults_of_log()
        links, shown = 0, time.monotonic()
        for done, chain in enumerate(chains, start=1):
            with snapshot():
                verified = verify_chain(chain)
            links += verified.count
            if verified.first_bad is not None:
                faults.append(f"{_name_of(chain)} 第 {verified.first_bad} 环:{verified.detail}")
            if time.monotonic() - shown > SHOW_EVERY_SECONDS:
                shown = time.monotonic()
                self.stdout.write(f"已核对 {done}/{len(chains)} 条链,{links} 环…")
        for fault in faults:
            self.stderr.write(fault)
        if faults:
            raise CommandError(f"核对不通过:{len(faults)} 处。")
        self.stdout.write(f"核对通过:{len(chains)} 条链,{links} 环。")

    def _faults_of_log(self) -> list[str]:
        with snapshot():
            return log_faults()


def _chain_of(named: str) -> UUID:
    try:
        return UUID(named)
    except ValueError:
        found = Organisation.objects.filter(code=named).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"没有代码为“{named}”的单位。")
    return found


def _name_of(chain: UUID) -> str:
    organisation = Organisation.objects.filter(pk=chain).first()
    return f"{organisation.name}({chain})" if organisation else str(chain)
