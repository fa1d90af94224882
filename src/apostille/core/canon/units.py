"""A unit: one base character with all that hangs on it, and what is decided when the next one comes.

A unit starts with a character that composes with nothing before it and ends before the next one: a base, its marks, and the
invisible characters between and behind them. Emoji that may still become one joined emoji are one unit. So a unit is bounded,
and what becomes of it depends on nothing but itself, the next character, and the letter before it; that makes the form that is
fed character by character equal to the form over the whole text.

On arrival go marks over 30 on a base, counted on the canonical decomposition (MARK_FLOOD), marks of another script than the
base letter's (MARK_FOREIGN), and invisible characters over 16 in one place; selectors that go for that are held, up to 4,096, so
that a row of them is one finding, and what it spells can be read. Then, until nothing changes any more: compose, ask
``rules.judge``, change. The changes are few; a unit that still changes after eight rounds loses its contextual characters
(UNSTABLE_RUN, a fault in the rules).

Spec: canonical.md section 2 "run", section 5 P4, P5, P8, section 11.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from apostille.core.canon import alphabet as a
from apostille.core.canon import properties as p
from apostille.core.canon import rules, sequences
from apostille.core.canon.normalize import MARKS, MAY_COMPOSE, decompose, joins, nfc
from apostille.core.canon.options import DEFAULT_TEXT
from apostille.core.canon.passes import Token, drop
from apostille.core.canon.sequences import compatibility_variants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.options import TextOptions

MAX_ROUNDS = 8
MAX_INVISIBLE = 16
MAX_ROW = 4_096
MAX_UNIT = 64
# Code points: what is decided about shorter units is remembered.
_PLANNED = 8

_CODES = {a.ZWNJ: "ZWNJ", a.ZWJ: "ZWJ", a.CGJ: "CGJ", a.MVS: "MVS", a.ZWSP: "ZWSP"}
_CODES |= dict.fromkeys(a.STANDARD_SELECTORS, "VS") | dict.fromkeys(a.IDEOGRAPHIC_SELECTORS, "IVS")
_CODES |= dict.fromkeys(a.MONGOLIAN_SELECTORS, "FVS")


class Piece(NamedTuple):
    """Decided text, or the remains of text that was replaced.

    Attributes:
        text: What stands here now.
        position: Byte offset in the raw value; meaningless if nothing was replaced and nobody can drop this.
        length: Bytes there.
        was: The raw code points, if they are not ``text``.
        code: The finding to record when it leaves; empty if nothing was replaced.
        times: 0 for a second part of one change.
    """

    text: str
    position: int
    length: int
    was: tuple[int, ...] = ()
    code: str = ""
    times: int = 1


class UnitPass:
    """Collects a unit and decides about it (MARK_FLOOD, MARK_FOREIGN, NFC, CJK_COMPAT and the codes of ``rules``).

    Args:
        ledger: Takes the findings about what goes.
        push: Takes the pieces.
        pass_on: Takes text that is not changed and is no white space, and the byte offset where it stands, all of it.
        options: Of the text rules.
    """

    def __init__(
        self,
        ledger: Ledger,
        push: Callable[[Piece], None],
        pass_on: Callable[[str, int], None],
        options: TextOptions = DEFAULT_TEXT,
    ) -> None:
        self._ledger = ledger
        self._options = options
        self._keeps = options.keeps
        self._push = push
        self._pass = pass_on
        self._tokens: list[Token] = []
        self._before = rules.NOTHING  # the last character of the output that takes part in joining
        self._is_stacked = False  # a virama stands between it and what comes
        self._base = a.SP  # what carries the marks that come now
        self._weight = 0  # marks on it so far, those inside it left aside
        self._is_flooded = False
        self._row = 0  # invisible characters since the last visible one
        self._spilled: list[Token] = []  # selectors over that in a row, which go
        self._contextual = 0  # contextual characters in the unit
        self._chain = ""  # the unit as the beginning of joined emoji, without U+FE0F
        self._may_strike = False

    @property
    def is_waiting(self) -> bool:
        """The next character decides about something held."""
        return self._contextual > 0

    def last(self) -> int:
        """The last character that came, or ``NOTHING``."""
        return self._tokens[-1].point if self._tokens else rules.NOTHING

    def follows(self, text: str) -> None:
        """Note that this text has gone by; nothing is held."""
        self._is_stacked = ord(text[-1]) in p.VIRAMAS
        for char in reversed(text):
            if p.joining(ord(char)) != "T":
                self._before = ord(char)
                return

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        kind = a.KINDS[point]
        if kind == a.PLAIN and not self._chain:
            self._begin(token)
        elif kind == a.MARK:
            self._mark(token)
        elif kind == a.CONTEXT:
            self._context(token)
        elif kind == a.BIDI:
            self._invisible(token, "BIDI_DROP")
        elif point == a.ZWSP:
            self._context(token)
        elif kind == a.SINGLETON and self._options.cjk_compat == "vs" and point in compatibility_variants():
            base, selector = compatibility_variants()[point]
            self.push(token._replace(point=base, was=token.raw, code="CJK_COMPAT"))
            self.push(Token(selector, token.position + token.length, 0, (), "CJK_COMPAT"))
        else:
            self._starter(token, kind)

    def settle(self, following: int = rules.NOTHING) -> None:
        """Decide about the unit.

        Args:
            following: The next character; it matters only if something is waiting.
        """
        if self._tokens:
            tokens, self._tokens = self._tokens, []
            self._decide(tokens, following)
        if self._spilled:
            for token in self._spilled:
                drop(self._ledger, "VS_RUN", token)
            self._spilled.clear()
        self._begin_row()
        self._contextual, self._chain = 0, ""
        self._base, self._weight, self._is_flooded = a.SP, 0, False

    def can_strike(self, position: int) -> bool:
        """Tell that the unit is one character that ends at this byte, and that nothing before it depends on it."""
        if len(self._tokens) != 1 or not self._may_strike:
            return False
        token = self._tokens[0]
        is_visible = token.point not in (a.LF, 0x09) and a.KINDS[token.point] in (a.PLAIN, a.SPACE, a.SINGLETON, a.UNASSIGNED)
        return is_visible and not token.code and token.position + token.length == position

    def strike(self) -> None:
        """Drop the character that the unit is."""
        drop(self._ledger, "OVERSTRIKE", self._tokens.pop())
        self._chain = ""

    # What arrives.

    def _begin_row(self) -> None:
        self._row = 0

    def _mark(self, token: Token) -> None:
        if a.is_foreign(token.point, self._base):
            drop(self._ledger, "MARK_FOREIGN", token)
            return
        weight = len(decompose(token.point))  # the generator has checked that a mark decomposes into marks only
        inside = len([part for part in decompose(self._base) if part in MARKS])
        self._is_flooded = self._is_flooded or self._weight + weight + inside > a.MAX_MARKS
        if self._is_flooded:
            drop(self._ledger, "MARK_FLOOD", token)
            return
        self._weight += weight
        self._drop_controls()
        self._begin_row()
        self._chain = ""
        self._tokens.append(token)

    def _context(self, token: Token) -> None:
        point = token.point
        if point not in a.JOINERS:
            self._drop_controls()
        if not self._invisible(token, f"{_CODES.get(point, 'DI')}_DROP"):
            return
        self._contextual += 1
        if point == a.ZWJ and self._chain and not self._chain.endswith("\u200d"):
            self._chain += "\u200d"

    def _invisible(self, token: Token, code: str) -> bool:
        if self._row >= MAX_INVISIBLE:
            row = self._spilled or self._tokens
            is_run = bool(row) and row[-1].point in a.SELECTORS and token.point in a.SELECTORS
            if is_run and len(self._spilled) < MAX_ROW:
                self._spilled.append(token)
            else:
                drop(self._ledger, code, token)
            return False
        self._row += 1
        self._tokens.append(token)
        return True

    def _drop_controls(self) -> None:
        """Drop the bidi controls since the last visible character: what comes hangs on it, or may compose with it."""
        held: list[Token] = []
        while self._tokens and _is_invisible(self._tokens[-1].point):
            held.append(self._tokens.pop())
        for token in reversed(held):
            if a.KINDS[token.point] == a.BIDI:
                drop(self._ledger, "BIDI_DROP", token)
            else:
                self._tokens.append(token)

    def _starter(self, token: Token, kind: int) -> None:
        point = token.point
        if kind in (a.COMPOSES, a.SINGLETON) and self._tokens and self._goes_on(point):
            self._drop_controls()
            self._begin_row()
            self._chain = ""
        elif self._chain and sequences.begins_emoji(self._chain + chr(point)):
            self._chain += chr(point)
            self._begin_row()
        elif not self._cut_chain(point):
            self._begin(token)
            return
        self._carry(token)

    def _begin(self, token: Token) -> None:
        """Begin a unit with a character that composes with nothing before it."""
        point = token.point
        self._may_strike = not self._contextual
        self.settle(point)
        if point in p.PICTOGRAPHS and sequences.begins_emoji(chr(point)):
            self._chain = chr(point)
        elif a.KINDS[point] == a.UNASSIGNED:
            self._ledger.keep("UNASSIGNED", point, token.position)
        elif a.KINDS[point] == a.DROP:
            self._ledger.keep("PUA_KEEP", point, token.position, bits=self._options.pua_bits)
        self._carry(token)

    def _carry(self, token: Token) -> None:
        """Let the marks that come now be on this character."""
        self._base, self._weight, self._is_flooded = token.point, 0, False
        self._tokens.append(token)

    def _goes_on(self, starter: int) -> bool:
        """Tell that a starter may compose with what is held."""
        parts = decompose(starter)
        if parts[0] not in MAY_COMPOSE:
            return False
        if not self._contextual and not any(a.KINDS[token.point] == a.BIDI for token in self._tokens):
            return joins([token.point for token in self._tokens], parts[0])
        if len(self._tokens) < MAX_UNIT:
            return True
        self._drop_all()
        return joins([token.point for token in self._tokens], parts[0])

    def _cut_chain(self, following: int) -> bool:
        """Let the first emoji of a chain go that cannot go on; tell whether the rest goes on with what follows."""
        start = 0
        points = [token.point for token in self._tokens]
        while self._chain and start < len(points):
            end = rules.longest_emoji(points, start)[0]
            # A sequence that is none, or the joiner behind one: up to the next emoji behind a joiner.
            end = max(end, start + 1)
            while end < len(points) and points[end - 1] != a.ZWJ:
                end += 1
            chain = rules.plain_emoji(points[end:])
            if end < len(points) and sequences.begins_emoji(chain + chr(following)):
                rest = self._tokens[end:]
                self._tokens = self._tokens[:end]
                self.settle(points[end])
                self._tokens = rest
                self._contextual = sum(a.KINDS[token.point] == a.CONTEXT for token in rest)
                self._chain = chain + chr(following)
                return True
            start = end
        return False

    def _drop_all(self) -> None:
        kept: list[Token] = []
        for token in self._tokens:
            if _is_invisible(token.point):
                drop(self._ledger, "UNSTABLE_RUN", token)
            else:
                kept.append(token)
        self._tokens = kept
        self._contextual = 0

    # What is decided.

    def _decide(self, tokens: list[Token], following: int) -> None:
        points = tuple([token.point for token in tokens])
        if len(points) <= _PLANNED and not any(token.code for token in tokens) and a.KINDS[points[0]] != a.SPACE:
            plan = (
                _unchanged(points, self._before, following, self._stacked(), self._keeps)
                if self._contextual
                else _unchanged(points)
            )
            if plan is not None:
                for index, code, bits, script in plan:
                    self._ledger.keep(code, points[index], tokens[index].position, bits=bits, script=script)
                text = "".join(map(chr, points))
                self.follows(text)
                if len(points) == 1 or _is_whole(tokens):
                    self._pass(text, tokens[0].position)
                else:
                    for token in tokens:
                        self._push(_piece(token))
                return
        if self._contextual:
            tokens = self._settle_contextual(tokens, following)
        start = 0
        for index, token in enumerate(tokens):
            if _is_invisible(token.point):
                self._emit_visible(tokens[start:index])
                self._emit_invisible(token)
                start = index + 1
        self._emit_visible(tokens[start:])

    def _stacked(self) -> int:
        return self._before if self._is_stacked else rules.NOTHING

    def _settle_contextual(self, tokens: list[Token], following: int) -> list[Token]:
        """Change the unit until nothing is left to change."""
        for _ in range(MAX_ROUNDS):
            points = nfc([token.point for token in tokens])
            change = rules.judge(points, self._before, following, self._stacked(), self._keeps)
            if change is None:
                return tokens
            tokens = self._change(tokens, points, change)
        self._tokens = tokens
        self._drop_all()
        tokens, self._tokens = self._tokens, []
        return tokens

    def _change(self, tokens: list[Token], points: Sequence[int], change: rules.Change) -> list[Token]:
        """Drop and insert. Invisible characters keep their order when a text is composed, so they are found by counting."""
        places = {index: _place(tokens, points, index) for index in (*change.drops, change.place)}
        found: list[Token] = []
        drops = {places[index]: code for index, code in change.drops.items()}
        for index, token in enumerate(tokens):
            if change.insert >= 0 and index == places[change.place]:
                found.append(Token(change.insert, token.position, 0, (), change.code))
            if index in drops:
                drop(self._ledger, drops[index], token)
            else:
                found.append(token)
        if change.insert >= 0 and places[change.place] == len(tokens):
            last = tokens[-1]
            found.append(Token(change.insert, last.position + last.length, 0, (), change.code))
        return found

    def _emit_invisible(self, token: Token) -> None:
        point = token.point
        if point in a.CONTEXTUAL:
            bits = alternatives_bits(self._before, point)
            self._ledger.keep(keep_code(point), point, token.position, bits=bits, script=_script(self._before))
        if point in a.CONTEXTUAL and p.joining(point) != "T":
            self._before = point
        self._is_stacked = False
        self._push(_piece(token))

    def _emit_visible(self, tokens: Sequence[Token]) -> None:
        if not tokens:
            return
        points = [token.point for token in tokens]
        composed = nfc(points)
        self._before = next((point for point in reversed(composed) if p.joining(point) != "T"), self._before)
        self._is_stacked = composed[-1] in p.VIRAMAS
        start, end, shift = 0, len(points), len(composed) - len(points)
        while start < min(len(points), len(composed)) and points[start] == composed[start]:
            start += 1
        while end > start and end + shift > start and points[end - 1] == composed[end - 1 + shift]:
            end -= 1
        if start == end and shift:
            start -= 1  # never at 0: a decomposition does not begin with its own character
        for token in tokens[:start]:
            self._push(_piece(token))
        if start < end:
            self._emit_changed(tokens[start:end], "".join(map(chr, composed[start : end + shift])))
        for token in tokens[end:]:
            self._push(_piece(token))

    def _emit_changed(self, tokens: Sequence[Token], text: str) -> None:
        """Emit one piece per stretch of raw bytes; dropped characters may lie between the stretches."""
        code = "CJK_COMPAT" if tokens[0].point in compatibility_variants() else "NFC"
        position, length = tokens[0].position, 0
        was: list[int] = []
        for token in tokens:
            if token.position != position + length:
                self._push(Piece(text, position, length, tuple(was), code, 1 if text else 0))
                text, position, length, was = "", token.position, 0, []
            was += token.raw
            length += token.length
        self._push(Piece(text, position, length, tuple(was), code, 1 if text else 0))


@lru_cache(maxsize=4_096)
def _unchanged(
    points: tuple[int, ...],
    before: int = rules.NOTHING,
    following: int = rules.NOTHING,
    stacked: int = rules.NOTHING,
    keeps: frozenset[str] = frozenset(),
) -> tuple[tuple[int, str, int, str], ...] | None:
    """Say that nothing in a unit has to change, and what is kept in it: index, code, bits, script. Most units are alike."""
    if a.BIDI_CONTROLS.intersection(points) or nfc(points) != points:
        return None
    if not a.CONTEXTUAL.intersection(points):
        return ()
    if rules.judge(points, before, following, stacked, keeps) is not None:
        return None
    kept: list[tuple[int, str, int, str]] = []
    for index, point in enumerate(points):
        if point in a.CONTEXTUAL:
            kept.append((index, keep_code(point), alternatives_bits(before, point), _script(before)))
        if p.joining(point) != "T":
            before = point
    return tuple(kept)


def _script(point: int) -> str:
    return "" if point == rules.NOTHING else p.script(point)


def keep_code(point: int) -> str:
    """Give the code under which a kept contextual character is counted."""
    return f"{_CODES.get(point, 'DI')}_KEEP"


def alternatives_bits(base: int, point: int) -> int:
    """Give the bits that the choice of a kept contextual character carries: which one of those possible here, or none."""
    if point in a.STANDARD_SELECTORS:
        return sequences.variant_count(base).bit_length()
    if point in a.IDEOGRAPHIC_SELECTORS:
        return sequences.ideographic_count(base).bit_length()
    return 2 if point in a.MONGOLIAN_SELECTORS else 1


def _is_whole(tokens: Sequence[Token]) -> bool:
    """Tell that nothing was dropped between these tokens."""
    return tokens[-1].position - tokens[0].position == sum(token.length for token in tokens) - tokens[-1].length


def _piece(token: Token) -> Piece:
    return Piece(chr(token.point), token.position, token.length, token.raw, token.code)


def _place(tokens: Sequence[Token], points: Sequence[int], index: int) -> int:
    """Give the index among the tokens of an index into the composed unit.

    Invisible characters keep their order when a text is composed, so they are found by counting; anything else is found by its
    distance from the nearest one, because what ``rules`` changes near them does not compose.
    """
    if index == len(points):
        return len(tokens)
    invisible = [place for place, point in enumerate(points) if _is_invisible(point)]
    places = [place for place, token in enumerate(tokens) if _is_invisible(token.point)]
    nearest = min(range(len(invisible)), key=lambda ordinal: abs(invisible[ordinal] - index))
    return places[nearest] + index - invisible[nearest]


def _is_invisible(point: int) -> bool:
    return point in a.CONTEXTUAL or point in a.BIDI_CONTROLS
