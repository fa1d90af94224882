"""What a compromised key has signed counts only where witnesses have dated it before the compromise.

The log's own clock, and a statement's, decide nothing: whoever has the key writes them as he likes.

Spec: trust.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterator

from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.policy import NO_QUORUM, Policy, open_checkpoint
from apostille.errors import MalformedError, UntrustedError, VerificationError
from apostille.ports import Reader
from apostille.services.attester import utc_ms
from apostille.services.audit import Audit
from apostille.services.keyring import Keyring
from apostille.services.ledger import Findings

_CHUNK = 256


def check_compromises(findings: Findings, ring: Keyring, reader: Reader, policy: Policy, audit: Audit) -> None:
    """File what compromised keys have signed, unless a quorum of witnesses has dated a head over it before the compromise."""
    if not ring.compromised:
        return
    covered = {key: _dated_before(reader, policy, audit.origin, found.since) for key, found in ring.compromised.items()}
    start = min(found.first for found in ring.compromised.values())
    for index, entry in _entries(reader, start, audit.size):
        try:
            signer = sha256(parse_entry(entry).spki)
        except MalformedError:
            continue  # a finding of its own
        found = ring.compromised.get(signer)
        if found is not None and covered[signer] <= index < found.index:
            why = f"its signer's key is compromised since {found.since} (revoked at {found.index})"
            findings.file(UntrustedError(f"{why}, and no quorum has dated it before"), index)
    for key, found in ring.compromised.items():
        if covered[key]:
            findings.tell(
                f"a key is compromised since {found.since}, revoked at {found.index}; what it signed below size {covered[key]} "
                "was witnessed before, and stands"
            )


def _entries(reader: Reader, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    for at in range(start, end, _CHUNK):
        yield from enumerate(reader.entries(at, min(_CHUNK, end - at)), at)


def _dated_before(reader: Reader, policy: Policy, origin: str, since: str) -> int:
    """Return the size of the last checkpoint that a quorum of witnesses has signed before a time; 0 for none."""
    limit = utc_ms(since) // 1000
    best = 0
    for claim in reader.checkpoints_from(0):
        try:
            opened = open_checkpoint(claim.note, policy)
        except (MalformedError, VerificationError):
            continue  # a finding of its own
        early = frozenset(name for name, seconds in opened.witnesses if name in opened.independent and seconds < limit)
        shown = opened.checkpoint
        is_this = (shown.origin, shown.size, shown.root_hash) == (origin, claim.size, claim.root_hash)
        if is_this and policy.quorum != NO_QUORUM and policy.is_met(policy.quorum, early):
            best = claim.size
    return best
