"""Write JSON in the one spelling of RFC 8785 (JSON Canonicalization Scheme).

Keys sorted by their UTF-16 code units, no white space, the shortest escapes, numbers as ECMAScript writes them. Only the
writing half lives here; what may be read at all is decided by the reader of each format.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from apostille.errors import MalformedJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SAFE_INTEGER = 2**53 - 1
_SPEC = "RFC 8785"


def format_json(value: object) -> bytes:
    """Write one value as RFC 8785 bytes.

    Does not bound the depth: a caller with foreign values checks it while reading.

    Args:
        value: ``None``, bool, int, float, str, a list or tuple, or a mapping with str keys, nested in any way.

    Returns:
        The UTF-8 bytes.

    Raises:
        MalformedJsonError: A lone surrogate, a number that has no I-JSON spelling, or another type.

    Spec: RFC 8785 section 3.2.
    """
    out: list[str] = []
    _write(value, out)
    try:
        return "".join(out).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedJsonError("a string holds a lone surrogate", spec=_SPEC) from error


def _write(value: object, out: list[str]) -> None:
    if value is None:
        out.append("null")
    elif value is True:
        out.append("true")
    elif value is False:
        out.append("false")
    elif isinstance(value, str):
        out.append(_string(value))
    elif isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise MalformedJsonError("an integer is beyond 2^53-1", spec=_SPEC)
        out.append(str(value))
    elif isinstance(value, float):
        out.append(format_number(value))
    elif isinstance(value, (list, tuple)):
        _write_list(value, out)
    elif isinstance(value, dict):
        _write_object(value, out)
    else:
        raise MalformedJsonError(f"{type(value).__name__} is not a JSON type", spec=_SPEC)


def _write_list(values: Sequence[object], out: list[str]) -> None:
    opener = "["
    for value in values:
        out.append(opener)
        _write(value, out)
        opener = ","
    out.append("]" if values else "[]")


def _write_object(members: Mapping[str, object], out: list[str]) -> None:
    if not all(isinstance(key, str) for key in members):
        raise MalformedJsonError("an object key is not a string", spec=_SPEC)
    opener = "{"
    # Big-endian UTF-16 bytes sort as the 16-bit units that the specification compares (section 3.2.3).
    for key in sorted(members, key=lambda key: key.encode("utf-16-be", "surrogatepass")):
        out.append(f"{opener}{_string(key)}:")
        _write(members[key], out)
        opener = ","
    out.append("}" if members else "{}")


# With ensure_ascii off this escapes exactly what RFC 8785 section 3.2.2.2 does, in the same spelling.
_string = json.JSONEncoder(ensure_ascii=False).encode


def format_number(value: float) -> str:
    """Write a double as ECMAScript's ``Number::toString`` does.

    Args:
        value: A finite double.

    Returns:
        The shortest decimal that reads back as the same double, for example ``"1e+21"`` or ``"0.000001"``.

    Raises:
        MalformedJsonError: NaN or an infinity.

    Spec: RFC 8785 section 3.2.2.3; ECMA-262 section 6.1.6.1.20.
    """
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN is what differs from itself
        raise MalformedJsonError("NaN and Infinity have no JSON spelling", spec=_SPEC)
    if value == 0:
        return "0"  # also for -0
    # repr gives the same shortest digits as ECMAScript; only the layout differs.
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or "0")
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    return ("-" if value < 0 else "") + _layout(digits, point)


def _layout(digits: str, point: int) -> str:
    """Place the decimal point: the value is ``0.digits`` times ten to the power ``point``."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    sign = "+" if point > 0 else "-"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{sign}{abs(point - 1)}"
