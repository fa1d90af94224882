"""How many of the faults are tried: a sample of every kind for every commit, all of them with ``APOSTILLE_FAULTS=all``.

``make faults`` tries all; the sample is the same each time, so that a failure can be had again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
IS_ALL = os.environ.get("APOSTILLE_FAULTS") == "all"


def some(things: Sequence[T], stride: int) -> Sequence[T]:
    """Return everything, or the first of each ``stride`` things."""
    return things if IS_ALL else things[::stride]
