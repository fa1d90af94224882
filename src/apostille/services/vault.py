"""Sealing records for the store and opening them again, with the keys of erasure units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apostille.core import predicates, sealing, strict
from apostille.core.digest import sha256
from apostille.core.opening import split_opening
from apostille.core.statement import parse_statement
from apostille.errors import ApostilleError, DigestMismatchError
from apostille.ports import PendingEntry, Random, Record, SealedOpening, Vault

KEYS_UNIT = bytes(predicates.ID_BYTES)  # the erasure unit of key statements, and of what else belongs to no run


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals what goes into the store."""

    vault: Vault
    random: Random

    def seal(self, entry: PendingEntry, leaf: bytes, leaf_hash: bytes) -> Record:
        """Encrypt an entry's openings under a fresh record key and wrap that.

        Raises:
            StorageUnavailableError: The unit's key can't be made durable.
        """
        dek = self.random.token(sealing.KEY_BYTES)
        openings = entry.openings
        sealed = sealing.seal(dek, [(opening.digest, opening.content) for opening in openings])
        return Record(
            leaf,
            leaf_hash,
            entry.statement,
            entry.nonce,
            entry.unit,
            sealing.wrap(self.vault.ensure(entry.unit), dek),
            tuple([SealedOpening(o.name, c) for o, c in zip(openings, sealed, strict=True)]),
            entry.run,
            entry.certifies,
        )


def open_record(vault: Vault, record: Record, digests: dict[str, bytes]) -> dict[str, bytes] | None:
    """Decrypt the openings of a record and check each against its subject digest.

    Args:
        vault: Keys of erasure units.
        record: As stored.
        digests: Subject name to digest, of the *verified* statement.

    Returns:
        Subject name to opening, without those that were destroyed; ``None`` where this vault has not the unit's key.

    Raises:
        DigestMismatchError: An opening was altered.
    """
    kek = vault.key(record.unit)
    if kek is None or record.wrapped_key is None:
        return None
    dek = sealing.unwrap(kek, record.wrapped_key)
    found: dict[str, bytes] = {}
    for place, opening in enumerate(record.openings):
        digest = digests.get(opening.name)
        if digest is None:
            raise DigestMismatchError(f"there is an opening {opening.name[:32]!r} that the statement does not name")
        if not opening.ciphertext:
            continue
        content = sealing.unseal(dek, place, digest, opening.ciphertext)
        if sha256(content) != digest:
            raise DigestMismatchError(f"the opening {opening.name!r} has not the digest that the statement names")
        found[opening.name] = content
    return found


def has_own_keys(vault: Vault | None) -> bool:
    """Tell whether these are the store's own unit keys: to whoever has them, a key that is not there is lost or erased."""
    return vault is not None and vault.key(KEYS_UNIT) is not None


def read_attributes(vault: Vault, record: Record) -> dict[str, Any]:
    """Return the attributes of a statement; empty where they can't be read (any more), or are none."""
    try:
        openings = open_record(vault, record, dict(parse_statement(record.statement).subjects)) or {}
        said = strict.canonical_json_value(split_opening(openings["attributes"])[1], spec="attributes")
    except (ApostilleError, KeyError):
        return {}
    return said if isinstance(said, dict) else {}
