"""What somebody makes who has no entry in our log: receipts put together from parts of others, and whole logs of his own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from apostille.adapters.system import SystemClock, SystemRandom
from apostille.core import keys, predicates, strict
from apostille.core.canon import profile_id
from apostille.core.digest import sha256
from apostille.faces.cli.demo.rebuild import OwnHeads
from apostille.services.attester import Attester, Draft, utc_text
from apostille.services.genesis import genesis
from apostille.services.keeper import STATEMENT_KEY_LIFE_MS, KeeperParts
from apostille.services.publisher import LogSigner
from apostille.services.receipts import build_receipt
from apostille.services.runs import output_draft
from apostille.services.sequencer import Sequencer
from apostille.services.vault import KEYS_UNIT, Sealer
from apostille.storage.memory import MemoryStore
from apostille.storage.tiles import TileFolder
from apostille.storage.vault import MemoryVault

_SEED_BYTES = 32
Receipt = dict[str, Any]


def perfect_receipt(text: bytes, origin: str | None, signer: LogSigner | None) -> bytes:
    """Found a log with a root key of one's own and write a receipt in which everything fits.

    Args:
        text: What the output shall have said.
        origin: A log's name to take; else a name of one's own.
        signer: The log's stolen keys; else keys of one's own.
    """
    random, clock = SystemRandom(), SystemClock()
    root, later, mine, speaker = (keys.StatementKey.from_seed(random.token(keys.P256_SEED_BYTES)) for _ in range(4))
    own = LogSigner(
        origin or f"apostille.invalid/{sha256(root.spki)[:16].hex()}",
        keys.Ed25519Key(random.token(_SEED_BYTES)),
        keys.MlDsa44Key(random.token(_SEED_BYTES)),
    )
    store, vault, signer = MemoryStore(), MemoryVault(random.token), signer or own
    genesis(KeeperParts(store, vault, signer, mine, OwnHeads(), TileFolder(Path()), clock, random), root, later)
    # No keeper: an attacker's program has no restore guard, which would stop here.
    sequencer = Sequencer(store, Sealer(vault, random).seal, lambda _: None)
    try:
        now = clock.now_ms()
        fields = {
            "event": "certify",
            "usage": "statement",
            "held_by": "gateway",
            "issuer": store.record(1).pae_digest.hex(),
            "not_before": utc_text(now),
            "not_after": utc_text(now + STATEMENT_KEY_LIFE_MS),
        }
        spki = sha256(speaker.spki)
        certificate = Draft(predicates.KEY, fields, {"holder": "gateway"}, digests=(("spki", spki),))
        sequencer.submit(Attester(mine, clock, random).attest(certificate, unit=KEYS_UNIT, certifies=spki))
        said = output_draft(
            text,
            text,
            profile=profile_id(),
            media_type="text/plain",
            attributes={"agent": "first"},
            assurance="bound",
            commitment="salted",
        )
        index = sequencer.submit(Attester(speaker, clock, random, now).attest(said, unit=KEYS_UNIT)).wait()
    finally:
        sequencer.close()
    return build_receipt(store, vault, signer.sign(store.head()), signer.vkeys[0], index)


def mixed_receipt(mine: Path, theirs: Path, change: Callable[[Receipt, Receipt], None], out: Path) -> None:
    """Write my receipt with something of theirs in it."""
    ours, other = (strict.canonical_json_value(path.read_bytes(), spec="receipt") for path in (mine, theirs))
    change(ours, other)
    out.write_bytes(strict.canonical_json(ours))


def swap(*names: str) -> Callable[[Receipt, Receipt], None]:
    """Take these members from the other receipt."""

    def change(ours: Receipt, other: Receipt) -> None:
        for name in names:
            ours[name] = other[name]

    return change


def swap_envelope(ours: Receipt, other: Receipt) -> None:
    """Take the other's signed statement."""
    ours["bundle"]["dsseEnvelope"] = other["bundle"]["dsseEnvelope"]


def swap_entry(ours: Receipt, other: Receipt) -> None:
    """Take the other's log entry with its proof."""
    ours["bundle"]["verificationMaterial"] = other["bundle"]["verificationMaterial"]


def swap_index(ours: Receipt, other: Receipt) -> None:
    """Claim the other's place in the log."""
    mine, theirs = (it["bundle"]["verificationMaterial"]["tlogEntries"][0] for it in (ours, other))
    mine["logIndex"] = mine["inclusionProof"]["logIndex"] = theirs["logIndex"]


def cut_chain(ours: Receipt, other: Receipt) -> None:
    """Leave out the last key of the chain."""
    del other
    ours["keys"] = ours["keys"][:-1]
