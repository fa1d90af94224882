r"""The JSON rules: parse strictly, clean every string value, write the one spelling of RFC 8785.

Hidden characters also sit in escapes (``\udb40\udc41``), so strings are judged after decoding. Keys are reported, never
altered: a program looks for them by name.

A document that breaks the JSON grammar is malformed. One that keeps it but means different things to different readers is
refused, with all reasons as findings: duplicate keys (JSON_DUP_KEY), keys that are equal after cleaning (JSON_KEY_TWIN),
numbers that are not exact (JSON_NUMBER), lone surrogates (ENC_INVALID), nesting over 128 (LIMIT_DEPTH), over 16 MiB
(LIMIT_SIZE). A profile that only reports records them as reports and goes on.

If the bytes change, the first finding is JSON_FORM, one edit of the whole value; the others carry a JSON Pointer and explain
it.

Spec: canonical.md section 9 "application/json", section 11 caps; RFC 8259; RFC 8785; RFC 6901.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from apostille.core.canon.alphabet import is_clean
from apostille.core.canon.findings import SEVERITIES, Finding, Ledger, excerpt
from apostille.core.canon.jcs import format_json
from apostille.core.canon.json_numbers import read_fraction, read_integer
from apostille.core.canon.options import DEFAULT_TEXT, TextOptions
from apostille.core.canon.residue import Residue
from apostille.core.canon.sightings import may_look_alike
from apostille.core.canon.text import TextEngine, invalid_encoding
from apostille.errors import CanonicalizationError, MalformedJsonError

MAX_DEPTH = 128
MAX_BYTES = 16 * 1024 * 1024
MAX_POINTER = 1_024

_SPEC = "RFC 8259"

# A whole string, also one that never ends, or one bracket: every character is looked at once.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A number that is not exact, as it was spelt."""

    literal: str


class _Members(list[tuple[str, Any]]):
    """The members of an object, in their order and with duplicates."""


def canonicalize_json(
    data: bytes, *, is_report: bool = False, is_strict: bool = False, options: TextOptions = DEFAULT_TEXT
) -> tuple[bytes, tuple[Finding, ...], Residue]:
    """Give the canonical bytes of one JSON document and what was found in it.

    Does not check the size: that is done while the document is collected.

    Args:
        data: The whole document, at most ``MAX_BYTES``.
        is_report: Change and refuse nothing; give the raw bytes back, every act as ``report``.
        is_strict: Look-alikes in strings are written in one form.
        options: Of the text rules, for strings.

    Returns:
        The canonical bytes, without a final line feed, the findings, and what is kept.

    Raises:
        MalformedJsonError: The bytes break the JSON grammar.
        CanonicalizationError: Not UTF-8, or refused; ``findings`` says why.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_encoding(error.start, error.end - error.start) from error
    reader = _Reader(Ledger(is_report=is_report), is_strict=is_strict, options=options)
    value = reader.read(text.removeprefix("\ufeff"), len(data))
    reader.ledger.characters = len(text)
    findings, residue = reader.ledger.finish(), reader.ledger.residue()
    if reader.ledger.refused:
        raise CanonicalizationError(
            f"the JSON document is refused: {', '.join(sorted({f.code for f in findings if f.severity == 'e'}))}",
            findings=findings,
        )
    if reader.is_ambiguous:
        return data, findings, residue
    canonical = format_json(value)
    if canonical == data:
        return data, findings, residue
    was, was_sha256 = excerpt(text)
    now, now_sha256 = excerpt(canonical.decode("utf-8"))
    act = "report" if is_report else "replace"
    severity = SEVERITIES["JSON_FORM"]
    form = Finding("JSON_FORM", severity, act, 0, len(data), was, now, was_sha256=was_sha256, now_sha256=now_sha256)
    return data if is_report else canonical, (form, *findings), residue


def _depth_fault(text: str) -> int | None:
    """Give the index of the bracket that opens level 129, if there is one."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match.group()
        if token in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                return match.start()
        elif token in ("]", "}"):
            depth -= 1
    return None


def _integer(literal: str) -> int | _Refused:
    value = read_integer(literal)
    return _Refused(literal) if value is None else value


def _fraction(literal: str) -> float | _Refused:
    value = read_fraction(literal)
    return _Refused(literal) if value is None else value


