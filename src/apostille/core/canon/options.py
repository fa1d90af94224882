"""Options of the text rules: what a text may keep, or how it is written, where ordinary text of some kind needs it.

``OPTIONS`` is the one list of them: a name, its values, the default first, and what it does. All but the default is signed: the
profile id ends in the digest of the policy that they belong to (``policy``), so the same id still means the same bytes. What is
kept is counted as residue.

Spec: canonical.md sections 6.1 to 6.4, 7; ADR 0019.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from apostille.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RANGES = 64


class Option(NamedTuple):
    """One option.

    Attributes:
        name: In ``apostille.toml``, on the command line and in the signed policy.
        values: What it may be, the default first; none for a list of ranges.
        does: What another value than the default does.
    """

    name: str
    values: tuple[str, ...]
    does: str


OPTIONS = (
    Option("c2pa", ("strip", "keep"), "a C2PA text manifest at the end of the text stays, as C2PA writes it; up to 1 MiB"),
    Option("chillu", ("atomic", "keep"), "Malayalam chillus that are written with virama and U+200D stay as they are"),
    Option("cjk_compat", ("nfc", "vs"), "a CJK compatibility ideograph becomes the ideograph with a variation selector"),
    Option("eol", ("lf", "crlf"), "lines end in CR LF, as in files for Windows; not in JSON and Markdown"),
    Option("indic_final_zwnj", ("drop", "keep"), "U+200C behind a virama at the end of a word stays"),
    Option("nbsp", ("space", "french"), "profile strict: U+00A0 before : ; ? ! % and inside guillemets stays"),
    Option("pua_allow", (), "private use characters of these ranges stay: icons, logos"),
    Option("sea_zwsp", ("drop", "keep"), "U+200B between letters of Thai, Lao, Khmer or Myanmar stays, one in a place"),
)
_WORDS = {option.name: option.values for option in OPTIONS if option.values}
_NAMES = frozenset(option.name for option in OPTIONS)

_RANGE = re.compile(r"(?:U\+)?([0-9A-Fa-f]{4,6})(?:(?:-|\.\.)(?:U\+)?([0-9A-Fa-f]{4,6}))?")
_PRIVATE_USE = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Values of the options; ``OPTIONS`` says what they do.

    Attributes:
        pua_allow: First and last code points, ascending, apart from one another.
    """

    c2pa: str = "strip"
    chillu: str = "atomic"
    cjk_compat: str = "nfc"
    eol: str = "lf"
    indic_final_zwnj: str = "drop"
    nbsp: str = "space"
    pua_allow: tuple[tuple[int, int], ...] = ()
    sea_zwsp: str = "drop"

    def __post_init__(self) -> None:
        """Refuse other values than those listed, and ranges that are not private use.

        Raises:
            ConfigurationError: It says what is allowed.
        """
        for name, values in _WORDS.items():
            value = getattr(self, name)
            if value not in values:
                raise ConfigurationError(f"{name} is {' or '.join(values)}, not {str(value)[:32]!r}")
        if len(self.pua_allow) > MAX_RANGES:
            raise ConfigurationError(f"pua_allow holds over {MAX_RANGES} ranges")
        for first, last in self.pua_allow:
            if first > last or not any(low <= first and last <= high for low, high in _PRIVATE_USE):
                raise ConfigurationError(
                    f"pua_allow: U+{first:04X}-U+{last:04X} is no range of private use; they lie in U+E000-U+F8FF, "
                    "U+F0000-U+FFFFD and U+100000-U+10FFFD"
                )
        object.__setattr__(self, "pua_allow", _merged(self.pua_allow))

    @property
    def keeps(self) -> frozenset[str]:
        """The names of the options that are ``keep``."""
        return frozenset(name for name in _WORDS if getattr(self, name) == "keep")

    def allows(self, point: int) -> bool:
        """Tell that a private use character stays."""
        return any(first <= point <= last for first, last in self.pua_allow)

    @property
    def pua_bits(self) -> int:
        """What a private use character that stays could carry: which one of those allowed, or none."""
        return sum(last - first + 1 for first, last in self.pua_allow).bit_length()

    def settings(self) -> dict[str, Any]:
        """Give what is not the default, as it is signed."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _WORDS if getattr(self, name) != _WORDS[name][0]}
        if self.pua_allow:
            found["pua_allow"] = [f"U+{first:04X}-U+{last:04X}" for first, last in self.pua_allow]
        return found


def _merged(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


DEFAULT_TEXT = TextOptions()


def parse_text_options(settings: Mapping[str, Any]) -> TextOptions:
    """Read options from a table of settings; what is left out has its default.

    Args:
        settings: For example ``{"sea_zwsp": "keep", "pua_allow": ["U+E0A0-U+E0D4"]}``.

    Raises:
        ConfigurationError: An unknown option or value; it names those that there are.
    """
    unknown = sorted(settings.keys() - _NAMES)
    if unknown:
        raise ConfigurationError(f"{unknown[0][:32]!r} is no option of the text rules; there are: {', '.join(sorted(_NAMES))}")
    given = dict(settings)
    for name in _WORDS.keys() & given.keys():
        if not isinstance(given[name], str):
            raise ConfigurationError(f"{name} is {' or '.join(_WORDS[name])}")
    ranges = given.pop("pua_allow", [])
    if not isinstance(ranges, list) or not all(isinstance(one, str) for one in ranges):
        raise ConfigurationError('pua_allow is a list of ranges such as "U+E0A0-U+E0D4"')
    return TextOptions(pua_allow=tuple(map(_parse_range, ranges)), **given)


def parse_words(words: list[str]) -> dict[str, Any]:
    """Read options as they are given on the command line: ``sea_zwsp=keep``, ``pua_allow=U+E0A0-U+E0D4`` more than once.

    Raises:
        ConfigurationError: A word that is no ``NAME=VALUE``, or an option that is given twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(
                f"{word[:32]!r} is no NAME=VALUE; options of the text rules are: {', '.join(sorted(_NAMES))}"
            )
        if name == "pua_allow":
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ConfigurationError(f"{name[:32]} is given twice")
        else:
            found[name] = value
    return found


def _parse_range(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"pua_allow: {text[:32]!r} is no range; write it as U+E0A0-U+E0D4")
    return int(match[1], 16), int(match[2] or match[1], 16)
