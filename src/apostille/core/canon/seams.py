"""What stays at a place from which something was cut that is not drawn.

Mostly nothing. But a comment also separates: two lists, a list and what is indented behind it, a star and the star before it.
Where the text would be drawn otherwise without it, a comment of one fixed form stays, ``<!-- -->``: what it said is gone, and
that something stands there shows.

What is drawn is compared on pieces of the text, from the block before the cuts to the block behind them: first with nothing left
at any cut, and if that changes the drawing, cut by cut. A piece with more cuts than ``MAX_CUTS``, or fewer if it is long, keeps
the fixed comment at all of them: that bounds the work, and cleaning again finds the same number.

Spec: canonical.md section 9, "rendered HTML equal but for removed nodes".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apostille.core.canon.draft import Edit
from apostille.core.canon.html_tags import scan
from apostille.core.canon.markdown_parse import parse_markdown, parser
from apostille.errors import CanonicalizationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from apostille.core.canon.markdown_parse import Parsed

FIXED = "<!-- -->"
_MARK = "\ufffc"  # stands in a line for something that is not drawn; the text rules have dropped all others
MAX_CUTS = 8
_MAX_WORK = 100_000  # visible characters that are looked at cut by cut
_SPACES = re.compile("[ \t\n]+")
_BLANK = re.compile("[ \t>]*")
_BREAK = re.compile("[ \t\n]*(\0hardbreak[^\0]*\0)[ \t\n]*")


@dataclass(frozen=True, slots=True)
class Cut:
    """``text[start:end]`` is not drawn.

    Attributes:
        is_block: It is no part of a line of text: nothing else stands in its block's last line.
    """

    start: int
    end: int
    code: str
    is_block: bool


def close_seams(parsed: Parsed, cuts: Sequence[Cut]) -> list[Edit]:
    """Decide for each cut what stays there.

    Args:
        parsed: The text.
        cuts: In ascending order, without overlap.

    Returns:
        One edit for each cut that changes something.
    """
    edits: list[Edit] = []
    for start, end, inside in _pieces(parsed, cuts):
        chosen = _choose(parsed, start, end, inside)
        edits += [edit for edit in chosen if parsed.text[edit.start : edit.end] != edit.now]
    return edits


def _pieces(parsed: Parsed, cuts: Sequence[Cut]) -> list[tuple[int, int, list[Cut]]]:
    """Group the cuts whose blocks are neighbours, each group with the block before it and the one behind."""
    spans = [parsed.span(token) for token in parsed.tokens if token.level == 0 and token.map is not None and token.nesting >= 0]
    groups: list[tuple[int, int, list[Cut]]] = []
    first = 0
    for cut in cuts:
        while first + 1 < len(spans) and spans[first][1] <= cut.start:
            first += 1
        last = first
        while last + 1 < len(spans) and spans[last][1] < cut.end:
            last += 1
        if groups and first <= groups[-1][1] + 1:
            begin, before, inside = groups.pop()
            inside.append(cut)
            groups.append((begin, max(last, before), inside))
        else:
            groups.append((first, last, [cut]))
    return [(spans[max(first - 1, 0)][0], spans[min(last + 1, len(spans) - 1)][1], inside) for first, last, inside in groups]


def _options(parsed: Parsed, cut: Cut) -> list[Edit]:
    """Give what may become of a cut: the least first, the fixed comment last."""
    text, start, end = parsed.text, cut.start, cut.end
    line, stop = _line_of(parsed, start)[0], _line_of(parsed, end)[1]
    fixed = Edit(start, end, FIXED, cut.code)
    is_last = _is_blank(text, end, stop)
    if cut.is_block and is_last:
        if not _is_blank(text, line, start):
            return [Edit(start, stop, "", cut.code), fixed]  # the mark of a list stays
        whole = min(stop + 1, len(text))
        if line == 0 or _is_blank(text, *_line_of(parsed, line - 1)):
            # Between two empty lines: one of them goes too.
            following = _line_of(parsed, whole)
            if _is_blank(text, *following):
                whole = min(following[1] + 1, len(text))
        return [Edit(line, whole, "", cut.code), Edit(start, stop, "", cut.code), fixed]
    if (start == line or text[start - 1] in " \t") and not is_last:
        # Spaces on both sides would become one run.
        while end < stop and text[end] in " \t":
            end += 1
    gone = Edit(start, end, "", cut.code)
    # At the start of a line of text a comment would be a block.
    return [gone] if not cut.is_block and _is_blank(text, line, start) else [gone, fixed]


def _line_of(parsed: Parsed, index: int) -> tuple[int, int]:
    """Give the line that holds a character, without its line feed."""
    number = min(parsed.line(index), max(len(parsed.lines) - 2, 0))
    start, end = parsed.lines[number], parsed.lines[number + 1] if number + 1 < len(parsed.lines) else len(parsed.text)
    return start, max(end - 1, start) if parsed.text[end - 1 : end] == "\n" else end


def _is_blank(text: str, start: int, end: int) -> bool:
    """Tell that nothing but white space and marks of quotes stands there."""
    match = _BLANK.match(text, start, end)
    return match is not None and match.end() == end


def _choose(parsed: Parsed, start: int, end: int, cuts: Sequence[Cut]) -> list[Edit]:
    options = [_options(parsed, cut) for cut in cuts]
    # As it is drawn now: a comment stays as it is, what else is cut gives way to something that is not drawn either.
    neutral = [
        [] if cut.code == "MD_COMMENT" else [Edit(cut.start, cut.end, FIXED if cut.is_block else _MARK, cut.code)] for cut in cuts
    ]
    chosen = [choices[0] for choices in options]
    wanted = drawn(parsed, start, end, [edit for edits in neutral for edit in edits])
    if wanted is None or drawn(parsed, start, end, _apart(chosen)) == wanted:
        return _apart(chosen)
    if len(cuts) > min(MAX_CUTS, _MAX_WORK // max(_visible(parsed, start, end, cuts), 1)):
        return [choices[-1] for choices in options]
    for number, choices in enumerate(options):
        for choice in choices:
            behind = [edit for edits in neutral[number + 1 :] for edit in edits]
            if drawn(parsed, start, end, _apart([*chosen[:number], choice, *behind])) == wanted:
                chosen[number] = choice
                break
    return _apart(chosen)


def _visible(parsed: Parsed, start: int, end: int, cuts: Sequence[Cut]) -> int:
    """Count what is no white space outside of the cuts: the same before and after they are made."""
    count = 0
    for cut in (*cuts, Cut(end, end, "", is_block=False)):
        count += len(_SPACES.sub("", parsed.text[start : cut.start]))
        start = max(start, cut.end)
    return count


def _apart(edits: list[Edit]) -> list[Edit]:
    """Join edits that touch or overlap, which those of neighbouring lines may."""
    out: list[Edit] = []
    for edit in edits:
        if out and edit.start < out[-1].end:
            last = out.pop()
            out.append(Edit(last.start, max(last.end, edit.end), last.now + edit.now, edit.code, last.count + edit.count))
        else:
            out.append(edit)
    return out


def drawn(parsed: Parsed, start: int, end: int, edits: Sequence[Edit]) -> list[str] | None:
    """Give what is drawn of a piece once it is edited; nothing if that can't be parsed."""
    out: list[str] = []
    for edit in edits:
        out += (parsed.text[start : edit.start], edit.now)
        start = edit.end
    try:
        return drawing("".join((*out, parsed.text[start:end])), parsed)
    except CanonicalizationError:
        return None


