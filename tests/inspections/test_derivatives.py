"""What of a photo is shown: sizes, upright, colours, no metadata, and a Problem where a decoder gives up."""

import os
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from inspections.derivatives import Derivatives, derive, fitting
from inspections.photo_problems import PhotoProblem, PhotoTooManyPixels, PhotoUnreadable
from inspections.pictures import look
from inspections.stamp import Stamp
from tests.inspections.photographs import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    chunk,
    corners,
    encoded,
    exif,
    heic,
    opened,
    png,
    scene,
    shows_scene,
    swapped_gamut,
    turned,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # damaged EXIF, on purpose

STAMP = Stamp(school="市三中", taken_at=datetime(2026, 11, 23, 6, 32, 5, tzinfo=UTC), site="食堂", inspector="王建国")


def copies(made: Derivatives) -> list[bytes]:
    return [made.thumb.jpeg, made.screen.jpeg, made.stamped.jpeg]


@pytest.mark.parametrize(
    ("size", "side", "fitted"),
    [
        ((4000, 3000), 1600, (1600, 1200)),
        ((3000, 4000), 320, (240, 320)),
        ((100, 80), 320, (100, 80)),
        ((5000, 3), 320, (320, 1)),
        ((1, 1), 320, (1, 1)),
    ],
)
def test_a_size_is_fitted_to_its_long_side_and_never_enlarged(size, side, fitted):
    assert fitting(size, side) == fitted


def test_a_camera_photo_is_shown_at_320_and_1600_and_stamped():
    made = derive(turned(6, size=(4000, 3000)), stamp=STAMP)
    for copy, size in ((made.thumb, (320, 240)), (made.screen, (1600, 1200)), (made.stamped, (1600, 1200))):
        assert (copy.width, copy.height) == opened(copy.jpeg).size == size
    assert shows_scene(made.thumb.jpeg)
    assert shows_scene(made.screen.jpeg)
    assert made.stamped.jpeg != made.screen.jpeg


def test_a_small_photo_keeps_its_size():
    made = derive(encoded(scene(200, 150)), stamp=None)
    assert [(copy.width, copy.height) for copy in (made.thumb, made.screen)] == [(200, 150)] * 2
    assert made.stamped is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_turned_upright_once(orientation, kind):
    made = derive(turned(orientation, kind), stamp=STAMP)
    assert all(opened(jpeg).getexif() == {} for jpeg in copies(made))
    assert (made.screen.width, made.screen.height) == (640, 480)
    assert shows_scene(made.screen.jpeg)
    assert shows_scene(made.thumb.jpeg)


@pytest.mark.parametrize("name", [*(f"turned_{n}" for n in range(1, 9)), "grid"])
def test_a_heic_is_turned_upright_once(name):
    seen, made = look(heic(name), max_bytes=10_000), derive(heic(name), stamp=None)
    assert (made.screen.width, made.screen.height) == (seen.width, seen.height)
    assert shows_scene(made.screen.jpeg)


