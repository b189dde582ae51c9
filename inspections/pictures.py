"""What photo bytes are: recognised by content, measured and refused at the upload door, without decoding a pixel.

Pure functions on bytes. How files are laid out is in containers.py and heic.py, what is made of them in derivatives.py.
"""

import io
import math
import re
import struct
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import BinaryIO

import msgspec
from PIL import ExifTags, Image

from inspections.containers import Format, Outline, outline_jpeg, outline_png, outline_webp
from inspections.heic import brands_of, is_heic, outline_heic
from inspections.photo_problems import (
    PhotoMislabelled,
    PhotoNotAnImage,
    PhotoTooLarge,
    PhotoTooManyPixels,
    PhotoTruncated,
    PhotoWithAttachment,
)

MAX_PIXELS = 64_000_000
"The default bound: a 48-megapixel phone passes, and a decoded picture takes at most 256 MB."


class PictureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a photo says of itself. Time, place and camera are the phone's word, not proof; None where it says nothing."""

    format: Format
    media_type: str
    width: int
    "As shown, that is after orientation."
    height: int
    orientation: int
    "EXIF's 1–8; of HEIC from its own boxes, whose EXIF orientation is only a copy."
    taken_at: datetime | None
    "Aware if EXIF names its offset from UTC, else naive: the clock on the phone's wall."
    latitude: float | None
    "Degrees, north positive, in the datum of EXIF's GPS, WGS-84."
    longitude: float | None
    camera: str | None
    trailing_bytes: int
    "Bytes behind the primary picture: gain maps, motion photos, makers' trailers. Kept in the original, never shown."


def look(
    source: bytes | BinaryIO, *, max_bytes: int, max_pixels: int = MAX_PIXELS, claimed: str | None = None
) -> PictureFacts:
    """What the bytes are, or why they are refused.

    A file is read whole and left at its beginning. `claimed` is the media type that came along; none, or
    `application/octet-stream`, claims nothing. Damaged EXIF never refuses a photo: its facts are then absent.
    A file cut anywhere within the primary picture is refused. One cut behind it passes: all of the photo is there, and a
    second picture or video in the file is nothing that anybody is shown; that all bytes came is the SHA-256's to say.

    Raises PhotoTooLarge, PhotoTooManyPixels, PhotoTruncated, PhotoMislabelled, PhotoNotAnImage, PhotoWithAttachment,
    PhotoUnreadable.
    """
    data = _read(source, max_bytes)
    outline = outline_of(data)
    _check_claim(claimed, outline.format)
    check_pixels(outline, max_pixels)
    _check_trailing(data[outline.end :])
    exif = _exif(outline.exif)
    orientation = outline.orientation or _orientation(exif)
    turned = orientation >= 5
    latitude, longitude = _place(exif)
    return PictureFacts(
        format=outline.format,
        media_type=outline.media_type,
        width=outline.height if turned else outline.width,
        height=outline.width if turned else outline.height,
        orientation=orientation,
        taken_at=_taken_at(exif),
        latitude=latitude,
        longitude=longitude,
        camera=_camera(exif),
        trailing_bytes=len(data) - outline.end,
    )


def outline_of(data: bytes) -> Outline:
    """The structure of one of the four formats. Raises PhotoTruncated, PhotoNotAnImage, PhotoUnreadable."""
    if len(data) < SHORTEST:
        raise PhotoTruncated()
    if data.startswith(b"\xff\xd8\xff"):
        return outline_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return outline_png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return outline_webp(data)
    if is_heic(data[:512]):
        return outline_heic(data)
    raise PhotoNotAnImage(what=_name_of(data[:1024]))


def orientation_of(outline: Outline) -> int:
    """EXIF's 1–8: how the stored picture must be turned to be shown."""
    return outline.orientation or _orientation(_exif(outline.exif))


def check_pixels(outline: Outline, max_pixels: int) -> None:
    """Raises PhotoTooManyPixels; asked of the header before any pixel is decoded."""
    if outline.pixels > max_pixels:
        raise PhotoTooManyPixels(width=outline.width, height=outline.height, max_megapixels=max_pixels // 1_000_000)


SHORTEST = 32
"Shorter than any picture; too short to tell what was begun."


def _read(source: bytes | BinaryIO, max_bytes: int) -> bytes:
    if isinstance(source, bytes):
        size = len(source)
    else:
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
    if size > max_bytes:
        raise PhotoTooLarge(size_mb=_megabytes(size), max_mb=_megabytes(max_bytes))
    if isinstance(source, bytes):
        return source
    data = source.read(size)
    source.seek(0)
    return data


def _megabytes(size: int) -> float:
    return math.ceil(size / 100_000) / 10


CLAIMS: dict[str, Format] = {
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/pjpeg": "jpeg",
    "image/png": "png",
    "image/x-png": "png",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/heif": "heic",
    "image/heic-sequence": "heic",
    "image/heif-sequence": "heic",
}


def _check_claim(claimed: str | None, found: Format) -> None:
    media_type = (claimed or "").partition(";")[0].strip().lower()
    if media_type in ("", "application/octet-stream"):
        return
    if CLAIMS.get(media_type) != found:
        raise PhotoMislabelled(actual=NAMES[found])


NAMES: dict[Format, str] = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "heic": "HEIC"}

