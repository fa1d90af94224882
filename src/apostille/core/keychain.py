"""The chain of keys from genesis: who may sign what, from which index on.

Leaf 0 is the self-signed statement of the root identity key. It names the log's origin, which holds a hash of the root key, and
the log's keys; so a pinned log pins the root. Every other signer is certified by an earlier key statement.

It does **not** check signatures or inclusion: the caller has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apostille.core import predicates
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.note import VerifierKey
from apostille.core.statement import Statement
from apostille.errors import PolicyError, UntrustedError

ORIGIN_HASH_BYTES = 16
_ROOT_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a key statement grants.

    Attributes:
        index: Its place in the log.
        digest: SHA-256 of its PAE.
        spki_digest: SHA-256 of the SPKI of the key it speaks of.
        usage: ``root``, ``log``, ``statement``, ``erasure``.
        held_by: ``agent``, ``gateway``, ``keeper``; empty for other usages.
        may_certify: Whether it may certify statement keys of agents and gateways.
        not_before: Begin of its life, UTC text.
        not_after: End of its life, UTC text.
    """

    index: int
    digest: bytes
    spki_digest: bytes
    usage: str
    held_by: str
    may_certify: bool
    not_before: str
    not_after: str


def _certificate(said: Statement, index: int, digest: bytes) -> Certificate:
    fields = said.predicate
    return Certificate(
        index,
        digest,
        said.subjects["spki"],
        fields["usage"],
        fields.get("held_by", ""),
        "certify" in fields,
        fields["not_before"],
        fields["not_after"],
    )


def binds_origin(origin: str, root_spki: bytes) -> bool:
    """Tell whether an origin holds the hash of the root key, so that pinning one pins the other."""
    return origin.rpartition("/")[2] == sha256(root_spki)[:ORIGIN_HASH_BYTES].hex()


def read_genesis(said: Statement, index: int, digest: bytes, spki: bytes, log: VerifierKey) -> Certificate:
    """Read the root's certificate out of the statement at index 0.

    Args:
        said: The statement, its signature verified under ``spki``.
        index: Its place.
        digest: SHA-256 of its PAE.
        spki: The key that signed it.
        log: The pinned key of the log that it is in.

    Raises:
        UntrustedError: Not the genesis of this log, or founded by another root key.
    """
    fields = said.predicate
    if said.type != predicates.KEY or fields["event"] != "genesis" or index != 0 or fields["usage"] != "root":
        raise UntrustedError("the key chain does not begin with a genesis at index 0")
    if said.subjects["spki"] != sha256(spki) or fields["issuer"] != ZERO_HEX:
        raise UntrustedError("the genesis is not signed by the key that it names")
    if fields.get("origin") != log.name or log.hash.hex() not in fields.get("log", []):
        raise UntrustedError("the genesis names another log, or another log key, than the pinned one")
    if not binds_origin(log.name, spki) and _ROOT_HASH.fullmatch(log.name.rpartition("/")[2]):
        raise UntrustedError("the root key of the genesis is not the one that the log's name was made from")
    return _certificate(said, index, digest)


def read_certificate(said: Statement, index: int, digest: bytes, issuer: Certificate) -> Certificate:
    """Read a certificate issued by ``issuer``, whose key has signed the statement.

    Raises:
        PolicyError: Not a certificate, or the issuer may not issue it.
    """
    fields = said.predicate
    if said.type != predicates.KEY or fields["event"] != "certify":
        raise PolicyError("a statement in the key chain certifies no key")
    if fields["issuer"] != issuer.digest.hex() or issuer.index >= index:
        raise PolicyError("a key names an issuer that is not the earlier statement which certifies its signer")
    made = _certificate(said, index, digest)
    is_keeper = issuer.usage == "statement" and issuer.held_by == "keeper"
    by_keeper = is_keeper and issuer.may_certify and not made.may_certify
    may = issuer.usage == "root" or (by_keeper and made.usage == "statement" and made.held_by in {"agent", "gateway"})
    if not may or made.usage == "root":
        raise PolicyError(f"a {issuer.held_by or issuer.usage} key may not certify a {made.held_by or made.usage} key")
    # Times are text of one length and form, so they compare as text.
    if made.not_before < issuer.not_before or made.not_after > issuer.not_after or made.not_before > made.not_after:
        raise PolicyError("the life of a key is not inside its issuer's")
    if not issuer.not_before <= fields["captured_at"] <= issuer.not_after:
        raise PolicyError("a key is certified outside its issuer's life")
    return made


def check_signer(said: Statement, index: int, signer: Certificate) -> None:
    """Check that the holder of ``signer`` may have signed ``said`` at ``index``.

    It does **not** know revocations: whoever reads the whole log does.

    Raises:
        PolicyError: Wrong usage, out of its life, or certified later.
    """
    wanted = "erasure" if said.type == predicates.ERASURE else "statement"
    if said.type == predicates.KEY:
        raise PolicyError("a key statement is checked as a certificate, not as something that is said")
    if signer.usage != wanted:
        raise PolicyError(f"a {signer.usage} key may not sign this type of statement")
    if signer.index >= index:
        raise PolicyError("the key signed before it was certified")
    if not signer.not_before <= said.predicate["captured_at"] <= signer.not_after:
        raise PolicyError("the statement's time is outside its key's life")
