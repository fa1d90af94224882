"""A C2PA text manifest that the option ``c2pa=keep`` lets stay.

One stays at the end of a text: behind it only white space, which goes as at the end of every text, and stays where white space is
data. It is whole, of version 1, in one piece, and with its padding at most 1 MiB long. Readers pass over padding, so one form of
it stays: up to three U+FE00, then U+E01EF; other selectors go. A manifest anywhere else goes as if the option were not set.

It is held as bytes until the end, since only there is known that nothing follows.

Text that was changed no longer fits the hash in the manifest (its hard binding); nothing here looks at that.

Spec: canonical.md section 6.2 "C2PA text manifest", section 11 caps.
"""

from __future__ import annotations

from dataclasses import dataclass

from apostille.core.canon.hidden_bytes import C2PA_HEADER, C2PA_LENGTH_BYTES, C2PA_MAGIC, C2PA_START, selector

MAX_SELECTORS = 1_048_576
# White space behind it that is held.
MAX_SPACES = 4_096

_VERSION = 1
_SHORT, _LONG = 0x00, 0xFF  # padding of three bytes and of four
_MAX_SHORT = 3
_START_BYTES = len(chr(C2PA_START).encode("utf-8"))
_POINTS = [selector(value) for value in range(256)]


@dataclass(frozen=True, slots=True)
class KeptManifest:
    """What stays at the end.

    Attributes:
        text: The wrapper, with white space behind it where that is data.
        position: Byte offset of its first character.
        bits: What it could carry.
    """

    text: str
    position: int
    bits: int


class Wrapper:
    """A manifest that is arriving.

    Args:
        position: Byte offset of U+FEFF.
        end: Behind the last selector of the header.
        header: What those spell.

    Attributes:
        position: Byte offset of its first character.
        end: Of the byte behind it.
        may_stay: It is of our version, not too long, and nothing was dropped in the middle.
    """

    def __init__(self, position: int, end: int, header: bytes) -> None:
        self.position = position
        self.end = end
        self._data = bytearray(header)
        self._size = C2PA_HEADER + int.from_bytes(header[-C2PA_LENGTH_BYTES:], "big")
        self._padding = [0, 0]
        self.may_stay = (
            header[len(C2PA_MAGIC)] == _VERSION
            and self._size <= MAX_SELECTORS
            and self.end == self.position + _START_BYTES + sum(3 if value < 16 else 4 for value in header)
        )

    @property
    def is_whole(self) -> bool:
        """The manifest is as long as it says."""
        return len(self._data) >= self._size

    @property
    def missing(self) -> int:
        """Bytes of it that are still to come."""
        return self._size - len(self._data)

    def take(self, position: int, length: int, value: int) -> bool:
        """Take a selector; tell whether it belongs to the manifest or is padding in its one form."""
        if position != self.end or len(self._data) >= MAX_SELECTORS:
            return False
        if self.is_whole:
            short, long = self._padding
            if value == _SHORT and not long and short < _MAX_SHORT:
                self._padding[0] += 1
            elif value == _LONG:
                self._padding[1] += 1
            else:
                return False
        self._data.append(value)
        self.end += length
        return True

    def points(self) -> tuple[int, ...]:
        """Give its code points."""
        return (C2PA_START, *map(_POINTS.__getitem__, self._data))

    def kept(self, spaces: str) -> KeptManifest:
        """Give what stays at the end of the text, with the white space behind it."""
        text = "".join(map(chr, self.points()))
        padding = sum(count.bit_length() for count in self._padding)
        return KeptManifest(text + spaces, self.position, 8 * (self._size - C2PA_HEADER) + padding)
