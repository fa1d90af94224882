"""Runs: one chain of statements per agent task, opened and closed, without holes.

Each call takes its place in the chain and hands over to the log without waiting; the ``Pending`` it returns tells when the
statement is signed and durable. Order of submission is order in the chain, so whatever is released after the last one waited
for is covered with all before it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apostille.core import predicates
from apostille.core.canon import Finding, format_findings
from apostille.core.digest import ZERO_HEX
from apostille.core.opening import SALT_BYTES
from apostille.errors import ApostilleError, ConfigurationError, OutcomeUnknownError
from apostille.ports import PendingEntry, Random, UnsignedEntry
from apostille.services.attester import SALTED, Attester, Draft

OPAQUE = "opaque"


class Place(Protocol):
    """A place in the queue: ``services.sequencer.Ticket``, or a client's."""

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Block until the entry is durable and return its index."""
        ...

    def __await__(self) -> Generator[Any, None, int]:
        """Wait without blocking."""
        ...


class Log(Protocol):
    """Whatever takes statements: the keeper in this process, or a client of one in another."""

    def submit(self, entry: PendingEntry | UnsignedEntry) -> Place:
        """Queue one entry. It is signed by the time that it is committed, and need not be now."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One text or tool call of an output, committed by itself so that it can be recomputed from an SDK's object.

    Attributes:
        path: ``choice/0/text``, ``choice/0/arguments/1``, .. as the statement names it.
        content: Canonical bytes.
        media_type: Of the content.
        tool: Name of the tool, for arguments.
        call_id: The upstream's id of the call.
    """

    path: str
    content: bytes
    media_type: str = "text/plain"
    tool: str | None = None
    call_id: str | None = None

    def describe(self) -> dict[str, str]:
        """Return its entry in the attributes opening."""
        known = {"path": self.path, "media_type": self.media_type, "tool": self.tool, "call_id": self.call_id}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Committed:
    """A statement that is durable. Its bytes may leave.

    Attributes:
        index: Place in the log.
        digest: SHA-256 of its PAE.
        receipt_id: 32 hex digits.
        canonical_salt: Salt of the canonical opening; empty for a plain commitment or none.
        part_salts: Part path to salt.
    """

    index: int
    digest: bytes
    receipt_id: str
    canonical_salt: bytes
    part_salts: Mapping[str, bytes]


class Pending:
    """A statement on its way. ``committed()`` blocks, ``await`` does not.

    Attributes:
        digest: SHA-256 of its PAE: known already, later statements may refer to it.
        receipt_id: 32 hex digits.
    """

    __slots__ = ("_canonical_salt", "_part_salts", "_ticket", "digest", "receipt_id")

    def __init__(self, entry: PendingEntry | UnsignedEntry, ticket: Place, *, is_salted: bool = True) -> None:
        self.digest = entry.pae_digest
        self.receipt_id = entry.nonce.hex()
        self._ticket = ticket
        self._canonical_salt = b""
        self._part_salts: dict[str, bytes] = {}
        for opening in entry.openings if is_salted else ():
            if opening.name == "canonical":
                self._canonical_salt = opening.content[:SALT_BYTES]
            elif opening.name.startswith("part/"):
                self._part_salts[opening.name.removeprefix("part/")] = opening.content[:SALT_BYTES]

    def _committed(self, index: int) -> Committed:
        return Committed(index, self.digest, self.receipt_id, self._canonical_salt, self._part_salts)

    def committed(self, timeout_seconds: float | None = None) -> Committed:
        """Block until the statement is durable.

        Raises:
            StorageUnavailableError, ConflictError: It was not committed.
            OutcomeUnknownError: It may have been, or ``timeout_seconds`` passed.
        """
        return self._committed(self._ticket.wait(timeout_seconds))

    def __await__(self) -> Generator[Any, None, Committed]:
        index = yield from self._ticket.__await__()
        return self._committed(index)


class Run:
    """All of one agent task. Thread-safe.

    Args:
        log: Where statements go.
        attester: Returns the attester that signs now, with this side's own certified key.
        random: This machine's randomness.
        agent: Name of the agent; it goes into the attributes opening only.
        on_behalf_of: Principal, likewise.
        isolation: What was really reached: ``none``, ``landlock``, ``netns``, ``uid``, ``host``.
        opening: More descriptive keys of run-open (``command``, ``principal_source``, ``version``).
        head: Newest checkpoint's size and root, as the lower bound in time.
    """

    def __init__(
        self,
        log: Log,
        attester: Callable[[], Attester],
        random: Random,
        *,
        agent: str,
        on_behalf_of: str | None = None,
        isolation: str = "none",
        opening: Mapping[str, Any] | None = None,
        head: tuple[int, bytes] | None = None,
    ) -> None:
        run_id = random.token(predicates.ID_BYTES)
        self.id = run_id.hex()
        self.agent = agent
        self.isolation = isolation
        self._run = run_id
        self._unit = run_id  # an unknown data subject: the run is the erasure unit
        self._log = log
        self._attester = attester
        self._random = random
        self._who = {"agent": agent} | ({"on_behalf_of": on_behalf_of} if on_behalf_of else {})
        self._lock = threading.Lock()
        self._count = 0
        self._previous = ZERO_HEX
        self._is_closed = False
        self._is_torn = False
        fields: dict[str, Any] = {"isolation": isolation}
        if head is not None and head[0]:
            fields["head"] = {"size": head[0], "root": head[1].hex()}
        self.opened = self._add(Draft(predicates.RUN_OPEN, fields, {**self._who, **(opening or {})}))

    def _add(self, draft: Draft, *, receipt_id: str | None = None, is_last: bool = False) -> Pending:
        nonce = bytes.fromhex(receipt_id) if receipt_id else None
        # The lock is held until the log has the entry: the chain's order is the log's order. The log signs.
        with self._lock:
            if self._is_closed:
                raise ConfigurationError(f"the run {self.id} is closed")
            if self._is_torn:
                raise OutcomeUnknownError(
                    f"a statement of the run {self.id} was interrupted on its way; the log may have it, so nothing can "
                    "follow it: the next keeper closes the run as crashed"
                )
            chain: dict[str, Any] = {"run": self.id, "seq": self._count, "previous": self._previous}
            if is_last:
                chain["count"] = self._count + 1
            entry = self._attester().prepare(draft, chain, unit=self._unit, run=self._run, nonce=nonce)
            self._is_torn = True  # a signal may end this between any two steps: a second statement in one place spoils the log
            try:
                ticket = self._log.submit(entry)
            except ApostilleError:
                self._is_torn = False
                raise
            self._count += 1
            self._previous = entry.pae_digest.hex()
            self._is_closed = is_last
            self._is_torn = False
        return Pending(entry, ticket, is_salted=draft.fields.get("commitment") == SALTED)

    def input(
        self,
        raw: bytes,
        *,
        source: Mapping[str, str],
        media_type: str = "text/plain",
        label: Mapping[str, str] | None = None,
        labelled_by: str | None = None,
        canonical: bytes | None = None,
        profile: str | None = None,
        findings: Sequence[Finding] = (),
        parents: Sequence[bytes] = (),
    ) -> Pending:
        """Record something that the agent was given: a message, a page, a tool's result."""
        fields: dict[str, Any] = {"commitment": SALTED, **_references(parents=parents)}
        contents = [("raw", raw)]
        if canonical is not None:
            fields["profile"] = profile or OPAQUE
            contents.append(("canonical", canonical))
        attributes: dict[str, Any] = {"source": dict(source), "media_type": media_type}
        if label:
            attributes["label"] = dict(label)
        if labelled_by:
            attributes["labelled_by"] = labelled_by
        return self._add(Draft(predicates.INPUT, fields, attributes, contents, _findings(findings)))

    def output(
        self,
        raw: bytes,
        canonical: bytes,
        *,
        profile: str,
        media_type: str,
        findings: Sequence[Finding] = (),
        parts: Sequence[Part] = (),
        attributes: Mapping[str, Any] | None = None,
        inputs: Sequence[bytes] = (),
        parents: Sequence[bytes] = (),
        outcome: str | None = None,
        assurance: str = "bound",
        receipt_id: str | None = None,
        commitment: str = SALTED,
    ) -> Pending:
        """Record something that the agent says. Hand it on only after ``committed()``.

        Args:
            raw: Bytes as captured.
            canonical: Bytes as they will be sent.
            profile: Canonicalizer profile id, or ``opaque`` where canonical is raw.
            media_type: Of the canonical bytes.
            findings: What the canonicalizer changed or saw.
            parts: Texts and tool calls inside, committed one by one.
            attributes: More keys of the attributes opening (``model``, ``usage``, ``finish``, ``rewrites``, ..).
            inputs: Digests of the *new* inputs that it follows from.
            parents: Digests of earlier outputs that it relies on.
            outcome: Why it is incomplete; ``None`` if it is complete.
            assurance: ``bound`` or ``observed``.
            receipt_id: 32 hex digits, where the id had to be known beforehand.
            commitment: ``salted`` or ``plain``.
        """
        draft = output_draft(
            raw,
            canonical,
            profile=profile,
            media_type=media_type,
            findings=findings,
            parts=parts,
            attributes={**(attributes or {}), **self._who},
            references=_references(inputs=inputs, parents=parents),
            outcome=outcome,
            assurance=assurance,
            commitment=commitment,
        )
        return self._add(draft, receipt_id=receipt_id)

    def tool_call(
        self,
        raw: bytes,
        canonical: bytes,
        *,
        tool: str,
        profile: str,
        status: str = "dispatched",
        call_id: str | None = None,
        findings: Sequence[Finding] = (),
        inputs: Sequence[bytes] = (),
        parents: Sequence[bytes] = (),
        assurance: str = "bound",
        irreversible: bool = False,
    ) -> Pending:
        """Record the arguments of a tool call before the tool sees them. Its result is an ``input`` with this as parent."""
        fields = {
            "assurance": assurance,
            "commitment": SALTED,
            "profile": profile,
            "status": status,
            **_references(inputs=inputs, parents=parents),
        }
        attributes: dict[str, Any] = {"tool": tool}
        if call_id is not None:
            attributes["call_id"] = call_id
        if irreversible:
            attributes["irreversible"] = True
        contents = [("raw", raw), ("canonical", canonical)]
        return self._add(Draft(predicates.TOOL_CALL, fields, attributes, contents, _findings(findings)))

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` has been called."""
        return self._is_closed

    def close(self, outcome: str = "completed", *, attributes: Mapping[str, Any] | None = None) -> Pending:
        """Close the run: its count makes a missing tail visible. Later calls raise ``ConfigurationError``."""
        draft = Draft(predicates.RUN_CLOSE, {"outcome": outcome}, {**self._who, **(attributes or {})})
        return self._add(draft, is_last=True)


def output_draft(
    raw: bytes,
    canonical: bytes,
    *,
    profile: str,
    media_type: str,
    attributes: Mapping[str, Any],
    assurance: str,
    commitment: str,
    findings: Sequence[Finding] = (),
    parts: Sequence[Part] = (),
    references: Mapping[str, Any] | None = None,
    outcome: str | None = None,
) -> Draft:
    """Draft an output statement; a run adds its chain, a single attested file has none."""
    fields: dict[str, Any] = {"assurance": assurance, "commitment": commitment, "profile": profile, **(references or {})}
    if outcome is not None:
        fields["outcome"] = outcome
    described: dict[str, Any] = {**attributes, "media_type": media_type}
    if parts:
        described["parts"] = [part.describe() for part in parts]
    if findings and "changes" not in described:
        described["changes"] = count_changes(findings)
    contents = [("raw", raw), ("canonical", canonical), *((f"part/{part.path}", part.content) for part in parts)]
    return Draft(predicates.OUTPUT, fields, described, contents, _findings(findings))


def count_changes(findings: Sequence[Finding]) -> dict[str, int]:
    """Return finding code to how often."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.code] = counts.get(finding.code, 0) + finding.count
    return counts


def _findings(findings: Sequence[Finding]) -> bytes:
    return format_findings(tuple(findings)) if findings else b""


def _references(**lists: Sequence[bytes]) -> dict[str, Any]:
    # An empty list is left out.
    return {name: [digest.hex() for digest in digests] for name, digests in lists.items() if digests}