def _segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """Every marker of a JPEG with its payload, read here by hand; fails where anything follows the end."""
    at, found = 2, []
    while True:
        assert jpeg[at] == 0xFF
        marker = jpeg[at + 1]
        (length,) = struct.unpack_from(">H", jpeg, at + 2)
        found.append((marker, jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
        if marker == 0xDA:
            assert jpeg.index(b"\xff\xd9", at) == len(jpeg) - 2
            return found


def _with_everything() -> bytes:
    """A JPEG with EXIF, place, thumbnail, XMP, a comment, a profile, a second picture and a video behind it."""
    photo = encoded(
        scene(800, 600),
        "MPO",
        save_all=True,
        append_images=[scene(80, 60)],
        exif=exif(orientation=3),
        comment=b"a secret comment",
        icc_profile=swapped_gamut(),
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/">secret</x:xmpmeta>',
    )
    return photo + struct.pack(">I4s", 16, b"ftyp") + b"mp42" + bytes(4)


def test_shown_copies_carry_no_metadata():
    original = _with_everything()
    assert all(word in original for word in (b"Exif", b"secret", b"MPF\0", b"ICC_PROFILE", b"Maker Phone"))
    for jpeg in copies(derive(original, stamp=STAMP)):
        jfif, *others = _segments(jpeg)
        assert jfif == (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
        assert {marker for marker, _ in others} <= {0xDB, 0xC0, 0xC4, 0xDA}
        assert not any(word in jpeg for word in (b"Exif", b"secret", b"MPF", b"ICC", b"Maker", b"http"))
        assert set(opened(jpeg).info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_metadata_of_png_and_webp_and_heic_stays_behind():
    for original in (
        encoded(scene(), "PNG", exif=exif(), icc_profile=swapped_gamut(), dpi=(300, 300)),
        encoded(scene(), "WEBP", exif=exif(), icc_profile=swapped_gamut(), xmp=b"secret"),
        heic("turned_5"),
    ):
        for jpeg in copies(derive(original, stamp=STAMP)):
            assert {marker for marker, _ in _segments(jpeg)} <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}


def _near(jpeg: bytes, *meant: tuple[int, int, int], by: int = 12) -> bool:
    pairs = zip(corners(jpeg), meant, strict=True)
    return all(abs(a - b) < by for pair in pairs for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colours_of_another_gamut_become_those_of_srgb(kind):
    made = derive(encoded(scene(), kind, icc_profile=swapped_gamut()), stamp=None)
    red, green, blue, white = corners(made.screen.jpeg)
    assert red[1] > 150 > 60 > red[0]
    assert green[0] > 100 > 60 > green[1]
    assert blue[2] > 200
    assert min(white) > 240


@pytest.mark.parametrize("profile", [b"not a profile", bytes(128), b""])
def test_a_profile_that_is_none_is_passed_over(profile):
    assert shows_scene(derive(encoded(scene(), icc_profile=profile), stamp=None).screen.jpeg)


def test_cmyk_is_shown_in_its_colours():
    made = derive(encoded(scene().convert("CMYK")), stamp=STAMP)
    assert _near(made.screen.jpeg, RED, GREEN, BLUE, WHITE, by=16)


def test_grey_is_shown_as_grey():
    picture = scene().convert("L")
    for kind in ("JPEG", "PNG", "WEBP"):
        assert all(
            max(colour) - min(colour) < 6 for colour in corners(derive(encoded(picture, kind), stamp=STAMP).screen.jpeg)
        )


def test_sixteen_bits_become_eight():
    rows = b"".join(b"\0" + b"\x20\x00" * 40 + b"\xc8\xff" * 40 for _ in range(60))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 80, 60, 16, 0, 0, 0, 0))
    photo = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert _near(derive(photo, stamp=None).screen.jpeg, (32, 32, 32), (200, 200, 200), (32, 32, 32), (200, 200, 200))


def test_what_is_clear_is_shown_on_white():
    clear = scene().convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 320, 480))
    for original in (encoded(clear, "PNG"), encoded(clear, "WEBP"), heic("alpha")):
        assert _near(derive(original, stamp=None).screen.jpeg, (255, 255, 255), GREEN, (255, 255, 255), WHITE)


def test_a_palette_with_a_clear_entry_is_shown_on_white():
    picture = scene().quantize(4)
    clear = picture.getpixel((0, 0))
    made = derive(encoded(picture, "PNG", transparency=clear), stamp=None)
    assert _near(made.screen.jpeg, (255, 255, 255), GREEN, BLUE, WHITE)


def test_grey_with_alpha_and_black_and_white_are_shown():
    assert derive(encoded(scene().convert("LA"), "PNG"), stamp=STAMP).stamped
    assert _near(
        derive(encoded(scene().convert("1", dither=0), "PNG"), stamp=None).screen.jpeg,
        *[(0, 0, 0)] * 3,
        (255, 255, 255),
    )


@pytest.mark.parametrize(
    "original",
    [
        png(640, 480, b"no zlib stream at all"),
        png(640, 480, zlib.compress(bytes(1000))),
        encoded(scene()).replace(b"\xff\xdb", b"\xff\xec"),
        heic("turned_1").replace(b"\x42\x01\x01", b"\x42\x01\xff"),
    ],
    ids=["png-garbage", "png-short", "jpeg-without-tables", "heic-without-decoder"],
)
def test_a_photo_that_no_decoder_can_read_is_refused(original):
    with pytest.raises(PhotoUnreadable) as refused:
        derive(original, stamp=STAMP)
    assert "打不开" in refused.value.detail


def test_a_webp_with_garbage_in_it_is_refused():
    whole = bytearray(encoded(scene(), "WEBP"))
    whole[60:] = b"\xa5" * (len(whole) - 60)
    with pytest.raises(PhotoUnreadable):
        derive(bytes(whole), stamp=None)


def test_a_bomb_is_refused_again_before_it_is_decoded():
    rows = zlib.compress(bytes(30_001) * 3000)
    with pytest.raises(PhotoTooManyPixels):
        derive(png(30_000, 3000, rows), stamp=None)
    with pytest.raises(PhotoTooManyPixels):
        derive(encoded(scene()), stamp=None, max_pixels=640 * 480 - 1)


