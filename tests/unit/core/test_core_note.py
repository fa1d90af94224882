"""Signed notes and verifier keys: parse, format, compare; limits; key ids (formats.md section 7; c2sp.org/signed-note)."""

from __future__ import annotations

import base64

import pytest

from apostille.core import note
from apostille.core.digest import sha256
from apostille.errors import MalformedNoteError, TooLargeError
from tests.unit.core.core_kit import LOG, LOG_06, example, flips

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
LINE = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
NOTE = f"This is an example message.\n\n{LINE}"


def test_vkey_of_the_specification():
    key = note.parse_vkey(VKEY)
    assert (key.name, key.kind, key.key_id.hex()) == ("example.com/foo", note.ED25519, "530d903a")
    assert note.format_vkey(key) == VKEY
    assert key.hash == sha256(b"example.com/foo\n\x01" + key.public)
    assert key.hash[:4] == key.key_id


@pytest.mark.parametrize("key", [LOG, LOG_06, note.VerifierKey("w", note.COSIGNATURE, LOG.public)], ids=["01", "06", "04"])
def test_vkey_round_trip(key):
    assert note.parse_vkey(note.format_vkey(key)) == key


def test_key_id_depends_on_type_and_name():
    ids = {note.VerifierKey(name, kind, LOG.public).key_id for name in ("a", "b") for kind in (1, 4)}
    assert len(ids) == 4


def with_right_id(name: str, data: bytes) -> str:
    return f"{name}+{sha256(name.encode(errors='surrogatepass') + chr(10).encode() + data)[:4].hex()}+{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "++",
        "name",
        "name+530d903a",
        VKEY + "\n",
        " " + VKEY,
        VKEY.replace("+530d903a", "+530D903A"),
        VKEY.replace("+530d903a", "+0530d903a"),
        VKEY.replace("+530d903a", "+530d903b"),
        VKEY.replace("example.com/foo", "example.com/fop"),
        VKEY[:-1],
        VKEY + "=",
        with_right_id("", b"\x01" + bytes(32)),
        with_right_id("a b", b"\x01" + bytes(32)),
        with_right_id("a\u2003b", b"\x01" + bytes(32)),
        with_right_id("n" * 256, b"\x01" + bytes(32)),
        with_right_id("é" * 128, b"\x01" + bytes(32)),
        with_right_id("\udc80", b"\x01" + bytes(32)),
        with_right_id("name", b""),
        with_right_id("name", b"\x01"),
        with_right_id("name", b"\x01" + bytes(31)),
        with_right_id("name", b"\x01" + bytes(33)),
        with_right_id("name", b"\x02" + bytes(32)),
        with_right_id("name", b"\x05" + bytes(32)),
        with_right_id("name", b"\x06" + bytes(32)),
        with_right_id("name", b"\xff" + bytes(32)),
    ],
    ids=[
        "empty",
        "one plus",
        "two pluses",
        "name alone",
        "no key",
        "LF",
        "space before",
        "upper-case id",
        "long id",
        "wrong id",
        "id of another name",
        "cut",
        "too much padding",
        "empty name",
        "space in name",
        "Unicode space in name",
        "name of 256 bytes",
        "name of 256 bytes in 128 characters",
        "lone surrogate in name (a command line that is not UTF-8)",
        "no type",
        "type alone",
        "Ed25519 of 31 bytes",
        "Ed25519 of 33 bytes",
        "ECDSA",
        "RFC 6962",
        "ML-DSA of 32 bytes",
        "unassigned type",
    ],
)
def test_vkey_refused(text):
    with pytest.raises(MalformedNoteError):
        note.parse_vkey(text)


def test_vkey_any_flip_is_refused():
    for bit, flipped in flips(VKEY.encode()):
        try:
            text = flipped.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(MalformedNoteError):
            note.parse_vkey(text)
            pytest.fail(f"bit {bit}")


@pytest.mark.parametrize("name", ["a", "n" * 255, "é" * 127, "log.example.com/agents", "名前", "a\u200bb"])
def test_names(name):
    assert note.is_name(name)


# White_Space of PropList.txt, Unicode 18: what "Unicode space" means.
SPACES = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def test_names_refused():
    for code in SPACES:
        assert not note.is_name(f"a{chr(code)}b"), f"U+{code:04X}"
    for name in ("", "a+b", "+", "n" * 256, "é" * 128, "\ud800", "a\udfff"):
        assert not note.is_name(name)


def test_example_of_the_specification():
    read = note.parse_note(NOTE.encode())
    assert read.text == b"This is an example message.\n"
    (line,) = read.unverified_signatures
    assert (line.name, line.key_id.hex(), len(line.field)) == ("example.com/foo", "530d903a", 64)
    assert note.format_note(read) == NOTE.encode()


