"""Photos drawn for the tests: one scene in every way in which a phone may store it."""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageCms

FIXTURES = Path(__file__).parents[1] / "fixtures" / "photos"

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 160, 20), (20, 20, 220), (250, 250, 250)

UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"How an upright picture must be stored so that EXIF's orientation turns it back."


def scene(width: int = 640, height: int = 480) -> Image.Image:
    """Red, green / blue, white."""
    picture = Image.new("RGB", (width, height), WHITE)
    picture.paste(RED, (0, 0, width // 2, height // 2))
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    return picture


def exif(*, orientation: int = 1, offset: str | None = "+08:00", place: bool = True, **tags: object) -> bytes:
    """EXIF of an invented phone: taken 2026-11-23 14:32:05 at 34.9012333 N, 109.0823333 E."""
    said = Image.Exif()
    said[0x010F], said[0x0110], said[0x0112] = "Maker", "Maker Phone 7", orientation
    detail = said.get_ifd(0x8769)
    detail[0x9003] = tags.get("taken", "2026:11:23 14:32:05")
    if offset:
        detail[0x9011] = offset
    if place:
        said.get_ifd(0x8825).update({1: "N", 2: (34.0, 54.0, 4.44), 3: "E", 4: (109.0, 4.0, 56.4)})
    return said.tobytes()


def turned(orientation: int, kind: str = "JPEG", *, size: tuple[int, int] = (640, 480)) -> bytes:
    """The scene stored so that it is upright only when its EXIF orientation is applied once."""
    stored = scene(*size)
    if orientation in UNDO:
        stored = stored.transpose(UNDO[orientation])
    return encoded(stored, kind, exif=exif(orientation=orientation))


def encoded(picture: Image.Image, kind: str = "JPEG", **more) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **more)
    return out.getvalue()


def heic(name: str) -> bytes:
    return (FIXTURES / f"{name}.heic").read_bytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, body: bytes = b"", *more: bytes) -> bytes:
    """A PNG of eight-bit grey put together by hand, so that it may lie."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def swapped_gamut() -> bytes:
    """An ICC profile in which red means green and the reverse: nobody can overlook whether it was applied."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg), formats=["JPEG"])


def corners(jpeg: bytes) -> list[tuple[int, int, int]]:
    """The colours in the four quarters: upper left, upper right, lower left, lower right."""
    picture = opened(jpeg).convert("RGB")
    xs, ys = (picture.width // 4, picture.width * 3 // 4), (picture.height // 4, picture.height * 3 // 4)
    return [picture.getpixel((x, y)) for y in ys for x in xs]


def shows_scene(jpeg: bytes) -> bool:
    pairs = zip(corners(jpeg), (RED, GREEN, BLUE, WHITE), strict=True)
    return all(abs(got - meant) < 12 for pair in pairs for got, meant in zip(*pair, strict=True))
