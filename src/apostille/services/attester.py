"""The attester: from content to a signed statement that is ready for the log.

It draws a record seed, commits to each subject, writes the statement once, signs its PAE, and hands on exactly those bytes. The
seed is forgotten here. It does no I/O; clock and randomness come through ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from apostille.core import dsse, predicates, strict
from apostille.core.commitment import RecordSeed
from apostille.core.digest import sha256
from apostille.core.keys import StatementKey
from apostille.core.opening import SALT_BYTES, opening_digest
from apostille.core.statement import MAX_STATEMENT_BYTES, format_statement
from apostille.errors import MalformedError, TooLargeError
from apostille.ports import Clock, OpeningText, PendingEntry, Random

PLAIN = "plain"
SALTED = "salted"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(milliseconds: int) -> str:
    """Write a time as ``2026-11-24T03:00:02.125Z``."""
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        """Commit, write and sign one statement.

        Args:
            draft: What it says.
            unit: Erasure unit.
            run: Run id, where it is one of a run.
            certifies: SHA-256 of the SPKI that a key statement speaks of.
            nonce: 16 unpredictable bytes, where the receipt id had to be known beforehand.

        Raises:
            TooLargeError: The statement would be over 1 MiB.
            MalformedError: A field or an attribute that no reader would take: a float, null, a key that is not ASCII, ..
        """
        seed = RecordSeed(self.random.token(SALT_BYTES))
        is_plain = draft.fields.get("commitment") == PLAIN
        subjects: list[tuple[str, bytes]] = []
        openings: list[OpeningText] = []

        def commit(name: str, content: bytes, *, plain: bool) -> None:
            salt = b"" if plain else seed.salt(name)
            digest = opening_digest(salt, content)
            subjects.append((name, digest))
            openings.append(OpeningText(name, digest, salt + content))

        parts = [item for item in draft.contents if item[0].startswith("part/")]
        for name, content in draft.contents[: len(draft.contents) - len(parts)]:
            commit(name, content, plain=is_plain)
        leaves = [item for item in draft.digests if item[0].startswith("leaf/")]
        subjects += draft.digests[: len(draft.digests) - len(leaves)]
        try:
            described = strict.canonical_json(dict(draft.attributes))
            if strict.json_value(described, spec="attributes") != draft.attributes:
                raise MalformedError("a key that is no string, or a value that JSON changes", spec="attributes")
        except UnicodeEncodeError as error:  # a name that came as bytes of a command line, for example
            raise MalformedError("a lone surrogate in a name or another text", spec="attributes") from error
        except (TypeError, ValueError, RecursionError) as error:
            raise MalformedError("a value that is none of JSON", spec="attributes") from error
        commit("attributes", described, plain=False)
        if draft.findings:
            commit("findings", draft.findings, plain=False)
        for name, content in parts:
            commit(name, content, plain=is_plain)
        subjects += leaves

        nonce = nonce or self.random.token(predicates.ID_BYTES)
        predicate = {
            **draft.fields,
            "captured_at": utc_text(max(self.clock.now_ms(), self.not_before_ms)),
            "key_id": self.key.key_id,
            "nonce": nonce.hex(),
        }
        # What a reader would refuse is never signed: it could not be taken back.
        names = [name for name, _ in subjects]
        predicates.check_fields(draft.type, predicate)
        predicates.check_subjects(draft.type, names)
        predicates.check_together(draft.type, predicate, names)
        statement = format_statement(draft.type, predicate, subjects)
        if len(statement) > MAX_STATEMENT_BYTES:
            raise TooLargeError(f"a statement of {len(statement):,} bytes", limit=MAX_STATEMENT_BYTES, spec="statement")
        message = dsse.pae(statement)
        return PendingEntry(
            statement, sha256(message), self.key.sign(message), self.key.spki, tuple(openings), unit, nonce, run, certifies
        )
