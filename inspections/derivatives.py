"""What of a photo is shown: copies of 320 and 1600 pixels and one with the stamp, drawn anew from one decoding.

For the worker: slow (see `derive`), and never inside a transaction. Shown copies are plain sRGB JPEG without any metadata.
"""

import io
import logging
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
from PIL import Image, ImageCms

from inspections.containers import DAMAGED, Format, Outline
from inspections.photo_problems import PhotoUnreadable
from inspections.pictures import MAX_PIXELS, check_pixels, orientation_of, outline_of
from inspections.stamp import Stamp, stamped

log = logging.getLogger(__name__)

THUMB, SCREEN = 320, 1600
"Long sides in pixels."

PILLOW: dict[Format, str] = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}

DECODER_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"What Pillow's decoders raise on damaged pictures; anything else is our fault and stays one."


class Copy(msgspec.Struct, frozen=True):
    """A shown copy: JPEG bytes and their size in pixels."""

    jpeg: bytes
    width: int
    height: int


class Derivatives(msgspec.Struct, frozen=True):
    thumb: Copy
    "Long side 320 or less: never enlarged."
    screen: Copy
    "Long side 1600 or less."
    stamped: Copy | None
    "The screen copy with the stamp; taller than that where the stamp would hide too much of the picture."


def derive(original: bytes, *, stamp: Stamp | None, max_pixels: int = MAX_PIXELS) -> Derivatives:
    """The shown copies of a photo. A plain function; of 12 megapixels a JPEG takes about 0.2 s of CPU, a HEIC 1.1 s.

    Raises the Problems of `pictures.outline_of`, PhotoTooManyPixels, and PhotoUnreadable where a decoder gives up. What no
    decoder notices stays unnoticed: JPEG and HEVC carry no check sums, and a flipped bit there is a smudge, not an error.
    """
    outline = outline_of(original)
    check_pixels(outline, max_pixels)
    screen = _upright(_decoded(original[: outline.end], outline), outline)
    thumb = screen.resize(fitting(screen.size, THUMB), Image.Resampling.LANCZOS)
    return Derivatives(
        thumb=_copy(thumb, quality=80),
        screen=_copy(screen, quality=85),
        stamped=_copy(stamped(screen, stamp), quality=85) if stamp else None,
    )


def fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height with the long side at most `side`, the ratio kept, never enlarged and never nothing."""
    scale = min(1, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _decoded(data: bytes, outline: Outline) -> Image.Image:
    """The picture in sRGB, at most 1600 pixels long; HEIC upright, the others as stored."""
    small, profile = _decoded_apart(data, outline) if outline.format == "heic" else _decoded_here(data, outline)
    return _srgb(_on_white(small), profile)


def _decoded_here(data: bytes, outline: Outline) -> tuple[Image.Image, bytes | None]:
    """By Pillow, with the one decoder that the outline names. Returns the picture and its ICC profile."""
    try:
        with Image.open(io.BytesIO(data), formats=[PILLOW[outline.format]]) as image:
            if image.size != (outline.width, outline.height):  # the decoder reads another header than we did
                raise PhotoUnreadable(reason=DAMAGED)
            profile = image.info.get("icc_profile")
            target = fitting(image.size, SCREEN)
            # JPEG alone: decoded at a half, a quarter or an eighth of its size as long as that covers the target
            image.draft(None, target)
            image.load()
            return _eight_bits(image).resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0), profile
    except DECODER_FAULTS as fault:
        raise PhotoUnreadable(reason=DAMAGED) from fault


HEIC_DECODER = Path(__file__).with_name("heic_decoder.py")
HEIC_SECONDS = 90
HEIC_REFUSED = 3
"heic_decoder.REFUSED; not imported, so that no library of it ever runs in the server."


def _decoded_apart(data: bytes, outline: Outline) -> tuple[Image.Image, bytes | None]:
    """By libheif in a process of its own (heic_decoder.py says why), which turns the picture as its boxes say.

    It gets no environment: that holds secrets, and the picture comes from outside.
    """
    target = fitting(outline.shown_size, SCREEN)
    command = [sys.executable, "-I", str(HEIC_DECODER), *map(str, outline.shown_size + target)]
    try:
        child = subprocess.run(command, input=data, capture_output=True, timeout=HEIC_SECONDS, env={})
    except subprocess.TimeoutExpired as late:
        raise PhotoUnreadable(reason=DAMAGED) from late
    if child.returncode == HEIC_REFUSED or child.returncode < 0:
        log.info("photo.heic_refused exit=%s bytes=%s", child.returncode, len(data))
        raise PhotoUnreadable(reason=DAMAGED)
    child.check_returncode()
    header, _, rest = child.stdout.partition(b"\n")
    mode, profile_bytes = header.decode().split()
    profile, pixels = rest[: int(profile_bytes)], rest[int(profile_bytes) :]
    return Image.frombytes(mode, target, pixels), profile or None


def _eight_bits(image: Image.Image) -> Image.Image:
    """A mode that resizes well: no palettes, no bitmaps, no 16 bits, transparency as a channel."""
    if image.mode.startswith("I"):
        return image.point(lambda value: value / 257).convert("L")
    if image.mode in ("P", "PA", "LA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


SRGB = ImageCms.createProfile("sRGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Wide gamut, CMYK and grey to sRGB by their own profile; without a usable one by Pillow's plain conversion."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode != "RGB" or "sRGB" not in ImageCms.getProfileDescription(source):
                return ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile that contradicts its picture; the picture still shows
    return image.convert("RGB")


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"EXIF's orientation → Pillow's, whose angles run against the clock."


def _upright(image: Image.Image, outline: Outline) -> Image.Image:
    """Turned once: libheif has already done what the boxes of a HEIC say."""
    turn = None if outline.format == "heic" else TURNS.get(orientation_of(outline))
    return image if turn is None else image.transpose(turn)


def _copy(image: Image.Image, *, quality: int) -> Copy:
    """Encode. Pillow writes comments and profiles that it finds in `info`, so there is none."""
    image.info.clear()
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return Copy(out.getvalue(), image.width, image.height)
