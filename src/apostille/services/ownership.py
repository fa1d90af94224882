"""Whose run it is: the key that opened it and the keys that replaced that one. Nobody else's statement belongs into it.

One exception: a keeper's key may close a run, with the outcome ``crash``, when those who could go on with it are gone.

Spec: ``formats.md`` section 3.5 (``replaces``).
"""

from __future__ import annotations

from collections.abc import Callable

from apostille.core import predicates
from apostille.core.statement import Statement
from apostille.core.strict import base64_bytes

_MAX_STEPS = 100_000  # renewals of one key; at two a day more than a century


def replaced_by(said: Statement) -> bytes | None:
    """Return SHA-256 of the SPKI of the key that the certified one takes the place of."""
    text = said.predicate.get("replaces")
    return None if text is None else base64_bytes(text, size=32, spec="statement")


def succeeds(opener: bytes, signer: bytes, parent: Callable[[bytes], bytes | None]) -> bool:
    """Tell whether ``signer`` is ``opener`` or took its place, in any number of steps.

    Args:
        opener: SHA-256 of the SPKI of the key that opened a run.
        signer: The same of another key.
        parent: Returns which key a key took the place of.
    """
    at: bytes | None = signer
    for _ in range(_MAX_STEPS):
        if at is None or at == opener:
            break
        at = parent(at)
    return at == opener


def place_in(said: Statement, run: bytes) -> int | None:
    """Return a statement's place in a run; ``None`` where only a column of the store says that it has one: nobody signs columns.

    A gap names a run without being in its chain.
    """
    fields = said.predicate
    return int(fields["seq"]) if fields.get("run") == run.hex() and "seq" in fields else None


def is_crash_close(said: Statement) -> bool:
    """Tell whether it is what a keeper may say in a run that is another's."""
    return said.type == predicates.RUN_CLOSE and said.predicate["outcome"] == "crash"


def is_close(said: Statement) -> bool:
    """Tell whether it ends its run."""
    return said.type == predicates.RUN_CLOSE
