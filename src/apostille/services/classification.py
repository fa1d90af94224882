"""Where the openings of a leaf are: opened, sealed, erased or missing. Each leaf counts once, under the last that applies.

    opened    all openings are here and match what the statement commits to
    sealed    one is ciphertext that this reader can not open: it has not the key
    erased    one is gone, and an erasure statement names it
    missing   one is gone, and no statement says why: evidence of alteration

Spec: formats.md section 3.6; trust.md section 4.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

OPENED, SEALED, ERASED, MISSING = "opened", "sealed", "erased", "missing"
_KINDS = (OPENED, SEALED, ERASED, MISSING)


def classify(gone: AbstractSet[str], erased: AbstractSet[str], *, is_open: bool) -> str:
    """Return where the openings of one leaf are.

    Args:
        gone: Subject names of which there is no ciphertext, or no key where the reader has the store's own keys.
        erased: Subject names that erasure statements name for this very statement.
        is_open: Whether all that is there was opened and matches.
    """
    if gone - erased:
        return MISSING
    if gone:
        return ERASED
    return OPENED if is_open else SEALED


def place_of(kind: str) -> int:
    """Return the byte that stands for a kind; 0 stands for a leaf that nobody has looked at."""
    return _KINDS.index(kind) + 1


@dataclass(slots=True)
class Openings:
    """How many leaves have their openings where, and which: one byte a leaf, so that a later audit can go on from here."""

    opened: int = 0
    sealed: int = 0
    erased: int = 0
    missing: int = 0
    places: bytearray = field(default_factory=bytearray, repr=False)

    def put(self, index: int, kind: str) -> None:
        """Count a leaf under ``kind``; one that was counted before moves there."""
        if index >= len(self.places):
            self.places.extend(bytes(index + 1 - len(self.places)))
        before = self.places[index]
        if before:
            name = _KINDS[before - 1]
            setattr(self, name, getattr(self, name) - 1)
        self.places[index] = place_of(kind)
        setattr(self, kind, getattr(self, kind) + 1)

    @property
    def total(self) -> int:
        """All leaves that were counted."""
        return self.opened + self.sealed + self.erased + self.missing

    def __str__(self) -> str:
        return (
            f"{self.total} leaves = {self.opened} opened + {self.sealed} sealed + {self.erased} erased + {self.missing} missing"
        )


def read_openings(places: bytes) -> Openings:
    """Return the counts that some places stand for; ``ValueError`` for a byte that is none of ours."""
    if places.translate(None, bytes(range(len(_KINDS) + 1))):
        raise ValueError("not places of openings")
    opened, sealed, erased, missing = (places.count(place_of(kind)) for kind in _KINDS)
    return Openings(opened, sealed, erased, missing, bytearray(places))
