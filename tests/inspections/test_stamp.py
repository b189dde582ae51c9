"""The stamp: what it says, that it never leaves the picture, and that the font can write it."""

import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFont

from inspections.stamp import FONT, MISSING, MOST_HIDDEN, Layout, Stamp, lay_out, stamped, wrap

TAKEN = datetime(2026, 11, 23, 6, 32, 5, tzinfo=UTC)

FULL = {
    "school": "铜川市第三中学",
    "taken_at": TAKEN,
    "site": "第一食堂",
    "item_code": "ST-07",
    "item_text": "食品留样:每餐次每个品种不少于125克,冷藏存放48小时以上",
    "latitude": 34.901234,
    "longitude": 109.082345,
    "accuracy_m": 8.4,
    "inspector": "王建国",
    "short_hash": "3f2a9c1b77de",
    "marks": ("相册导入",),
}
LONG = FULL | {
    "school": "铜川市耀州区小丘镇陕西省煤业化工集团有限责任公司铜川矿务局第一中学附属实验小学分校",
    "site": "学生第二食堂地下一层冷藏冷冻及食品留样间(靠近配电室一侧)" * 3,
    "item_text": "食品留样:每餐次每个品种不少于125克,盛放于专用密闭容器,标签写明品种、时间、留样人。" * 5,
    "inspector": "阿卜杜拉·买买提江·吐尔逊、Christopher-Alexander.Featherstonehaugh@example",
    "marks": ("相册导入", "演示", "补充上传"),
}


def said(layout: Layout) -> str:
    return "\n".join(text.text for text in layout.texts)


def test_the_stamp_says_where_what_when_and_by_whom():
    words = said(lay_out(Stamp(**FULL), (1600, 1200)))
    for word in (
        "14:32:05",
        "2026-11-23 星期一",
        "北京时间",
        "铜川市第三中学·第一食堂",
        "ST-07 食品留样",
        "北纬34.90123° 东经109.08235° ±8m (WGS84)",
        "王建国",
        "3f2a9c1b77de",
        "相册导入",
    ):
        assert word in words


def test_the_time_is_that_of_beijing_whatever_the_zone_it_came_in():
    late = datetime(2026, 11, 23, 20, 0, 0, tzinfo=timezone(timedelta(hours=3)))
    words = said(lay_out(Stamp(school="市三中", taken_at=late), (1600, 1200)))
    assert "01:00:00" in words
    assert "2026-11-24 星期二" in words


def test_a_time_without_zone_is_our_own_mistake():
    with pytest.raises(ValueError, match="aware"):
        Stamp(school="市三中", taken_at=datetime(2026, 11, 23, 14, 32))


def test_a_line_is_left_out_when_its_value_is_missing():
    words = said(lay_out(Stamp(school="市三中", taken_at=TAKEN, latitude=34.9), (1600, 1200)))
    assert not any(label in words for label in ("检查项", "位置", "检查人", "校验码"))
    assert "市三中" in words


def test_south_and_west_and_another_datum_are_said():
    stamp = Stamp(school="市三中", taken_at=TAKEN, latitude=-1.5, longitude=-2.25, datum="GCJ-02")
    assert "南纬1.50000° 西经2.25000° (GCJ-02)" in said(lay_out(stamp, (1600, 1200)))


def test_a_long_school_does_not_push_out_the_site():
    words = said(lay_out(Stamp(**LONG), (1200, 1600)))
    assert "铜川市耀州区小丘镇" in words
    assert "学生第二食堂" in words


@cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)


def stays_inside(layout: Layout, size: tuple[int, int]) -> None:
    """Every sign within the canvas and within the stamp; nothing over anything of another line."""
    assert layout.width >= size[0]
    assert layout.height == (size[1] + layout.height - layout.top if layout.below else size[1])
    inked = []
    for text in layout.texts:
        stroke = text.size / 40 if text.bold else 0
        left, top, right, bottom = font_of(text.size).getbbox(text.text, anchor="ls", stroke_width=stroke)
        inked.append((text.x + left, text.y + top, text.x + right, text.y + bottom))
    for left, top, right, bottom in inked + [(box.left, box.top, box.right, box.bottom) for box in layout.boxes]:
        assert left >= 0
        assert right <= layout.width
        assert layout.top <= top
        assert bottom <= layout.height
    for number, one in enumerate(inked):
        for other in inked[number + 1 :]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)


@pytest.mark.parametrize(
    "size",
    [
        (1600, 1200),
        (1200, 1600),
        (1600, 686),
        (1600, 900),
        (900, 1600),
        (640, 480),
        (320, 240),
        (200, 150),
        (1, 1),
        (1600, 20),
        (20, 1600),
    ],
)
@pytest.mark.parametrize("fields", [FULL, LONG, {"school": "市三中", "taken_at": TAKEN}], ids=["full", "long", "bare"])
def test_the_stamp_never_leaves_the_picture(size, fields):
    stays_inside(lay_out(Stamp(**fields), size), size)


