"""Who may sign what at an index, as the key statements before it say: life, succession, retirement, revocation.

    certify            by the root, or a keeper's key for agents and gateways; ``replaces`` names the key that it follows
    a root's successor is the one key that ``next`` of the root names, signed by either of the two; the old root ends
    retire, revoke     by the root, or by the key that ``next`` of the ended key names; never by the ended key alone

A key may sign at index i if its certificate stands before i and nothing ends it before i. A revocation with
``compromised_since`` reaches back: what the key has signed counts only where a witness has dated a head over it before that.

It does **not** verify signatures or inclusion: whoever hands leaves over has.

Spec: formats.md section 3.5; trust.md section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apostille.core import keychain, predicates
from apostille.core.digest import sha256
from apostille.core.entry import Entry
from apostille.core.note import VerifierKey
from apostille.core.statement import Statement
from apostille.errors import PolicyError, UntrustedError
from apostille.services.ownership import replaced_by

ROOT = "root"
KeyLeaf = tuple[int, Entry, Statement]


@dataclass(frozen=True, slots=True)
class Known:
    """A certified key.

    Attributes:
        certificate: What it may do.
        next: Hex SHA-256 of the only key that may follow it; empty for none.
        replaces: SHA-256 of the SPKI of the key in whose place it came.
    """

    certificate: keychain.Certificate
    next: str
    replaces: bytes | None = None


@dataclass(frozen=True, slots=True)
class Compromise:
    """A revocation that reaches back.

    Attributes:
        index: Place of the revocation.
        since: UTC text.
        first: Place of the key's certificate.
    """

    index: int
    since: str
    first: int


class Keyring:
    """The keys of one log, in the order in which its leaves are read.

    Args:
        origin: The log's name.
        log: Its pinned key; ``None`` where the trust file names none.
        recall: Returns the leaf that certifies a key (by SHA-256 of its SPKI) among those that were examined before; ``None`` if
            none does.

    Attributes:
        ended: SHA-256 of the SPKI of each key that was retired, revoked or, a root, replaced, to the index where.
        replaced: Likewise, of each key that has a successor.
        compromised: Likewise, of each key whose revocation reaches back.
    """

    def __init__(self, origin: str, log: VerifierKey | None, recall: Callable[[bytes], KeyLeaf | None]) -> None:
        self._origin = origin
        self._log = log
        self._recall = recall
        self._known: dict[bytes, Known] = {}
        self.ended: dict[bytes, int] = {}
        self.replaced: dict[bytes, int] = {}
        self.compromised: dict[bytes, Compromise] = {}

    def take(self, index: int, entry: Entry, said: Statement) -> None:
        """Hold the signer of a leaf against all before it; learn what a key statement says.

        Raises:
            UntrustedError: Its signer is certified by no earlier statement, or was ended before.
            PolicyError: It breaks a rule of keys.
        """
        signer = sha256(entry.spki)
        if index == 0:
            self._found(entry, said)
            return
        if said.type == predicates.KEY:
            self._take_key(index, entry, said)
            return
        keychain.check_signer(said, index, self._may_sign(signer, index).certificate)

    def _found(self, entry: Entry, said: Statement) -> None:
        if self._log is None:
            raise UntrustedError(f"the trust file names no log {self._origin!r}")
        made = keychain.read_genesis(said, 0, entry.pae_digest, entry.spki, self._log)
        self._known[made.spki_digest] = Known(made, said.predicate["next"])

    def find(self, spki_digest: bytes) -> Known | None:
        """Return a certified key."""
        found = self._known.get(spki_digest)
        if found is None:
            leaf = self._recall(spki_digest)
            if leaf is not None:
                index, entry, said = leaf
                if index == 0:
                    self._found(entry, said)
                elif said.type == predicates.KEY and said.predicate["event"] == "certify":
                    self._certify(index, entry, said)
                found = self._known.get(spki_digest)
        return found

    def predecessor(self, spki_digest: bytes) -> bytes | None:
        """Return the key in whose place a key came."""
        known = self.find(spki_digest)
        return known.replaces if known is not None else None

    def _may_sign(self, signer: bytes, index: int) -> Known:
        known = self.find(signer)
        if known is None:
            raise UntrustedError("its signer's key is certified by no earlier statement")
        if self._has_ended(signer, index):
            raise UntrustedError(f"its signer's key was retired or revoked before, at {self.ended[signer]}")
        return known

    def _has_ended(self, key: bytes, index: int) -> bool:
        # A certificate that is read again may be older than the end of its signer.
        return self.ended.get(key, index) < index

    def _take_key(self, index: int, entry: Entry, said: Statement) -> None:
        event, subject = said.predicate["event"], said.subjects["spki"]
        if event == "certify":
            if self.find(subject) is not None:
                raise PolicyError("the key was certified before")
            self._certify(index, entry, said)
            old = replaced_by(said)
            if old is not None:
                self.replaced[old] = index
                if said.predicate["usage"] == ROOT:
                    self.ended[old] = index
        elif event in {"retire", "revoke"}:
            self._end(index, entry, said, subject)
        else:
            raise PolicyError("only the root may end a key, and only index 0 founds a log")

    def _certify(self, index: int, entry: Entry, said: Statement) -> None:
        fields, subject, signer = said.predicate, said.subjects["spki"], sha256(entry.spki)
        old = replaced_by(said)
        if fields["usage"] == ROOT:
            made = self._succeed(index, entry, said, old)
        else:
            made = keychain.read_certificate(said, index, entry.pae_digest, self._may_sign(signer, index).certificate)
            if old is not None:
                self._check_succession(made, old)
        self._known[subject] = Known(made, fields.get("next", ""), old)

    def _check_succession(self, made: keychain.Certificate, old: bytes) -> None:
        known = self.find(old)
        if known is None:
            raise PolicyError("the key is to replace one that this log never certified")
        before = known.certificate
        if (before.usage, before.held_by) != (made.usage, made.held_by):
            raise PolicyError("a key may only replace one of its own kind")
        if old in self.replaced and self.replaced[old] < made.index:
            raise PolicyError(f"the key that it is to replace was replaced before, at {self.replaced[old]}")
        if known.next and known.next != made.spki_digest.hex():
            raise PolicyError("only the key that the replaced one names as next may follow it")

    def _succeed(self, index: int, entry: Entry, said: Statement, old: bytes | None) -> keychain.Certificate:
        """Read the certificate of a root's successor: signed by the old root, or by the key that the old root has named."""
        fields, subject, signer = said.predicate, said.subjects["spki"], sha256(entry.spki)
        known = self.find(old) if old is not None else None
        if known is None or known.certificate.usage != ROOT:
            raise PolicyError("a root key may not certify a root key, unless it is the one that follows it")
        before = known.certificate
        self._check_succession(_as_root(before, index, entry, subject, fields), before.spki_digest)
        if signer not in {before.spki_digest, subject} or self._has_ended(before.spki_digest, index):
            raise PolicyError("a root's successor is certified by that root, or by itself, while the root has not ended")
        if fields["issuer"] != before.digest.hex() or "next" not in fields:
            raise PolicyError("a root's successor names that root's statement as issuer, and the key that is to follow")
        if fields["not_before"] > fields["not_after"]:
            raise PolicyError("the life of a key ends before it begins")
        return _as_root(before, index, entry, subject, fields)

    def _end(self, index: int, entry: Entry, said: Statement, subject: bytes) -> None:
        fields, signer = said.predicate, sha256(entry.spki)
        known = self.find(subject)
        if known is None:
            raise PolicyError("a key is ended that this log never certified")
        by_next = known.next == signer.hex()
        if not by_next:
            by = self._may_sign(signer, index).certificate
            if by.usage != ROOT or signer == subject:
                raise PolicyError("only the root may end a key, or the key that is named to follow it")
            if fields["issuer"] != by.digest.hex():
                raise PolicyError("a key names an issuer that is not the earlier statement which certifies its signer")
        self.ended.setdefault(subject, index)
        if "compromised_since" in fields:
            self.compromised[subject] = Compromise(index, fields["compromised_since"], known.certificate.index)


def _as_root(before: keychain.Certificate, index: int, entry: Entry, subject: bytes, fields: Any) -> keychain.Certificate:
    life = fields["not_before"], fields["not_after"]
    return keychain.Certificate(index, entry.pae_digest, subject, before.usage, before.held_by, before.may_certify, *life)
