"""Receipts: what a recipient of an output gets, enough to verify it offline and without the log.

    published  {"type", "bundle", "keys": [{"index","envelope","spki","hashes"}], "salt" O, "attributes" O, "head" O}
    committed  {"type", "pending": {"envelope","index","spki"}}

JCS; integers, not strings, outside the bundle. ``keys`` leads from genesis to the signer. ``salt`` opens the canonical commitment
only, never the raw one. Members are a closed set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apostille.core import bundle, dsse, strict
from apostille.core.digest import SIZE
from apostille.core.opening import SALT_BYTES
from apostille.errors import MalformedError, TooLargeError, UnsupportedVersionError

TYPE = "urn:apostille:receipt:v1"
MAX_RECEIPT_BYTES = 4 * 2**20
MAX_KEYS = 64
SPEC = "receipt"


@dataclass(frozen=True, slots=True)
class KeyProof:
    """A key statement with its place in the log. Unverified.

    Attributes:
        index: Place of its leaf.
        envelope: The signed key statement.
        spki: SPKI of the key that signed it.
        hashes: Inclusion proof in the bundle's checkpoint.
    """

    index: int
    envelope: dsse.Envelope
    spki: bytes
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OldHead:
    """A head that the recipient named, and the proof that the bundle's checkpoint continues it. Unverified."""

    size: int
    root_hash: bytes
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A published receipt. Unverified."""

    bundle: bundle.Bundle
    keys: tuple[KeyProof, ...]
    salt: bytes | None
    attributes: bytes | None
    head: OldHead | None


@dataclass(frozen=True, slots=True)
class PendingReceipt:
    """A receipt from before publication: the signed statement and where it was committed. Unverified."""

    envelope: dsse.Envelope
    index: int
    spki: bytes


def parse_receipt(data: bytes) -> Receipt | PendingReceipt:
    """Read a receipt: strict JSON, canonical, closed members.

    Raises:
        TooLargeError: Over 4 MiB.
        UnsupportedVersionError: Another version of the receipt.
        MalformedError: Anything else.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise TooLargeError(f"a receipt of {len(data):,} bytes", limit=MAX_RECEIPT_BYTES, spec=SPEC)
    value, written = strict.canonical_members(data, spec=SPEC)
    if not isinstance(value.get("type"), str):
        raise MalformedError("not a receipt", spec=SPEC)
    if value["type"] != TYPE:
        raise UnsupportedVersionError(
            f"not a receipt of version 1: {value['type'][:64]!r}", version=value["type"][:64], spec=SPEC
        )
    if "pending" in value:
        strict.exact_members(value, {"type", "pending"}, spec=SPEC)
        inner = strict.exact_members(value["pending"], {"envelope", "index", "spki"}, spec=SPEC)
        return PendingReceipt(
            dsse.parse_envelope(inner["envelope"]),
            strict.integer(inner["index"], spec=SPEC),
            strict.base64_bytes(inner["spki"], spec=SPEC),
        )
    strict.exact_members(value, {"type", "bundle", "keys"}, {"salt", "attributes", "head"}, spec=SPEC)
    return Receipt(
        bundle.parse_bundle(value["bundle"]),
        _keys(written["keys"]),
        strict.base64_bytes(value["salt"], size=SALT_BYTES, spec=SPEC) if "salt" in value else None,
        strict.base64_bytes(value["attributes"], spec=SPEC) if "attributes" in value else None,
        _head(value["head"]) if "head" in value else None,
    )


@lru_cache(maxsize=64)  # receipts share their key chains, byte for byte; what raises is not kept
def _keys(text: str) -> tuple[KeyProof, ...]:
    items = strict.canonical_json_value(text.encode(), spec=SPEC)
    if not isinstance(items, list) or not 0 < len(items) <= MAX_KEYS:
        raise MalformedError(f"not 1 to {MAX_KEYS} key statements", spec=SPEC)
    return tuple(_key(item) for item in items)


def _key(value: Any) -> KeyProof:
    strict.exact_members(value, {"index", "envelope", "spki", "hashes"}, spec=SPEC)
    return KeyProof(
        strict.integer(value["index"], spec=SPEC),
        dsse.parse_envelope(value["envelope"]),
        strict.base64_bytes(value["spki"], spec=SPEC),
        bundle.read_hashes(value["hashes"], spec=SPEC),
    )


def _head(value: Any) -> OldHead:
    strict.exact_members(value, {"size", "root", "hashes"}, spec=SPEC)
    return OldHead(
        strict.integer(value["size"], spec=SPEC, low=1),
        strict.base64_bytes(value["root"], size=SIZE, spec=SPEC),
        bundle.read_hashes(value["hashes"], spec=SPEC),
    )