def drawing(text: str, parsed: Parsed) -> list[str]:
    """Give what is drawn of a text as a list of words: comments and runs of white space make no difference.

    Args:
        text: Markdown.
        parsed: Has the definitions that count too.
    """
    out: list[str] = []
    for token in parse_markdown(text, parsed.references).tokens:
        if token.type == "inline":
            out.append(_line(token.children or []))
        elif token.type == "html_block":
            shown = _SPACES.sub(" ", _shown(token.content)).strip()
            out += [f"html {shown}"] if shown else []
        elif token.type != "definition":
            said = (token.type, token.tag, sorted(token.attrs.items()), token.info.strip(), token.content, token.hidden)
            out.append(" ".join(map(str, said)))
    return out


def line_drawing(content: str, parsed: Parsed) -> str:
    """Give what is drawn of the content of a paragraph."""
    tokens = parser().parseInline(content, {"references": dict(parsed.references)})
    return _line(tokens[0].children or [])


def _shown(source: str) -> str:
    """Take the comments out of HTML."""
    out: list[str] = []
    done = 0
    for tag in scan(source):
        if tag.kind == "comment":
            out.append(source[done : tag.start])
            done = tag.end
    return "".join((*out, source[done:]))


def _line(tokens: Sequence[Token]) -> str:
    out: list[str] = []
    for token in tokens:
        if token.type in ("text", "text_special"):
            out.append(token.content.replace(_MARK, ""))
        elif token.type == "html_inline":
            shown = _shown(token.content)
            out.append(f"\0{shown}\0" if shown else "")
        elif token.type == "softbreak":
            out.append("\n")
        else:
            label = _line(token.children) if token.children else token.content
            out.append(f"\0{token.type} {token.tag} {sorted(token.attrs.items())} {label}\0")
    return _SPACES.sub(" ", _BREAK.sub(r"\1", "".join(out))).strip()
