"""The whole day against a live server: a real uvicorn on a free port, with the demonstration district in its database."""

import ast
import io
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from PIL import ExifTags, Image, ImageOps

from inspections.schoolday import camera
from inspections.schoolday.cast import PASSWORD
from inspections.schoolday.day import play
from inspections.schoolday.timeline import Check, Timeline, holds
from tests.engines import free_port
from tests.live import live_server

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "inspections" / "schoolday"
MAY_IMPORT = {*sys.stdlib_module_names, "PIL", "websockets"}


@pytest.fixture
def server(database_url, tmp_path):
    """The address of a running server whose database holds the checklists and the demonstration district."""
    call_command("seed", stdout=io.StringIO())
    call_command("demo", "--no-history", stdout=io.StringIO())
    with live_server(database_url, var=tmp_path) as url:
        yield url


@pytest.mark.django_db(transaction=True)
def test_day_goes_as_it_should_on_a_live_server_and_again_on_the_same(server):
    lines = []
    first = play(server, password=PASSWORD, accounts={}, write=lines.append)
    command = [sys.executable, "manage.py", "schoolday", "--server", server, "--no-strangers"]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    said = "\n".join([*lines, again.stdout, again.stderr])
    wrong = [*first.failed, *re.findall(r"^  ✗ (.*)$", again.stdout, re.MULTILINE)]
    assert [each for each in wrong if not each.endswith("毫秒")] == [], said
    assert not (first.failed and again.returncode), f"a busy machine may be slow once, not twice\n{said}"
    assert (again.returncode == 0) == ("全部符合" in again.stdout), said
    refused = play(server, password="not-the-password", accounts={}, write=lines.append)
    assert (len(refused.failed), "登录不上" in refused.failed[0]) == (1, True)


def test_day_ends_as_failed_when_nobody_answers():
    lines = []
    timeline = play(f"http://127.0.0.1:{free_port()}", password=PASSWORD, accounts={}, write=lines.append)
    assert len(timeline.failed) == 1
    assert "演练中断" in "".join(lines)


def test_timeline_names_what_differs_and_counts_it():
    lines = []
    timeline = Timeline(lines.append)
    timeline.event("督学", "上报", "灶间", Check("接受", "rejected", "applied"), holds("有回执", "seq"))
    timeline.event("督学", "离线", "没有信号")
    timeline.summary()
    assert (timeline.passed, timeline.failed) == (1, ["督学 · 上报 · 接受"])
    assert "✗ 督学 · 上报 · 灶间" in lines[0]
    assert "接受:应为 applied,实为 rejected" in lines[1]
    assert "符合 1,不符 1" in lines[3]


def test_photograph_is_stored_lying_and_says_how_to_turn_it_and_where_and_when_it_was_taken():
    taken_at = datetime(2026, 11, 3, 10, 5, 7, tzinfo=ZoneInfo("Asia/Shanghai"))
    first, second = (camera.take("ST-11", taken_at=taken_at, latitude=35.0712, longitude=109.0701) for _ in range(2))
    assert first.sha256 != second.sha256
    assert 1_500_000 < first.size_bytes < 6_000_000
    picture = Image.open(io.BytesIO(first.jpeg))
    exif = picture.getexif()
    details, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert (picture.size, exif[ExifTags.Base.Orientation]) == ((4000, 3000), 6)
    assert ImageOps.exif_transpose(picture).getpixel((50, 50))[0] > 180  # the red corner, at the top left
    assert details[ExifTags.Base.DateTimeOriginal] == "2026:11:03 10:05:07"
    assert details[ExifTags.Base.OffsetTimeOriginal] == "+08:00"
    assert (place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSDateStamp]) == ("N", "2026:11:03")
    degrees, minutes, seconds = place[ExifTags.GPS.GPSLatitude]
    assert float(degrees + minutes / 60 + seconds / 3600) == pytest.approx(35.0712, abs=1e-5)


@pytest.mark.parametrize("path", sorted(CLIENT.glob("*.py")), ids=lambda path: path.name)
def test_client_of_the_day_imports_nothing_of_the_product(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            own = name == CLIENT.name or name.startswith("inspections.schoolday")
            assert own or name.partition(".")[0] in MAY_IMPORT, f"{path.name} imports {name}"
