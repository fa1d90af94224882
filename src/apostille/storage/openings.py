"""The sealed openings of one leaf as one value: for each ``u16be(len name) || name || u32be(len ciphertext) || ciphertext``.

Their order is that of the subjects. An opening that was destroyed keeps its place, with an empty ciphertext.
"""

from __future__ import annotations

from collections.abc import Iterable

from apostille.errors import MalformedError
from apostille.ports import SealedOpening

_SPEC = "store"
_NAME_BYTES, _LENGTH_BYTES = 2, 4


def pack(openings: Iterable[SealedOpening]) -> bytes:
    """Write openings as one value."""
    parts: list[bytes] = []
    for opening in openings:
        name = opening.name.encode()
        parts += (len(name).to_bytes(_NAME_BYTES, "big"), name)
        parts += (len(opening.ciphertext).to_bytes(_LENGTH_BYTES, "big"), opening.ciphertext)
    return b"".join(parts)


def unpack(data: bytes) -> tuple[SealedOpening, ...]:
    """Read what ``pack`` has written.

    Raises:
        MalformedError: Anything else.
    """
    found: list[SealedOpening] = []
    at = 0
    while at < len(data):
        name, at = _take(data, at, _NAME_BYTES)
        ciphertext, at = _take(data, at, _LENGTH_BYTES)
        try:
            found.append(SealedOpening(name.decode(), ciphertext))
        except UnicodeDecodeError as error:
            raise MalformedError("the name of an opening is not UTF-8", spec=_SPEC) from error
    return tuple(found)


def _take(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data) or start > len(data):
        raise MalformedError("packed openings are cut off", spec=_SPEC)
    return data[start:end], end