class _Reader:
    """Reads one document and cleans its strings.

    Attributes:
        ledger: The findings.
        is_ambiguous: Something was found that a changing profile refuses, so there is no canonical value.
    """

    def __init__(self, ledger: Ledger, *, is_strict: bool, options: TextOptions) -> None:
        self.ledger = ledger
        self._options = options
        self._is_strict = is_strict
        self.is_ambiguous = False

    def read(self, text: str, total_bytes: int) -> object:
        fault = _depth_fault(text)
        if fault is not None:
            # A byte order mark that was taken off is in total_bytes and not in text.
            position = total_bytes - len(text[fault:].encode("utf-8"))
            self._refuse("LIMIT_DEPTH", position, 1, (ord(text[fault]),))
            return None
        try:
            value = json.loads(  # noqa: TID251 - what it lets through (duplicates, NaN, 1e400) is caught by these hooks
                text, object_pairs_hook=_Members, parse_int=_integer, parse_float=_fraction, parse_constant=_Refused
            )
        except json.JSONDecodeError as error:
            offset = total_bytes - len(text[error.pos :].encode("utf-8"))
            raise MalformedJsonError(error.msg, spec=_SPEC, offset=offset) from error
        return self._value(value, "")

    def _refuse(self, code: str, position: int = 0, length: int = 0, was: tuple[int, ...] = ()) -> None:
        self.is_ambiguous = True
        self.ledger.record(code, "refuse", position, length, was)

    def _refuse_text(self, code: str, pointer: str, text: str) -> None:
        """Refuse a key or a number, which may be too long to quote whole."""
        self.is_ambiguous = True
        was, was_sha256 = excerpt(text)
        length = len(text.encode("utf-8", "surrogatepass"))
        self.ledger.add(Finding(code, SEVERITIES[code], "refuse", 0, length, was, pointer=pointer, was_sha256=was_sha256))

    def _value(self, value: object, pointer: str) -> object:
        if isinstance(value, str):
            return self._text(value, pointer) if _needs_look(value) else value
        if isinstance(value, _Members):
            return self._object(value, pointer)
        if isinstance(value, list):
            return [
                self._value(item, _child(pointer, str(index))) if _needs_look(item) else item for index, item in enumerate(value)
            ]
        if isinstance(value, _Refused):
            self._refuse_text("JSON_NUMBER", pointer, value.literal)
            return None
        return value

    def _object(self, members: _Members, pointer: str) -> dict[str, object]:
        result: dict[str, object] = {}
        clean_keys: set[str] = set()
        for key, value in members:
            clean_key = key if not _needs_look(key) else self._text(key, _child(pointer, key), is_key=True)
            if key in result:
                self._refuse_text("JSON_DUP_KEY", _child(pointer, key), key)
            elif clean_key in clean_keys:
                self._refuse_text("JSON_KEY_TWIN", _child(pointer, key), key)
            clean_keys.add(clean_key)
            result[key] = self._value(value, _child(pointer, key)) if _needs_look(value) else value
        return result

    def _text(self, text: str, pointer: str, *, is_key: bool = False) -> str:
        """Give the clean form of a string and record what was changed, or for a key, what would be."""
        self.ledger.begin_value(pointer, is_report=is_key)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            self.ledger.begin_value(pointer)
            self._refuse("ENC_INVALID", len(text[: error.start].encode("utf-8")), 3, (ord(text[error.start]),))
            clean = text
        else:
            engine = TextEngine(self.ledger, "data", is_strict=self._is_strict and not is_key, options=self._options)
            clean = (engine.feed_text(text) + engine.flush()).decode("utf-8")
        self.ledger.begin_value(None)
        return clean


def _needs_look(value: object) -> bool:
    """Tell values that may change or be refused from plain ones, for which no pointer is built."""
    if isinstance(value, str):
        return may_look_alike(value) or not is_clean(value)
    return isinstance(value, (list, _Refused))


def _child(pointer: str, token: str) -> str:
    """Append one reference token; bounded, because a long key may lie above many findings."""
    token = token[:MAX_POINTER].replace("~", "~0").replace("/", "~1")
    if not token.isascii():
        token = token.encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates have no UTF-8 form
    whole = f"{pointer}/{token}"
    return whole if len(whole) <= MAX_POINTER else f"{whole[: MAX_POINTER - 1]}\u2026"
