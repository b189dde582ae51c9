"""The upload door for photo bytes: what is recognised, what is refused, and that nothing else than a Problem comes of bad bytes."""

import io
import struct
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inspections.photo_problems import (
    PhotoMislabelled,
    PhotoNotAnImage,
    PhotoProblem,
    PhotoTooLarge,
    PhotoTooManyPixels,
    PhotoTruncated,
    PhotoUnreadable,
    PhotoWithAttachment,
)
from inspections.pictures import PictureFacts, look
from tests.inspections.photographs import box, chunk, encoded, exif, heic, png, scene, turned

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # damaged EXIF, on purpose

LIMITS = {"max_bytes": 5_000_000, "max_pixels": 20_000_000}

SMALL = {
    "jpeg": turned(6, size=(80, 60)),
    "progressive": encoded(scene(80, 60), progressive=True, exif=exif()),
    "png": turned(6, "PNG", size=(80, 60)),
    "webp": turned(6, "WEBP", size=(80, 60)),
    "webp-lossless": encoded(scene(80, 60), "WEBP", lossless=True),
    "heic": heic("turned_6"),
    "heic-grid": heic("grid"),
    "heic-alpha": heic("alpha"),
}


def facts(data: bytes, **more) -> PictureFacts:
    return look(data, **LIMITS, **more)


@pytest.mark.parametrize(
    ("data", "format", "media_type", "size"),
    [
        (turned(1), "jpeg", "image/jpeg", (640, 480)),
        (turned(6), "jpeg", "image/jpeg", (640, 480)),
        (turned(8, "PNG"), "png", "image/png", (640, 480)),
        (turned(5, "WEBP"), "webp", "image/webp", (640, 480)),
        (SMALL["webp-lossless"], "webp", "image/webp", (80, 60)),
        (heic("turned_1"), "heic", "image/heic", (64, 48)),
        (heic("turned_7"), "heic", "image/heic", (64, 48)),
        (heic("grid"), "heic", "image/heic", (96, 128)),
    ],
)
def test_a_photo_is_recognised_by_its_content_and_measured_as_shown(data, format, media_type, size):
    seen = facts(data)
    assert (seen.format, seen.media_type, (seen.width, seen.height)) == (format, media_type, size)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_that_of_exif(orientation, kind):
    assert facts(turned(orientation, kind)).orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_heic_is_that_of_its_boxes(orientation):
    assert facts(heic(f"turned_{orientation}")).orientation == orientation


def test_the_orientation_of_heic_ignores_exif_when_the_boxes_say_nothing_of_it():
    lying = heic("turned_6").replace(b"irot", b"free")
    assert facts(lying).orientation == 1


@pytest.mark.parametrize("nonsense", [0, 9, 300])
def test_an_impossible_orientation_is_none(nonsense):
    assert facts(encoded(scene(), exif=exif(orientation=nonsense))).orientation == 1


@pytest.mark.parametrize("data", [turned(1), turned(1, "PNG"), turned(1, "WEBP"), heic("turned_3")])
def test_time_place_and_camera_are_read_from_exif(data):
    seen = facts(data)
    assert seen.taken_at == datetime(2026, 11, 23, 6, 32, 5, tzinfo=UTC)
    assert seen.taken_at.utcoffset() == timedelta(hours=8)
    assert (seen.latitude, seen.longitude) == (34.9012333, 109.0823333)
    assert seen.camera == "Maker Phone 7"


def test_the_time_is_the_wall_clock_when_exif_names_no_offset():
    assert facts(encoded(scene(), exif=exif(offset=None))).taken_at == datetime(2026, 11, 23, 14, 32, 5)


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2026:13:45 99:00:00", "gestern", ""])
def test_a_time_that_is_none_is_absent(taken):
    assert facts(encoded(scene(), exif=exif(taken=taken))).taken_at is None


@pytest.mark.parametrize(
    "place",
    [
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (109.0, 0.0, 0.0)},
        {2: (34.0, 0.0, 0.0), 4: (109.0, 0.0, 0.0)},
        {1: "N", 2: (34.0, 0.0, 0.0)},
        {1: "N", 2: (34.0, 54.0), 3: "E", 4: (109.0, 4.0)},
    ],
)
def test_a_place_that_is_none_is_absent(place):
    said = Image.Exif()
    said.get_ifd(0x8825).update(place)
    seen = facts(encoded(scene(), exif=said.tobytes()))
    assert (seen.latitude, seen.longitude) == (None, None)


def test_south_and_west_are_negative():
    said = Image.Exif()
    said.get_ifd(0x8825).update({1: "S", 2: (34.0, 30.0, 0.0), 3: "W", 4: (109.0, 15.0, 0.0)})
    seen = facts(encoded(scene(), exif=said.tobytes()))
    assert (seen.latitude, seen.longitude) == (-34.5, -109.25)


