"""Server-sent events: every line end, every split, bounded, strict UTF-8 (HTML Living Standard 9.2.6; gateway.md section 4)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apostille.errors import ApostilleError, MalformedError, TooLargeError
from apostille.faces.gateway.sse import Event, EventReader, format_event, read_events

STREAMS = [
    ("LF", b"data: a\n\ndata: b\n\n", [Event("a"), Event("b")], None),
    ("CR LF", b"data: a\r\n\r\ndata: b\r\n\r\n", [Event("a"), Event("b")], None),
    ("CR", b"data: a\r\rdata: b\r\r", [Event("a"), Event("b")], None),
    ("mixed", b"data: a\r\n\rdata: b\n\r\n", [Event("a"), Event("b")], None),
    ("no space after the colon", b"data:a\n\n", [Event("a")], None),
    ("one space goes, not two", b"data:  a\n\n", [Event(" a")], None),
    ("a colon in the value", b"data: a:b\n\n", [Event("a:b")], None),
    ("a field without a value", b"data\n\n", [Event("")], None),
    ("data lines are joined", b"data: a\ndata: b\n\n", [Event("a\nb")], None),
    ("comments go", b": keep alive\n\n: x\ndata: a\n: y\n\n", [Event("a")], None),
    ("other fields go", b"id: 7\nretry: 10\nfoo: bar\ndata: a\n\n", [Event("a")], None),
    ("an event's name", b"event: error\ndata: a\n\ndata: b\n\n", [Event("a", "error"), Event("b")], None),
    ("a name without data is no event", b"event: x\n\ndata: a\n\n", [Event("a")], None),
    ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", [Event("a")], None),
    ("a byte order mark later stays in the name", b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event("a")], None),
    ("characters beyond ASCII", "data: é€😀\n\n".encode(), [Event("é€😀")], None),
    ("U+2028 and U+0085 end no line", "data: a\u2028b\x85c\n\n".encode(), [Event("a\u2028b\x85c")], None),
    ("cut off after a line", b"data: a\n\ndata: [DONE]\n", [Event("a")], Event("[DONE]")),
    ("cut off inside a line", b"data: a\n\ndata: [DON", [Event("a")], Event("[DON")),
    ("only empty lines", b"\n\r\n\r", [], None),
    ("nothing", b"", [], None),
]


@pytest.mark.parametrize(("data", "events", "rest"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS])
def test_events(data, events, rest):
    assert read_events(data) == (events, rest)


@pytest.mark.parametrize(("data", "events", "rest"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS])
def test_every_split_gives_the_same(data, events, rest):
    for place in range(len(data) + 1):
        reader = EventReader()
        found = reader.feed(data[:place]) + reader.feed(data[place:])
        assert (found, reader.finish()) == (events, rest), place
    reader = EventReader()
    found = [event for byte in data for event in reader.feed(bytes([byte]))]
    assert (found, reader.finish()) == (events, rest)


def outcome(pieces: list[bytes]) -> object:
    reader = EventReader(max_event_bytes=40)
    found = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
        return found, reader.finish()
    except ApostilleError as error:
        return type(error)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"data", b": ", b":", b"\r", b"\n", b"\r\n", b"a", b"event", "é".encode(), b"\xff", b"x" * 17]),
        max_size=30,
    ),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_total_and_independent_of_the_split(tokens, cuts):
    data = b"".join(tokens)
    places = sorted({0, len(data), *(cut for cut in cuts if cut <= len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert outcome(pieces) == outcome([data])


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8")))
def test_what_is_written_is_read(text):
    data = text.encode()
    assert read_events(format_event(data)) == ([Event(text)], None)


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb", b"\n"])
def test_the_writer_refuses_line_ends(data):
    with pytest.raises(ValueError, match="one line"):
        format_event(data)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80"])
def test_utf8_is_strict(bad):
    with pytest.raises(MalformedError):
        read_events(b"data: " + bad + b"\n\n")


def test_a_character_split_over_two_reads_is_whole():
    reader = EventReader()
    assert reader.feed(b"data: \xe2") == []
    assert reader.feed(b"\x82\xac\n\n") == [Event("€")]


@pytest.mark.parametrize("size", [1, 1000, 2**20])
def test_an_event_is_bounded_however_it_comes(size):
    reader = EventReader(max_event_bytes=5000)
    with pytest.raises(TooLargeError):
        for _ in range(6000):
            reader.feed(b"data: " + b"x" * size)


def test_the_bound_is_per_event_and_counts_no_comment():
    reader = EventReader(max_event_bytes=20)
    for _ in range(100):
        assert reader.feed(b": " + b"y" * 15 + b"\ndata: 0123456789\n\n") == [Event("0123456789")]
    with pytest.raises(TooLargeError):
        reader.feed(b"data: 0123456789abcdef\n\n")
