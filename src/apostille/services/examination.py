"""An examination: numbered steps, everything found, and one conclusion.

A step that fails does not end the examination, so that every failure is reported. The conclusion is drawn once: the first that
applies of altered (1), malformed (65), untrusted (3), incomplete (4). Only an examination without any of them yields a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from apostille.errors import (
    ApostilleError,
    Failure,
    IncompleteError,
    MalformedError,
    MisbehaviourError,
    UntrustedError,
    VerificationError,
)


@dataclass(slots=True)
class Step:
    """One step: its number in the verification order, what it shows, and whether it held."""

    examination: Examination = field(repr=False, compare=False)
    number: int
    title: str
    outcome: str = "passed"
    detail: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ApostilleError):
            return False
        self.outcome, self.detail = "failed", str(error)
        self.examination.file(error, self.number)
        return True


@dataclass(slots=True)
class Examination:
    """What has been looked at so far.

    Attributes:
        steps: In the order they were taken.
        altered: Evidence of alteration or misbehaviour.
        malformed: Bytes that break their format.
        untrusted: What no trusted key vouches for.
        missing: What is not there, or not there yet.
        notices: What was not checked, and what the verdict rests on.
    """

    steps: list[Step] = field(default_factory=list)
    altered: list[Failure] = field(default_factory=list)
    malformed: list[Failure] = field(default_factory=list)
    untrusted: list[Failure] = field(default_factory=list)
    missing: list[Failure] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    _first_malformed: MalformedError | None = None

    def step(self, number: int, title: str) -> Step:
        """Begin one step, as a context manager; an error of ours inside it is filed and the examination goes on."""
        taken = Step(self, number, title)
        self.steps.append(taken)
        return taken

    def file(self, error: ApostilleError, number: int, index: int | None = None) -> None:
        """File an error under what it means."""
        found = Failure(error.code, number, str(error), index)
        if isinstance(error, UntrustedError):
            self.untrusted.append(found)
        elif isinstance(error, IncompleteError):
            self.missing.append(found)
        elif isinstance(error, VerificationError | MisbehaviourError):
            self.altered.append(found)
        elif isinstance(error, MalformedError):
            self._first_malformed = self._first_malformed or error
            self.malformed.append(found)
        else:
            raise error  # a failed dependency is no verdict

    @property
    def failures(self) -> tuple[Failure, ...]:
        """All of them, the gravest kind first."""
        return (*self.altered, *self.malformed, *self.untrusted, *self.missing)

    def conclude(self) -> None:
        """Raise what was found.

        Raises:
            VerificationError: Something was altered.
            MalformedError: Something is not in its format: the first such error, of its own class, with all failures.
            UntrustedError: The trust anchor is not confirmed.
            IncompleteError: Something is missing.
        """
        found = self.failures
        if not found:
            return
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        message = found[0].message + more
        if self.altered:
            raise VerificationError(message, failures=found)
        if self._first_malformed is not None:
            # Its own class and what it carries, but another message: the one that was filed may be kept elsewhere.
            kind = type(self._first_malformed)
            error = kind.__new__(kind, message)
            error.__dict__.update(vars(self._first_malformed), failures=found)
            raise error from self._first_malformed
        if self.untrusted:
            raise UntrustedError(message, unverified=found[0].message, failures=found)
        raise IncompleteError(message, missing=tuple(f.message for f in self.missing), failures=found)