def test_damaged_exif_costs_its_facts_and_not_the_photo():
    whole = turned(6)
    at = whole.index(b"MM\0*")
    seen = facts(whole[: at + 4] + b"\xff\xff\xff\xff" + whole[at + 8 :])
    assert (seen.orientation, seen.taken_at, seen.latitude, seen.camera) == (1, None, None, None)


def test_a_camera_name_may_be_chinese_and_carries_no_control_characters():
    said = Image.Exif()
    said[0x010F], said[0x0110] = "华为".encode() + b"\x07", b"P\0rest"
    assert facts(encoded(scene(), exif=said.tobytes())).camera == "华为 P"


def test_a_file_is_read_whole_and_left_at_its_beginning():
    file = io.BytesIO(turned(1))
    file.seek(100)
    assert look(file, **LIMITS).format == "jpeg"
    assert file.tell() == 0


@pytest.mark.parametrize("name", SMALL)
def test_a_photo_cut_anywhere_is_refused_as_truncated(name):
    whole = SMALL[name]
    facts(whole)
    passed = [n for n in range(len(whole)) if _code(whole[:n]) != "photo-truncated"]
    assert passed == []


def _code(data: bytes) -> str:
    try:
        return facts(data).format
    except PhotoProblem as problem:
        return problem.code


def test_a_photo_whose_end_was_never_written_is_refused():
    whole = turned(1)
    with pytest.raises(PhotoTruncated):
        facts(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))


def test_a_thumbnail_in_exif_does_not_pass_for_the_end_of_the_photo():
    thumbnail = encoded(scene(40, 30))
    body = b"Exif\0\0" + exif() + thumbnail
    whole = encoded(scene())
    photo = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + whole[2:]
    assert facts(photo).width == 640
    with pytest.raises(PhotoTruncated):
        facts(photo[: len(body) + 40])


def test_no_bytes_at_all_are_truncated():
    with pytest.raises(PhotoTruncated):
        facts(b"")


def test_a_photo_is_refused_when_it_has_more_bytes_than_allowed():
    whole = turned(1)
    with pytest.raises(PhotoTooLarge) as refused:
        look(whole, max_bytes=len(whole) - 1)
    assert refused.value.status == 413
    assert look(whole, max_bytes=len(whole)).format == "jpeg"


def test_a_large_file_is_refused_without_being_read():
    class Unread(io.BytesIO):
        def read(self, *size):
            raise AssertionError("read")

    with pytest.raises(PhotoTooLarge):
        look(Unread(bytes(1001)), max_bytes=1000)


def _jpeg_bomb() -> bytes:
    whole = bytearray(encoded(scene()))
    at = whole.index(b"\xff\xc0") + 5
    whole[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(whole)


def _webp_bomb() -> bytes:
    whole = bytearray(SMALL["webp-lossless"])
    at = whole.index(b"VP8L") + 9
    whole[at : at + 4] = struct.pack("<I", 0x0FFFFFFF)
    return bytes(whole)


def _heic_bomb() -> bytes:
    small, large = struct.pack(">II", 128, 96), struct.pack(">II", 60_000, 60_000)
    sides = struct.pack(">HH", 128, 96), struct.pack(">HH", 60_000, 60_000)
    return heic("grid").replace(small, large).replace(*sides)


def _heic_bomb_of_tiles() -> bytes:
    return heic("grid").replace(struct.pack(">II", 64, 64), struct.pack(">II", 30_000, 30_000))


@pytest.mark.parametrize(
    "bomb", [png(30_000, 30_000), _jpeg_bomb(), _webp_bomb(), _heic_bomb(), _heic_bomb_of_tiles()], ids=range(5)
)
def test_a_bomb_is_refused_by_its_header(bomb):
    with pytest.raises(PhotoTooManyPixels) as refused:
        facts(bomb)
    assert refused.value.status == 413


def test_a_grid_that_is_larger_than_it_declares_is_refused():
    with pytest.raises(PhotoUnreadable):
        facts(heic("grid").replace(struct.pack(">II", 128, 96), struct.pack(">II", 12, 9)))


def test_a_jpeg_with_very_many_scans_is_refused():
    whole = encoded(scene(80, 60), progressive=True)
    at = whole.rindex(b"\xff\xda")
    scan = whole[at:-2]
    with pytest.raises(PhotoUnreadable):
        facts(whole[:at] + scan * 200 + b"\xff\xd9")


def test_a_png_of_very_many_chunks_is_refused():
    with pytest.raises(PhotoUnreadable):
        facts(png(8, 8, b"", *[chunk(b"tEXt", b"")] * 30_000))


def test_a_damaged_png_is_refused_by_its_check_sum():
    whole = bytearray(turned(1, "PNG"))
    whole[whole.index(b"IDAT") + 20] ^= 1
    with pytest.raises(PhotoUnreadable):
        facts(bytes(whole))


@pytest.mark.parametrize("name", ["turned_1", "grid"])
def test_a_heic_with_zeroes_in_the_place_of_its_picture_is_refused(name):
    whole = heic(name)
    at = whole.index(b"mdat") + 4
    with pytest.raises(PhotoUnreadable):
        facts(whole[:at] + bytes(len(whole) - at))


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("image/png", "jpeg"),
        ("image/jpeg", "png"),
        ("image/jpeg", "heic"),
        ("image/heic", "webp"),
        ("text/html", "jpeg"),
    ],
)
def test_a_photo_is_refused_when_it_comes_under_another_type(claimed, name):
    with pytest.raises(PhotoMislabelled) as refused:
        facts(SMALL[name], claimed=claimed)
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("image/jpeg", "jpeg"),
        ("IMAGE/JPEG; charset=binary", "jpeg"),
        ("image/jpg", "jpeg"),
        ("image/heif", "heic"),
        ("application/octet-stream", "png"),
        ("", "webp"),
        (None, "heic"),
    ],
)
def test_a_photo_passes_when_its_type_is_right_or_not_said(claimed, name):
    assert facts(SMALL[name], claimed=claimed)


