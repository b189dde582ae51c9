"""The stamp of an evidence photo: where, what, when and by whom, drawn into a copy (the habit of 水印相机, regulations §4.5).

Layout is a pure function of text and size, so that tests can ask whether anything leaves the picture; drawing follows it.
The stamp proves nothing, the untouched original and its SHA-256 do.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from PIL import Image, ImageDraw, ImageFont

FONT = Path(__file__).parent / "fonts" / "NotoSansSC-GBK.ttf"
BEIJING = ZoneInfo("Asia/Shanghai")
WEEKDAYS = "一二三四五六日"
MISSING = "〓"
"What Chinese printers set for a character that they do not have."

WHITE, SOFT, AMBER, INK = (255, 255, 255), (206, 212, 218), (255, 193, 7), (14, 17, 22)


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn. Only school and time must be there; a line whose value is missing is left out."""

    school: str
    taken_at: datetime
    "Aware, corrected by the server; drawn in Beijing time."
    site: str | None = None
    item_code: str | None = None
    item_text: str | None = None
    latitude: float | None = None
    "Degrees, north and east positive."
    longitude: float | None = None
    datum: str = "WGS84"
    accuracy_m: float | None = None
    inspector: str | None = None
    short_hash: str | None = None
    "The first 12 digits of the original's SHA-256."
    marks: tuple[str, ...] = ()
    "What lessens or qualifies the evidence: 相册导入, 演示."

    def __post_init__(self):
        if self.taken_at.tzinfo is None:
            raise ValueError("the time of a stamp must be aware")


class Text(msgspec.Struct, frozen=True):
    """One run of text: its left end, its baseline, its size in pixels."""

    x: int
    y: int
    text: str
    size: int
    colour: tuple[int, int, int] = WHITE
    bold: bool = False


class Box(msgspec.Struct, frozen=True):
    """An amber rectangle, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    radius: int


class Layout(msgspec.Struct):
    """Everything to draw, in pixels of the canvas; the picture's own corner is at (left, 0)."""

    width: int
    height: int
    left: int
    top: int
    "Where the stamp begins; equal to the picture's height if it stands below it."
    below: bool
    texts: list[Text]
    boxes: list[Box]


def stamped(picture: Image.Image, stamp: Stamp) -> Image.Image:
    """A copy of an RGB picture with the stamp in it, or beneath it where it would hide too much."""
    layout = lay_out(stamp, picture.size)
    canvas = Image.new("RGB", (layout.width, layout.height), INK)
    canvas.paste(picture, (layout.left, 0))
    if not layout.below:
        _darken(canvas, layout.top)
    draw = ImageDraw.Draw(canvas)
    for box in layout.boxes:
        corners = (box.left, box.top, box.right - 1, box.bottom - 1)
        draw.rounded_rectangle(corners, radius=box.radius, fill=AMBER)
    for text in layout.texts:
        outline = text.size / 40 if text.bold else 0
        draw.text((text.x, text.y), text.text, text.colour, _font(text.size), anchor="ls", stroke_width=outline)
    return canvas


SMALLEST = 13
"Pixels of body text below which Chinese cannot be read."

MOST_HIDDEN = 0.45
"Share of the picture's height that the stamp may cover."

NARROWEST = 22 * SMALLEST
"Pixels; a narrower picture gets dark margins, so that the lines have room."


