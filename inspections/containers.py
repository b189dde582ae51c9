"""How JPEG, PNG and WebP files are laid out: one walk over the structure, no pixel decoded. HEIC has a file of its own.

A walk answers with an Outline or raises PhotoTruncated (the bytes end early), PhotoUnreadable (they contradict themselves)
or PhotoNotAnImage (an animation). It is what the upload door can afford: about a millisecond for a megabyte.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from inspections.photo_problems import PhotoNotAnImage, PhotoTruncated, PhotoUnreadable

Format = Literal["jpeg", "png", "webp", "heic"]


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """What the structure says. Width and height are as stored, before orientation."""

    format: Format
    media_type: str
    width: int
    height: int
    orientation: int | None = None
    "EXIF's 1–8 where the container itself says how to turn (HEIC); None: EXIF says."
    exif: bytes = b""
    "The TIFF structure, without the Exif header."
    end: int
    "Offset behind the primary picture; what follows belongs to somebody else."
    coded_pixels: int = 0
    "Pixels that decoding goes through, where they may be more than width × height (HEIC)."

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height after the container's own orientation."""
        return (self.height, self.width) if (self.orientation or 1) >= 5 else (self.width, self.height)

    @property
    def pixels(self) -> int:
        """The most pixels that decoding has to hold or to go through."""
        return max(self.width * self.height, self.coded_pixels)


MAX_PARTS = 20_000
"Segments, chunks or boxes in one file; a camera writes tens, a PNG encoder some thousands."

MAX_SCANS = 100
"Scans of a progressive JPEG; encoders write about ten. Each costs a pass over the whole picture."

DAMAGED = "文件结构已损坏"
UNSUPPORTED = "这种编码方式不支持"


def outline_jpeg(data: bytes) -> Outline:
    """Walk the segments to the end-of-image marker of the first picture; thumbnails lie inside segments and are skipped."""
    frame, exif, scans = None, b"", 0
    for marker, start, end in _jpeg_segments(data):
        if marker in START_OF_FRAME:
            if frame:
                raise PhotoUnreadable(reason=DAMAGED)
            frame = _jpeg_frame(marker, data[start:end])
        elif marker == 0xE1 and not exif and data.startswith(b"Exif\0\0", start):
            exif = data[start + 6 : end]
        elif marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS or not frame:
                raise PhotoUnreadable(reason=DAMAGED)
        elif marker == 0xD9:
            if not scans:
                raise PhotoUnreadable(reason=DAMAGED)
            width, height = frame
            return Outline(format="jpeg", media_type="image/jpeg", width=width, height=height, exif=exif, end=end)
    raise PhotoTruncated()


MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker with where its payload starts and ends; stuffed bytes, restarts and junk between segments are passed over."""
    at = 2
    for _ in range(MAX_PARTS):
        found = MARKER.search(data, at)
        if not found:
            raise PhotoTruncated()
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD8:  # another picture begins where this one had to end
            raise PhotoTruncated()
        if marker == 0xD9:
            yield marker, at, at
            return
        length = int.from_bytes(_take(data, at, 2))
        if length < 2:
            raise PhotoUnreadable(reason=DAMAGED)
        _take(data, at + length - 1, 1)
        yield marker, at + 2, at + length
        at += length
    raise PhotoUnreadable(reason=DAMAGED)


def _jpeg_frame(marker: int, body: bytes) -> tuple[int, int]:
    """Width and height. Lossless, arithmetic and 12-bit frames are refused: no phone writes them and not every browser reads them."""
    if len(body) < 6:
        raise PhotoUnreadable(reason=DAMAGED)
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    if marker > 0xC2 or bits != 8 or components not in (1, 3, 4):
        raise PhotoUnreadable(reason=UNSUPPORTED)
    if not (width and height):
        raise PhotoUnreadable(reason=DAMAGED)
    return width, height


def outline_png(data: bytes) -> Outline:
    """Walk the chunks to IEND and check the CRC of each."""
    at, size, exif, pixels_follow = 8, None, b"", False
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack(">I4s", _take(data, at, 8))
        body = _take(data, at + 8, length)
        (crc,) = struct.unpack(">I", _take(data, at + 8 + length, 4))
        if crc != zlib.crc32(body, zlib.crc32(kind)) or (size is None) != (kind == b"IHDR"):
            raise PhotoUnreadable(reason=DAMAGED)
        at += 12 + length
        if kind == b"IHDR":
            size = _png_size(body)
        elif kind == b"acTL":
            raise PhotoNotAnImage(what="是动图")
        elif kind == b"eXIf" and not exif:
            exif = bytes(body)
        elif kind == b"IDAT":
            pixels_follow = True
        elif kind == b"IEND":
            break
    else:
        raise PhotoUnreadable(reason=DAMAGED)
    if not pixels_follow:
        raise PhotoUnreadable(reason=DAMAGED)
    width, height = size
    return Outline(format="png", media_type="image/png", width=width, height=height, exif=exif, end=at)


def _png_size(header: memoryview) -> tuple[int, int]:
    if len(header) != 13:
        raise PhotoUnreadable(reason=DAMAGED)
    width, height = struct.unpack_from(">II", header)
    if not (width and height):
        raise PhotoUnreadable(reason=DAMAGED)
    return width, height


def outline_webp(data: bytes) -> Outline:
    """Walk the RIFF chunks; the length in the RIFF header says where the picture ends."""
    end = 8 + int.from_bytes(_take(data, 4, 4), "little")
    _take(data, end - 1, 1)
    canvas, picture, exif = None, None, b""
    for kind, body in _riff_chunks(data, end):
        if kind == b"VP8X":
            canvas = _webp_canvas(body)
        elif kind in (b"ANIM", b"ANMF"):
            raise PhotoNotAnImage(what="是动图")
        elif kind in (b"VP8 ", b"VP8L") and not picture:
            picture = _webp_lossy(body) if kind == b"VP8 " else _webp_lossless(body)
        elif kind == b"EXIF" and not exif:
            exif = bytes(body).removeprefix(b"Exif\0\0")
    if not picture or not all(picture) or canvas not in (None, picture):
        raise PhotoUnreadable(reason=DAMAGED)
    width, height = picture
    return Outline(format="webp", media_type="image/webp", width=width, height=height, exif=exif, end=end)


def _riff_chunks(data: bytes, end: int) -> Iterator[tuple[bytes, memoryview]]:
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        kind, length = struct.unpack("<4sI", _take(data, at, 8))
        if at + 8 + length > end:
            raise PhotoUnreadable(reason=DAMAGED)
        yield kind, _take(data, at + 8, length)
        at += 8 + length + length % 2
    raise PhotoUnreadable(reason=DAMAGED)


def _webp_canvas(body: memoryview) -> tuple[int, int]:
    if len(body) < 10:
        raise PhotoUnreadable(reason=DAMAGED)
    if body[0] & 0x02:
        raise PhotoNotAnImage(what="是动图")
    return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1


def _webp_lossy(body: memoryview) -> tuple[int, int]:
    if len(body) < 10 or body[3:6] != b"\x9d\x01\x2a":
        raise PhotoUnreadable(reason=DAMAGED)
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _webp_lossless(body: memoryview) -> tuple[int, int]:
    if len(body) < 5 or body[0] != 0x2F:
        raise PhotoUnreadable(reason=DAMAGED)
    (bits,) = struct.unpack_from("<I", body, 1)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _take(data: bytes, at: int, length: int) -> memoryview:
    """That many bytes, or PhotoTruncated."""
    if at + length > len(data):
        raise PhotoTruncated()
    return memoryview(data)[at : at + length]