def test_widths():
    """Base64 of the log's lines: 92 and 3,244 characters."""
    lines = example().note.decode().rpartition("\n\n")[2].split("\n")
    assert [len(line.rpartition(" ")[2]) for line in lines[:-1]] == [92, 3244]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\nb\n\n" + LINE, b"a\n\nb\n"),
        ("\n\n" + LINE, b"\n"),
        ("a\n\n\n" + LINE, b"a\n\n"),
        ("trailing space \n\n" + LINE, b"trailing space \n"),
        (LINE + "\n" + LINE, LINE.encode()),
        ("é\u2028\x85\n\n" + LINE, "é\u2028\x85\n".encode()),
    ],
    ids=["empty line inside", "empty text", "text ends in an empty line", "space", "text like a signature", "line separators"],
)
def test_last_blank_line_divides(text, expected):
    read = note.parse_note(text.encode())
    assert read.text == expected
    assert note.format_note(read) == text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        NOTE[:-1].encode(),
        NOTE.encode() + b"\n",
        NOTE.encode() + b"junk\n",
        NOTE.replace("\n\n", "\n").encode(),
        NOTE.replace("\n", "\r\n").encode(),
        NOTE.replace("example message", "exa\tmple").encode(),
        NOTE.replace("example message", "exa\0mple").encode(),
        NOTE.encode().replace(b"This", b"\xff"),
        NOTE.encode().replace(b"This", b"\xed\xa0\x80"),
        b"\xff" + NOTE.encode(),
        NOTE.replace("— ", "- ").encode(),
        NOTE.replace("— ", "—").encode(),
        NOTE.replace("— ", "—  ").encode(),
        NOTE.replace("— ", "– ").encode(),
        NOTE.replace("foo Uw", "foo  Uw").encode(),
        NOTE.replace("foo Uw", "foo\u00a0Uw").encode(),
        NOTE.replace("foo Uw", "f+o Uw").encode(),
        NOTE.replace("— example.com/foo ", "—  ").encode(),
        NOTE.replace("QM=\n", "QM= \n").encode(),
        NOTE.replace("QM=\n", "QM\n").encode(),
        NOTE.replace("QM=\n", "QN=\n").encode(),
        b"text\n\n\xe2\x80\x94 name Uw2QOg==\n",
        b"text\n\n\xe2\x80\x94 name Uw2Q\n",
        b"text\n\n\xe2\x80\x94 name \n",
        b"text\n\n\xe2\x80\x94 name\n",
        NOTE.replace(LINE, LINE + "junk\n" + LINE).encode(),
    ],
    ids=[
        "empty",
        "LF",
        "two LF",
        "no signatures",
        "blank line, no signatures",
        "no final LF",
        "blank line at the end",
        "line after signatures",
        "no blank line",
        "CR LF",
        "tab",
        "NUL",
        "not UTF-8",
        "raw surrogate",
        "not UTF-8 at the start",
        "hyphen for dash",
        "no space after dash",
        "two spaces after dash",
        "en dash",
        "two spaces before the signature",
        "no-break space",
        "plus in name",
        "empty name",
        "trailing space",
        "no padding",
        "trailing bits",
        "key id without signature",
        "three bytes",
        "empty signature",
        "no signature field",
        "junk between signatures",
    ],
)
def test_refused(data):
    with pytest.raises(MalformedNoteError):
        note.parse_note(data)


def test_limits():
    assert len(note.parse_note(("text\n\n" + LINE * 32).encode()).unverified_signatures) == 32
    with pytest.raises(TooLargeError) as caught:
        note.parse_note(("text\n\n" + LINE * 33).encode())
    assert caught.value.limit == 32
    room = note.MAX_NOTE_BYTES - len(f"\n\n{LINE}".encode())
    assert note.parse_note(("a" * room + f"\n\n{LINE}").encode())
    with pytest.raises(TooLargeError) as caught:
        note.parse_note(("a" * (room + 1) + f"\n\n{LINE}").encode())
    assert caught.value.limit == 128 * 1024


def test_signature_types_of_the_specification():
    """c2sp.org/signed-note, "Signature types"."""
    assert (note.ED25519, note.COSIGNATURE, note.MLDSA44) == (0x01, 0x04, 0x06)


def test_signature_lines_alone_are_no_note():
    with pytest.raises(MalformedNoteError, match="no blank line"):
        note.parse_note(LINE.encode())


def test_the_shortest_signature_has_one_byte():
    def line(field: bytes) -> bytes:
        return f"text\n\n— a {base64.b64encode(field).decode()}\n".encode()

    assert note.parse_note(line(b"12345")).unverified_signatures == (note.NoteSignature("a", b"1234", b"5"),)
    with pytest.raises(MalformedNoteError, match="an empty signature"):
        note.parse_note(line(b"1234"))
