"""The strict readers take one spelling and refuse every other (formats.md section 2, rules 2 to 4; style.md section 4)."""

from __future__ import annotations

import json
import time

import pytest
import rfc8785

from apostille.core import strict
from apostille.errors import MalformedError, MalformedJsonError, TooLargeError


def table(*rows):
    return pytest.mark.parametrize("value", [row[-1] for row in rows], ids=[row[0] for row in rows])


@pytest.mark.parametrize("number", [0, 1, 9, 10, 20_852_163, 2**53, 2**63 - 1])
def test_decimal(number):
    assert strict.decimal(str(number)) == number


@table(
    ("empty", ""),
    ("plus sign", "+1"),
    ("minus sign", "-1"),
    ("minus zero", "-0"),
    ("underscore", "1_0"),
    ("leading zero", "007"),
    ("two zeros", "00"),
    ("space before", " 1"),
    ("space after", "1 "),
    ("final LF", "1\n"),
    ("Arabic-Indic digit", "٣"),
    ("one Arabic-Indic digit among ASCII", "1٣"),
    ("superscript digit, isdigit() is true", "²"),
    ("full-width digit", "１"),
    ("hexadecimal", "0x10"),
    ("fraction", "1.0"),
    ("exponent", "1e3"),
    ("2^63", str(2**63)),
    ("nineteen nines", "9" * 19),
    ("twenty digits", "1" * 20),
    ("a million digits", "1" * 1_000_000),
    ("NUL", "1\0"),
    ("lone surrogate", "\ud800"),
)
def test_decimal_refused(value):
    with pytest.raises(MalformedError):
        strict.decimal(value)


def test_hex():
    assert strict.hex_bytes("00ff10", 3) == b"\x00\xff\x10"
    assert strict.hex_bytes("", 0) == b""


@table(
    ("upper case", "00FF"),
    ("too short", "00"),
    ("too long", "00ff00"),
    ("odd", "00f"),
    ("space inside, fromhex takes it", "0 ff"),
    ("prefix", "0xff"),
    ("LF for the last digit", "00f\n"),
    ("Arabic-Indic digits", "٣٣٣٣"),
    ("full-width digits", "００ｆｆ"),
    ("outside the alphabet", "00fg"),
    ("bytes", b"00ff"),
    ("number", 255),
    ("nothing", None),
    ("list", ["00ff"]),
)
def test_hex_refused(value):
    with pytest.raises(MalformedError):
        strict.hex_bytes(value, 2)


@pytest.mark.parametrize("data", [b"", b"\x00", b"ab", b"abc", bytes(range(256))])
def test_base64(data):
    assert strict.base64_bytes(strict.base64_text(data)) == data
    assert strict.base64_bytes(strict.base64_text(data), size=len(data)) == data


@table(
    ("no padding", "AA"),
    ("half the padding", "AA="),
    ("too much padding", "AA==="),
    ("padding alone", "===="),
    ("one character", "A"),
    ("trailing bits not zero, one byte", "AB=="),
    ("trailing bits not zero, two bytes", "AAB="),
    ("URL-safe minus", "-A=="),
    ("URL-safe underscore", "_A=="),
    ("space inside", "AA AA==="),
    ("LF at the end", "AAAA\n"),
    ("LF inside", "AA\nAA"),
    ("stray byte", "AA!AA==="),
    ("data after padding", "AA==AA=="),
    ("full-width letter", "ＡAAA"),
    ("lone surrogate", "\ud800AAA"),
    ("NUL", "AAA\0"),
    ("bytes", b"AAAA"),
    ("number", 7),
    ("nothing", None),
)
def test_base64_refused(value):
    with pytest.raises(MalformedError):
        strict.base64_bytes(value)


def test_base64_size_and_limit():
    with pytest.raises(MalformedError, match="3 bytes of base64 where 32 belong"):
        strict.base64_bytes("AAAA", size=32)
    assert strict.base64_bytes("AAAA", limit=4) == bytes(3)
    with pytest.raises(TooLargeError) as caught:
        strict.base64_bytes("AAAAAAAA", limit=4)
    assert caught.value.limit == 4


@table(
    ("truncated", b"\xe2\x80"),
    ("overlong slash", b"\xc0\xaf"),
    ("surrogate", b"\xed\xa0\x80"),
    ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
    ("Latin-1", b"caf\xe9"),
)
def test_utf8_refused(value):
    with pytest.raises(MalformedError) as caught:
        strict.utf8(b"ok" + value, spec="x")
    assert 2 <= caught.value.offset <= 5


def test_lines():
    assert strict.lines("a\n\nü b\n".encode(), spec="x") == ["a", "", "ü b"]
    assert strict.lines("a\u2028b\n".encode(), spec="x") == ["a\u2028b"], "splitlines() would make two lines of it"


