"""Encodings: what is sent is packed as the caller asks, what comes is unpacked up to a limit and never beyond."""

import gzip
import tracemalloc
import zlib

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from safety.encoding import PACK, chosen, decoded
from safety.errors import Malformed, TooLarge, UnsupportedMedia


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "zstd"),
        ("zstd;q=0, GZIP", "gzip"),
        ("gzip; q=0", None),
        ("gzip;q=0.001", "gzip"),
        ("br", None),
        ("identity", None),
        ("*", None),
        ("", None),
    ],
)
def test_encoding_is_the_best_of_those_that_the_caller_takes(accepted, encoding):
    assert chosen(accepted) == encoding


@given(st.binary(max_size=2000), st.sampled_from(sorted(PACK)))
def test_what_was_packed_comes_back(content, encoding):
    assert decoded(PACK[encoding](content), encoding, max_bytes=2000) == content


def test_what_is_not_packed_is_left_alone():
    assert decoded(b"{}", "", max_bytes=1) == decoded(b"{}", " Identity", max_bytes=1) == b"{}"


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_bomb_is_refused_without_being_unpacked(pack):
    bomb, name = pack(bytes(200_000_000)), "gzip" if pack is gzip.compress else "zstd"
    assert len(bomb) < 300_000
    tracemalloc.start()
    with pytest.raises(TooLarge) as refused:
        decoded(bomb, name, max_bytes=8_000_000, max_ops=500)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30_000_000
    assert (refused.value.more["max_bytes"], refused.value.more["max_ops"]) == (8_000_000, 500)


def test_frame_that_asks_for_a_huge_window_is_refused():
    greedy = zstd.compress(bytes(100), options={zstd.CompressionParameter.window_log: 27})
    header = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    streamed = header.compress(bytes(100)) + header.flush()
    assert decoded(greedy, "zstd", max_bytes=1000) == bytes(100)  # it tells its size and takes no more
    with pytest.raises(Malformed):
        decoded(streamed, "zstd", max_bytes=1000)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_broken_cut_or_lengthened_content_is_malformed(encoding):
    packed = PACK[encoding](b'{"ops": []}' * 100)
    for broken in (b"", b"{}", packed[:-1], packed[: len(packed) // 2], packed + b"x", b"\x00" + packed):
        with pytest.raises(Malformed):
            decoded(broken, encoding, max_bytes=10_000)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x"])
def test_encoding_that_we_do_not_know_is_said_so(encoding):
    with pytest.raises(UnsupportedMedia) as refused:
        decoded(zlib.compress(b"x"), encoding, max_bytes=10)
    assert (refused.value.status, refused.value.code) == (415, "unsupported-encoding")
