"""Which JSON numbers may pass: those that every reader reads as the same value.

A number passes if and only if its canonical text has the same decimal value, so nothing is ever rounded, and if neither its own
spelling nor the canonical one is an integer beyond 2^53-1, where readers with doubles no longer tell neighbours apart.

Spec: canonical.md section 9 "application/json"; RFC 7493 section 2.2.
"""

from __future__ import annotations

from apostille.core.canon.jcs import MAX_SAFE_INTEGER, format_number

# A double has at most 17 significant digits in its shortest form: a longer number cannot be its own canonical value.
_MAX_DIGITS = 17
_MAX_EXPONENT_DIGITS = 3


def read_integer(literal: str) -> int | None:
    """Read an integer literal that the JSON grammar allows; None if it is refused."""
    if len(literal) > len(str(-MAX_SAFE_INTEGER)):
        return None
    value = int(literal)
    return value if abs(value) <= MAX_SAFE_INTEGER else None


def read_fraction(literal: str) -> float | None:
    """Read a number literal with a fraction or an exponent that the JSON grammar allows; None if it is refused."""
    exact = _decimal(literal)
    if exact is None:
        return None
    if exact == _ZERO:
        return 0.0
    value = float(literal)
    # An overflow to infinity has no canonical text.
    if value in (float("inf"), float("-inf")):
        return None
    canonical = format_number(value)
    if _decimal(canonical) != exact:
        return None
    is_integer = "." not in canonical and "e" not in canonical
    return None if is_integer and abs(value) > MAX_SAFE_INTEGER else value


_ZERO = (False, "", 0)


def _decimal(literal: str) -> tuple[bool, str, int] | None:
    """Give sign, significant digits and exponent of a literal; None if it has too many digits for a double.

    The lengths are tested before any conversion, because conversions of long texts are slow.
    """
    mantissa, _, exponent = literal.lstrip("-").replace("E", "e").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return _ZERO
    significant = digits.rstrip("0")
    sign = "-" if exponent.startswith("-") else ""
    power = exponent.lstrip("+-").lstrip("0") or "0"
    if len(significant) > _MAX_DIGITS or len(power) > _MAX_EXPONENT_DIGITS:
        return None
    shift = int(sign + power) - len(fraction) + len(digits) - len(significant)
    return literal.startswith("-"), significant, shift