@table(
    ("no final LF", b"a\nb"),
    ("empty", b""),
    ("CR LF", b"a\r\nb\r\n"),
    ("tab", b"a\tb\n"),
    ("NUL", b"a\0\n"),
    ("DEL", b"a\x7f\n"),
    ("C1 NEL", "a\x85b\n".encode()),
    ("trailing space", b"a \n"),
    ("a line that is a space", b"a\n \n"),
    ("not UTF-8", b"\xff\n"),
)
def test_lines_refused(value):
    with pytest.raises(MalformedError):
        strict.lines(value, spec="x")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"true", True),
        (b"0", 0),
        (b"-1", -1),
        (b"9007199254740991", 2**53 - 1),
        (b"-9007199254740991", -(2**53) + 1),
        (b'"null"', "null"),
        ('"\U0001f602\ufeff"'.encode(), "\U0001f602\ufeff"),
        (b"[" * 16 + b"]" * 16, [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]),
        (b'"' + b"[{" * 50 + b'"', "[{" * 50),
        (rb'["\"[[[[[[[[[[[[[[[[[[\\",{"a":[1,{"b":"]"}]}]', ['"[[[[[[[[[[[[[[[[[[\\', {"a": [1, {"b": "]"}]}]),
        (b"[" + b"[]," * 100 + b"[]]", [[]] * 101),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_json(data, value):
    assert strict.canonical_json_value(data, spec="x") == value


