"""Every error that apostille raises, in one closed tree.

A class answers three questions: whose fault, may the caller retry, is it evidence. The numbers behind the classes (exit codes,
HTTP states) live in the faces. Faults of our own code are outside this tree on purpose: a bug must never look like a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass


class ApostilleError(Exception):
    """Root of the tree. ``code`` is a stable word for programs; the message is for people."""

    code = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that was checked and did not hold.

    Attributes:
        code: Stable word, for example ``"inclusion"``.
        step: The step of the verification order (``formats.md`` section 12) that found it.
        message: A sentence for people.
        index: Log index concerned, where there is one.
    """

    code: str
    step: int
    message: str
    index: int | None = None


class MalformedError(ApostilleError):
    """Bytes break their format. Retrying is pointless.

    Args:
        message: What is wrong, quoting a few characters at most.
        spec: The format that is broken, for example ``"signed-note"``.
        offset: Byte offset of the fault where one is known.

    Attributes:
        failures: All that an examination found, as data; empty where a reader raised it by itself.
    """

    code = "malformed"
    failures: tuple[Failure, ...] = ()

    def __init__(self, message: str, *, spec: str = "", offset: int | None = None) -> None:
        super().__init__(f"{spec}: {message}" if spec else message)
        self.spec = spec
        self.offset = offset


class MalformedJsonError(MalformedError):
    """Not the strict JSON that the format demands."""

    code = "malformed-json"


class MalformedNoteError(MalformedError):
    """Not a signed note."""

    code = "malformed-note"


class MalformedCheckpointError(MalformedError):
    """Not the three lines of a checkpoint."""

    code = "malformed-checkpoint"


class MalformedEnvelopeError(MalformedError):
    """Not a DSSE envelope with exactly one signature."""

    code = "malformed-envelope"


class MalformedProofError(MalformedError):
    """Not a proof."""

    code = "malformed-proof"


class MalformedTilePathError(MalformedError):
    """Not the path of a tile."""

    code = "malformed-tile-path"


class TooLargeError(MalformedError):
    """Larger than a stated limit."""

    code = "too-large"

    def __init__(self, message: str, *, limit: int, spec: str = "") -> None:
        super().__init__(f"{message}; the limit is {limit:,}", spec=spec)
        self.limit = limit


class UnsupportedVersionError(MalformedError):
    """Well formed as far as we can tell, but of a version that we do not know."""

    code = "unsupported-version"

    def __init__(self, message: str, *, version: str, spec: str = "") -> None:
        super().__init__(message, spec=spec)
        self.version = version


class CanonicalizationError(ApostilleError):
    """Well formed, but refused by the canonicalizer's profile."""

    code = "canonicalization-refused"

    def __init__(self, message: str, *, findings: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class VerificationError(ApostilleError):
    """Not proven: evidence of alteration. ``failures`` holds all of them, as data."""

    code = "not-verified"

    def __init__(self, message: str, *, failures: tuple[Failure, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures


class InvalidSignatureError(VerificationError):
    """A signature does not verify under the key named."""

    code = "invalid-signature"

    def __init__(self, message: str, *, key_name: str, failures: tuple[Failure, ...] = ()) -> None:
        super().__init__(message, failures=failures)
        self.key_name = key_name


class DigestMismatchError(VerificationError):
    """Bytes do not have the digest that was committed to."""

    code = "digest-mismatch"


class InclusionError(VerificationError):
    """A leaf is not in the tree of the given root."""

    code = "inclusion"


class ConsistencyError(VerificationError):
    """A larger tree does not contain the smaller one."""

    code = "consistency"


class PolicyError(VerificationError):
    """The evidence breaks a rule of the format or of the trust file."""

    code = "policy"


class UntrustedError(VerificationError):
    """Nothing here is signed by a key that the trust file leads to."""

    code = "untrusted"

    def __init__(self, message: str, *, unverified: str = "", failures: tuple[Failure, ...] = ()) -> None:
        super().__init__(message, failures=failures)
        self.unverified = unverified


class IncompleteError(VerificationError):
    """Nothing is wrong, but something that the verdict needs is not there yet, or not there."""

    code = "incomplete"

    def __init__(self, message: str, *, missing: tuple[str, ...] = (), failures: tuple[Failure, ...] = ()) -> None:
        super().__init__(message, failures=failures)
        self.missing = missing


class MisbehaviourError(ApostilleError):
    """Another party broke its promise. Raise the alarm; never swallow it. ``evidence`` proves it."""

    code = "misbehaviour"

    def __init__(self, message: str, *, evidence: tuple[bytes, ...] = ()) -> None:
        super().__init__(message)
        self.evidence = evidence


class SplitViewError(MisbehaviourError):
    """One log showed two histories."""

    code = "split-view"


class RollbackError(MisbehaviourError):
    """A log is behind a head that it has shown before."""

    code = "HALT_ROLLBACK"


class ConflictError(ApostilleError):
    """Compare-and-swap lost: somebody else moved the head. Reload, then retry."""

    code = "conflict"


class NotFoundError(ApostilleError):
    """The argument names nothing."""

    code = "not-found"


class UnavailableError(ApostilleError):
    """The outside world failed: retry later."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StorageUnavailableError(UnavailableError):
    """The store can't be written or read now."""

    code = "storage-unavailable"


class BackPressureError(UnavailableError):
    """More is waiting to be committed than the keeper takes on."""

    code = "back-pressure"


class OutcomeUnknownError(ApostilleError):
    """A write may or may not have happened. Stop and reload; never retry in place."""

    code = "outcome-unknown"


class ConfigurationError(ApostilleError):
    """The configuration can't work. Found at start, never later."""

    code = "configuration"
