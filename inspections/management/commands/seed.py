"""`manage.py seed`: loads the catalogue of `seeds/` into the tables. Running it twice changes nothing."""

import json
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from inspections.catalogue import CatalogueFault, json_schema, load_catalogue
from inspections.seeding import Planted, plant
from safety.changes import unit


class Command(BaseCommand):
    help = "载入检查依据、检查项和检查表;重复运行不改变任何内容。"

    def add_arguments(self, parser):
        parser.add_argument("--folder", type=Path, default=settings.BASE_DIR / "seeds", help="种子文件所在目录")
        parser.add_argument("--schema", action="store_true", help="只输出种子文件的 JSON Schema")

    def handle(self, *args, folder: Path, schema: bool, **options):
        if schema:
            self.stdout.write(json.dumps(json_schema(), ensure_ascii=False, indent=2))
            return
        try:
            catalogue = load_catalogue(folder)
        except CatalogueFault as fault:
            raise CommandError(f"检查目录有 {len(fault.faults)} 处错误,什么都没有载入:\n{fault}") from fault
        with unit(actor=None, device=None, source="seed") as work:
            planted = plant(work, catalogue)
        if planted.new or planted.changed:
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")  # foreign-key checks keep the plan of an empty table otherwise
        self._report(planted, len(catalogue.items), len(catalogue.templates))

    def _report(self, planted: Planted, items: int, templates: int) -> None:
        self.stdout.write(
            f"检查目录:{items} 条、检查表 {templates} 张;新增 {len(planted.new)},更新 {len(planted.changed)},"
            f"本地自定未动 {len(planted.own)},文件中已没有而保留 {len(planted.gone)}。"
        )
        for word, names in (("更新", planted.changed), ("本地自定", planted.own), ("保留", planted.gone)):
            for name in names:
                self.stdout.write(f"  {word} {name}")