JSON_REFUSED = [
    ("empty", b""),
    ("byte order mark", b"\xef\xbb\xbf{}"),
    ("UTF-16", '{"a":1}'.encode("utf-16")),
    ("space before", b" {}"),
    ("space after", b"{} "),
    ("LF after", b"{}\n"),
    ("a second value", b"{}{}"),
    ("trailing bytes", b"1 2"),
    ("NUL after", b"{}\0"),
    ("duplicate key", b'{"a":1,"a":1}'),
    ("duplicate key at depth", b'{"a":[{"b":{"c":1,"d":2,"c":3}}]}'),
    ("duplicate key, one escaped", rb'{"a":1,"\u0061":2}'),
    ("duplicate empty key", b'{"":1,"":2}'),
    ("NaN", b"NaN"),
    ("NaN at depth", b'{"a":[NaN]}'),
    ("Infinity", b"[Infinity]"),
    ("-Infinity", b"[-Infinity]"),
    ("1e400", b"1e400"),
    ("1e400 at depth", b'{"a":[1e400]}'),
    ("float", b"1.0"),
    ("float, minus zero", b"-0.0"),
    ("exponent", b"1E2"),
    ("2^53", b"9007199254740992"),
    ("-2^53", b"-9007199254740992"),
    ("2^53 + 1 at depth", b'{"a":[9007199254740993]}'),
    ("5,000 digits", b"1" * 5_000),
    ("leading zero", b"01"),
    ("plus sign", b"+1"),
    ("hexadecimal", b"0x1"),
    ("null", b"null"),
    ("null in an array", b"[null]"),
    ("null in an object", b'{"a":{"b":null}}'),
    ("lone high surrogate, escaped", rb'"\ud800"'),
    ("lone low surrogate, escaped", rb'["\udc00"]'),
    ("surrogates in the wrong order", rb'"\udc00\ud800"'),
    ("lone surrogate in a key, escaped", rb'{"\udead":1}'),
    ("lone surrogate, raw", b'"\xed\xa0\x80"'),
    ("lone surrogate in a key, raw", b'{"\xed\xa0\x80":1}'),
    ("surrogate pair, raw (CESU-8)", b'"\xed\xa0\xbd\xed\xb8\x82"'),
    ("overlong", b'"\xc0\xaf"'),
    ("cut UTF-8", b'"\xe2\x82"'),
    ("key that is not ASCII", '{"é":1}'.encode()),
    ("key that is not ASCII, escaped, at depth", rb'[{"\u20ac":1}]'),
    ("raw control character in a string", b'"a\tb"'),
    ("unknown escape", rb'"\x41"'),
    ("cut escape", rb'"\u12"'),
    ("single quotes", b"{'a':1}"),
    ("comment", b"{}/**/"),
    ("trailing comma", b"[1,]"),
    ("no value", b'{"a":}'),
    ("key is a number", b"{1:1}"),
    ("cut word", b"tru"),
    ("open string", b'"abc'),
    ("open array", b"[1"),
    ("depth 17", b"[" * 17 + b"]" * 17),
    ("depth 17 of objects", b'{"a":' * 17 + b"1" + b"}" * 17),
    ("depth 17, mixed", b'[{"a":' * 8 + b"[1]" + b"}]" * 8),
    ("depth 10^5", b"[" * 100_000 + b"]" * 100_000),
    ("depth 10^5, objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("depth 10^5, never closed", b"[" * 100_000),
]


@table(*JSON_REFUSED)
def test_json_refused(value):
    with pytest.raises(MalformedJsonError if not isinstance(_utf8_error(value), UnicodeDecodeError) else MalformedError):
        strict.canonical_json_value(value, spec="x")


def _utf8_error(data):
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error
    return None


def test_json_depth_is_a_parameter():
    deep = b"[" * 100 + b"]" * 100
    assert strict.canonical_json_value(deep, spec="x", max_depth=128)
    with pytest.raises(MalformedJsonError, match="deeper than 99"):
        strict.canonical_json_value(deep, spec="x", max_depth=99)
    with pytest.raises(MalformedJsonError):
        strict.canonical_json_value(b"[" * 100_000, spec="x", max_depth=10**6), "the decoder's own limit, not a RecursionError"


@table(
    ("an open string full of escaped quotes", b"[" * 17 + b'"' + rb"\"" * 100_000),
    ("a closed one", b"[" * 17 + b'"' + rb"\"" * 100_000 + b'"'),
    ("many short strings", b"[" * 17 + b'"",' * 100_000),
    ("one long string", b"[" * 17 + b'"' + b"a" * 2_000_000),
)
def test_json_takes_linear_time(value):
    """100 KB of escaped quotes once took minutes: the nesting scan began anew at each of them."""
    start = time.process_time()
    with pytest.raises(MalformedJsonError):
        strict.canonical_json_value(value, spec="x")
    assert time.process_time() - start < 2


CANONICAL = [
    b'{"a":1,"b":[true,false],"c":{"":"x"}}',
    b'{"A":1,"a":2}',
    rb'"\b\t\n\f\r\"\\"',
    rb'"\u0000\u001f"',
    '"/\x7f\x80\u2028\u2029\ufeff\U0001f602é"'.encode(),
    b"-9007199254740991",
    b"[]",
]


@pytest.mark.parametrize("data", CANONICAL)
def test_canonical_json(data):
    value = strict.canonical_json_value(data, spec="x")
    assert strict.canonical_json(value) == data == rfc8785.dumps(value)


@table(
    ("space", b'{"a": 1}'),
    ("keys out of order", b'{"b":1,"a":2}'),
    ("needless escape", rb'"\u0061"'),
    ("escape of a letter that is not ASCII", rb'"\u00e9"'),
    ("escaped slash", rb'"\/"'),
    ("escaped surrogate pair", rb'"\ud83d\ude02"'),
    ("upper-case escape", rb'"\u001F"'),
    ("long escape of LF", rb'"\u000a"'),
    ("minus zero", b"-0"),
    ("LF inside", b"[1,\n2]"),
)
def test_canonical_json_refused(value):
    json.loads(value)
    with pytest.raises(MalformedJsonError, match="canonical"):
        strict.canonical_json_value(value, spec="x")


def test_exact_members():
    assert strict.exact_members({"a": 1}, {"a"}, {"b"}, spec="x") == {"a": 1}
    assert strict.exact_members({"a": 1, "b": 2}, {"a"}, {"b"}, spec="x") == {"a": 1, "b": 2}
    for value in ({}, {"b": 2}, {"a": 1, "c": 3}, [], "a", None, 1, [("a", 1)]):
        with pytest.raises(MalformedError):
            strict.exact_members(value, {"a"}, {"b"}, spec="x")


def test_integer():
    assert strict.integer(0, spec="x") == 0
    assert strict.integer(2**53 - 1, spec="x") == 2**53 - 1
    for value in (-1, 2**53, True, False, 1.0, "1", None, [1]):
        with pytest.raises(MalformedError):
            strict.integer(value, spec="x")
    with pytest.raises(MalformedError):
        strict.integer(0, spec="x", low=1)


def test_string():
    assert strict.string("abc", spec="x", limit=3) == "abc"
    for value in ("abcd", b"abc", 1, None, ["a"]):
        with pytest.raises(MalformedError):
            strict.string(value, spec="x", limit=3)


def test_errors_quote_little():
    """Messages quote a few characters, never an output (style.md section 6)."""
    secret = "s3cret" * 1_000
    for attempt in (
        lambda: strict.decimal(secret),
        lambda: strict.hex_bytes(secret, 4),
        lambda: strict.base64_bytes("!" + secret),
        lambda: strict.lines((secret + " \n").encode(), spec="x"),
        lambda: strict.canonical_json_value(("[" + secret).encode(), spec="x"),
        lambda: strict.exact_members({secret: 1}, set(), spec="x"),
        lambda: strict.integer(secret, spec="x"),
        lambda: strict.string(secret, spec="x"),
    ):
        with pytest.raises(MalformedError) as caught:
            attempt()
        assert len(str(caught.value)) < 200


def test_limits_that_nobody_gave():
    assert len(strict.base64_bytes("A" * 4 * 2**20)) == 3 * 2**20
    with pytest.raises(TooLargeError):
        strict.base64_bytes("A" * (4 * 2**20 + 4))
    assert strict.string("a" * 4096, spec="x") == "a" * 4096
    with pytest.raises(MalformedError):
        strict.string("a" * 4097, spec="x")
