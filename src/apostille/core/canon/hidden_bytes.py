"""Bytes that are spelt with characters nobody sees: variation selectors and tags.

==============  ==========================================================================================================
VS_RUN          a selector for a byte: U+FE00 to U+FE0F are 0 to 15, U+E0100 to U+E01EF are 16 to 255
TAG_DROP        tag letters are ASCII: U+E0020 to U+E007E less U+E0000
C2PA_TEXT       selectors as above behind U+FEFF: ``C2PATXT`` and a zero byte, a version, a length in four bytes, and the
                manifest, which alone is given
==============  ==========================================================================================================

What stays in the text is not in it: where the first selector of a row is listed for its base, the bytes begin with the next one.

Spec: canonical.md section 6.2; C2PA 2.x, "Embedding manifests into unstructured text".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHOWN_BYTES = 64
# So many at a time go into the hash.
_HASHED_BYTES = 1_024

C2PA_START = 0xFEFF
C2PA_MAGIC = b"C2PATXT\0"
C2PA_LENGTH_BYTES = 4
# Selectors before the manifest itself: one of them is the version.
C2PA_HEADER = len(C2PA_MAGIC) + 1 + C2PA_LENGTH_BYTES


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a row of invisible characters spells.

    Attributes:
        length: Bytes.
        sha256: Hex digest of all of them.
        first: The first 64.
    """

    length: int
    sha256: str
    first: bytes

    def as_json(self) -> dict[str, object]:
        """Give ``{"hex":"6869","len":2,"sha256":".."}``: the first bytes, how many there are, and the digest of all."""
        return {"hex": self.first.hex(), "len": self.length, "sha256": self.sha256}


class Decoder(Protocol):
    """Reads bytes out of the characters of one finding, as they come."""

    def feed(self, points: Iterable[int]) -> None:
        """Take code points; those that spell nothing are passed over."""

    def decoded(self) -> Decoded | None:
        """Give what they spell; nothing where none of them spells anything."""


def decoder(code: str) -> Decoder | None:
    """Give a new decoder for findings of a code, or nothing for codes that spell no bytes."""
    if code == "C2PA_TEXT":
        return _ManifestDecoder()
    return _ByteDecoder(_SPELLS[code]) if code in _SPELLS else None


def selector_byte(point: int) -> int | None:
    """Give the byte that a variation selector stands for, or nothing for other characters."""
    if 0xFE00 <= point <= 0xFE0F:
        return point - 0xFE00
    return point - 0xE0100 + 16 if 0xE0100 <= point <= 0xE01EF else None


def selector(value: int) -> int:
    """Give the variation selector that stands for a byte."""
    return 0xFE00 + value if value < 16 else 0xE0100 + value - 16


# How a manifest begins.
C2PA_OPENING = "".join(map(chr, (C2PA_START, *map(selector, C2PA_MAGIC))))


def _tag_byte(point: int) -> int | None:
    return point - 0xE0000 if 0xE0020 <= point <= 0xE007E else None


_SPELLS = {"VS_RUN": selector_byte, "TAG_DROP": _tag_byte}


class _ByteDecoder:
    """Counts and hashes the bytes, some at a time; holds the first ones."""

    def __init__(self, spell: Callable[[int], int | None]) -> None:
        self._spell = spell
        self._pending = bytearray()
        self._hash = hashlib.sha256()
        self._first = b""
        self._length = 0

    def feed(self, points: Iterable[int]) -> None:
        for point in points:
            value = self._spell(point)
            if value is not None:
                self._pending.append(value)
        if len(self._pending) >= _HASHED_BYTES:
            self._flush()

    def decoded(self) -> Decoded | None:
        self._flush()
        return self._sum() if self._length else None

    def _flush(self) -> None:
        self._add(bytes(self._pending))
        self._pending.clear()

    def _add(self, data: bytes) -> None:
        self._hash.update(data)
        self._first += data[: SHOWN_BYTES - len(self._first)]
        self._length += len(data)

    def _sum(self) -> Decoded:
        return Decoded(self._length, self._hash.hexdigest(), self._first)


class _ManifestDecoder(_ByteDecoder):
    """Takes the header off, and what stands behind the manifest."""

    def __init__(self) -> None:
        super().__init__(selector_byte)
        self._header = b""

    def decoded(self) -> Decoded | None:
        self._flush()
        return self._sum() if len(self._header) == C2PA_HEADER else None

    def _add(self, data: bytes) -> None:
        missing = C2PA_HEADER - len(self._header)
        self._header += data[:missing]
        if len(self._header) == C2PA_HEADER:
            declared = int.from_bytes(self._header[-C2PA_LENGTH_BYTES:], "big")
            super()._add(data[missing:][: declared - self._length])
