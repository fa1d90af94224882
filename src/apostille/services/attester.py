"""The attester: from content to a signed statement that is ready for the log.

It draws a record seed, commits to each subject, writes the statement once, signs its PAE, and hands on exactly those bytes. The
seed is forgotten here. It does no I/O; clock and randomness come through ports.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from apostille.core import predicates, strict
from apostille.core.commitment import RecordSeed
from apostille.core.digest import sha256
from apostille.core.forms import write_statement, write_texts
from apostille.core.keys import StatementKey
from apostille.core.opening import SALT_BYTES
from apostille.core.statement import MAX_STATEMENT_BYTES
from apostille.errors import MalformedError, TooLargeError
from apostille.ports import Clock, OpeningText, PendingEntry, Random, UnsignedEntry

PLAIN = "plain"
SALTED = "salted"
_ALWAYS_SALTED = frozenset({"attributes", "findings"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(milliseconds: int) -> str:
    """Write a time as ``2026-11-24T03:00:02.125Z``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second_text(seconds)}.{rest:03}Z"


@functools.lru_cache(maxsize=8)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(timespec="seconds")


def utc_ms(text: str) -> int:
    """Read a time that ``utc_text`` has written."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a statement is to say, before salts, chain and signature.

    Attributes:
        type: Predicate type.
        fields: Permanent fields, without ``captured_at``, ``key_id`` and ``nonce``.
        attributes: The descriptive keys, for the attributes opening.
        contents: Subject name to bytes, of ``raw``, ``canonical`` and ``part/..``, in that order.
        findings: The findings as a JCS list; empty for none.
        digests: Subjects that are bare digests, without an opening: ``spki``, which stands before the attributes, then
            ``leaf/..``, which stand last.
    """

    type: str
    fields: Mapping[str, Any]
    attributes: Mapping[str, Any]
    contents: Sequence[tuple[str, bytes]] = ()
    findings: bytes = b""
    digests: Sequence[tuple[str, bytes]] = field(default=())


@dataclass(frozen=True, slots=True)
class Attester:
    """Signs drafts with one statement key.

    Attributes:
        key: The key.
        clock: This machine's clock.
        random: This machine's randomness.
        not_before_ms: Begin of the key's life. A clock that was set back since does not make statements that nobody accepts.
    """

    key: StatementKey
    clock: Clock
    random: Random
    not_before_ms: int = 0

    def attest(
        self, draft: Draft, *, unit: bytes, run: bytes | None = None, certifies: bytes | None = None, nonce: bytes | None = None
    ) -> PendingEntry:
        """Commit, write and sign one statement: ``prepare`` and ``signed`` in one."""
        return self.prepare(draft, {}, unit=unit, run=run, certifies=certifies, nonce=nonce).signed()

    def prepare(
        self,
        draft: Draft,
        chain: Mapping[str, Any],
        *,
        unit: bytes,
        run: bytes | None = None,
        certifies: bytes | None = None,
        nonce: bytes | None = None,
    ) -> UnsignedEntry:
        """Commit and write one statement. Its bytes and digest are final; only the signature is still to be made.

        Args:
            draft: What it says.
            chain: Its place in a run, by whoever keeps that run: well formed.
            unit: Erasure unit.
            run: Run id, where it is one of a run.
            certifies: SHA-256 of the SPKI that a key statement speaks of.
            nonce: 16 unpredictable bytes, where the receipt id had to be known beforehand.

        Raises:
            TooLargeError: The statement would be over 1 MiB.
            MalformedError: A field or an attribute that no reader would take: a float, null, a key that is not ASCII, ..
        """
        whole = [item for item in draft.contents if not item[0].startswith("part/")]
        contents = [*whole, ("attributes", _described(draft.attributes))]
        if draft.findings:
            contents.append(("findings", draft.findings))
        contents += draft.contents[len(whole) :]
        salt_of = RecordSeed(self.random.token(SALT_BYTES)).salt
        is_plain = draft.fields.get("commitment") == PLAIN
        openings: list[OpeningText] = []
        subjects: list[tuple[str, bytes]] = []
        for name, content in contents:
            opening = content if is_plain and name not in _ALWAYS_SALTED else salt_of(name) + content
            digest = sha256(opening)
            openings.append(OpeningText(name, digest, opening))
            subjects.append((name, digest))
        if draft.digests:
            leaves = [item for item in draft.digests if item[0].startswith("leaf/")]
            subjects[len(whole) : len(whole)] = draft.digests[: len(draft.digests) - len(leaves)]
            subjects += leaves

        nonce = nonce or self.random.token(predicates.ID_BYTES)
        if len(nonce) != predicates.ID_BYTES:
            raise MalformedError(f"a receipt id has {predicates.ID_BYTES} bytes", spec="statement")
        own = {
            **chain,
            "captured_at": utc_text(max(self.clock.now_ms(), self.not_before_ms)),
            "key_id": self.key.key_id,
            "nonce": nonce.hex(),
        }
        # What a reader would refuse is never signed: it could not be taken back.
        statement = write_statement(draft.type, draft.fields, own, subjects)
        if len(statement) > MAX_STATEMENT_BYTES:
            raise TooLargeError(f"a statement of {len(statement):,} bytes", limit=MAX_STATEMENT_BYTES, spec="statement")
        return UnsignedEntry(statement, self.key.sign, self.key.spki, tuple(openings), unit, nonce, run, certifies)


def _described(attributes: Mapping[str, Any]) -> bytes:
    """Write the attributes; refuse what would be read back as another value."""
    described = write_texts(attributes)
    if described is not None:
        return described
    try:
        described = strict.canonical_json(dict(attributes))
        if strict.canonical_json_value(described, spec="attributes") != attributes:
            raise MalformedError("a key that is no string, or a value that JSON changes", spec="attributes")
    except UnicodeEncodeError as error:  # a name that came as bytes of a command line, for example
        raise MalformedError("a lone surrogate in a name or another text", spec="attributes") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedError("a value that is none of JSON", spec="attributes") from error
    return described