def lay_out(stamp: Stamp, size: tuple[int, int]) -> Layout:
    """Where everything goes on a picture of that size.

    Body text is a fortieth of the picture's mean side. Too long for the picture, it shrinks by steps to seven tenths; still
    too long, or too small to read, the stamp goes beneath the picture.
    """
    width, height = size
    body = round((width * height) ** 0.5 / 40)
    for smaller in (body, round(body * 0.85), round(body * 0.7)):
        if smaller >= SMALLEST and width >= 22 * smaller:
            block = _Block(stamp, width, smaller)
            if block.height <= height * MOST_HIDDEN:
                return block.placed(width, height, left=0, top=height - block.height, below=False)
    canvas = max(width, NARROWEST)
    block = _Block(stamp, canvas, max(SMALLEST, min(body, canvas // 40)))
    return block.placed(canvas, height + block.height, left=(canvas - width) // 2, top=height, below=True)


class _Block:
    """The stamp as such: lines from top to bottom in a given width, the corner at (0, 0)."""

    def __init__(self, stamp: Stamp, width: int, body: int):
        self.body = body
        self.margin = round(body * 1.1)
        self.inner = width - 2 * self.margin
        self.texts: list[Text] = []
        self.boxes: list[Box] = []
        self.height = round(body * 0.9)
        self._clock(stamp)
        self.clock_ends = self.height
        self._title(stamp)
        for label, value, most_lines in _rows(stamp):
            if drawable := _drawable(value):
                self._row(label, drawable, most_lines)
        self._sign()
        self.height += round(body * 0.8)

    def placed(self, width: int, height: int, *, left: int, top: int, below: bool) -> Layout:
        """Moved to where the stamp begins."""
        replace = msgspec.structs.replace
        texts = [replace(text, y=text.y + top) for text in self.texts]
        boxes = [replace(box, top=box.top + top, bottom=box.bottom + top) for box in self.boxes]
        return Layout(width, height, left, top, below, texts, boxes)

    def _clock(self, stamp: Stamp) -> None:
        """The time, large, a bar, the date; marks at the right end, or in a line of their own above."""
        when = stamp.taken_at.astimezone(BEIJING)
        clock, size = f"{when:%H:%M:%S}", round(self.body * 2.1)
        date = f"{when:%Y-%m-%d} 星期{WEEKDAYS[when.weekday()]}"
        bar = round(_width(clock, size) + self.body * 0.7)
        beside = bar + round(self.body * 0.8)
        needed = beside + _width(date, self.body)
        self._marks(stamp.marks, free=self.inner - needed - self.body)
        top = self.height
        self._text(0, top + round(size * 0.92), clock, size, bold=True)
        if needed > self.inner:
            self.height += round(size * 1.1)
            self._line(0, date, self.body)
            return
        thick = max(2, round(self.body * 0.16))
        self._box(bar, top + round(size * 0.14), bar + thick, top + round(size * 0.98), radius=0)
        self._text(beside, top + round(size * 0.44), date, self.body)
        self._text(beside, top + round(size * 0.95), "北京时间", round(self.body * 0.8), colour=SOFT)
        self.height += round(size * 1.25)

    def _marks(self, marks: tuple[str, ...], *, free: float) -> None:
        """Amber labels that nobody overlooks."""
        size, gap = round(self.body * 0.95), round(self.body * 0.45)
        labels = [_cut(_drawable(mark), size, self.inner - 2 * gap) for mark in marks]
        widths = [round(_width(label, size)) + 2 * gap for label in labels]
        total = sum(widths) + gap * (len(widths) - 1)
        tall = round(size * 1.5)
        if not labels:
            return
        beside = total <= free
        at = round(self.inner - total) if beside else 0
        for label, width in zip(labels, widths, strict=True):
            if at and at + width > self.inner:
                at, self.height = 0, self.height + round(tall * 1.2)
            self._box(at, self.height, at + width, self.height + tall, radius=round(size * 0.3))
            self._text(at + gap, self.height + round(tall * 0.5 + size * 0.37), label, size, colour=INK, bold=True)
            at += width + gap
        if not beside:
            self.height += round(tall * 1.25)

    def _title(self, stamp: Stamp) -> None:
        """School and site in one line if they fit, else both wrapped, so that a long name does not push the other out."""
        size = round(self.body * 1.25)
        names = [name for part in (stamp.school, stamp.site) if (name := _drawable(part or ""))]
        together = "·".join(names)
        for name in [together] if _width(together, size) <= self.inner else names:
            for line in wrap(name, size, self.inner, most_lines=2):
                self._line(0, line, size, bold=True)
        self.height += round(self.body * 0.1)

    def _row(self, label: str, value: str, most_lines: int) -> None:
        indent = round(self.body * 3.7)
        self._text(0, self.height + round(self.body * 1.08), label, self.body, colour=SOFT)
        for line in wrap(value, self.body, self.inner - indent, most_lines=most_lines):
            self._line(indent, line, self.body)

    def _sign(self) -> None:
        """Whose stamp it is: at the right end of the last line below the clock if that leaves room, else in one of its own."""
        name, size = "校安巡检", round(self.body * 0.85)
        at = self.inner - round(_width(name, size))
        last = self.texts[-1]
        if last.y < self.clock_ends or last.x - self.margin + _width(last.text, last.size) + self.body > at:
            self._line(at, name, size, colour=SOFT)
        else:
            self._text(at, last.y, name, size, colour=SOFT)

    def _line(self, at: int, text: str, size: int, **looks) -> None:
        self._text(at, self.height + round(size * 1.08), text, size, **looks)
        self.height += round(size * 1.42)

    def _text(self, at: int, baseline: int, text: str, size: int, **looks) -> None:
        self.texts.append(Text(self.margin + round(at), baseline, text, size, **looks))

    def _box(self, left: int, top: int, right: int, bottom: int, *, radius: int) -> None:
        self.boxes.append(Box(self.margin + left, top, self.margin + right, bottom, radius))


def _rows(stamp: Stamp) -> Iterator[tuple[str, str, int]]:
    """Label, value and the most lines that the value may take."""
    if stamp.item_code or stamp.item_text:
        yield "检查项", " ".join(part for part in (stamp.item_code, stamp.item_text) if part), 3
    if stamp.latitude is not None and stamp.longitude is not None:
        yield "位置", _place(stamp), 2
    if stamp.inspector:
        yield "检查人", stamp.inspector, 2
    if stamp.short_hash:
        yield "校验码", stamp.short_hash, 1


def _place(stamp: Stamp) -> str:
    """Five decimals are a metre."""
    north = f"{'北纬' if stamp.latitude >= 0 else '南纬'}{abs(stamp.latitude):.5f}°"
    east = f"{'东经' if stamp.longitude >= 0 else '西经'}{abs(stamp.longitude):.5f}°"
    near = f" ±{stamp.accuracy_m:.0f}m" if stamp.accuracy_m is not None else ""
    return f"{north} {east}{near} ({stamp.datum})"


OPENING, CLOSING = "“‘(《〈【「『〔[(", "”’)》〉】」』〕])、,。;:?!,.;:?!…·%"
TOKEN = re.compile(rf"[{re.escape(OPENING)}]*(?:[!-~±°]+|\s|.)[{re.escape(CLOSING)}]*", re.DOTALL)


def wrap(text: str, size: int, width: float, *, most_lines: int) -> list[str]:
    """Lines no wider than `width` pixels; what does not fit in the last ends in “…”.

    Words and numbers stay whole, and no line begins with a closing mark, unless one alone is wider than the line.
    """
    lines, line, used = [], "", 0.0
    for token in TOKEN.findall(text):
        used += _width(token, size)
        if used <= width:
            line += token
            continue
        if line.strip():
            lines.append(line.strip())
        line = "" if token.isspace() else token
        while _width(line, size) > width:
            fits = max(1, _fitting(line, size, width))
            lines.append(line[:fits])
            line = line[fits:]
        used = _width(line, size)
    if line.strip():
        lines.append(line.strip())
    if len(lines) > most_lines:
        lines[most_lines - 1 :] = [_cut("".join(lines[most_lines - 1 :]), size, width)]
    return lines


def _cut(text: str, size: int, width: float) -> str:
    if _width(text, size) <= width:
        return text
    return text[: _fitting(text, size, width - _width("…", size))].rstrip() + "…"


def _fitting(text: str, size: int, width: float) -> int:
    """How many characters from the beginning are at most that wide."""
    used = 0.0
    for count, sign in enumerate(text):
        used += _width(sign, size)
        if used > width:
            return count
    return len(text)


LONGEST = 240
"Characters of one field that are looked at; more than ever fits."


def _drawable(text: str) -> str:
    """In one line, without invisible signs, and with 〓 for what the font lacks."""
    composed = unicodedata.normalize("NFC", text[:LONGEST])
    return re.sub(r"\s+", " ", "".join(map(_glyph_or_mark, composed))).strip()


def _glyph_or_mark(sign: str) -> str:
    if sign.isspace():
        return " "
    if unicodedata.category(sign) in ("Cc", "Cf") or 0xFE00 <= ord(sign) <= 0xFE0F or 0xE0100 <= ord(sign) <= 0xE01EF:
        return ""
    return sign if _has_glyph(sign) else MISSING


PROBE = 16


@lru_cache(maxsize=4096)
def _has_glyph(sign: str) -> bool:
    """The font draws the same box for all that it lacks; a noncharacter is always lacking."""
    return bytes(_font(PROBE).getmask(sign)) != bytes(_font(PROBE).getmask("\uffff"))


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8192)
def _width(text: str, size: int) -> float:
    """Pixels; the font has no kerning, so that widths add up."""
    return _font(size).getlength(text)


def _darken(canvas: Image.Image, top: int) -> None:
    """A veil under the text, rising from nothing above it, so that white reads on snow and the picture still shows."""
    begin = max(0, top - (canvas.height - top) // 3)
    tall = canvas.height - begin
    soft = max(1, top - begin)
    steps = [round(VEIL * min(1, (row / soft)) ** 1.5) if row < soft else VEIL for row in range(tall)]
    veil = Image.new("L", (1, tall))
    veil.putdata(steps)
    canvas.paste(INK, (0, begin, canvas.width, canvas.height), veil.resize((canvas.width, tall)))


VEIL = 170
"Of 255."
