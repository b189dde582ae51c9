"""Content encodings: answers packed as the caller asks for them, bodies unpacked up to a hard limit.

The levels are the cheapest: a page of pull is packed anew for each reader, and the phone's link gains little beyond.
"""

import zlib
from collections.abc import Callable, Mapping

from backports import zstd
from django.http import HttpRequest, HttpResponse

from safety.errors import Malformed, TooLarge, UnsupportedMedia

SMALLEST = 512  # bytes; packing less saves no packet
GZIP_LEVEL, ZSTD_LEVEL = 3, 1  # of gzip the third costs no more than the first, measured on pages of visits
GZIP = 31  # zlib's name for the gzip container
WINDOW = {zstd.DecompressionParameter.window_log_max: 23}  # a frame may ask for no more than 8 MB of memory


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=GZIP)
    return packer.compress(content) + packer.flush()


def _zstd(content: bytes) -> bytes:
    return zstd.compress(content, level=ZSTD_LEVEL)


PACK: Mapping[str, Callable[[bytes], bytes]] = {"zstd": _zstd, "gzip": _gzip}  # in order of liking
UNPACKERS: Mapping[str, Callable] = {
    "gzip": lambda: zlib.decompressobj(wbits=GZIP),
    "zstd": lambda: zstd.ZstdDecompressor(options=WINDOW),
}


def pack(response: HttpResponse, request: HttpRequest) -> HttpResponse:
    """The answer in the best encoding that the caller takes; as it is when it is small or nothing fits."""
    response["Vary"] = "Accept-Encoding"
    if response.status_code != 200 or len(response.content) < SMALLEST:
        return response
    encoding = chosen(request.headers.get("Accept-Encoding", ""))
    if encoding is not None:
        response.content = PACK[encoding](response.content)
        response["Content-Encoding"] = encoding
    return response


def chosen(accepted: str) -> str | None:
    """Of an Accept-Encoding header: the encoding that we like best among those taken, or None."""
    taken = {}
    for each in accepted.lower().split(","):
        name, _, parameters = each.partition(";")
        taken[name.strip()] = parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in PACK if taken.get(name, False)), None)


def decoded(content: bytes, encoding: str, *, max_bytes: int, **more) -> bytes:
    """A body without its Content-Encoding. No more than `max_bytes` are ever unpacked.

    Raises TooLarge with `more` beyond that, Malformed for what is broken or cut off, UnsupportedMedia for an encoding
    that we do not know.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return content
    if encoding not in UNPACKERS:
        raise UnsupportedMedia("unsupported-encoding", "不认识这种压缩方式,请用 gzip、zstd,或不压缩。")
    unpacker = UNPACKERS[encoding]()
    try:
        plain = unpacker.decompress(content, max_bytes + 1)
    except (zlib.error, zstd.ZstdError) as broken:
        raise Malformed(reason=f"{encoding} 压缩的内容已损坏") from broken
    if len(plain) > max_bytes:
        raise TooLarge(max_bytes=max_bytes, **more)
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed(reason=f"{encoding} 压缩的内容不完整")
    return plain