def _mp4(brand: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + brand) + box(b"mdat", bytes(100))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (encoded(scene(), "GIF"), "GIF"),
        (encoded(scene(), "BMP"), "BMP"),
        (encoded(scene(), "TIFF"), "TIFF"),
        (encoded(scene(), "AVIF"), "AVIF"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "SVG"),
        (b"<!DOCTYPE html><html><body>" + bytes(100), "网页"),
        (b"%PDF-1.7\n" + bytes(100), "PDF"),
        (b"PK\x03\x04" + bytes(100), "压缩包"),
        (_mp4(b"isom"), "视频"),
        (_mp4(b"qt  "), "视频"),
        (b"RIFF" + struct.pack("<I", 100) + b"WAVE" + bytes(96), "音频"),
        (bytes(1000), "认不出"),
        ("一段文字,不是照片。".encode() * 10, "认不出"),
        (encoded(scene(), "WEBP", save_all=True, append_images=[Image.new("RGB", (640, 480))], duration=50), "动图"),
        (encoded(scene(), "PNG", save_all=True, append_images=[Image.new("RGB", (640, 480))]), "动图"),
    ],
)
def test_what_is_no_photo_is_refused_and_named(data, said):
    with pytest.raises(PhotoNotAnImage) as refused:
        facts(data)
    assert refused.value.status == 415
    assert said in refused.value.detail


def test_what_phones_put_behind_the_picture_stays():
    whole = turned(6)
    second = encoded(scene(320, 240), "MPO", save_all=True, append_images=[scene(32, 24)])
    motion = whole + _mp4(b"mp42")
    for photo, trailing in (
        (motion, len(motion) - len(whole)),
        (whole + bytes(5000), 5000),
        (whole + b"SEFH\x6b\0\0\0SEFT", 12),
    ):
        assert facts(photo).trailing_bytes == trailing
    assert facts(second).trailing_bytes > 0
    assert facts(whole).trailing_bytes == 0


def _with_zip(photo: bytes) -> bytes:
    out = io.BytesIO(photo)
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("a.txt", "hidden")
    return out.getvalue()


@pytest.mark.parametrize("name", SMALL)
def test_a_photo_that_is_a_document_as_well_is_refused(name):
    for polyglot in (
        _with_zip(SMALL[name]),
        _with_zip(SMALL[name] + b"something between"),
        SMALL[name] + b"%PDF-1.7 ...",
        SMALL[name] + b"\r\n<script>alert(1)</script>",
        SMALL[name] + b"Rar!\x1a\x07\0" + bytes(20),
    ):
        with pytest.raises(PhotoWithAttachment):
            facts(polyglot)


@pytest.mark.parametrize("name", SMALL)
def test_every_refusal_tells_a_person_what_to_do(name):
    for refused in (SMALL[name][:-1], SMALL[name] + b"%PDF-", b"GIF89a" + bytes(50), png(30_000, 30_000)):
        with pytest.raises(PhotoProblem) as caught:
            facts(refused)
        assert "请" in caught.value.detail
        assert caught.value.code.startswith("photo-")
        assert caught.value.as_json()["status"] in (413, 415, 422)


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=150, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=6))
def test_damage_anywhere_is_answered_with_facts_or_a_problem(name, damage):
    whole = bytearray(SMALL[name])
    for at, bytes_ in damage:
        whole[at % len(whole) : at % len(whole) + len(bytes_)] = bytes_
    try:
        assert facts(bytes(whole)).width > 0
    except PhotoProblem as problem:
        assert problem.detail
