"""A store, head memory, tiles and unit keys that fail at a chosen write, before it has an effect or after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apostille.core.checkpoint import Checkpoint, parse_checkpoint
from apostille.core.note import parse_note
from apostille.errors import OutcomeUnknownError, StorageUnavailableError

WRITES = ("commit", "add_checkpoint", "remember", "write", "write_checkpoint", "ensure")


@dataclass
class Fault:
    """The ``after``-th call of ``write`` fails once.

    Attributes:
        write: Name of the method.
        after: How many calls of it go well before.
        persists: The write has its effect, and fails all the same: what a failed sync may look like.
        has_struck: Whether it has failed already.
    """

    write: str = ""
    after: int = 0
    persists: bool = False
    has_struck: bool = False
    calls: dict[str, int] = field(default_factory=dict)

    def strikes(self, write: str) -> bool:
        seen = self.calls.get(write, 0)
        self.calls[write] = seen + 1
        if write != self.write or self.has_struck or seen != self.after:
            return False
        self.has_struck = True
        return True

    def error(self) -> Exception:
        kind = OutcomeUnknownError if self.persists and self.write in {"commit", "add_checkpoint"} else StorageUnavailableError
        return kind(f"planted: {self.write}")


class Faulty:
    """Passes every call on; the writes named in ``WRITES`` may fail."""

    def __init__(self, inner: Any, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in WRITES:
            return found

        def call(*args: Any, **options: Any) -> Any:
            if not self._fault.strikes(name):
                return found(*args, **options)
            if self._fault.persists:
                found(*args, **options)
            raise self._fault.error()

        return call


class Ledger:
    """What anybody outside has ever seen of the log: every head that was signed, and every receipt that was handed out."""

    def __init__(self) -> None:
        self.roots: dict[int, set[bytes]] = {}
        self.signed: list[int] = []
        self.receipts: list[tuple[int, bytes, bytes]] = []

    def note(self, data: bytes) -> Checkpoint:
        checkpoint = parse_checkpoint(parse_note(data).text)
        self.roots.setdefault(checkpoint.size, set()).add(checkpoint.root_hash)
        self.signed.append(checkpoint.size)
        return checkpoint


class WatchedSigner:
    """The real signer; each signature that it makes is written down."""

    def __init__(self, signer: Any, ledger: Ledger) -> None:
        self._signer = signer
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signer, name)

    def sign(self, head: Any) -> Any:
        signed = self._signer.sign(head)
        self._ledger.note(signed.note)
        return signed
