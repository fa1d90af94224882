"""Profile ``strict``: look-alikes are written in one form, behind the bidi passes and before the tails.

    P7  FoldPass       what is written otherwise wherever it stands; selectors; doubled marks
        LayoutPass     spaces
        WordPass       letters of another script (words.py)
        PunctuationPass, KanaPass
    P4 to P6 once more: what was written otherwise may compose, or move a bidi control

Each pass takes one token at a time and decides from what came and from a bounded piece of what follows, so the form that is fed
in pieces is the form over the whole text. No pass changes what an earlier one decides from: a second run changes nothing.

Spec: canonical.md sections 5 and 7.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from apostille.core.canon import alphabet as a
from apostille.core.canon import lookalikes as look
from apostille.core.canon import properties as p
from apostille.core.canon.normalize import COMBINING, MARKS, decompose
from apostille.core.canon.passes import Token, drop
from apostille.core.canon.quiet import quiet_end
from apostille.core.canon.rules import NOTHING
from apostille.core.canon.tails import MAX_RUN
from apostille.core.canon.units import Piece, UnitPass
from apostille.core.canon.words import WordPass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apostille.core.canon.bidi import BidiPass
    from apostille.core.canon.findings import Lane, Ledger

    Push = Callable[[Token], None]

MAX_MARKS = 4
MAX_PUNCTUATION = 64
_JOINED = frozenset({a.ZWJ, 0x20E3})
_TRANSPARENT = a.CONTEXTUAL | a.BIDI_CONTROLS
# Characters: shorter quiet text costs more to tell than to take.
_SHORT = 4


def rewrite(token: Token, code: str, points: Sequence[int]) -> list[Token]:
    """Write a token otherwise: the first one stands for the raw bytes, the others are put in behind it."""
    first, *others = points
    if token.was == (first,) and not others:
        return [Token(first, token.position, token.length)]  # an earlier pass had changed it: now it is the raw one again
    end = token.position + token.length
    return [token._replace(point=first, was=token.raw, code=code), *(Token(point, end, 0, (), code) for point in others)]


class FoldPass:
    """Replace single characters (STYLED, TYPOGRAPHY, RADICAL, ARABIC_LETTER, UNASSIGNED), drop selectors and doubled marks.

    ======================  ===============================================================================================
    U+FE0E, U+FE0F          stay in joined emoji and keycaps (EMOJI_STYLE)
    other selectors         go, those of Mongolian stay (VS_DROP, IVS_DROP)
    marks                   one behind the same one goes, and the fifth that has no script of its own (MARK_DUP)
    ======================  ===============================================================================================
    """

    def __init__(self, ledger: Lane, push: Push) -> None:
        # Two drops with something put in between must not merge: they take turns.
        self._ledgers = [ledger, ledger.beside()]
        self._has_dropped = False
        self._next = push
        self._selector: Token | None = None
        self._last = self._before = NOTHING  # the last two characters
        self._marks: list[int] = []  # on the last base

    def _push(self, token: Token) -> None:
        if not token.length and self._has_dropped:
            self._ledgers.reverse()
            self._has_dropped = False
        self._next(token)

    def _drop(self, code: str, token: Token) -> None:
        drop(self._ledgers[0], code, token)
        self._has_dropped = True

    @property
    def is_waiting(self) -> bool:
        """A selector is held."""
        return self._selector is not None

    def follows(self, text: str) -> None:
        """Note that this quiet text has gone by."""
        self._before, self._last = ord(text[-2]), ord(text[-1])
        self._marks = [part for part in decompose(self._last)[1:] if part in MARKS]

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        if self._selector is not None:
            self._settle(point)
        if point in a.SELECTORS:
            self._select(token)
        elif point in MARKS:
            self._mark(token)
        else:
            self._base(token)
        self._before, self._last = self._last, point

    def end(self) -> None:
        """End the text."""
        if self._selector is not None:
            self._settle(NOTHING)

    def _select(self, token: Token) -> None:
        if token.point in a.MONGOLIAN_SELECTORS:
            self._push(token)
        elif token.point in look.EMOJI_SELECTORS:
            if self._before == a.ZWJ:
                self._push(token)
            else:
                self._selector = token
        else:
            self._drop("VS_DROP" if token.point in a.STANDARD_SELECTORS else "IVS_DROP", token)

    def _settle(self, following: int) -> None:
        token, self._selector = self._selector, None
        if token is not None and following in _JOINED:
            self._push(token)
        elif token is not None:
            self._drop("EMOJI_STYLE", token)

    def _mark(self, token: Token) -> None:
        parts = decompose(token.point)
        for part in parts:
            ccc = COMBINING.get(part, 0)
            row = [mark for mark in self._marks if COMBINING.get(mark, 0) == ccc]
            generic = sum(mark not in p.EXPLICIT_MARKS for mark in self._marks)
            if (ccc and row[-1:] == [part]) or (part not in p.EXPLICIT_MARKS and generic >= MAX_MARKS):
                self._drop("MARK_DUP", token)
                return
        self._marks += parts
        self._push(token)

    def _base(self, token: Token) -> None:
        found = look.fold_always(token.point)
        if token.point == look.LOW_QUOTE and _ascii_kind(self._last):
            found = "PUNCT_TWIN", (look.COMMA,)  # one that opens stands behind a space or a bracket
        if token.point not in _TRANSPARENT:
            self._marks = []
            for part in chain.from_iterable(map(decompose, found[1] if found else (token.point,))):
                self._marks = [*self._marks, part] if part in MARKS else []
        if found is None:
            self._push(token)
            return
        code, points = found
        for written in rewrite(token, code, points):
            self._push(written)


class LayoutPass:
    """Write spaces in one form (SPACE_VARIANT), and in plain text runs of white space too (TYPOGRAPHY).

    U+3000 stays beside wide characters, U+202F before Mongolian, U+1680 beside Ogham; with ``nbsp=french`` U+00A0 before the
    signs of French and inside guillemets. In plain text a run inside a line is one space, indentation is a number of spaces in
    steps of two, and there is at most one blank line.
    """

    def __init__(self, ledger: Ledger, push: Push, *, is_plain: bool, nbsp: str) -> None:
        self._ledger = ledger
        self._push = push
        self._is_plain = is_plain
        self._is_french = nbsp == "french"
        self._before = a.LF  # the last visible character
        self._run: list[Token] = []

    @property
    def is_waiting(self) -> bool:
        """A run is held."""
        return bool(self._run)

    def follows(self, text: str) -> None:
        """Note that this quiet text has gone by."""
        self._before = ord(text[-1])

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        if point in p.WHITE_SPACE or (self._run and point in _TRANSPARENT):
            if len(self._run) >= MAX_RUN:
                drop(self._ledger, "WS_FLOOD", token)
            else:
                self._run.append(token)
            return
        self._release(point)
        if point not in _TRANSPARENT:
            self._before = point
        self._push(token)

    def end(self) -> None:
        """End the text."""
        self._release(a.LF)

    def _release(self, following: int) -> None:
        run, self._run = self._run, []
        if not run:
            return
        kept = self._kept(following)
        if not self._is_plain:
            for token in run:
                self._space(token, kept)
            return
        if following == a.LF:
            for token in run:
                self._push(token)  # the tails drop them
            return
        last = max((index for index, token in enumerate(run) if token.point == a.LF), default=-1)
        self._lines(run[: last + 1])
        if last >= 0 or self._before == a.LF:
            self._indent(run[last + 1 :])
        else:
            self._inner(run, kept)

    def _kept(self, following: int) -> int:
        """Give the space that is not U+0020 and may stay here."""
        if look.is_wide(self._before) or look.is_wide(following):
            return look.IDEOGRAPHIC_SPACE
        if following != NOTHING and p.script(following) == "Mongolian":
            return look.NARROW_SPACE
        if self._is_french and following != a.LF and (following in look.FRENCH_BEHIND or self._before in look.FRENCH_BEFORE):
            return look.NO_BREAK_SPACE
        return look.OGHAM_SPACE if "Ogham" in (p.script(self._before), p.script(following)) else NOTHING

    def _space(self, token: Token, kept: int) -> None:
        if token.point in look.SPACES and token.point != kept:
            self._push(rewrite(token, "SPACE_VARIANT", (a.SP,))[0])
        else:
            self._stay(token)

    def _stay(self, token: Token) -> None:
        if token.point == look.NO_BREAK_SPACE:
            self._ledger.keep("SPACE_KEEP", token.point, token.position)
        self._push(token)

    def _lines(self, run: list[Token]) -> None:
        ends = 0
        for token in run:
            if token.point == a.LF:
                ends += 1
                if ends > 2:
                    drop(self._ledger, "TYPOGRAPHY", token)
                    continue
            elif token.point in p.WHITE_SPACE:
                drop(self._ledger, "WS_TAIL", token)
                continue
            self._push(token)

    def _indent(self, run: list[Token]) -> None:
        width = sum(4 if token.point == look.TAB else 1 for token in run if token.point in p.WHITE_SPACE)
        left = width - width % 2
        for token in run:
            if token.point not in p.WHITE_SPACE:
                self._push(token)
            elif left and token.point == look.TAB:
                for written in rewrite(token, "TYPOGRAPHY", (a.SP,) * min(4, left)):
                    self._push(written)
                left -= min(4, left)
            elif left:
                self._space(token, NOTHING)
                left -= 1
            else:
                drop(self._ledger, "TYPOGRAPHY", token)

    def _inner(self, run: list[Token], kept: int) -> None:
        wanted = kept if any(token.point == kept for token in run) else a.SP
        is_written = False
        for token in run:
            if token.point not in p.WHITE_SPACE:
                self._push(token)
            elif is_written:
                drop(self._ledger, "TYPOGRAPHY", token)
            else:
                is_written = True
                same = token.point == wanted
                self._stay(token if same else rewrite(token, "SPACE_VARIANT", (wanted,))[0])


class PunctuationPass:
    """Write punctuation that looks like ASCII as ASCII, beside ASCII letters (PUNCT_TWIN).

    A row of such characters, and of the ASCII ones that they look like, is judged as one: twins by a letter on either side,
    fullwidth forms, which Chinese and Japanese text uses, hyphens and dots too by a letter or digit on both.
    """

    _NEUTRAL = frozenset(map(ord, "!-./:|\\_")) | frozenset(range(0x21, 0x30)) | frozenset(range(0x3A, 0x41))

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self._before = a.SP  # the last character that is not neutral
        self._row: list[Token] = []

    @property
    def is_waiting(self) -> bool:
        """A row is held."""
        return bool(self._row)

    def follows(self, text: str) -> None:
        """Note that this quiet text has gone by."""
        self._before = next((ord(char) for char in reversed(text) if ord(char) not in self._NEUTRAL), self._before)

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        is_candidate = point in look.PUNCTUATION or point in look.FULLWIDTH
        if is_candidate or (self._row and (point in self._NEUTRAL or point in _TRANSPARENT)):
            self._row.append(token)
            if len(self._row) >= MAX_PUNCTUATION:
                self._release(NOTHING)
            return
        if self._row:
            self._release(point)
        if point not in self._NEUTRAL and point not in _TRANSPARENT:
            self._before = point
        self._push(token)

    def end(self) -> None:
        """End the text."""
        self._release(a.LF)

    def _release(self, following: int) -> None:
        row, self._row = self._row, []
        left, right = _ascii_kind(self._before), _ascii_kind(following)
        for token in row:
            point = token.point
            found: tuple[int, ...] = ()
            if following != NOTHING:
                if "letter" in (left, right):
                    found = look.PUNCTUATION.get(point, ())
                if left and right:
                    found = found or look.FULLWIDTH.get(point, ())
            for written in rewrite(token, "PUNCT_TWIN", found) if found else [token]:
                self._push(written)
        if following == NOTHING:
            self._before = a.SP


def _ascii_kind(point: int) -> str:
    if 0x30 <= point <= 0x39:
        return "digit"
    return "letter" if 0x41 <= point <= 0x5A or 0x61 <= point <= 0x7A else ""


class KanaPass:
    """Write kana that look like other kana or like Han as their neighbors on both sides are (KANA_HAN).

    The neighbors must be letters that look like nothing else, or, of U+4E00, any katakana letter. Han characters between kana,
    and the other way round, are words where only a reader can tell; they stay.
    """

    _ONE, _LONG = 0x4E00, 0x30FC
    _LOOKING = frozenset(look.KANA) | frozenset(parts[0] for parts in look.KANA.values())

    def __init__(self, push: Push) -> None:
        self._push = push
        self._before = NOTHING
        self._held: list[Token] = []

    @property
    def is_waiting(self) -> bool:
        """A letter is held."""
        return bool(self._held)

    def follows(self, text: str) -> None:
        """Note that this quiet text has gone by."""
        self._before = ord(text[-1])

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        if self._held and point in _TRANSPARENT:
            self._held.append(token)
            return
        if self._held:
            self._release(point)
        if point == self._ONE or point in self._LOOKING:
            self._held.append(token)
            return
        if point not in _TRANSPARENT:
            self._before = point
        self._push(token)

    def end(self) -> None:
        """End the text."""
        self._release(NOTHING)

    def _release(self, following: int) -> None:
        held, self._held = self._held, []
        for token in held:
            point = token.point
            wanted = self._wanted(point, self._before, following)
            if point not in _TRANSPARENT:
                self._before = point
            self._push(token if wanted == point else rewrite(token, "KANA_HAN", (wanted,))[0])

    def _wanted(self, point: int, before: int, following: int) -> int:
        if point == self._ONE:
            return self._LONG if all(0x30A1 <= near <= 0x30FA for near in (before, following)) else point
        kinds = {self._kind(before), self._kind(following)}
        if kinds == {"Katakana"}:
            return look.KANA.get(point, (point,))[0]
        return look.HIRAGANA.get(point, point) if kinds == {"Hiragana"} else point

    def _kind(self, point: int) -> str:
        if point in self._LOOKING or not 0x3041 <= point <= 0x30FA:
            return ""
        return "Hiragana" if point < 0x3097 else "Katakana" if point > 0x30A0 else ""


class Folding:
    """Takes what the bidi passes give, writes look-alikes in one form, and gives it to the passes behind.

    Args:
        ledger: Takes the findings of what becomes otherwise here.
        unit: Composes once more.
        bidi: Behind it.
        is_plain: White space is layout.
        nbsp: ``space``, or ``french``: no-break spaces stay where French has them.
    """

    def __init__(self, ledger: Lane, unit: UnitPass, bidi: BidiPass, *, is_plain: bool, nbsp: str) -> None:
        self._ledger = ledger
        self._unit = unit
        self._bidi = bidi
        self._is_plain = is_plain
        self._kana = KanaPass(unit.push)
        self._punctuation = PunctuationPass(ledger, self._kana.push)
        self._words = WordPass(self._punctuation.push, rewrite)
        self._layout = LayoutPass(ledger, self._words.push, is_plain=is_plain, nbsp=nbsp)
        self._fold = FoldPass(ledger, self._layout.push)

    def push(self, piece: Piece) -> None:
        """Take a piece."""
        if not piece.text:
            if piece.code:
                self._ledger.record(piece.code, "replace", piece.position, piece.length, piece.was, (), piece.times)
            return
        if not piece.code:
            self.text(piece.text, piece.position)
            return
        first, *others = map(ord, piece.text)
        self._fold.push(Token(first, piece.position, piece.length, piece.was, piece.code))
        for point in others:
            self._fold.push(Token(point, piece.position + piece.length, 0, (), piece.code))

    def text(self, text: str, position: int) -> None:
        """Take text that stands in the raw bytes as it is.

        Args:
            text: Any text.
            position: Of its first byte.
        """
        push = self._fold.push
        for char in text:
            point = ord(char)
            length = 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
            push(Token(point, position, length))
            position += length

    def span(self, text: str, position: int) -> None:
        """Take text as ``text`` does; what is quiet in it goes on at once."""
        start = 0
        while start < len(text):
            end = start
            if text[start] in " \n":
                self._words.end_word()
            if (text[start] in " \n" or a.KINDS[ord(text[start])] == a.PLAIN) and self._is_idle():
                end = quiet_end(text, start, self._words.evident())
            if end - start < _SHORT:
                end = start + 1
                self.text(text[start], position)
            else:
                self._pass_quiet(text[start:end], position)
            position += len(text[start:end].encode("utf-8"))
            start = end

    def _is_idle(self) -> bool:
        return not any(
            step.is_waiting for step in (self._fold, self._layout, self._words, self._punctuation, self._kana, self._unit)
        )

    def _pass_quiet(self, text: str, position: int) -> None:
        for step in (self._fold, self._layout, self._words, self._punctuation, self._kana):
            step.follows(text)
        self._unit.settle()
        self._unit.follows(text[-4:])
        self._bidi.span(text, position)

    def end(self, position: int) -> None:
        """End the text at this byte."""
        for step in (self._fold, self._layout, self._words, self._punctuation, self._kana):
            step.end()
        self._unit.settle()
        self._bidi.end(position)
