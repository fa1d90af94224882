"""The trust file: which logs and witnesses are believed, and how many of them must have signed.

    log     VKEY [URL]                one line a log; of several, the origin chooses
    witness NAME VKEY [URL]
    group   NAME any|all|K MEMBER...
    quorum  NAME|none                 exactly one

Names are defined before they are used; a name is in at most one group; no key twice. It is the only source of trust: never the
evidence, never the network. With ``quorum none`` every verdict says UNWITNESSED.

Spec: c2sp.org/tlog-policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from apostille.core import note, strict
from apostille.core.checkpoint import Checkpoint, parse_checkpoint, verify_line
from apostille.errors import MalformedError, MalformedNoteError, TooLargeError, UntrustedError

SPEC = "tlog-policy"
NO_QUORUM = "none"
MAX_POLICY_BYTES = 1024 * 1024
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # what some readers take for the end of a line


@dataclass(frozen=True, slots=True)
class Group:
    """``threshold`` of ``members`` must have signed. Members are witnesses or groups."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A trust file.

    Attributes:
        logs: Believed logs.
        witnesses: Name in this file to key.
        groups: Name to group, in the order of their definition.
        quorum: A witness, a group, or ``none``.
    """

    logs: tuple[note.VerifierKey, ...]
    witnesses: dict[str, note.VerifierKey] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = NO_QUORUM

    def is_met(self, name: str, signed: frozenset[str]) -> bool:
        """Tell whether the witness or group ``name`` is satisfied by the witnesses in ``signed``."""
        met = set(signed)
        # Members are defined before their group, so one pass in that order is enough, however deep the groups are nested.
        for title, group in self.groups.items():
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(title)
        return name in met


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A checkpoint whose log signature verified under a pinned key. Only ``open_checkpoint`` makes it.

    Attributes:
        checkpoint: Origin, size, root.
        log: The pinned key that signed.
        witnesses: Witness names of the trust file whose lines verified, with their times in POSIX seconds.
        quorum: The trust file's quorum name, ``none`` where there is none.
        is_quorum_met: False too where the trust file asks for none.
        independent: Those of ``witnesses`` whose key is not the log's own, whatever name the trust file gives it.
    """

    checkpoint: Checkpoint
    log: note.VerifierKey
    witnesses: tuple[tuple[str, int], ...]
    quorum: str
    is_quorum_met: bool
    independent: tuple[str, ...]

    @property
    def is_witnessed(self) -> bool:
        """Whether the trust file asks for witnesses and somebody else than the log has signed."""
        return self.is_quorum_met and bool(self.independent)