WORDS = st.text(st.characters(codec="utf-8"), max_size=120)


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(1, 1600), st.integers(1, 1600)),
    words=st.tuples(WORDS, WORDS, WORDS, WORDS),
    marks=st.lists(WORDS, max_size=5),
)
def test_the_stamp_never_leaves_the_picture_whatever_is_written(size, words, marks):
    school, site, item, inspector = words
    fields = {"site": site, "item_text": item, "inspector": inspector, "marks": tuple(marks)}
    stays_inside(lay_out(Stamp(school=school, taken_at=TAKEN, **fields), size), size)


@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (1600, 900)])
def test_the_stamp_of_a_camera_photo_lies_in_it_and_leaves_the_upper_half_alone(size):
    picture = Image.effect_noise(size, 90).convert("RGB")
    layout, drawn = lay_out(Stamp(**FULL), size), stamped(picture, Stamp(**FULL))
    assert not layout.below
    assert drawn.size == size
    assert layout.height - layout.top <= MOST_HIDDEN * size[1]
    left, top, right, bottom = ImageChops.difference(picture, drawn).getbbox()
    assert top >= size[1] * 0.4
    assert (left, right, bottom) == (0, *size)


@pytest.mark.parametrize("size", [(200, 150), (320, 240), (1600, 160), (90, 1600)])
def test_the_stamp_stands_beneath_a_picture_that_it_would_hide(size):
    picture = Image.effect_noise(size, 90).convert("RGB")
    layout, drawn = lay_out(Stamp(**FULL), size), stamped(picture, Stamp(**FULL))
    assert layout.below
    assert drawn.size == (layout.width, layout.height)
    kept = drawn.crop((layout.left, 0, layout.left + size[0], size[1]))
    assert ImageChops.difference(picture, kept).getbbox() is None


@pytest.mark.parametrize("ground", ["white", "black", (255, 193, 7)])
def test_white_reads_on_any_ground(ground):
    """Contrast of at least 4.5 between the text and the veiled ground (WCAG's bound for body text)."""
    drawn = stamped(Image.new("RGB", (1600, 1200), ground), Stamp(**FULL))
    assert _contrast(drawn.getpixel((3, 1190)), (255, 255, 255)) >= 4.5


def _contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: tuple[int, int, int]) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_what_the_font_lacks_is_shown_as_missing_and_what_is_invisible_is_not_shown():
    words = said(
        lay_out(Stamp(school="市\u200b三\n中\x07", taken_at=TAKEN, inspector="李😀、𠮷田\ufe0f"), (1600, 1200))
    )
    assert "市三 中" in words
    assert f"李{MISSING}、{MISSING}田" in words


def test_rare_characters_of_names_are_written():
    words = said(lay_out(Stamp(school="市三中", taken_at=TAKEN, inspector="䶮镕喆堃𬭚·Ørsted"), (1600, 1200)))
    assert "䶮镕喆堃𬭚·Ørsted" in words


def test_the_font_has_every_character_of_gbk():
    font = font_of(16)
    lacking = bytes(font.getmask("\uffff"))
    pairs = (bytes([high, low]) for high in range(0x81, 0xFF) for low in range(0x40, 0xFF))
    signs = {sign for pair in pairs if len(sign := pair.decode("gbk", "ignore")) == 1 and sign > "\x7f"}
    assert len(signs) > 21_000
    assert {sign for sign in signs if bytes(font.getmask(sign)) == lacking} <= {"≒"}


def test_the_font_is_the_one_of_its_recipe_and_has_its_licence_beside_it():
    recipe = (FONT.parent / "make_subset.py").read_text("utf-8")
    made = re.search(r'RESULT_SHA256 = "([0-9a-f]{64})"', recipe)[1]
    assert hashlib.sha256(FONT.read_bytes()).hexdigest() == made
    assert FONT.stat().st_size < 8_000_000
    assert "SIL OPEN FONT LICENSE Version 1.1" in (FONT.parent / "OFL.txt").read_text("utf-8")


def test_lines_keep_words_whole_and_do_not_begin_with_a_closing_mark():
    lines = wrap("检查项目:ST-07-LONGWORD 食品留样(冷藏),每餐次125克。", 20, 130, most_lines=9)
    assert "".join(lines).replace(" ", "") == "检查项目:ST-07-LONGWORD食品留样(冷藏),每餐次125克。"
    assert not any(line[0] in ",。)、" for line in lines)
    assert not any(line[-1] in "((" for line in lines)


def test_a_word_wider_than_the_line_is_broken_and_too_many_lines_end_in_dots():
    lines = wrap("x" * 100, 20, 100, most_lines=3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