DOCUMENTS = re.compile(
    rb"(?P<PDF>%PDF-)|(?P<ZIP>PK\x03\x04|PK\x05\x06)|(?P<RAR>Rar!\x1a)|(?P<SevenZip>7z\xbc\xaf\x27\x1c)"
    rb"|(?P<HTML><!doctype|<html|<head|<body|<script|<iframe)|(?P<SVG><svg|<\?xml)|(?P<PHP><\?php)|(?P<ELF>\x7fELF)",
    re.IGNORECASE,
)


def _check_trailing(rest: bytes) -> None:
    """Phones put gain maps, motion photos and trailers of their own behind the picture; those stay. Documents do not.

    Looked for is what another program would open as its own: a document that begins there, or the directory that a ZIP
    reader finds from the end of the file. Such a file would be harmless with us (it is never served as anything but a
    picture, and shown copies are drawn anew), but nobody takes it with a camera.
    """
    found = DOCUMENTS.match(rest.lstrip(b"\0 \t\r\n"))
    if found:
        raise PhotoWithAttachment(what=found.lastgroup)
    if b"PK\x05\x06" in rest[-ZIP_DIRECTORY_BYTES:]:
        raise PhotoWithAttachment(what="ZIP")


ZIP_DIRECTORY_BYTES = 22 + 65_535

OTHERS = [
    (b"GIF8", "是 GIF 动图"),
    (b"%PDF", "是 PDF 文件"),
    (b"BM", "是 BMP 图片"),
    (b"II*\0", "是 TIFF 或相机原始格式"),
    (b"MM\0*", "是 TIFF 或相机原始格式"),
    (b"PK\x03\x04", "是压缩包或 Office 文件"),
    (b"Rar!", "是压缩包"),
    (b"7z\xbc\xaf", "是压缩包"),
    (b"\x1aE\xdf\xa3", "是视频"),
    (b"RIFF", "是音频或视频"),
]


def _name_of(head: bytes) -> str:
    """For people: what this is instead of a photo."""
    if brands := brands_of(head):
        return "是 AVIF 图片" if {b"avif", b"avis"} & set(brands) else "是视频或别的媒体文件"
    if b"<svg" in head:
        return "是 SVG 图形"
    if re.match(rb"\s*(<!doctype|<html|<)", head, re.IGNORECASE):
        return "是网页或 XML 文件"
    return next((name for magic, name in OTHERS if head.startswith(magic)), "认不出是什么文件")


NOTHING = Image.Exif()

EXIF_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
)
"What Pillow's reader of EXIF raises on damaged tables, by its own list and by trial."


def _exif(tiff: bytes) -> Image.Exif:
    """The tables of EXIF; empty where damaged."""
    if not tiff:
        return NOTHING
    exif = Image.Exif()
    try:
        exif.load(tiff)
    except EXIF_FAULTS:
        return NOTHING
    return exif


def _orientation(exif: Image.Exif) -> int:
    said = exif.get(ExifTags.Base.Orientation)
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def _table(exif: Image.Exif, which: ExifTags.IFD) -> dict:
    try:
        return exif.get_ifd(which)
    except EXIF_FAULTS:
        return {}


def _taken_at(exif: Image.Exif) -> datetime | None:
    """When the shutter was released; the date of a file's last change (tag 306) is not that and is not taken for it."""
    said = _table(exif, ExifTags.IFD.Exif)
    for time, offset in (
        (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
        (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
    ):
        match = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", _text(said.get(time)))
        if match:
            try:
                return datetime(*map(int, match.groups()), tzinfo=_offset(_text(said.get(offset))))
            except ValueError:
                continue
    return None


def _offset(text: str) -> timezone | None:
    match = re.match(r"([+-])(\d\d):(\d\d)", text)
    if not match:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes > 14 * 60:
        return None
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def _place(exif: Image.Exif) -> tuple[float, float] | tuple[None, None]:
    """Latitude and longitude; (0, 0) is what phones write without a fix."""
    said = _table(exif, ExifTags.IFD.GPSInfo)
    latitude = _degrees(said.get(ExifTags.GPS.GPSLatitude), said.get(ExifTags.GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(said.get(ExifTags.GPS.GPSLongitude), said.get(ExifTags.GPS.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(parts: object, reference: object, signs: str, limit: int) -> float | None:
    """Degrees to seven places (a centimetre), or None unless three finite numbers and a known direction are there."""
    side = _text(reference)[:1].upper()
    if not isinstance(parts, tuple) or len(parts) != 3 or side not in signs or not side:
        return None
    try:
        degrees, minutes, seconds = map(float, parts)
    except EXIF_FAULTS:
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value) or not 0 <= value <= limit:
        return None
    return round(-value if side == signs[1] else value, 7)


def _camera(exif: Image.Exif) -> str | None:
    """Maker and model, without saying the maker twice."""
    maker, model = _text(exif.get(ExifTags.Base.Make)), _text(exif.get(ExifTags.Base.Model))
    both = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    return both.strip()[:80] or None


def _text(value: object) -> str:
    """A string of EXIF without what follows its NUL and without control characters; empty for anything else."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    with suppress(
        UnicodeError
    ):  # EXIF knows ASCII only; phones write UTF-8 or what they like, and Pillow reads Latin-1
        value = value.encode("latin-1").decode("utf-8")
    return "".join(sign for sign in value.partition("\0")[0] if sign.isprintable()).strip()
