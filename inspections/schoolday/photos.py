"""Photos as they are shown: three copies, turned the right way, and nothing of the phone's EXIF in them."""

import io

from PIL import Image

from inspections.schoolday.camera import HEIGHT, RED, WIDTH, Photograph
from inspections.schoolday.phone import Phone
from inspections.schoolday.stage import Day
from inspections.schoolday.timeline import Check, holds
from inspections.schoolday.wire import Answer, until

COPY_SECONDS = 30
COPIES = ("320", "1600", "stamped")
CORNER = (8, 8)  # lies in the red corner of every copy
NEAR = 40


def show_copies(day: Day, phone: Phone, photo_id: str, photo: Photograph) -> None:
    """Waits for the copies of a photo and looks at them."""

    def all_there() -> dict[str, Answer] | None:
        answers = {name: phone.get(f"photos/{photo_id}/{name}.jpg") for name in COPIES}
        return answers if all(answer.status == 200 for answer in answers.values()) else None

    answers = until(all_there, seconds=COPY_SECONDS)
    if answers is None:
        day.event(phone.title, "看照片", "", holds(f"{COPY_SECONDS} 秒内有展示图", False))
        return
    pictures = {name: Image.open(io.BytesIO(answer.body)) for name, answer in answers.items()}
    sizes = {name: picture.size for name, picture in pictures.items()}
    day.event(
        phone.title,
        "看照片",
        "、".join(f"{name} {width}×{height}" for name, (width, height) in sizes.items()),
        Check("缩略图竖着", sizes["320"], (320 * WIDTH // HEIGHT, 320)),
        Check("大图竖着", sizes["1600"], (1600 * WIDTH // HEIGHT, 1600)),
        Check("红角在左上", [_is_red(pictures[name]) for name in ("320", "1600")], [True, True]),
        Check("没有元数据", [dict(picture.getexif()) for picture in pictures.values()], [{}] * 3),
        holds("原图不在其中", all(answer.body != photo.jpeg for answer in answers.values())),
    )


def _is_red(picture: Image.Image) -> bool:
    pixel = picture.convert("RGB").getpixel(CORNER)
    return all(abs(got - wanted) < NEAR for got, wanted in zip(pixel, RED, strict=True))
