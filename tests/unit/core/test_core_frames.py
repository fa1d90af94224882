"""Frames between keeper and client, ``core.frames``: one spelling each, bounded, total; errors come out as the class they went in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apostille import errors
from apostille.core import frames as f
from apostille.errors import ApostilleError, MalformedError, TooLargeError

_u32 = st.integers(0, 2**32 - 1)
_u64 = st.integers(0, 2**64 - 1)
_u63 = st.integers(0, 2**63 - 1)
_text = st.text(max_size=40).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
_short = st.binary(max_size=200)
_handed = st.builds(
    f.Handed, st.binary(max_size=300), _short, st.binary(min_size=16, max_size=16), st.lists(_short, max_size=4).map(tuple)
)
_refusal = st.builds(f.Refusal, _u32, _text, _text)


def _fixed(size: int):
    return st.binary(min_size=size, max_size=size)


FRAMES = st.one_of(
    st.builds(f.Challenge, _u32, st.integers(0, 255), _fixed(32)),
    st.builds(f.Hello, _u32, _short, _short),
    st.builds(f.Enrol, _u32, _short, _short, _text, _text, st.none() | _fixed(32), st.none() | _fixed(32)),
    st.builds(f.Welcome, _u32, _text, _text, _text),
    st.builds(f.Lease, _u32, _fixed(16)),
    st.builds(f.Leased, _u32, _u63, _fixed(32)),
    st.builds(f.Append, _u32, st.lists(_handed, max_size=4).map(tuple)),
    st.builds(f.Appended, _u32, st.lists(_u64, max_size=4).map(tuple), st.lists(_refusal, max_size=3).map(tuple)),
    st.builds(f.Wait, _u32, _u63, st.integers(0, 255)),
    st.builds(f.AskHead, _u32),
    st.builds(f.HeadIs, _u32, _u63, _u63, _fixed(32), _short),
    st.builds(f.AskReceipt, _u32, st.none() | _fixed(16), _u63, _u63),
    st.builds(f.ReceiptIs, _u32, _text, _short),
    st.builds(f.HandOver, _u32),
    st.builds(f.Failed, _u32, _text, _text),
)


@given(FRAMES)
def test_what_is_written_is_read_back(frame) -> None:
    assert f.parse_frame(f.format_frame(frame)) == frame


def test_every_kind_of_frame_is_tried_above() -> None:
    assert len(f._SHAPES) == 15
    assert f.JOURNAL not in {number for number, _ in f._SHAPES.values()}


@given(st.binary(max_size=400))
def test_any_bytes_give_a_frame_in_its_one_form_or_an_error(data: bytes) -> None:
    payload = data or b"\0"
    framed = struct.pack(">I", len(payload)) + payload
    try:
        frame = f.parse_frame(framed)
    except MalformedError:
        return
    assert f.format_frame(frame) == framed


@settings(max_examples=300)
@given(FRAMES, st.data())
def test_a_changed_byte_gives_another_frame_or_an_error_and_never_two_spellings(frame, data) -> None:
    written = bytearray(f.format_frame(frame))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    try:
        other = f.parse_frame(bytes(written))
    except MalformedError:
        return
    assert other != frame
    assert f.format_frame(other) == bytes(written)


@given(FRAMES, st.data())
def test_a_frame_that_is_cut_or_has_more_behind_it_is_refused(frame, data) -> None:
    written = f.format_frame(frame)
    cut = written[4 : data.draw(st.integers(4, len(written) - 1))]
    for payload in (cut, written[4:] + b"\0"):
        if len(payload) > 4:
            with pytest.raises(MalformedError):
                f.parse_payload(payload)
    with pytest.raises(MalformedError):
        f.parse_frame(written + b"\0")


@pytest.mark.parametrize(
    ("why", "payload"),
    [
        ("no type", b""),
        ("no request", b"\x0a\0\0\0"),
        ("a type that is reserved", b"\x10\0\0\0\1"),
        ("type 0", b"\0\0\0\0\1"),
        ("a list longer than its frame", b"\x07\0\0\0\1\xff\xff\xff\xff"),
        ("a flag that is neither", b"\x0c\0\0\0\1\2" + bytes(16)),
        ("a text that is not UTF-8", b"\x0f\0\0\0\1\0\1\xff\0\0"),
    ],
)
def test_refused(why: str, payload: bytes) -> None:
    with pytest.raises(MalformedError):
        f.parse_frame(struct.pack(">I", len(payload)) + payload)


def test_lengths_are_bounded_before_anything_is_read() -> None:
    with pytest.raises(TooLargeError):
        f.frame_length(struct.pack(">I", 64 * 2**20 + 1))
    with pytest.raises(TooLargeError):
        f.frame_length(struct.pack(">I", 4097), limit=f.MAX_UNPROVEN_BYTES)
    with pytest.raises(MalformedError):
        f.frame_length(struct.pack(">I", 4))
    assert f.frame_length(struct.pack(">I", 64 * 2**20)) == 64 * 2**20
    big = f.Handed(b"", b"", bytes(16), (bytes(64 * 2**20),))
    with pytest.raises(TooLargeError):
        f.format_frame(f.Append(1, (big,)))


@pytest.mark.parametrize(
    "frame", [f.Wait(1, -1, 0), f.Wait(1, 2**64, 0), f.Wait(1, 1, 256), f.Lease(1, bytes(15)), f.Failed(1, "\ud800", ""),
              f.Hello(2**32, b"", b""), f.Hello(1, bytes(2**16), b""), f.Append(1, (f.Handed(b"", b"", bytes(15), ()),))]
)  # fmt: skip
def test_what_a_frame_has_no_room_for_is_not_written(frame) -> None:
    with pytest.raises(MalformedError):
        f.format_frame(frame)


def _classes(root):
    return [root] + [kind for child in root.__subclasses__() for kind in _classes(child)]


@pytest.mark.parametrize("kind", _classes(ApostilleError), ids=lambda kind: kind.__name__)
def test_an_error_comes_out_as_the_class_and_words_that_went_in(kind) -> None:
    more = {errors.TooLargeError: {"limit": 3}, errors.UnsupportedVersionError: {"version": "9"}}
    more |= {errors.InvalidSignatureError: {"key_name": "k"}}
    error = kind("what is wrong", **more.get(kind, {}))
    back = f.error_of(*f.error_words(error))
    assert type(back) is kind
    assert str(back) == str(error)


def test_a_fault_of_the_keepers_own_says_nothing_of_itself() -> None:
    code, message = f.error_words(RuntimeError("an output: secret"))
    assert "secret" not in message
    assert type(f.error_of(code, message)) is errors.OutcomeUnknownError
    assert type(f.error_of("a code of a later version", "m")) is errors.OutcomeUnknownError


def test_what_a_client_signs_binds_the_log_and_the_connection() -> None:
    assert f.hello_message("log.example/a", b"c" * 32) == b"apostille keeper hello v1\nlog.example/a\n" + b"c" * 32