def parse_policy(data: bytes) -> Policy:
    """Read a trust file. Lines that are empty or begin with ``#`` are passed over.

    Raises:
        MalformedError: Anything that breaks the rules above.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise TooLargeError(f"a trust file of {len(data):,} bytes", limit=MAX_POLICY_BYTES, spec=SPEC)
    logs: list[note.VerifierKey] = []
    witnesses: dict[str, note.VerifierKey] = {}
    groups: dict[str, Group] = {}
    grouped: set[str] = set()
    quorum = ""
    seen: set[bytes] = set()
    for number, row in enumerate(strict.utf8(data, spec=SPEC).split("\n"), 1):
        if _NO_TEXT.search(row):
            raise MalformedError(f"line {number}: a control character or a line separator", spec=SPEC)
        words = row.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            match words:
                case ["log", text] | ["log", text, _]:
                    logs.append(_add_key(text, seen, kinds=(note.ED25519,)))
                case ["witness", name, text] | ["witness", name, text, _]:
                    _add_name(name, witnesses, groups)
                    witnesses[name] = _add_key(text, seen, kinds=(note.COSIGNATURE, note.MLDSA44))
                case ["group", name, how, first, *rest]:
                    _add_name(name, witnesses, groups)
                    members = (first, *rest)
                    if len(set(members)) != len(members) or grouped & set(members):
                        raise MalformedError("a name is in at most one group, once", spec=SPEC)
                    if not all(member in witnesses or member in groups for member in members):
                        raise MalformedError("a member is not defined above", spec=SPEC)
                    grouped.update(members)
                    groups[name] = Group(_threshold(how, len(members)), members)
                case ["quorum", name] if not quorum:
                    if name != NO_QUORUM and name not in witnesses and name not in groups:
                        raise MalformedError("the quorum is not defined above", spec=SPEC)
                    quorum = name
                case _:
                    raise MalformedError("not a line of a trust file, or a second quorum", spec=SPEC)
        except MalformedError as error:
            raise MalformedError(f"line {number}: {error}", spec=SPEC) from error
    if not quorum:
        raise MalformedError("no quorum line; write 'quorum none' to ask for no witness", spec=SPEC)
    return Policy(tuple(logs), witnesses, groups, quorum)


def _threshold(how: str, members: int) -> int:
    count = {"any": 1, "all": members}.get(how) or strict.decimal(how, spec=SPEC)
    if not 1 <= count <= members:
        raise MalformedError(f"a threshold of {count} among {members}", spec=SPEC)
    return count


def _add_name(name: str, *tables: object) -> None:
    if name == NO_QUORUM or any(name in table for table in tables if isinstance(table, dict)):
        raise MalformedError(f"the name {name[:32]!r} is taken", spec=SPEC)


def _add_key(text: str, seen: set[bytes], *, kinds: tuple[int, ...]) -> note.VerifierKey:
    key = note.parse_vkey(text)
    if key.kind not in kinds:
        raise MalformedError(f"a key of type {key.kind:#04x} has no place in this line", spec=SPEC)
    # The public key alone counts: one witness under two names would be two votes.
    if key.public in seen:
        raise MalformedError("the key stands here twice", spec=SPEC)
    seen.add(key.public)
    return key


def open_checkpoint(data: bytes, policy: Policy) -> VerifiedCheckpoint:
    """Verify the note of a checkpoint under a trust file.

    Lines of keys that the file does not name are ignored; a line of a named key that fails rejects the note. It does **not** ask
    whether the quorum is met: the value says so.

    Raises:
        MalformedNoteError, MalformedCheckpointError: Not a note, not a checkpoint.
        UntrustedError: No pinned log has this origin, or it has not signed.
        InvalidSignatureError: A named key's line does not verify.
    """
    return _open(data, policy.logs, tuple(policy.witnesses.items()), tuple(policy.groups.items()), policy.quorum)


@lru_cache(maxsize=64)  # receipts share checkpoints; the key is all that the result depends on, and what raises is not kept
def _open(
    data: bytes,
    pinned: tuple[note.VerifierKey, ...],
    witnesses: tuple[tuple[str, note.VerifierKey], ...],
    groups: tuple[tuple[str, Group], ...],
    quorum: str,
) -> VerifiedCheckpoint:
    policy = Policy(pinned, dict(witnesses), dict(groups), quorum)
    opened = note.parse_note(data)
    checkpoint = parse_checkpoint(opened.text)
    logs = [log for log in policy.logs if log.name == checkpoint.origin]
    if not logs:
        raise UntrustedError(f"the trust file names no log {checkpoint.origin!r}", unverified=checkpoint.origin)
    known = {(key.name, key.key_id): (name, key) for name, key in policy.witnesses.items()}
    known.update({(key.name, key.key_id): ("", key) for key in logs})
    signer: note.VerifierKey | None = None
    signed: set[note.VerifierKey] = set()
    found: dict[str, int] = {}
    for line in opened.unverified_signatures:
        if (line.name, line.key_id) not in known:
            continue
        name, key = known[line.name, line.key_id]
        if key in signed:
            raise MalformedNoteError(f"two lines of {line.name}", spec=note.SPEC)
        signed.add(key)
        seconds = verify_line(key, line.field, opened.text, checkpoint)
        if name:
            found[name] = seconds
        else:
            signer = key
    if signer is None:
        raise UntrustedError(
            f"no signature by the pinned key of {checkpoint.origin!r} (another key may have signed under its name)",
            unverified=checkpoint.origin,
        )
    met = policy.quorum != NO_QUORUM and policy.is_met(policy.quorum, frozenset(found))
    others = tuple(name for name in found if policy.witnesses[name].name != checkpoint.origin)
    return VerifiedCheckpoint(checkpoint, signer, tuple(found.items()), policy.quorum, met, others)
