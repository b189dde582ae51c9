"""Decodes one HEIC picture in a process of its own: bytes from stdin, pixels to stdout. Run by derivatives.py, never imported.

A few changed bytes in the item table of a HEIC end pi-heif 1.4 with a segmentation fault (a metadata type that is not UTF-8),
and its decoders are large. Here that costs a process which has nothing to lose, no setting and no more memory and time
than one picture needs; in the server it would cost the server, and again each time the job is taken up. Imports nothing
of ours, so that it starts in a tenth of a second.

    python heic_decoder.py WIDTH HEIGHT NEW_WIDTH NEW_HEIGHT < photo.heic > pixels

Out come a line "mode length-of-profile", the ICC profile and the raw pixels at the new size. It ends with REFUSED, or by a
signal, where the picture is to blame; any other end is our own fault.
"""

import sys

import pi_heif
from PIL import Image

if sys.platform == "linux":  # elsewhere these limits are missing or not to be trusted; the caller bounds the time
    import resource

REFUSED = 3
CPU_SECONDS = 60
BASE_BYTES, BYTES_A_PIXEL = 500_000_000, 20


FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    IndexError,
    MemoryError,
    Image.DecompressionBombError,
)
"What pi-heif and Pillow raise on damaged pictures."


def limit(pixels: int) -> None:
    memory = BASE_BYTES + BYTES_A_PIXEL * pixels
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode(width: int, height: int, new_width: int, new_height: int) -> None:
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    with Image.open(sys.stdin.buffer, formats=["HEIF"]) as image:
        if image.size != (width, height):
            raise ValueError(f"declared {width} x {height}, decoded {image.size}")
        profile = image.info.get("icc_profile") or b""
        image.load()
        if image.mode not in ("RGB", "RGBA", "L"):
            image = image.convert("RGBA" if "A" in image.mode.upper() else "RGB")
        small = image.resize((new_width, new_height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    sys.stdout.buffer.write(f"{small.mode} {len(profile)}\n".encode() + profile + small.tobytes())


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:]]
    if sys.platform == "linux":
        limit(sizes[0] * sizes[1])
    try:
        decode(*sizes)
    except FAULTS as fault:
        print(repr(fault), file=sys.stderr)
        sys.exit(REFUSED)
