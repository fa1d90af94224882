"""Words with letters of another script, judged by evidence (MIXED_SCRIPT, WHOLE_SCRIPT, TECH_LETTER, DIGIT_SET, ARABIC_LETTER).

*Twins* are letters of two scripts that look the same; letters without a twin are evidence of their script. Only twins are
exchanged, so the evidence is the same on a second run. It is counted from the start of the text to 256 characters behind the
word; marks, white space and invisible characters do not count as characters here, since later passes may change their number.

=================  =================================================================================================
mixed word         becomes the script in which all its other letters have twins: the one with most twin-free letters in
                   the word, then with most evidence in the text, then with most letters in the word
whole word         of two letters or more, all twins, in a text with no evidence of its script: becomes the script with most
technical letters  become ASCII in an otherwise ASCII word, without signs of phonetic writing in 32 characters before it or in the
                   look-ahead
Arabic, Persian    digits and the letters yeh and kaf inside a word: if the text has evidence of one language only
=================  =================================================================================================

Spec: canonical.md section 7, "Evidence rule".
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
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
MAX_LETTERS = 64
# Tokens held: 256 characters with their marks and the white space between them, in any text that is no attack.
MAX_HELD = 16_384
GREEK_LETTERS = 4
_CODES = {"mixed": "MIXED_SCRIPT", "whole": "WHOLE_SCRIPT", "technical": "TECH_LETTER"}
_HANGS_ON = a.CONTEXTUAL | a.BIDI_CONTROLS | MARKS
_UNCOUNTED = _HANGS_ON | p.WHITE_SPACE
_DELIMITERS = frozenset(map(ord, "/["))


def mixed_target(letters: Sequence[int], totals: Counter[str]) -> str:
    """Give the script that a word of several scripts is written in, or nothing if no one can tell."""
    scripts = Counter(map(look.word_script, letters))
    free = Counter(look.word_script(letter) for letter in letters if not look.is_twin(letter))
    candidates = [
        script for script in scripts if all(look.word_script(letter) == script or look.twin(letter, script) for letter in letters)
    ]
    ranked = sorted(((free[script], totals[script], scripts[script], script) for script in candidates), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0][:3] == ranked[1][:3]):
        return ""
    target = ranked[0][3]
    return "" if len(letters) < GREEK_LETTERS and target != "Greek" and scripts["Greek"] else target


def whole_target(letters: Sequence[int], totals: Counter[str]) -> str:
    """Give the script that a word of one script is written in, or nothing if it stays."""
    own = look.word_script(letters[0])
    if totals[own] or not all(map(look.is_twin, letters)):
        return ""
    ranked = sorted(((totals[script], script) for script in look.SCRIPTS if totals[script]), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return ""
    target = ranked[0][1]
    return target if all(look.twin(letter, target) for letter in letters) else ""


def _in_script(letter: int, script: str, parts: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Give a letter, or what was made of it, in a script; a letter of that script stays."""
    first, *marks = parts or (letter,)
    return (first, *marks) if look.word_script(first) == script else (*look.twin(first, script), *marks)


@dataclass(slots=True)
class _Entry:
    """Tokens in their order, and, if something has to be decided about them, when."""

    tokens: list[Token]
    kind: str = ""
    deadline: int = 0
    start: int = 0
    is_phonetic: bool = False
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
            self.end_word()
            self._other(token)
        self._decide()

    def end(self) -> None:
        """End the text."""
        self.end_word()
        while self._queue:
            self._leave(self._queue.popleft())

    def _letter(self, token: Token) -> None:
        if len(self._letters) >= MAX_LETTERS:
            self.end_word()
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

    def end_word(self) -> None:
        """End the word: what comes next belongs to none. White space does the same when it comes."""
        if not self._word:
            return
        word, letters = self._word, self._letters
        self._word, self._letters = [], []
        kind = self._word_kind(letters)
        if kind or self._queue:
            is_phonetic = self._before in _DELIMITERS or self._phonetic >= self._start - PHONETIC_REACH
            self._hold(_Entry(word, kind, self._clock + LOOK_AHEAD, self._start, is_phonetic))
        else:
            for token in word:
                self._push(token)

    def _word_kind(self, letters: Sequence[int]) -> str:
        scripts = set(map(look.word_script, letters))
        if len(scripts) > 1:
            return "mixed"
        if len(letters) > 1 and not self._totals[look.word_script(letters[0])] and all(map(look.is_twin, letters)):
            return "whole"
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
        code, change = "", dict[int, tuple[int, ...]]()
        if entry.kind in ("letter", "digit"):
            code, change = self._arabic_change(entry)
        elif entry.kind:
            code, change = _CODES[entry.kind], self._word_change(entry)
        for token in entry.tokens:
            parts = change.get(token.point)
            for written in self._rewrite(token, code, parts) if parts else [token]:
                self._push(written)

    def _word_change(self, entry: _Entry) -> dict[int, tuple[int, ...]]:
        """Say what becomes of each letter of a word: first one script, then technical letters, then the word as a whole."""
        change: dict[int, tuple[int, ...]] = {
            token.point: (token.point,) for token in entry.tokens if look.word_script(token.point)
        }
        letters = [token.point for token in entry.tokens if token.point in change]
        if entry.kind == "mixed":
            target = mixed_target(letters, self._totals)
            if target:
                change = {letter: _in_script(letter, target) for letter in change}
        if not self._is_phonetic(entry, [parts[0] for parts in change.values()]):
            change = {letter: look.TECHNICAL.get(parts[0], parts) for letter, parts in change.items()}
        written = [change[letter][0] for letter in letters]
        if len(letters) > 1 and len(set(map(look.word_script, written))) == 1:
            target = whole_target(written, self._totals)
            if target:
                change = {letter: _in_script(letter, target, parts) for letter, parts in change.items()}
        return {letter: parts for letter, parts in change.items() if parts != (letter,)}

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

    def _arabic_change(self, entry: _Entry) -> tuple[str, dict[int, tuple[int, ...]]]:
        point = entry.tokens[0].point
        is_persian = point in look.PERSIAN_DIGITS or point in look.PERSIAN_LETTERS
        own, other = ("fa", "ar") if is_persian else ("ar", "fa")
        totals = self._totals
        if entry.kind == "letter":
            wanted = (look.PERSIAN_LETTERS if is_persian else look.ARABIC_LETTERS)[point]
            joins = entry.following != NOTHING and p.joining(entry.following) in ("D", "R", "C")
            return "ARABIC_LETTER", {point: (wanted,)} if joins and totals[other] and not totals[own] else {}
        digits, others = (look.PERSIAN_DIGITS, look.ARABIC_DIGITS) if is_persian else (look.ARABIC_DIGITS, look.PERSIAN_DIGITS)
        value = point - digits.start
        by_digits = totals[f"{other} digits"] and not totals[f"{own} digits"]
        by_letters = not totals["fa digits"] and not totals["ar digits"] and totals[other] and not totals[own]
        changes = value not in (4, 5, 6) and (by_digits or by_letters)
        return "DIGIT_SET", {point: (others.start + value,)} if changes else {}
