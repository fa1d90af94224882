"""The only readers of decimal, hex, base64 and JSON text in apostille.

Each takes exactly the one spelling that its writer makes and refuses every other, so that whatever parses is written back to
the same bytes (rule 1 of the formats). Python's own readers are lenient: ``int("+1_0")`` is 10, ``b64decode`` skips stray bytes,
``json.loads`` lets the last duplicate key win.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn

from apostille.errors import MalformedError, MalformedJsonError, TooLargeError

Names = AbstractSet[str]
MAX_UINT63 = 2**63 - 1
MAX_SAFE_INTEGER = 2**53 - 1
_MAX_DIGITS = 19
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # C0, DEL and C1: none of them belongs into a line
_HEX = re.compile(r"[0-9a-f]*")
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def quote(value: object) -> str:
    """Show the begin of a text, a number, or the type of anything else: containers may be nested too deep to be written."""
    return repr(str(value)[:32]) if isinstance(value, str | int) else f"a {type(value).__name__}"


def decimal(text: str, *, spec: str = "decimal") -> int:
    """Read an ASCII decimal number with no sign, space or leading zero, 0 to 2**63 - 1.

    Raises:
        MalformedError: Any other spelling, or a number out of range.

    Spec: c2sp.org/tlog-checkpoint, "Note text", item 2.
    """
    # The length test comes first: int() of a long string is slow.
    if not (1 <= len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()):
        raise MalformedError(f"not a decimal number: {text[:32]!r}", spec=spec)
    value = int(text)
    if str(value) != text or value > MAX_UINT63:
        raise MalformedError(f"not a canonical decimal number: {text!r}", spec=spec)
    return value


def hex_bytes(text: object, size: int, *, spec: str = "hex") -> bytes:
    """Read lower-case hex of exactly ``size`` bytes.

    Raises:
        MalformedError: Not a string, another length, or another alphabet.
    """
    if not isinstance(text, str) or len(text) != 2 * size or not _HEX.fullmatch(text):
        raise MalformedError(f"not {size} bytes of lower-case hex: {quote(text)}", spec=spec)
    return bytes.fromhex(text)


def base64_bytes(text: object, *, spec: str = "base64", size: int | None = None, limit: int = 4 * 2**20) -> bytes:
    """Read padded standard base64 (RFC 4648 section 4) with zero trailing bits and no white space.

    Args:
        text: The base64 text.
        spec: Format named in errors.
        size: Exact number of bytes expected, if any.
        limit: Largest number of characters read.

    Raises:
        MalformedError: Any other spelling or size.
    """
    if not isinstance(text, str):
        raise MalformedError("not a base64 string", spec=spec)
    if len(text) > limit:
        raise TooLargeError(f"base64 of {len(text):,} characters", limit=limit, spec=spec)
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise MalformedError(f"not base64: {text[:32]!r}", spec=spec) from error
    if binascii.b2a_base64(data, newline=False).decode() != text:
        raise MalformedError(f"not canonical base64: {text[:32]!r}", spec=spec)
    if size is not None and len(data) != size:
        raise MalformedError(f"{len(data)} bytes of base64 where {size} belong", spec=spec)
    return data


def base64_text(data: bytes) -> str:
    """Write padded standard base64 (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def utf8(data: bytes, *, spec: str) -> str:
    """Decode strict UTF-8.

    Raises:
        MalformedError: Overlong forms, surrogates, truncated sequences.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("not UTF-8", spec=spec, offset=error.start) from error


def lines(data: bytes, *, spec: str) -> list[str]:
    """Split UTF-8 text into lines that each end in LF; no other control character, no trailing space.

    Raises:
        MalformedError: A missing final LF, a control character, a line that ends in a space.
    """
    text = utf8(data, spec=spec)
    if not text.endswith("\n"):
        raise MalformedError("the last line does not end in LF", spec=spec)
    found = text[:-1].split("\n")
    for line in found:
        if _CONTROL.search(line) or line.endswith(" "):
            raise MalformedError(f"control character or trailing space in line {line[:32]!r}", spec=spec)
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"number not allowed: {text[:32]}")


def _integer(text: str) -> int:
    if len(text) > len(str(MAX_SAFE_INTEGER)) + 1 or not -MAX_SAFE_INTEGER <= int(text) <= MAX_SAFE_INTEGER:
        _refuse(text)
    return int(text)


_READER = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, parse_int=_integer)
_WRITER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), check_circular=False)


def json_depth(data: bytes, max_depth: int, *, spec: str) -> None:
    """Refuse JSON that is nested too deep, before a parser recurses into it. Linear, whatever the bytes are.

    Raises:
        MalformedJsonError: Deeper than ``max_depth``.
    """
    if data.count(b"{") + data.count(b"[") <= max_depth:
        return
    # Without escaped backslashes and quotes, each quote begins or ends a string: every second part is outside.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(bare.split(b'"')[::2]).translate(_SQUARE, _NO_BRACKET)
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")  # takes away the innermost pairs
    if brackets:
        raise MalformedJsonError(f"nested deeper than {max_depth}, or brackets without a partner", spec=spec)


def canonical_json(value: Any) -> bytes:
    """Write JCS (RFC 8785) of a value of the statement profile: ASCII keys, no float, no null, |n| < 2**53.

    Inside that profile sorted keys, minimal escapes and no white space *are* RFC 8785; outside of it they are not.
    """
    return _WRITER.encode(value).encode("utf-8")


def canonical_json_value(data: bytes, *, spec: str, max_depth: int = 16) -> Any:
    """Read one JSON value of the statement profile in its canonical form: ASCII keys, no float, no null.

    A doubled key, a lone surrogate, white space, another escape or anything after the value does not survive the comparison with
    what is written back.

    Args:
        data: UTF-8 bytes.
        spec: Format named in errors.
        max_depth: Deepest nesting of objects and arrays.

    Raises:
        MalformedJsonError: Anything else, with the reason.
    """
    text = utf8(data, spec=spec)
    json_depth(data, max_depth, spec=spec)
    try:
        value, _ = _READER.raw_decode(text)
        if "null" in text or not text.isascii():
            _check_values(value)
        if canonical_json(value) != data:
            raise ValueError("not in canonical form (RFC 8785)")
    except (ValueError, RecursionError) as error:
        raise MalformedJsonError(str(error), spec=spec) from error
    return value


def _check_values(value: Any) -> None:
    if value is None:
        raise ValueError("null is not allowed")  # an absent value is an absent key
    if isinstance(value, dict) and not all(map(str.isascii, value)):
        raise ValueError("a key is not ASCII")  # sorting by code point is RFC 8785 for ASCII keys only
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _check_values(item)


def canonical_members(data: bytes, *, spec: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a large canonical JSON object whose every member has a closed form that the caller checks, in one pass.

    A doubled key, a lone surrogate, white space or anything after the value does not survive the comparison with what is written
    back. It does **not** look for null, names that are not ASCII, or deep nesting: in a closed form none of them has a place.

    Returns:
        The members, and the text of each.

    Raises:
        MalformedJsonError: Not an object, or not in canonical form.
    """
    text = utf8(data, spec=spec)
    try:
        value, _ = _READER.raw_decode(text)
        if not isinstance(value, dict):
            raise MalformedJsonError(f"not a {spec}: it is a JSON object", spec=spec)
        written = {name: _WRITER.encode(value[name]) for name in sorted(value)}
    except (ValueError, RecursionError) as error:
        raise MalformedJsonError(str(error), spec=spec) from error
    if "{%s}" % ",".join(f'"{name}":{member}' for name, member in written.items()) != text:  # noqa: UP031
        raise MalformedJsonError("not in canonical form (RFC 8785)", spec=spec)
    return value, written


def exact_members(value: Any, required: Names, optional: Names = frozenset(), *, spec: str) -> dict[str, Any]:
    """Check that ``value`` is an object with all of ``required``, some of ``optional``, and nothing else.

    Raises:
        MalformedError: Not an object; a member missing or unknown.
    """
    if not isinstance(value, dict):
        raise MalformedError("not a JSON object", spec=spec)
    if value.keys() != required and not required <= value.keys() <= required | optional:
        missing, unknown = required - value.keys(), value.keys() - required - optional
        raise MalformedError(
            f"members missing: {sorted(missing)[:4]}, unknown: {[k[:32] for k in sorted(unknown)[:4]]}", spec=spec
        )
    return value


def integer(value: Any, *, spec: str, low: int = 0, high: int = MAX_SAFE_INTEGER) -> int:
    """Check that a JSON value is an integer (``true`` is none) from ``low`` to ``high``.

    Raises:
        MalformedError: Another type, or out of range.
    """
    if type(value) is not int or not low <= value <= high:
        raise MalformedError(f"not an integer from {low} to {high}: {quote(value)}", spec=spec)
    return value


def string(value: Any, *, spec: str, limit: int = 4096) -> str:
    """Check that a JSON value is a string of at most ``limit`` characters.

    Raises:
        MalformedError: Another type, or longer.
    """
    if not isinstance(value, str) or len(value) > limit:
        raise MalformedError(f"not a string of at most {limit} characters: {quote(value)}", spec=spec)
    return value
