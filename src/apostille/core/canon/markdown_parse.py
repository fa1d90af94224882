"""Parse Markdown (CommonMark, tables and strikethrough as GFM) so that every part knows where it stands in the text.

The parser is ``markdown-it-py``. It tells the lines of a block, not the place of what lies inside a line; rules wrapped here note
where each inline token begins and ends, and ``Places`` leads from the content of a block, which has lost quote marks, indentation
and the backslashes before pipes of tables, back to the text.

Every destination counts as a link, whatever its scheme: other renderers are less strict, and what they would load has to be seen.
Two things bound the cost, which is linear then: nesting over ``MAX_NESTING``, and tables that unfold to more tokens than the text
has characters, refuse the text.

Which characters are punctuation is asked of our own tables, never of the interpreter's (ADR 0016).

Spec: CommonMark 0.31.2; canonical.md section 9 "text/markdown".
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import MD_TRIM_CHARS, isMdAsciiPunct, isWhiteSpace
from markdown_it.parser_block import ParserBlock
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_block.state_block import StateBlock
from markdown_it.rules_inline.state_inline import Scanned, StateInline

from apostille.core.canon import properties
from apostille.core.canon.findings import SEVERITIES, Finding
from apostille.core.canon.normalize import MARKS
from apostille.errors import CanonicalizationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from markdown_it.token import Token

MAX_NESTING = 48
_TOKENS_AT_LEAST = 1_000
_INDENT = " \t"


class Places:
    """Leads from an index in the content of a block to the index in the text.

    Args:
        starts: Pairs of an index in the content and the index in the text where the same run of characters begins; ascending.
    """

    def __init__(self, starts: list[tuple[int, int]]) -> None:
        self._starts = starts

    def find(self, index: int) -> int:
        """Give the place of a character of the content."""
        inside, outside = self._starts[max(bisect_right(self._starts, (index, 1 << 62)) - 1, 0)]
        return outside + max(index - inside, 0)

    def end(self, index: int) -> int:
        """Give the place behind the character before ``index``."""
        return self.find(index - 1) + 1 if index else self.find(0)


@dataclass(frozen=True, slots=True)
class Inline:
    """A token inside a line: ``text[start:end]``.

    Attributes:
        token: Its first token.
        start: Index in the text.
        end: Index behind it.
        block: Number of the block token that holds it.
        number: Its own among the children of that.
    """

    token: Token
    start: int
    end: int
    block: int
    number: int


@dataclass(slots=True)
class Parsed:
    """A parsed text.

    Attributes:
        text: As it was parsed.
        tokens: Block tokens in their order.
        inlines: All inline tokens that have a place, in the order of their places' starts.
        lines: Index of the first character of each line, and the length of the text.
        references: Labels that are defined, in the parser's spelling, with their destinations.
        places: For block tokens that hold text (``inline``, ``html_block``), by their number.
    """

    text: str
    tokens: list[Token]
    lines: list[int]
    references: dict[str, Any]
    inlines: list[Inline] = field(default_factory=list)
    places: dict[int, Places] = field(default_factory=dict)

    def line(self, index: int) -> int:
        """Give the number of the line that holds a character."""
        return bisect_right(self.lines, index) - 1

    def span(self, token: Token) -> tuple[int, int]:
        """Give the whole lines of a block token."""
        first, last = token.map or [0, 0]
        return self.lines[first], self.lines[min(last, len(self.lines) - 1)]


def refusal(code: str, what: str, position: int = 0) -> CanonicalizationError:
    """Make the error for a text that is refused."""
    return CanonicalizationError(what, findings=(Finding(code, SEVERITIES[code], "refuse", position, 0),))


class _BlockState(StateBlock):
    def push(self, ttype: str, tag: str, nesting: Any) -> Token:
        # A table of one line a column unfolds to the square of its size.
        if len(self.tokens) > _TOKENS_AT_LEAST + 4 * len(self.src):
            raise refusal("LIMIT_SIZE", "the tables of the Markdown unfold to too many cells")
        if nesting == 1 and self.level >= MAX_NESTING - 3:
            raise refusal("LIMIT_DEPTH", f"Markdown nested over {MAX_NESTING - 3} deep")
        return super().push(ttype, tag, nesting)


class _Block(ParserBlock):
    def parse(self, src: str, md: MarkdownIt, env: Any, outTokens: list[Token]) -> list[Token] | None:  # noqa: N803
        if not src:
            return None
        state = _BlockState(src, md, env, outTokens)
        self.tokenize(state, state.line, state.lineMax)
        return state.tokens


class _InlineState(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803
        """Do as the parser does, with our own tables of letters, marks and white space (CommonMark section 6.2)."""
        end = start
        while end < self.posMax and self.src[end] == self.src[start]:
            end += 1
        before = self.src[start - 1] if start else " "
        behind = self.src[end] if end < self.posMax else " "
        space_before, space_behind = isWhiteSpace(ord(before)), isWhiteSpace(ord(behind))
        sign_before, sign_behind = _is_sign(ord(before)), _is_sign(ord(behind))
        left = not (space_behind or (sign_behind and not (space_before or sign_before)))
        right = not (space_before or (sign_before and not (space_behind or sign_behind)))
        can_open = left and (canSplitWord or not right or sign_before)
        can_close = right and (canSplitWord or not left or sign_behind)
        return Scanned(can_open, can_close, end - start)


def _is_sign(point: int) -> bool:
    if point < 0x80:
        return isMdAsciiPunct(point)
    return not (properties.is_letter(point) or point in MARKS or point in properties.WHITE_SPACE or point in properties.IGNORABLE)


class _Inline(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env: Any, tokens: list[Token]) -> list[Token]:
        state = _InlineState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens

    def skipToken(self, state: StateInline) -> None:  # noqa: N802
        if state.level >= MAX_NESTING:
            raise refusal("LIMIT_DEPTH", f"Markdown nested over {MAX_NESTING} deep")
        super().skipToken(state)


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: ARG002, N802
        return True

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link


def _noting(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """Wrap an inline rule: its first token of its own learns where the rule began and ended."""

    def wrapped(state: StateInline, silent: bool) -> bool:
        start, count = state.pos, len(state.tokens)
        if not rule(state, silent):
            return False
        if not silent:
            for token in state.tokens[count:]:
                if token.type != "text":
                    token.meta["span"] = (start, state.pos)
                    break
        return True

    return wrapped


@cache
def parser() -> MarkdownIt:
    """Give the one parser; it keeps nothing of a text."""
    made = _Parser("commonmark", {"maxNesting": MAX_NESTING, "store_labels": True, "inline_definitions": True})
    made.enable(["table", "strikethrough"])
    inline = _Inline()
    for rule in inline.ruler.__rules__:
        if rule.name not in ("text", "emphasis", "strikethrough"):
            rule.fn = _noting(rule.fn)
    inline.ruler.enableOnly([*made.inline.ruler.get_active_rules()])
    inline.ruler2.enableOnly([*made.inline.ruler2.get_active_rules()])
    block = _Block()
    block.ruler.enableOnly([*made.block.ruler.get_active_rules()])
    made.inline, made.block = inline, block
    return made


def parse_markdown(text: str, references: dict[str, Any] | None = None) -> Parsed:
    """Parse a text.

    Args:
        text: With LF as its only line end.
        references: Definitions that stand outside of this text.

    Raises:
        CanonicalizationError: Nested too deep (finding LIMIT_DEPTH), or unfolding to too much (LIMIT_SIZE).
    """
    env: dict[str, Any] = {"references": dict(references or {})}
    text = text.replace("\0", "\ufffd")
    try:
        tokens = parser().parse(text, env)
    except RecursionError as error:  # the caller stands deep in a stack of its own
        raise refusal("LIMIT_DEPTH", "Markdown nested too deep") from error
    found = Parsed(text, tokens, _lines(text), env["references"])
    _locate(found)
    return found


def _lines(text: str) -> list[int]:
    starts = [0]
    while (index := text.find("\n", starts[-1])) >= 0:
        starts.append(index + 1)
    if starts[-1] != len(text):
        starts.append(len(text))
    return starts


def _locate(parsed: Parsed) -> None:
    cursor = 0
    heading = ""
    for number, token in enumerate(parsed.tokens):
        if token.type == "tr_open":
            cursor = parsed.span(token)[0]
        elif token.nesting == 1:
            heading = token.markup if token.type == "heading_open" and token.markup[:1] == "#" else ""
        if token.type not in ("inline", "html_block") or not token.content:
            continue
        if number and parsed.tokens[number - 1].type in ("th_open", "td_open"):
            starts, cursor = _cell(parsed, token, cursor)
        elif heading and token.type == "inline":
            starts = _heading(parsed, token, heading)
        else:
            starts = list(_whole_lines(parsed, token))
        places = parsed.places[number] = Places(starts)
        for index, child in enumerate(token.children or ()):
            if "span" in child.meta:
                start, end = child.meta["span"]
                parsed.inlines.append(Inline(child, places.find(start), places.end(end), number, index))


def _whole_lines(parsed: Parsed, token: Token) -> Iterator[tuple[int, int]]:
    """Place each line of the content: it is the end of a line of the text."""
    first, inside = (token.map or [0])[0], 0
    rows = token.content.split("\n")
    for number, row in enumerate(rows):
        if first + number + 1 >= len(parsed.lines):
            break  # behind the last line feed of an HTML block
        shown = row.lstrip(_INDENT)
        end = parsed.lines[first + number + 1]
        line = parsed.text[parsed.lines[first + number] : end].removesuffix("\n")
        if token.type == "inline" and number == len(rows) - 1:
            line = line.rstrip(MD_TRIM_CHARS)
        yield inside + len(row) - len(shown), parsed.lines[first + number] + len(line) - len(shown)
        inside += len(row) + 1


def _heading(parsed: Parsed, token: Token, marks: str) -> list[tuple[int, int]]:
    start = parsed.text.index(marks, parsed.lines[(token.map or [0])[0]]) + len(marks)
    return [(0, parsed.text.index(token.content, start))]


def _cell(parsed: Parsed, token: Token, cursor: int) -> tuple[list[tuple[int, int]], int]:
    """Place the content of a cell, in which a backslash before a pipe is left out, from a cursor on."""
    spelt = token.content.replace("|", "\\|")
    start = parsed.text.index(spelt, cursor)
    starts, outside = [(0, start)], start
    for index, char in enumerate(token.content):
        if char == "|":
            starts.append((index, outside + 1))
            outside += 1
        outside += 1
    return starts, outside
