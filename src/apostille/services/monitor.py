"""The monitor: an audit that goes on where the last one on this machine has ended.

    1  the tree still begins with what was audited (its root is proven from stored hashes), and with the remembered head
    2  everything that is new is read: leaves, statements, signatures, keys, runs, gaps, openings; older leaves where new ones
       need them: the end of a run that goes on, the key of a signer, what an erasure names
    3  if nothing is wrong, head memory and the state of the audit move forward

It does **not** read old leaves again: whoever changes one without touching a hash above it is found by a full audit or by fsck.

Spec: trust.md sections 3, 8, 11.
"""

from __future__ import annotations

from apostille.core.policy import Policy
from apostille.errors import MalformedError
from apostille.ports import HeadMemory, Reader, TileShelf, Vault
from apostille.services.audit import Audit, AuditState, parse_state
from apostille.services.auditor import Progress, Recalled, examine_store
from apostille.services.examination import Examination
from apostille.services.published import examine_published
from apostille.services.vault import has_own_keys


def audit_store(
    examination: Examination,
    reader: Reader,
    policy: Policy,
    *,
    origin: str,
    heads: HeadMemory,
    recalled: Recalled,
    state: bytes | None,
    vault: Vault | None = None,
    published: bytes | None = None,
    now: str | None = None,
    progress: Progress | None = None,
    is_full: bool = False,
    shelf: TileShelf | None = None,
) -> Audit:
    """Audit what is new in a store.

    Args:
        examination: Where findings are filed.
        reader: The store, as it was at one moment.
        policy: The trust file.
        origin: The log's name.
        heads: Head memory.
        recalled: What it said before that moment.
        state: What audit memory said before that moment; ``None`` for nothing.
        vault: Unit keys.
        published: The published note, read before that moment.
        now: UTC text.
        progress: Called with new leaves done and new leaves in all.
        is_full: Read everything, whatever was audited before. The tree must still begin with it.
        shelf: Where tiles are published: those that new leaves have brought are compared.

    Returns:
        What was found; ``after`` is what to remember.
    """
    since = _usable(examination, origin, state, vault)
    audit = examine_store(
        examination,
        reader,
        policy,
        origin=origin,
        heads=heads,
        vault=vault,
        published=published,
        now=now,
        progress=progress,
        since=since,
        is_full=is_full,
        recalled=recalled,
    )
    if shelf is not None and published is not None:
        examine_published(examination, reader, policy, shelf, published, start=audit.start, size=audit.size)
        if examination.altered:
            audit.after = None
    if audit.start:
        examination.notices.append(
            f"{audit.start} older leaves were not read again; their place under the audited head is proven (--full reads them)"
        )
    return audit


def _usable(examination: Examination, origin: str, state: bytes | None, vault: Vault | None) -> AuditState | None:
    """Return the state of the last audit, if this one can go on from it; else everything is read."""
    if state is None:
        return None
    try:
        found = parse_state(state)
    except MalformedError as error:
        examination.notices.append(f"the state of the last audit can't be read ({error}): everything is read again")
        return None
    if found.origin != origin:
        return None
    if found.has_keys != has_own_keys(vault):
        examination.notices.append("the last audit had other unit keys: everything is read again")
        return None
    return found
