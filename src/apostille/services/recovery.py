"""After a crash: runs that nobody can go on with are closed by the keeper, with the outcome ``crash``.

The key that signed a run lives in the memory of the process that had it, so a run whose process was killed can't be continued,
only declared to have ended. Where a keeper has no clients in other processes, every open run is such a run at its start; where it
has, they get time to come back first (``services.leases``). Its last statement stays the last that was said; the close names it,
and counts.

Spec: ``formats.md`` section 3.2 (``run-close``, outcome ``crash``), invariant I9.
"""

from __future__ import annotations

from collections.abc import Callable

from apostille.core import predicates
from apostille.errors import ApostilleError, RollbackError
from apostille.ports import PendingEntry, Reader, Vault
from apostille.services.attester import Attester, Draft
from apostille.services.binding import bind
from apostille.services.ownership import place_in
from apostille.services.sequencer import Ticket
from apostille.services.vault import read_attributes

REASON = "its process ended without closing it"
_UNKNOWN = "unknown"
_AT_A_TIME = 1024


def close_runs(reader: Reader, vault: Vault, keeper: Attester, submit: Callable[[PendingEntry], Ticket]) -> None:
    """Close every open run of a store that nobody else writes to, durably.

    Raises:
        RollbackError: The last statement of a run is not what its leaf says.
        StorageUnavailableError, OutcomeUnknownError: Not all could be committed.
    """
    open_runs = reader.open_runs()
    for start in range(0, len(open_runs), _AT_A_TIME):
        closings = [_closing(reader, vault, keeper, *run) for run in open_runs[start : start + _AT_A_TIME]]
        for ticket in [submit(closing) for closing in closings if closing is not None]:
            ticket.wait()


def _closing(reader: Reader, vault: Vault, keeper: Attester, run: bytes, first: int, last: int) -> PendingEntry | None:
    try:
        entry, said = bind(reader.record(last))
    except ApostilleError as error:
        raise RollbackError(f"the store was altered or is damaged: leaf {last}: {error}") from error
    seq = place_in(said, run)
    if seq is None:
        return None  # where only a column of the store says that it is the run's last statement, nothing is signed because of it
    return crash_close(reader, vault, keeper, run, first, seq + 1, entry.pae_digest)


def crash_close(
    reader: Reader, vault: Vault, keeper: Attester, run: bytes, first: int, seq: int, previous: bytes
) -> PendingEntry:
    """Sign the run-close of a run that nobody goes on with, for the place ``seq`` after the statement ``previous``."""
    fields = {"run": run.hex(), "seq": seq, "previous": previous.hex(), "count": seq + 1, "outcome": "crash"}
    attributes = {**_who(reader, vault, first), "reason": REASON}
    return keeper.attest(Draft(predicates.RUN_CLOSE, fields, attributes), unit=run, run=run)


def _who(reader: Reader, vault: Vault, first: int) -> dict[str, str]:
    """Return agent and principal as run-open has them. What can't be read any more is no reason to leave a run open."""
    try:
        said = read_attributes(vault, reader.record(first))
    except ApostilleError:
        said = {}
    known = {name: said[name] for name in ("agent", "on_behalf_of") if isinstance(said.get(name), str)}
    return {"agent": _UNKNOWN, **known}
