"""The cursor: small, opaque, its person's alone; whatever is sent instead of one is told so."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.errors import Malformed
from safety.ids import new_id
from sync.cursor import VERSION, Cursor, CursorExpired, Transition, decode_cursor, encode_cursor, filter_hash

ME = UUID("01936f60-0000-7000-8000-000000000001")
HASH = "0123456789abcdefghijklmnopqrstuvwxyz-_ABCDE"

numbers = st.integers(min_value=0, max_value=2**53 - 1)
hashes = st.sampled_from(["", HASH, HASH[::-1]])
transitions = st.builds(
    Transition,
    to=st.just(HASH),
    stage=st.sampled_from(["remove", "add"]),
    since=numbers,
    at=numbers,
    whole=st.booleans(),
    left=hashes,
)
cursors = st.builds(
    Cursor,
    version=st.just(VERSION),
    epoch=st.text("e-0123456789abcdef", max_size=40),
    seq=numbers,
    exits_told=numbers,
    scope=hashes,
    filter=st.sampled_from(["", HASH[:16]]),
    schema=st.integers(min_value=1, max_value=32767),
    transition=st.none() | transitions,
)


@given(cursors)
def test_cursor_comes_back_as_it_went(cursor):
    text = encode_cursor(cursor, ME)
    assert decode_cursor(text, ME) == cursor
    assert len(text) <= 512 and text.replace("-", "").replace("_", "").isalnum()


def test_largest_cursor_has_at_most_512_bytes():
    most = 2**53 - 1
    way = Transition(to=HASH, stage="remove", since=most, at=most, whole=True, left=HASH)
    cursor = Cursor(
        version=VERSION,
        epoch="e-" + "f" * 38,
        seq=most,
        exits_told=most,
        scope=HASH,
        filter=HASH[:16],
        schema=32767,
        transition=way,
    )
    assert len(encode_cursor(cursor, ME)) <= 512


@given(st.text(max_size=600) | st.binary(max_size=300).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_nonsense_is_malformed(text):
    with pytest.raises(Malformed):
        decode_cursor(text, ME)


@given(cursors, st.data())
def test_changed_cursor_is_worth_nothing(cursor, data):
    text = encode_cursor(cursor, ME)
    sealed = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((CursorExpired, Malformed)):
        decode_cursor(base64.urlsafe_b64encode(bytes(sealed)).rstrip(b"=").decode(), ME)


def test_cursor_of_another_person_asks_for_a_snapshot():
    text = encode_cursor(Cursor(version=VERSION, epoch="e-1", seq=7, scope=HASH, schema=1), new_id())
    with pytest.raises(CursorExpired) as refused:
        decode_cursor(text, ME)
    assert refused.value.as_json()["action"] == "resnapshot"


def test_cursor_of_another_version_asks_for_a_snapshot():
    text = encode_cursor(Cursor(version=VERSION + 1, epoch="e-1", seq=7, scope=HASH, schema=1), ME)
    with pytest.raises(CursorExpired):
        decode_cursor(text, ME)


def test_filter_is_the_same_in_any_order_and_empty_for_everything():
    assert filter_hash(["sites", "photos", "sites"]) == filter_hash(["photos", "sites"]) != filter_hash(["photos"])
    assert filter_hash([]) == ""
