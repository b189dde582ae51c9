"""Photographs as a phone takes them: twelve million pixels, stored lying with orientation 6, with place and time in the EXIF.

What is drawn is a canteen as children draw it, held upright; a red corner at its top left tells whether a shown copy
was turned the right way. Grain makes each file as heavy as a real one, and no two alike.
"""

import hashlib
import io
import random
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from PIL import ExifTags, Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 3000, 4000  # upright, as the eye sees it
ORIENTATION = 6  # stored lying: turn it a quarter clockwise to see it
RED = (214, 40, 40)
QUALITY = 88
GRAIN = 0.06
TILE = 500


@dataclass(frozen=True, slots=True)
class Photograph:
    """The bytes as taken and what the phone knows of them beside the EXIF."""

    jpeg: bytes
    sha256: str
    taken_at: datetime
    latitude: float
    longitude: float
    accuracy_m: float
    caption: str

    @property
    def size_bytes(self) -> int:
        return len(self.jpeg)


def take(caption: str, *, taken_at: datetime, latitude: float, longitude: float, accuracy_m: float = 8.0) -> Photograph:
    """A new photograph. `caption` is plain ASCII and stands in the picture; `taken_at` is aware, the place WGS84."""
    jpeg = io.BytesIO()
    lying = _scene(caption, taken_at).transpose(Image.Transpose.ROTATE_90)
    exif = _exif(taken_at, latitude, longitude, accuracy_m)
    lying.save(jpeg, "JPEG", quality=QUALITY, subsampling=0, exif=exif)
    content = jpeg.getvalue()
    return Photograph(content, hashlib.sha256(content).hexdigest(), taken_at, latitude, longitude, accuracy_m, caption)


def _scene(caption: str, taken_at: datetime) -> Image.Image:
    """Tiles, a counter, pots, bowls and a label, no two scenes alike."""
    dice = random.Random(secrets.randbits(64))
    picture = Image.new("RGB", (WIDTH, HEIGHT), _near((222, 228, 220), dice))
    draw = ImageDraw.Draw(picture)
    for row in range(0, 1800, 300):
        for column in range(0, WIDTH, 300):
            draw.rectangle((column + 6, row + 6, column + 294, row + 294), fill=_near((236, 240, 235), dice))
    draw.rectangle((0, 1800, WIDTH, 1950), fill=_near((120, 125, 130), dice))
    draw.rectangle((0, 1950, WIDTH, HEIGHT), fill=_near((168, 176, 180), dice))
    for place in range(4):
        left, top = 120 + place * 720, 1330 + dice.randrange(120)
        draw.rounded_rectangle((left, top, left + 560, 1800), 60, fill=_near((150, 156, 160), dice))
        draw.ellipse((left, top - 60, left + 560, top + 60), fill=_near((190, 196, 200), dice))
    for _ in range(40):
        left, top = dice.randrange(WIDTH - 260), 2050 + dice.randrange(1200)
        draw.ellipse((left, top, left + 240, top + 150), fill=_near((245, 245, 240), dice))
        draw.ellipse((left + 40, top + 20, left + 200, top + 100), fill=_near((225, 200, 150), dice, spread=50))
    draw.rectangle((160, 3420, WIDTH - 160, 3860), fill=(250, 250, 245))
    draw.text((230, 3460), caption, font=ImageFont.load_default(170), fill=(20, 20, 20))
    draw.text((230, 3670), f"{taken_at:%Y-%m-%d %H:%M:%S}", font=ImageFont.load_default(130), fill=(60, 60, 60))
    draw.rectangle((0, 0, 460, 460), fill=RED)
    return Image.blend(picture, _grain(dice.randrange(TILE), dice.randrange(TILE)), GRAIN)


@cache
def _tile() -> Image.Image:
    return Image.merge("RGB", [Image.effect_noise((TILE, TILE), 110) for _ in range(3)])


def _grain(left: int, top: int) -> Image.Image:
    """One tile of noise laid out over the whole picture: drawing it anew would cost seconds a photograph."""
    field = Image.new("RGB", (WIDTH, HEIGHT))
    for x in range(-left, WIDTH, TILE):
        for y in range(-top, HEIGHT, TILE):
            field.paste(_tile(), (x, y))
    return field


def _near(colour: tuple[int, int, int], dice: random.Random, *, spread: int = 14) -> tuple[int, ...]:
    return tuple(min(255, max(0, part + dice.randint(-spread, spread))) for part in colour)


def _exif(taken_at: datetime, latitude: float, longitude: float, accuracy_m: float) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Demo", "Demo Phone 12"
    exif[ExifTags.Base.Orientation] = ORIENTATION
    exif[ExifTags.Base.DateTime] = f"{taken_at:%Y:%m:%d %H:%M:%S}"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.DateTimeOriginal: f"{taken_at:%Y:%m:%d %H:%M:%S}",
            ExifTags.Base.SubsecTimeOriginal: f"{taken_at.microsecond // 1000:03d}",
            ExifTags.Base.OffsetTimeOriginal: _offset(taken_at),
        }
    )
    stamp = taken_at.astimezone(UTC)
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSVersionID: b"\x02\x03\x00\x00",
            ExifTags.GPS.GPSLatitudeRef: "N" if latitude >= 0 else "S",
            ExifTags.GPS.GPSLatitude: _degrees(latitude),
            ExifTags.GPS.GPSLongitudeRef: "E" if longitude >= 0 else "W",
            ExifTags.GPS.GPSLongitude: _degrees(longitude),
            ExifTags.GPS.GPSTimeStamp: (float(stamp.hour), float(stamp.minute), float(stamp.second)),
            ExifTags.GPS.GPSDateStamp: f"{stamp:%Y:%m:%d}",
            ExifTags.GPS.GPSMapDatum: "WGS-84",
            ExifTags.GPS.GPSHPositioningError: accuracy_m,
        }
    )
    return exif


def _offset(moment: datetime) -> str:
    text = f"{moment:%z}"
    return f"{text[:3]}:{text[3:5]}"


def _degrees(value: float) -> tuple[float, float, float]:
    value = abs(value)
    degrees = int(value)
    minutes = int((value - degrees) * 60)
    return float(degrees), float(minutes), round(((value - degrees) * 60 - minutes) * 60, 3)
