"""Where the openings of a leaf are: each leaf counts once, under the last that applies.

Spec: formats.md section 3.6; trust.md section 4.
"""

from __future__ import annotations

import pytest

from apostille.services.classification import Openings, classify, read_openings

RAW, BOTH = {"raw"}, {"raw", "canonical"}


@pytest.mark.parametrize(
    ("gone", "erased", "is_open", "kind"),
    [
        (set(), set(), True, "opened"),
        (set(), set(), False, "sealed"),
        (set(), BOTH, True, "opened"),  # named, not destroyed yet
        (RAW, RAW, True, "erased"),
        (RAW, BOTH, False, "erased"),
        (BOTH, RAW, True, "missing"),
        (RAW, set(), True, "missing"),
        (RAW, {"canonical"}, False, "missing"),
    ],
)
def test_each_leaf_counts_under_the_last_that_applies(gone, erased, is_open, kind):
    assert classify(gone, erased, is_open=is_open) == kind


def test_a_leaf_that_is_counted_again_moves():
    found = Openings()
    for index, kind in enumerate(("opened", "sealed", "opened", "missing")):
        found.put(index, kind)
    found.put(0, "erased")
    assert (found.opened, found.sealed, found.erased, found.missing, found.total) == (1, 1, 1, 1, 4)
    assert str(found) == "4 leaves = 1 opened + 1 sealed + 1 erased + 1 missing"


def test_what_was_counted_is_read_back():
    found = Openings()
    for index, kind in ((5, "opened"), (2, "erased"), (0, "sealed")):
        found.put(index, kind)
    again = read_openings(bytes(found.places))
    assert again == found
    assert again.total == 3, "leaves that nobody has looked at count nowhere"
    with pytest.raises(ValueError, match="not places"):
        read_openings(b"\x01\x05")
