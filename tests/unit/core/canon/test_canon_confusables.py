"""Letters that UTS #39 calls confusable across scripts are twins, or listed with the reason why they stay (canonical.md section 3).

The data is confusables.txt 15.0.0, reduced by tools/canon_tables.py to letters of the scripts of twins.txt.
"""

from __future__ import annotations

from pathlib import Path

from apostille.core.canon import lookalikes as look
from apostille.core.canon import properties as p

DATA = Path(__file__).parents[4] / "tools" / "unicode"


def rows(name):
    lines = (line.partition("#")[0].split() for line in (DATA / name).read_text("utf-8").split("\n"))
    return [[int(word, 16) for word in words] for words in lines if words]


def partners():
    """By letter, all that it is in a class with; technical letters are with what they become."""
    found = {}
    for targets, others in look._CLASSES:
        for point in targets + others:
            found.setdefault(point, set()).update(targets + others)
    for point, (other,) in look.TECHNICAL.items():
        for near in {other, *found.get(other, ())}:
            found.setdefault(point, set()).add(near)
            found.setdefault(near, set()).add(point)
    return found


def test_every_confusable_letter_is_a_twin_or_is_reviewed():
    known = partners()
    open_ = set()
    for row in rows("confusables-15.0.0.txt"):
        letters = [point for point in row if point not in look.FOLDS and point not in look.PUNCTUATION]
        for point in letters:
            if not any(near in known.get(point, ()) and p.script(near) != p.script(point) for near in letters):
                open_.add(point)
    reviewed = [point for row in rows("unlike.txt") for point in row]
    assert len(reviewed) == len(set(reviewed))
    assert {f"{point:04X}" for point in open_} == {f"{point:04X}" for point in reviewed}


def test_the_data_is_there():
    classes = rows("confusables-15.0.0.txt")
    assert len(classes) > 100
    assert any({0x61, 0x251, 0x3B1, 0x430} <= set(row) for row in classes)
