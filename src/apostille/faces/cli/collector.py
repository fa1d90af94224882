"""The garbage collector of a process that serves for long: ``keeper`` and ``serve``.

What is under way lives for a commit or two, thousands of small objects at a time and hardly a cycle among them. With Python's own
settings the collector walks through them every few dozen outputs, for a fifteenth of an output's CPU time.
"""

from __future__ import annotations

import gc

_YOUNG = 10_000  # objects, made and not gone yet, between two looks at the young ones


def calm_collector() -> None:
    """Look at young objects less often, and not at all at what is there by now: it stays. It changes the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
