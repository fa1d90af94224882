"""The Unicode bidirectional algorithm: in which order the characters of one line are drawn.

A pure function over code points, used to ask whether a control changes anything. One paragraph, one line, no higher protocols.

Spec: UAX #9 of Unicode 18.0.0, sections 3.3 and 3.4. Rule numbers stand beside the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.properties import bidi_class, brackets, mirrored

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 125

REMOVED = -1

_STRONG = frozenset({"L", "R", "AL"})
_INITIATORS = frozenset({"LRI", "RLI", "FSI"})
_EMBEDDINGS = frozenset({"LRE", "RLE", "LRO", "RLO"})
_NEUTRAL = frozenset({"B", "S", "WS", "ON", "LRI", "RLI", "FSI", "PDI"})
_RESET = frozenset({"WS", "LRI", "RLI", "FSI", "PDI", "BN", "LRE", "RLE", "LRO", "RLO", "PDF"})
_CONTROLS = _INITIATORS | _EMBEDDINGS | {"PDI", "PDF", "BN"}
# What rule X9 removes: it has no place in the order.
_UNPLACED = _EMBEDDINGS | {"PDF", "BN"}
_MARKS = frozenset({0x200E, 0x200F, 0x061C})
# Canonical equivalents among the brackets (BD16).
_EQUIVALENT = {0x2329: 0x3008, 0x232A: 0x3009}
_MAX_BRACKETS = 63


def visual_order(points: Sequence[int], base: int | None, *, is_plain: bool = False) -> tuple[tuple[int, bool], ...]:
    """Give the visible characters in the order in which they are drawn.

    Args:
        points: One paragraph.
        base: Level of the paragraph, 0 or 1; nothing to take it from the first strong character (P2, P3).
        is_plain: Letters of one level that only a mark or an isolate parts are one run: the order of text of one direction.

    Returns:
        For each visible character from left to right its ordinal among the visible ones, and whether it is drawn mirrored.
    """
    types = [bidi_class(point) for point in points]
    levels = paragraph_levels(points, base)
    # Marks and isolates draw nothing but have a place and a level of their own: 1 U+200F 2 is two runs, not one (X9, L2).
    placed = [index for index, kind in enumerate(types) if kind not in _UNPLACED]
    visible = [index for index in placed if types[index] not in _CONTROLS and points[index] not in _MARKS]
    placed = visible if is_plain else placed
    order = [placed[at] for at in reorder([levels[index] for index in placed])]
    ordinals = {index: ordinal for ordinal, index in enumerate(visible)}
    return tuple(
        (ordinals[index], levels[index] % 2 == 1 and points[index] in mirrored()) for index in order if index in ordinals
    )


def reorder(levels: Sequence[int]) -> list[int]:
    """Give the indices of characters with these levels from left to right (L2)."""
    order = list(range(len(levels)))
    if not levels:
        return order
    lowest_odd = min((level for level in levels if level % 2), default=0)
    for level in range(max(levels), lowest_odd - 1 if lowest_odd else max(levels), -1):
        start = 0
        while start < len(order):
            end = start
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[start:end] = reversed(order[start:end])
            start = end + 1
    return order


def paragraph_level(types: Sequence[str], start: int = 0, end: int | None = None) -> int:
    """Give 0 or 1 from the first strong character outside isolates (P2, P3)."""
    depth = 0
    for kind in types[start:end]:
        if kind in _INITIATORS:
            depth += 1
        elif kind == "PDI":
            depth = max(depth - 1, 0)
        elif kind in _STRONG and not depth:
            return 0 if kind == "L" else 1
    return 0


def paragraph_levels(points: Sequence[int], base: int | None) -> list[int]:
    """Give the level of each character; ``REMOVED`` for what rule X9 removes."""
    types = [bidi_class(point) for point in points]
    original = list(types)
    partners = _isolate_partners(types)
    level = paragraph_level(types) if base is None else base
    levels = _explicit(types, partners, level)
    explicit = tuple(levels)
    for sequence in _sequences(original, explicit, partners):
        _resolve(points, types, levels, sequence, _edges(sequence, explicit, original, partners, level))
    # L1: white space at the end of the line, and separators with what is before them.
    is_trailing = True
    for index in range(len(points) - 1, -1, -1):
        kind = original[index]
        is_trailing = kind in ("B", "S") or (is_trailing and kind in _RESET)
        if is_trailing and levels[index] != REMOVED:
            levels[index] = level
    return levels


def _isolate_partners(types: Sequence[str]) -> dict[int, int]:
    """Match isolate initiators and U+2069, both ways (BD9)."""
    partners: dict[int, int] = {}
    held: list[int] = []
    for index, kind in enumerate(types):
        if kind in _INITIATORS:
            held.append(index)
        elif kind == "PDI" and held:
            partners[index] = held.pop()
            partners[partners[index]] = index
    return partners


def _explicit(types: list[str], partners: dict[int, int], base: int) -> list[int]:
    """Rules X1 to X9: embedding levels; overrides change the types."""
    levels = [base] * len(types)
    stack: list[tuple[int, str, bool]] = [(base, "", False)]
    isolates = surplus_isolates = surplus_embeddings = 0
    for index, kind in enumerate(list(types)):
        level, override, _ = stack[-1]
        if kind in _EMBEDDINGS or kind in _INITIATORS:
            is_isolate = kind in _INITIATORS
            levels[index] = level if is_isolate else REMOVED
            if is_isolate and override:
                types[index] = override
            is_rtl = paragraph_level(types, index + 1, partners.get(index)) == 1 if kind == "FSI" else kind[0] == "R"
            new = (level + 1) | 1 if is_rtl else (level + 2) & ~1
            if new > MAX_DEPTH or surplus_isolates or surplus_embeddings:
                if is_isolate:
                    surplus_isolates += 1
                elif not surplus_isolates:
                    surplus_embeddings += 1
                continue
            isolates += is_isolate
            stack.append((new, kind[0] if kind[2] == "O" else "", is_isolate))
        elif kind == "PDI":
            if surplus_isolates:
                surplus_isolates -= 1
            elif isolates:
                surplus_embeddings = 0
                while not stack[-1][2]:
                    stack.pop()
                stack.pop()
                isolates -= 1
            levels[index] = stack[-1][0]
            types[index] = stack[-1][1] or kind
        elif kind == "PDF":
            levels[index] = REMOVED
            if surplus_isolates:
                continue
            if surplus_embeddings:
                surplus_embeddings -= 1
            elif not stack[-1][2] and len(stack) > 1:
                stack.pop()
        elif kind == "BN":
            levels[index] = REMOVED
        elif kind == "B":
            levels[index] = base
        else:
            levels[index] = level
            types[index] = override or kind
    return levels


def _sequences(original: Sequence[str], levels: Sequence[int], partners: dict[int, int]) -> list[list[int]]:
    """Join level runs across isolates into isolating run sequences (BD13)."""
    runs: list[list[int]] = []
    for index, level in enumerate(levels):
        if level == REMOVED:
            continue
        if runs and levels[runs[-1][-1]] == level:
            runs[-1].append(index)
        else:
            runs.append([index])
    by_start = {run[0]: run for run in runs}
    found: list[list[int]] = []
    for run in runs:
        if original[run[0]] == "PDI" and run[0] in partners:
            continue
        sequence = list(run)
        while original[sequence[-1]] in _INITIATORS and partners.get(sequence[-1]) in by_start:
            sequence += by_start[partners[sequence[-1]]]
        found.append(sequence)
    return found


def _edges(
    sequence: Sequence[int], levels: Sequence[int], original: Sequence[str], partners: dict[int, int], base: int
) -> tuple[str, str]:
    """Give the directions at both ends of a sequence (X10)."""
    own = levels[sequence[0]]
    before = next((levels[index] for index in range(sequence[0] - 1, -1, -1) if levels[index] != REMOVED), base)
    last = sequence[-1]
    after = base
    if not (original[last] in _INITIATORS and last not in partners):
        after = next((levels[index] for index in range(last + 1, len(levels)) if levels[index] != REMOVED), base)
    return "R" if max(own, before) % 2 else "L", "R" if max(own, after) % 2 else "L"


def _resolve(points: Sequence[int], types: list[str], levels: list[int], sequence: list[int], edges: tuple[str, str]) -> None:
    kinds = [types[index] for index in sequence]
    level = levels[sequence[0]]
    start, end = edges
    _weak(kinds, start)
    _brackets(points, types, sequence, kinds, "R" if level % 2 else "L", start)
    # N1, N2: neutrals take the direction on both sides, or that of the level.
    index = 0
    while index < len(kinds):
        if kinds[index] not in _NEUTRAL:
            index += 1
            continue
        first = index
        while index < len(kinds) and kinds[index] in _NEUTRAL:
            index += 1
        before = _direction(kinds[first - 1]) if first else start
        after = _direction(kinds[index]) if index < len(kinds) else end
        kinds[first:index] = [before if before == after else ("R" if level % 2 else "L")] * (index - first)
    # I1, I2.
    for place, kind in zip(sequence, kinds, strict=True):
        if level % 2:
            levels[place] = level + (kind != "R")
        else:
            levels[place] = level + {"L": 0, "R": 1}.get(kind, 2)


def _direction(kind: str) -> str:
    return "L" if kind == "L" else "R"


def _weak(kinds: list[str], start: str) -> None:
    """Rules W1 to W7, in place."""
    before = start
    for index, kind in enumerate(kinds):  # W1
        if kind == "NSM":
            kinds[index] = "ON" if before in _INITIATORS or before == "PDI" else before
        before = kinds[index]
    strong = start
    for index, kind in enumerate(kinds):  # W2, W3
        if kind in _STRONG:
            strong = kind
        elif kind == "EN" and strong == "AL":
            kinds[index] = "AN"
    for index, kind in enumerate(kinds):
        if kind == "AL":
            kinds[index] = "R"
    for index in range(1, len(kinds) - 1):  # W4
        around = (kinds[index - 1], kinds[index + 1])
        if kinds[index] in ("ES", "CS") and around == ("EN", "EN"):
            kinds[index] = "EN"
        elif kinds[index] == "CS" and around == ("AN", "AN"):
            kinds[index] = "AN"
    index = 0
    while index < len(kinds):  # W5, W6
        first = index
        while index < len(kinds) and kinds[index] == "ET":
            index += 1
        if index > first:
            is_number = (first > 0 and kinds[first - 1] == "EN") or (index < len(kinds) and kinds[index] == "EN")
            kinds[first:index] = ["EN" if is_number else "ON"] * (index - first)
        else:
            if kinds[index] in ("ES", "CS"):
                kinds[index] = "ON"
            index += 1
    strong = start
    for index, kind in enumerate(kinds):  # W7
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[index] = "L"


def _brackets(
    points: Sequence[int], types: Sequence[str], sequence: Sequence[int], kinds: list[str], embedding: str, start: str
) -> None:
    """Rule N0: a bracket pair takes one direction."""
    for opener, closer in _bracket_pairs(points, sequence, kinds):
        inside = {_direction(kind) for kind in kinds[opener + 1 : closer] if kind in ("L", "R", "EN", "AN")}
        if embedding in inside:
            direction = embedding
        elif inside:
            before = next((_direction(kind) for kind in reversed(kinds[:opener]) if kind in ("L", "R", "EN", "AN")), start)
            direction = before if before != embedding else embedding
        else:
            continue
        for place in (opener, closer):
            kinds[place] = direction
            # Marks on a bracket follow it (they were NSM before W1).
            behind = place + 1
            while behind < len(kinds) and types[sequence[behind]] == "NSM":
                kinds[behind] = direction
                behind += 1


def _bracket_pairs(points: Sequence[int], sequence: Sequence[int], kinds: Sequence[str]) -> list[tuple[int, int]]:
    """Match brackets (BD16)."""
    closers = brackets()
    closing = set(closers.values())
    held: list[tuple[int, int]] = []
    found: list[tuple[int, int]] = []
    for place, index in enumerate(sequence):
        if kinds[place] != "ON":
            continue
        point = points[index]
        if point in closers:
            if len(held) == _MAX_BRACKETS:
                return sorted(found)
            held.append((_EQUIVALENT.get(closers[point], closers[point]), place))
        elif point in closing:
            point = _EQUIVALENT.get(point, point)
            for at in range(len(held) - 1, -1, -1):
                if held[at][0] == point:
                    found.append((held[at][1], place))
                    del held[at:]
                    break
    return sorted(found)