def test_a_heic_that_crashes_its_decoder_is_refused_and_the_server_lives():
    """pi-heif 1.4 ends with a segmentation fault on a metadata type that is not UTF-8; found by damaging bytes."""
    crashing = heic("turned_6").replace(b"infe\2\0\0\1\0\2\0\0Exif", b"infe\2\0\0\1\0\2\0\0Ex\xff\xff")
    assert crashing != heic("turned_6")
    with pytest.raises(PhotoUnreadable):
        derive(crashing, stamp=STAMP)


DAMAGE = st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4)


def answered(whole: bytes, damage: list[tuple[int, bytes]]) -> None:
    hurt = bytearray(whole)
    for at, bytes_ in damage:
        hurt[at % len(hurt) : at % len(hurt) + len(bytes_)] = bytes_
    try:
        assert derive(bytes(hurt), stamp=None, max_pixels=1_000_000).screen.width > 0
    except PhotoProblem as problem:
        assert problem.code.startswith("photo-")


@pytest.mark.parametrize(
    "whole",
    [
        turned(6, size=(80, 60)),
        encoded(scene(80, 60), progressive=True, icc_profile=swapped_gamut()),
        turned(6, "PNG", size=(80, 60)),
        turned(6, "WEBP", size=(80, 60)),
    ],
    ids=["jpeg", "progressive", "png", "webp"],
)
@settings(max_examples=50, deadline=None)
@given(damage=DAMAGE)
def test_damage_anywhere_is_answered_with_copies_or_a_problem(whole, damage):
    answered(whole, damage)


@pytest.mark.parametrize("name", ["turned_6", "grid"])
@settings(max_examples=10, deadline=None)
@given(damage=DAMAGE)
@example(damage=[(376, b"\x01")])  # an aperture of a billion pixels
def test_damage_in_a_heic_is_answered_with_copies_or_a_problem(name, damage):
    answered(heic(name), damage)


PHOTOS = Path(os.environ.get("SAFETY_TEST_PHOTOS", Path(__file__).parents[2].parent / "shared" / "photos"))


def photograph(name: str) -> bytes:
    """One of the real photographs; outside CI a missing folder is said and skipped."""
    file = PHOTOS / name
    if not file.exists():
        missing = f"real photographs not found: {file} (SAFETY_TEST_PHOTOS names their folder)"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return file.read_bytes()


def test_an_iphone_heic_is_shown_upright():
    original = photograph("iphone_13_pro_max.HEIC")
    seen, made = look(original, max_bytes=10_000_000), derive(original, stamp=STAMP)
    assert (seen.width, seen.height, seen.orientation, seen.camera) == (3024, 4032, 6, "Apple iPhone 13 Pro Max")
    assert seen.taken_at == datetime(2022, 2, 16, 11, 55, 41, tzinfo=UTC)
    assert [(copy.width, copy.height) for copy in (made.thumb, made.screen, made.stamped)] == [
        (240, 320),
        (1200, 1600),
        (1200, 1600),
    ]
    ceiling, floor = (
        ImageStat.Stat(opened(made.thumb.jpeg).crop(box)).mean for box in ((60, 0, 180, 40), (0, 200, 120, 240))
    )
    assert min(ceiling) > 100 > max(floor[1:])  # a white ceiling above, a brown floor below


def test_eight_orientations_of_one_scene_look_alike():
    """The number painted in the middle differs from file to file, so the rim is compared."""
    shown = [opened(derive(photograph(f"landscape_{n}.jpg"), stamp=None).screen.jpeg).convert("L") for n in range(1, 9)]
    first = _rim(shown[0])
    for other in shown[1:]:
        assert other.size == (600, 450)
        assert ImageStat.Stat(ImageChops.difference(first, _rim(other))).mean[0] < 6


def _rim(picture: Image.Image) -> Image.Image:
    rim = picture.copy()
    rim.paste(0, (250, 150, 350, 300))
    return rim


@pytest.mark.parametrize(
    ("name", "camera", "place"),
    [
        ("HMD_Nokia_8.3_5G.jpg", "HMD Global Nokia 8.3 5G", (60.1467056, 24.9067722)),
        ("DSCN0010.jpg", "NIKON COOLPIX P6000", (43.4674483, 11.8851267)),
    ],
)
def test_a_camera_jpeg_tells_its_place_and_its_copies_do_not(name, camera, place):
    original = photograph(name)
    seen = look(original, max_bytes=10_000_000, claimed="image/jpeg")
    assert (seen.camera, (seen.latitude, seen.longitude)) == (camera, place)
    for jpeg in copies(derive(original, stamp=STAMP)):
        assert {marker for marker, _ in _segments(jpeg)} <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}
