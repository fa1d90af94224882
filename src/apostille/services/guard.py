"""The restore guard: before a keeper signs anything, its store must continue what was signed, remembered and shown before.

It also reads the leaves that no signed head covers yet. Whoever can write the database can put leaves there while no keeper runs;
to sign them would make them ours. Each must be a statement that a certified key has signed, in its place in its run, and
once.

It does **not** read what lies under a signed head again: ``services.auditor`` does, and the root of that head binds it.
"""

from __future__ import annotations

from apostille.core import keychain, note, predicates
from apostille.core.checkpoint import Checkpoint
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.merkle import leaf_hash
from apostille.core.policy import NO_QUORUM, Policy, open_checkpoint
from apostille.core.statement import parse_statement
from apostille.core.tree import root_at
from apostille.errors import MalformedError, RollbackError, UnavailableError, UntrustedError, VerificationError
from apostille.ports import HeadMemory, Reader, Store, TileSink
from apostille.services.attester import utc_ms
from apostille.services.binding import bind
from apostille.services.ownership import place_in
from apostille.services.receipts import key_chain

MAX_CLOCK_BEHIND_MS = 60_000
_PAGE = 65_536


def guard(store: Store, heads: HeadMemory, sink: TileSink, log: note.VerifierKey) -> None:
    """Refuse to go on with a store that is behind, inconsistent or altered. Nothing may be signed on top of it.

    Args:
        store: The store, before anything is written to it.
        heads: This machine's head memory.
        sink: The published tiles.
        log: The log's own 0x01 key.

    Raises:
        RollbackError: An old copy was restored, history was rewritten, or leaves were put in or taken out.
    """
    known = heads.recall(log.name)  # a damaged memory is no fault of the store's
    try:
        signed = _check_heads(store, known, sink, log)
        _check_tail(store, signed, log)
    except (MalformedError, VerificationError) as error:
        raise RollbackError(f"the store was altered or is damaged: {error}") from error


def _check_heads(store: Store, known: Checkpoint | None, sink: TileSink, log: note.VerifierKey) -> int:
    head, signed, published = store.head(), store.checkpoint(), sink.checkpoint()
    claims = [(signed.size, signed.root_hash, "signed")] if signed else []
    if known is not None:
        claims.append((known.size, known.root_hash, "remembered on this machine"))
    if published is not None:
        shown = open_checkpoint(published, Policy((log,), {}, {}, NO_QUORUM)).checkpoint
        claims.append((shown.size, shown.root_hash, "published"))
    for size, root, how in claims:
        if head.size < size:
            raise RollbackError(
                f"the store has {head.size} leaves, but a head of size {size} was {how}: an old copy was restored"
            )
        if root_at(size, store.hashes) != root:
            raise RollbackError(f"the store's history before size {size} is not the one that was {how}: it was rewritten")
    if root_at(head.size, store.hashes) != head.root_hash:
        raise RollbackError("the store's hashes do not lead to its own head: it was altered")
    return max((size for size, _, _ in claims), default=0)


def _check_tail(store: Store, signed_size: int, log: note.VerifierKey) -> None:
    certificates: dict[bytes, keychain.Certificate] = {}
    last: dict[str, tuple[int, str]] = {}  # run to (next seq, digest of its last statement)
    tail: set[bytes] = set()
    for index, record in store.records(signed_size):
        entry, said = bind(record)
        tail.add(leaf_hash(record.entry))
        if len(tail) != index - signed_size + 1:
            raise VerificationError(f"leaf {index} stands in the log twice")
        if index == 0:
            keychain.read_genesis(said, 0, entry.pae_digest, entry.spki, log)
            continue
        signer = sha256(entry.spki)
        if signer not in certificates:
            certificates[signer] = certificate_of(store, entry.spki, index, log)
        if said.type == predicates.KEY:
            keychain.read_certificate(said, index, entry.pae_digest, certificates[signer])
        else:
            keychain.check_signer(said, index, certificates[signer])
        run = said.predicate.get("run")
        if run is not None and said.type != predicates.GAP:
            seq, previous = last.get(run) or _last_of(store, run, index)
            if (said.predicate["seq"], said.predicate["previous"]) != (seq, previous):
                raise VerificationError(f"leaf {index} does not continue its run")
            last[run] = (seq + 1, entry.pae_digest.hex())
    # The leaf hashes under the signed head are bound by it: what is put in again from there has one of them.
    for start in range(0, signed_size if tail else 0, _PAGE):
        again = tail.intersection(store.hashes(0, start, min(_PAGE, signed_size - start)))
        if again:
            raise VerificationError("a leaf from under the signed head stands behind it once more")


def _last_of(store: Store, run: str, before: int) -> tuple[int, str]:
    """Return the next seq of a run, and the digest of the statement that it must name, as leaves below ``before`` have it."""
    span = store.run_span(bytes.fromhex(run), before)
    if span is None:
        return 0, ZERO_HEX
    entry, said = bind(store.record(span[1]))
    seq = place_in(said, bytes.fromhex(run))
    if seq is None:
        raise VerificationError(f"leaf {span[1]} is filed under a run that it is not in")
    return seq + 1, entry.pae_digest.hex()


def certificate_of(store: Reader, spki: bytes, before: int, log: note.VerifierKey) -> keychain.Certificate:
    """Walk from genesis to the certificate of a key; where the store only claims one, the walk fails.

    Args:
        store: The store.
        spki: The key.
        before: Index at which the key has signed: its certificate stands before that.
        log: The log's own 0x01 key.

    Raises:
        UntrustedError, PolicyError: No certified key.
        MalformedError, DigestMismatchError: The store was altered.
    """
    found: keychain.Certificate | None = None
    for index in key_chain(store, spki):
        if index >= before:
            break
        record = store.record(index)
        entry, said = bind(record)
        if found is None:
            found = keychain.read_genesis(said, index, entry.pae_digest, entry.spki, log)
        elif sha256(entry.spki) != found.spki_digest:
            break
        else:
            found = keychain.read_certificate(said, index, entry.pae_digest, found)
    if found is None or found.spki_digest != sha256(spki):
        raise UntrustedError(f"leaf {before} is signed by no certified key")
    return found


def check_clock(store: Reader, now_ms: int, *, accepted_before: int = 0) -> None:
    """Refuse to go on with a clock that is behind what the log has said already: times would go back, and nobody would see why.

    A step of up to a minute is no reason: leap seconds, and clocks of several processes that differ a little.

    Args:
        store: The store.
        now_ms: This machine's time, milliseconds since 1970.
        accepted_before: Leaves below this index were made while the clock was ahead; their times are not held against it.

    Raises:
        UnavailableError: The clock is more than a minute behind the newest statement.
    """
    size = store.head().size
    if size <= accepted_before:
        return
    said = parse_statement(store.record(size - 1).statement).predicate["captured_at"]
    behind = utc_ms(said) - now_ms
    if behind > MAX_CLOCK_BEHIND_MS:
        raise UnavailableError(
            f"clock stop: this machine's clock is {behind / 1000:,.0f} s behind the newest statement ({said}); set it right. "
            f"If it was ahead then and is right now, put this line at the top of apostille.toml: clock_accepted_before = {size}"
        )
