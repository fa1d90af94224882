"""Raw HTML in Markdown: its tags, which of them hide what they hold, and what they load without a click.

A tolerant scan in one pass, linear in its input: a tag that never ends reaches to the end, as it does in browsers.

Spec: HTML Standard section 13.2.5 (tokenization); canonical.md section 9 "text/markdown".
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"})
# What they hold is never drawn, and is no markup.
UNDRAWN = frozenset({"script", "style", "template", "title", "noframes"})

_TOKENS = re.compile(
    r"<!--(?:-?>|.*?(?:-->|\Z))"
    r"|<!\[CDATA\[.*?(?:\]\]>|\Z)"
    r"|<\?.*?(?:\?>|\Z)"
    r"|<![A-Za-z][^>]*(?:>|\Z)"
    r"|</?[A-Za-z](?:[^\"'>]|\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))*+(?:>|\Z)",
    re.DOTALL,
)
_NAME = re.compile(r"</?([A-Za-z][^\s/>\0]*)", re.ASCII)
_ATTRIBUTE = re.compile(r"([^\s\"'>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"?|'([^']*)'?|([^\s\"'>]+)))?", re.ASCII | re.DOTALL)
_LOADING = frozenset({"src", "srcset", "poster", "background", "data"})
_CSS_URL = re.compile(r"url\(\s*[\"']?([^\"')]*)", re.ASCII)
_ZERO = r"\+?(?:0+\.?0*|\.0+)(?:[a-z]+|%)?"
_HIDDEN_STYLE = re.compile(
    rf"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|opacity:{_ZERO}|(?:max-)?(?:width|height):{_ZERO}|font-size:{_ZERO})"
    r"(?:!important)?(?:;|$)"
)
_ZERO_SIZE = re.compile(_ZERO)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag or comment.

    Attributes:
        kind: ``comment`` stands for everything in ``<! >`` and ``<? >``, of which browsers draw nothing.
        name: In lower case; empty for a comment.
        attributes: Names in lower case, entities in values decoded; the first of a name counts.
        start: Index in the source.
        end: Index behind it.
    """

    kind: Literal["comment", "open", "close"]
    name: str
    attributes: dict[str, str]
    start: int
    end: int


def scan(source: str) -> Iterator[Tag]:
    """Give the tags of a piece of HTML; what scripts and styles hold is none."""
    opaque = ""
    for match in _TOKENS.finditer(source):
        text = match.group()
        name = _NAME.match(text)
        if name is None:
            if not opaque:
                yield Tag("comment", "", {}, match.start(), match.end())
            continue
        word = _lower(name.group(1))
        if text[1] == "/":
            if not opaque or word == opaque:
                opaque = ""
                yield Tag("close", word, {}, match.start(), match.end())
        elif not opaque:
            yield Tag("open", word, _attributes(text[name.end() :].removesuffix(">")), match.start(), match.end())
            opaque = word if word in UNDRAWN and word != "template" else ""


def hides(tag: Tag) -> bool:
    """Tell that an element is not drawn, and nothing in it."""
    if tag.name in UNDRAWN or "hidden" in tag.attributes:
        return True
    style = re.sub(r"/\*.*?(?:\*/|\Z)|\s", "", _lower(tag.attributes.get("style", "")), flags=re.ASCII | re.DOTALL)
    if _HIDDEN_STYLE.search(style):
        return True
    return any(name in tag.attributes and _ZERO_SIZE.fullmatch(tag.attributes[name].strip()) for name in ("width", "height"))


def loads(tag: Tag) -> list[str]:
    """Give the addresses that a tag loads without a click, as they are spelt."""
    found = [tag.attributes[name] for name in sorted(_LOADING & tag.attributes.keys()) if name != "srcset"]
    found += [part.split()[0] for part in tag.attributes.get("srcset", "").split(",") if part.split()]
    if tag.name in ("link", "image", "use", "feimage", "base"):
        found += [tag.attributes[name] for name in ("href", "xlink:href") if name in tag.attributes]
    return found + _CSS_URL.findall(tag.attributes.get("style", ""))


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        value = match.group(2) or match.group(3) or match.group(4) or ""
        found.setdefault(_lower(match.group(1)), html.unescape(value))
    return found


def _lower(text: str) -> str:
    return "".join(chr(ord(char) + 0x20) if "A" <= char <= "Z" else char for char in text)
