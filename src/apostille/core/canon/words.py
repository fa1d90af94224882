"""Words with letters of another script, judged by evidence (MIXED_SCRIPT, WHOLE_SCRIPT, TECH_LETTER, DIGIT_SET, ARABIC_LETTER).

*Twins* are letters of two scripts that look the same; others are only taken for a letter of another script, and become it in a
word of several scripts. Letters that are neither are evidence of their script. They are never exchanged, so the evidence is the
same on a second run. It is counted from the start of the text to 256 characters behind the word; marks, white space and invisible
characters do not count as characters here, since later passes may change their number.

=================  =================================================================================================
mixed word         becomes the script in which all its other letters have a form: the one with most letters of its own in the
                   word, then with most evidence in the text, then with most letters in the word; where no script has a form
                   of all letters, its capitals and its small letters are judged each for themselves, and what has none stays
whole word         of two letters or more, all twins, in a text with no evidence of its script: becomes the script with most
single letter      of a script that the text has no evidence of, in one with much evidence of another: becomes a letter of that if
                   it is a word there (a, I), between white space, or beside an ASCII digit; ASCII letters stay
technical letters  become ASCII in an otherwise ASCII word, without signs of phonetic writing in 32 characters before it or in the
                   look-ahead
Arabic, Persian    digits and the letters yeh and kaf inside a word: if the text has evidence of one language only
=================  =================================================================================================

Spec: canonical.md section 7, "Evidence rule".
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import TYPE_CHECKING

from apostille.core.canon import alphabet as a
from apostille.core.canon import lookalikes as look
from apostille.core.canon import properties as p
from apostille.core.canon.normalize import MARKS
from apostille.core.canon.quiet import ENOUGH, count_free
from apostille.core.canon.rules import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apostille.core.canon.passes import Token

LOOK_AHEAD = 256
PHONETIC_REACH = 32
MAX_LETTERS = 64  # of one word; what is longer is judged in pieces
# Tokens held: 256 characters with their marks and the white space between them, in any text that is no attack.
MAX_HELD = 16_384
# A word of fewer letters may be a formula.
GREEK_LETTERS = 4
# Letters of other scripts stand in no formula.
_FORMULA_SCRIPTS = frozenset({"Latin", "Greek", "Cyrillic", "Armenian"})
# Decisions on one word until it stands; one that does not stand then stays as it was.
MAX_TURNS = 4
# Letters only of one script that make up a text of it: a sentence or two.
MUCH = 32
_CODES = {"mixed": "MIXED_SCRIPT", "whole": "WHOLE_SCRIPT", "single": "WHOLE_SCRIPT", "technical": "TECH_LETTER"}
_HANGS_ON = a.CONTEXTUAL | a.BIDI_CONTROLS | MARKS
_UNCOUNTED = _HANGS_ON | p.WHITE_SPACE
_DELIMITERS = frozenset(map(ord, "/["))
_DIGITS = frozenset(map(ord, "0123456789"))
# Words of one letter in languages of Latin and Cyrillic script and in Greek, and what may stand beside one.
_SINGLE = frozenset(
    map(
        ord,
        "AEIOUYaeiouy\u0410\u0412\u0418\u041a\u041e\u0421\u0423\u0430\u0432\u0438\u043a\u043e\u0441\u0443\u0397\u039f\u03b7\u03bf",
    )
)
_MARKS = frozenset(map(ord, "',.;:!?)"))
# What is written as one of these later is one already: a second run must judge as the first did.
_BESIDE = _DIGITS | _MARKS | p.WHITE_SPACE | {point for point, parts in look.PUNCTUATION.items() if _MARKS.issuperset(parts)}
# A small Greek letter before one of these is a quantity and its index: of wave numbers, of densities.
_INDICES = frozenset({"max", "min", "tot", "eff", "obs", "exp", "ref", "rel", "air"})


def mixed_target(letters: Sequence[int], totals: Counter[str]) -> str:
    """Give the script that a word of several scripts is written in, or nothing if no one can tell."""
    scripts, top = Counter(map(look.word_script, letters)), _top(totals)
    free = Counter(look.word_script(letter) for letter in letters if not look.is_alike(letter))
    candidates = [script for script in sorted({*scripts, top} & look.SCRIPTS) if all(_forms(letters, script, top))]
    ranked = sorted(((free[script], totals[script], scripts[script], script) for script in candidates), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0][:3] == ranked[1][:3]):
        return ""
    return ranked[0][3]


def _forms(letters: Sequence[int], script: str, top: str) -> list[tuple[int, ...]]:
    """Give what each letter of a word is in a script; what is no twin becomes only a letter of the script of the text."""
    is_short, is_twin = len(letters) < GREEK_LETTERS, top not in ("", script)
    if is_short and not _FORMULA_SCRIPTS.issuperset(map(look.word_script, letters)):
        is_short = False
    if script == top == "Greek" and not any(map(look.is_capital, letters)):  # a difference begins with a capital letter
        is_short = is_short and len(letters) < GREEK_LETTERS - 1 and min(letters) < 0x80
    return [look.in_script(letter, script, is_short=is_short, is_twin=is_twin) for letter in letters]


def in_one_script(letters: Sequence[int], totals: Counter[str]) -> list[tuple[int, ...]]:
    """Say what each letter of a word of several scripts becomes, with its marks; a second time nothing changes."""
    forms: list[tuple[int, ...]] = [(letter,) for letter in letters]
    if _is_quantity(letters):
        return forms
    for _ in range(MAX_TURNS):
        turned = _turn([parts[0] for parts in forms], totals)
        if [parts[0] for parts in turned] == [parts[0] for parts in forms]:
            return forms
        forms = [(*new, *old[1:]) for new, old in zip(turned, forms, strict=True)]
    return [(letter,) for letter in letters]


def _turn(letters: Sequence[int], totals: Counter[str]) -> list[tuple[int, ...]]:
    """Write a word in one script; if there is none, its capitals and its small letters each for themselves."""
    target = mixed_target(letters, totals)
    if target:
        return _forms(letters, target, _top(totals))
    if len(letters) < GREEK_LETTERS:
        return [(letter,) for letter in letters]
    written: list[tuple[int, ...]] = []
    target = ""
    # From the end: the capital that a small letter follows goes with it where it may be either.
    for is_capital, run in groupby(reversed(letters), look.is_capital):
        row = list(run)
        target = _run_target(row, totals, target, is_capital=is_capital)
        # All of the word is asked for: its length tells that it is no formula.
        forms = _forms(letters, target, _top(totals))[::-1][len(written) :] if target else [()] * len(row)
        written += [form or (letter,) for letter, form in zip(row, forms, strict=False)]
    return written[::-1]


def _run_target(letters: Sequence[int], totals: Counter[str], after: str, *, is_capital: bool) -> str:
    """Give the script in which most letters of a run are written or have twins; then that of the run behind, or of the text."""
    top = _top(totals)
    scripts = {*map(look.word_script, letters), top} & look.SCRIPTS
    if is_capital and top != "Greek":
        scripts.discard("Greek")  # a delta before a capital letter is a difference
    forms = Counter(script for script in scripts for letter in letters if look.in_script(letter, script, is_twin=True))
    ranked = sorted(((forms[script], script == after, totals[script], script) for script in scripts), reverse=True)
    is_tie = len(ranked) > 1 and ranked[0][:3] == ranked[1][:3]
    return ranked[0][3] if ranked and not is_tie else ""


def _is_quantity(letters: Sequence[int]) -> bool:
    return look.word_script(letters[0]) == "Greek" and "".join(map(chr, letters[1:])) in _INDICES


def _top(totals: Counter[str]) -> str:
    """Give the script that the text has most evidence of, or nothing."""
    ranked = sorted(((totals[script], script) for script in look.SCRIPTS if totals[script]), reverse=True)
    return "" if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]) else ranked[0][1]


def whole_target(letters: Sequence[int], totals: Counter[str]) -> str:
    """Give the script that a word of one script is written in, or nothing if it stays."""
    own = look.word_script(letters[0])
    if totals[own] or not all(map(look.is_twin, letters)):
        return ""
    target = _top(totals)
    return target if target and all(look.twin(letter, target) for letter in letters) else ""


def single_target(letter: int, totals: Counter[str], *, is_word: bool) -> str:
    """Give the script of the text for a letter of another one that stands alone, or nothing if it stays.

    Args:
        letter: Of any of ``SCRIPTS``; an ASCII letter is a name in a formula.
        totals: Evidence of the text.
        is_word: It stands between white space, not beside a digit.
    """
    top, own = _top(totals), look.word_script(letter)
    if letter < 0x80 or totals[top] < MUCH or (totals[own] and letter not in look.TECHNICAL):
        return ""
    # A small Greek letter alone is a quantity; ghe alone is no r.
    found = look.in_script(letter, top, is_short=True, is_twin=top == "Latin" and own != "Cherokee")
    return top if len(found) == 1 and found != (letter,) and (not is_word or found[0] in _SINGLE) else ""


@dataclass(slots=True)
class _Entry:
    """Tokens in their order, and, if something has to be decided about them, when."""

    tokens: list[Token]
    kind: str = ""
    deadline: int = 0
    start: int = 0
    is_phonetic: bool = False
    is_glued: bool = False
    before: int = NOTHING
    following: int = NOTHING


class WordPass:
    """Collect words, and hold those that wait for evidence.

    Args:
        push: Takes what is decided.
        rewrite: Writes a token otherwise: token, code, code points.
    """

    def __init__(self, push: Callable[[Token], None], rewrite: Callable[[Token, str, Sequence[int]], list[Token]]) -> None:
        self._push = push
        self._rewrite = rewrite
        self._totals: Counter[str] = Counter()
        self._evident: frozenset[str] = frozenset()
        self._clock = 0  # characters that came
        self._word: list[Token] = []
        self._letters: list[int] = []
        self._start = 0
        self._before = a.SP  # the last character before the word
        self._phonetic = -PHONETIC_REACH - 1  # when the last sign of phonetic writing came
        self._queue: deque[_Entry] = deque()
        self._held = 0
        self._arabic: _Entry | None = None  # a letter whose next one has not come

    @property
    def is_waiting(self) -> bool:
        """A word is open or held."""
        return bool(self._word) or bool(self._queue)

    def evident(self) -> frozenset[str]:
        """The scripts that the text has evidence of."""
        return self._evident

    def follows(self, text: str) -> None:
        """Note that quiet text has gone by: words of evident scripts, spaces, and what is no letter."""
        self._clock += len(text) - text.count(" ") - text.count("\n")
        self._before = ord(text[-1])
        for script in self._evident:
            if self._totals[script] < ENOUGH:
                self._see(script, count_free(script, text))

    def _see(self, what: str, count: int = 1) -> None:
        self._totals[what] = min(self._totals[what] + count, ENOUGH)
        if what not in self._evident and what in look.SCRIPTS:
            self._evident |= {what}

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        if point not in _UNCOUNTED:
            self._clock += 1
        # What comes at the last character of the look-ahead counts for it.
        found = look.evidence(point)
        if found:
            self._see(found)
        if point in look.PHONETIC:
            self._phonetic = self._clock
        if self._arabic is not None and p.joining(point) != "T":
            self._arabic.following = point
            self._arabic = None
        if look.word_script(point):
            self._letter(token)
        elif self._word and point in _HANGS_ON:
            self._word.append(token)
        else:
            self.end_word(point)
            self._other(token)
        self._decide()

    def end(self) -> None:
        """End the text."""
        self.end_word()
        while self._queue:
            self._leave(self._queue.popleft())

    def _letter(self, token: Token) -> None:
        if len(self._letters) >= MAX_LETTERS:
            self.end_word(token.point)
        if not self._word:
            self._start = self._clock
        self._word.append(token)
        self._letters.append(token.point)

    def _other(self, token: Token) -> None:
        point = token.point
        if point not in _HANGS_ON:
            self._before = point
        is_set = point in look.ARABIC_LETTERS or point in look.PERSIAN_LETTERS
        if is_set or point in look.ARABIC_DIGITS or point in look.PERSIAN_DIGITS:
            entry = _Entry([token], "letter" if is_set else "digit", self._clock + LOOK_AHEAD)
            self._arabic = entry if is_set else self._arabic
            self._hold(entry)
        elif self._queue:
            self._hold(_Entry([token]))
        else:
            self._push(token)

    def end_word(self, following: int = a.SP) -> None:
        """End the word: what comes next belongs to none. White space does the same when it comes."""
        if not self._word:
            return
        word, letters = self._word, self._letters
        self._word, self._letters = [], []
        kind = self._word_kind(letters, following)
        if kind or self._queue:
            is_phonetic = self._before in _DELIMITERS or self._phonetic >= self._start - PHONETIC_REACH
            is_glued = _is_of_other_script(self._before) or _is_of_other_script(following)
            self._hold(_Entry(word, kind, self._clock + LOOK_AHEAD, self._start, is_phonetic, is_glued, self._before, following))
        else:
            for token in word:
                self._push(token)

    def _word_kind(self, letters: Sequence[int], following: int) -> str:
        scripts = set(map(look.word_script, letters))
        if len(scripts) > 1:
            return "mixed"
        if scripts == {look.STRAY}:
            return "mixed" if len(set(map(p.script, letters))) > 1 else ""
        if len(letters) > 1 and not self._totals[look.word_script(letters[0])] and all(map(look.is_twin, letters)):
            return "whole"
        is_odd = not self._totals[look.word_script(letters[0])] or letters[0] in look.TECHNICAL
        if len(letters) == 1 and letters[0] > 0x7F and is_odd and look.is_alike(letters[0]):
            return "single" if self._before in _BESIDE and following in _BESIDE else ""
        is_technical = len(letters) > 1 and any(letter in look.TECHNICAL for letter in letters)
        return "technical" if is_technical and all(letter < 0x80 or letter in look.TECHNICAL for letter in letters) else ""

    def _hold(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._held += len(entry.tokens)

    def _decide(self) -> None:
        queue = self._queue
        while queue and (not queue[0].kind or queue[0].deadline <= self._clock or self._held > MAX_HELD):
            self._leave(queue.popleft())

    def _leave(self, entry: _Entry) -> None:
        self._held -= len(entry.tokens)
        code, changes = "", list[tuple[int, ...]]()
        if entry.kind in ("letter", "digit"):
            code, changes = self._arabic_change(entry)
        elif entry.kind:
            code, changes = _CODES[entry.kind], self._word_changes(entry)
        for token, parts in zip(entry.tokens, changes or repeat(()), strict=False):
            for written in self._rewrite(token, code, parts) if parts and parts != (token.point,) else [token]:
                self._push(written)

    def _word_changes(self, entry: _Entry) -> list[tuple[int, ...]]:
        """Say what becomes of each token of a word: first one script, then technical letters, then the word as a whole."""
        letters = [token.point for token in entry.tokens if look.word_script(token.point)]
        forms: list[tuple[int, ...]] = [(letter,) for letter in letters]
        if entry.kind == "single":
            is_word = not {entry.before, entry.following} & _DIGITS
            target = single_target(letters[0], self._totals, is_word=is_word)
            return [look.in_script(letters[0], target)] if target and len(entry.tokens) == 1 else []
        if entry.kind == "mixed":
            forms = self._mixed_forms(entry, letters)
        if not self._is_phonetic(entry, [parts[0] for parts in forms]):
            forms = [(*look.TECHNICAL.get(first, (first,)), *marks) for first, *marks in forms]
        written = [parts[0] for parts in forms]
        if len(letters) > 1 and len(set(map(look.word_script, written))) == 1:
            target = whole_target(written, self._totals)
            if target:
                forms = [(*look.in_script(first, target), *marks) for first, *marks in forms]
        found = iter(forms)
        return [next(found) if look.word_script(token.point) else () for token in entry.tokens]

    def _mixed_forms(self, entry: _Entry, letters: Sequence[int]) -> list[tuple[int, ...]]:
        """Strays are judged with the letters of a word only where they can be nothing else."""
        own = [letter for letter in letters if letter not in look.STRAYS]
        is_mixed = bool(own) or len(set(map(p.script, letters))) > 1
        is_sure = len(own) > 1 or (is_mixed and self._totals[_top(self._totals)] >= MUCH)
        if len(own) == len(letters) or (is_sure and not entry.is_glued):
            return in_one_script(letters, self._totals)
        found = iter(in_one_script(own, self._totals) if own else [])
        return [(letter,) if letter in look.STRAYS else next(found) for letter in letters]

    def _is_phonetic(self, entry: _Entry, letters: Sequence[int]) -> bool:
        """Tell that technical letters in a word, or in what it becomes, are what they seem."""
        others = [letter for letter in letters if letter not in look.TECHNICAL]
        is_small = any(0x61 <= letter <= 0x7A for letter in others)
        return (
            max(others, default=0) >= 0x80
            or entry.is_phonetic
            or self._phonetic >= entry.start - PHONETIC_REACH
            or (is_small and any(letter in look.PHONETIC_CAPITALS for letter in letters))
        )

    def _arabic_change(self, entry: _Entry) -> tuple[str, list[tuple[int, ...]]]:
        point = entry.tokens[0].point
        is_persian = point in look.PERSIAN_DIGITS or point in look.PERSIAN_LETTERS
        own, other = ("fa", "ar") if is_persian else ("ar", "fa")
        totals = self._totals
        if entry.kind == "letter":
            wanted = (look.PERSIAN_LETTERS if is_persian else look.ARABIC_LETTERS)[point]
            joins = entry.following != NOTHING and p.joining(entry.following) in ("D", "R", "C")
            return "ARABIC_LETTER", [(wanted,)] if joins and totals[other] and not totals[own] else []
        digits, others = (look.PERSIAN_DIGITS, look.ARABIC_DIGITS) if is_persian else (look.ARABIC_DIGITS, look.PERSIAN_DIGITS)
        value = point - digits.start
        by_digits = totals[f"{other} digits"] and not totals[f"{own} digits"]
        by_letters = not totals["fa digits"] and not totals["ar digits"] and totals[other] and not totals[own]
        changes = value not in (4, 5, 6) and (by_digits or by_letters)
        return "DIGIT_SET", [(others.start + value,)] if changes else []


def _is_of_other_script(point: int) -> bool:
    """Tell a letter, digit or mark of a script that ends a word: a stray beside it is one of its own letters.

    Punctuation and white space (U+1680 is of Ogham) are none, whatever their script: they may be written otherwise later.
    """
    is_written = point > 0x7F and point not in look.PUNCTUATION and point not in p.WHITE_SPACE
    return is_written and not look.word_script(point) and p.script(point) not in (p.COMMON, p.INHERITED)
