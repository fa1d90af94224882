"""Founding a log: genesis, the keeper's first certificate, and the erasure key's."""

from __future__ import annotations

from apostille.core import keys, predicates
from apostille.core.digest import sha256
from apostille.errors import ConfigurationError
from apostille.ports import PendingEntry
from apostille.services.attester import Attester, Draft, utc_text
from apostille.services.keeper import KeeperParts
from apostille.services.sequencer import Sequencer
from apostille.services.vault import KEYS_UNIT, Sealer

ROOT_LIFE_MS = 3650 * 24 * 3600 * 1000


def certify_erasure(by_root: Attester, issuer: bytes, spki: bytes, not_before: str, not_after: str) -> PendingEntry:
    """Write the root's certificate of an erasure key.

    Args:
        by_root: Signs with the root key.
        issuer: SHA-256 of the PAE of the genesis.
        spki: The erasure key's public half.
        not_before: Begin of its life, UTC text.
        not_after: End of its life, inside the root's.
    """
    fields = {"event": "certify", "usage": "erasure", "issuer": issuer.hex(), "not_before": not_before, "not_after": not_after}
    draft = Draft(predicates.KEY, fields, {"holder": "erasure"}, digests=(("spki", sha256(spki)),))
    return by_root.attest(draft, unit=KEYS_UNIT, certifies=sha256(spki))


def genesis(
    parts: KeeperParts,
    root: keys.StatementKey,
    next_root: keys.StatementKey,
    erasure: keys.StatementKey | None = None,
    *,
    root_life_ms: int = ROOT_LIFE_MS,
) -> None:
    """Found a log in an empty store: leaf 0 is the root's self-signed key statement, leaf 1 certifies the keeper's key.

    Leaf 2 certifies the key that signs erasures, where there is one from the beginning.

    Raises:
        ConfigurationError: The store is not empty, or the origin is not the root key's.
    """
    if parts.store.head().size:
        raise ConfigurationError("the store is not empty")
    now = parts.clock.now_ms()
    life = {"not_before": utc_text(now), "not_after": utc_text(now + root_life_ms)}
    by_root = Attester(root, parts.clock, parts.random)
    first = Draft(
        predicates.KEY,
        {
            "event": "genesis",
            "usage": "root",
            "issuer": bytes(32).hex(),
            "origin": parts.signer.origin,
            "log": [vkey.hash.hex() for vkey in parts.signer.vkeys],
            "next": sha256(next_root.spki).hex(),
            **life,
        },
        {"holder": "root identity"},
        digests=(("spki", sha256(root.spki)),),
    )
    sequencer = Sequencer(parts.store, Sealer(parts.vault, parts.random).seal, lambda _: None)
    try:
        founded = by_root.attest(first, unit=KEYS_UNIT, certifies=sha256(root.spki))
        sequencer.submit(founded)
        second = Draft(
            predicates.KEY,
            {
                "event": "certify",
                "usage": "statement",
                "held_by": "keeper",
                "certify": True,
                "issuer": founded.pae_digest.hex(),
                **life,
            },
            {"holder": "keeper"},
            digests=(("spki", sha256(parts.key.spki)),),
        )
        last = sequencer.submit(by_root.attest(second, unit=KEYS_UNIT, certifies=sha256(parts.key.spki)))
        if erasure is not None:
            last = sequencer.submit(certify_erasure(by_root, founded.pae_digest, erasure.spki, **life))
        last.wait()
    finally:
        sequencer.close()
