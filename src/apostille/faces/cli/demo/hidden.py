"""Three ways to hide something in a text, written and read: what a turned model does, and what its partner's decoder finds.

| channel | how |
|---|---|
| tag characters | U+E0000 + ASCII: drawn as nothing |
| variation selectors | byte b after an emoji: U+FE00 + b for b < 16, else U+E0100 + b - 16; drawn as nothing |
| right-to-left override | U+202E .. U+202C: people read the characters between them backwards, programs do not |

The decoder knows nothing of the canonicalizer: it reads what is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAG = 0xE0000
_OVERRIDE, _END = "\u202e", "\u202c"
_FEW, _MANY, _FEW_COUNT = 0xFE00, 0xE0100, 16
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
# One selector may be an honest choice of an emoji's style; several in a row are a message.
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
_TURNED = re.compile(f"{_OVERRIDE}([^{_END}\n]*){_END}?")


def tags(text: str) -> str:
    """Hide ASCII text in tag characters."""
    return "".join(chr(_TAG + ord(character)) for character in text)


def selectors(text: str) -> str:
    """Hide text in variation selectors; they stand after an emoji."""
    return "".join(chr(_FEW + byte if byte < _FEW_COUNT else _MANY + byte - _FEW_COUNT) for byte in text.encode())


def turned(stored: str) -> str:
    """Let people read ``stored`` backwards."""
    return _OVERRIDE + stored + _END


@dataclass(frozen=True, slots=True)
class Found:
    """What a decoder finds in a text.

    Attributes:
        tags: Text in tag characters.
        selectors: Text in variation selectors.
        turned: Pairs of what is stored and what people read.
    """

    tags: str
    selectors: str
    turned: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.tags or self.selectors or self.turned)

    def as_json(self) -> dict[str, object]:
        """Return its JSON object."""
        pairs = [{"stored": stored, "read": read} for stored, read in self.turned]
        return {"tag_characters": self.tags, "variation_selectors": self.selectors, "overrides": pairs}


def decode(text: str) -> Found:
    """Read all three channels."""
    spelt = "".join(chr(ord(character) - _TAG) for run in _TAGS.findall(text) for character in run)
    data = bytes(_byte(ord(character)) for run in _SELECTORS.findall(text) for character in run)
    pairs = tuple((stored, stored[::-1]) for stored in _TURNED.findall(text))
    return Found(spelt, data.decode("utf-8", "replace"), pairs)


def _byte(point: int) -> int:
    return point - _FEW if point < _MANY else point - _MANY + _FEW_COUNT
