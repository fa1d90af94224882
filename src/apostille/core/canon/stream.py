"""The two ways to canonicalize: a whole value, or piece by piece. Both are one engine and give the same bytes and findings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from apostille.core.canon.code import MixedWords, hidden_in_code
from apostille.core.canon.findings import SEVERITIES, Finding, Ledger
from apostille.core.canon.glance import glance
from apostille.core.canon.json_values import MAX_BYTES, canonicalize_json
from apostille.core.canon.options import DEFAULT_TEXT, TextOptions
from apostille.core.canon.policy import DEFAULT, Policy
from apostille.core.canon.profiles import OPAQUE, REPORT, essence_of, find_profile, kind_of
from apostille.core.canon.residue import Residue
from apostille.core.canon.tails import Ending
from apostille.core.canon.text import CHUNK_BYTES, TextEngine, encode
from apostille.core.canon.url_watch import UrlWatch
from apostille.errors import CanonicalizationError

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable

    from apostille.core.canon.profiles import Kind, Profile

    _Found = tuple[bytes, tuple[Finding, ...], Residue]


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical value.

    Attributes:
        bytes: The canonical bytes.
        findings: What was changed or seen; empty for most text.
        profile: The whole profile id, or ``opaque``.
        residue: What the optional characters kept in it could carry; nothing is known of opaque bytes.
    """

    bytes: builtins.bytes
    findings: tuple[Finding, ...]
    profile: str
    residue: Residue | None = None


class _Worker(Protocol):
    """What one kind of media type does with the pieces."""

    def feed(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...

    def findings(self) -> tuple[Finding, ...]: ...

    def residue(self) -> Residue | None: ...


class _TextWorker:
    def __init__(self, ending: Ending, profile: Profile, *, is_plain: bool, options: TextOptions = DEFAULT_TEXT) -> None:
        self._is_report = profile.is_report
        self._ledger = Ledger(is_report=profile.is_report)
        self._engine = TextEngine(self._ledger, ending, is_strict=profile.is_strict, is_plain=is_plain, options=options)
        self._urls = UrlWatch()

    def feed(self, data: bytes) -> bytes:
        self._urls.feed(data)
        clean = self._engine.feed(data)
        return data if self._is_report else clean

    def flush(self) -> bytes:
        clean = self._engine.flush()
        return b"" if self._is_report else clean

    def findings(self) -> tuple[Finding, ...]:
        return (*self._ledger.finish(), *self._urls.findings())

    def residue(self) -> Residue | None:
        return self._ledger.residue()


class _CodeWorker(_TextWorker):
    """Looks at code; what hides in it is one finding more."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending, REPORT, is_plain=True)
        self._words = MixedWords()

    def feed(self, data: bytes) -> bytes:
        given = super().feed(data)
        self._words.feed(data)
        return given

    def findings(self) -> tuple[Finding, ...]:
        found = super().findings()
        # CODE_MIXED says it for all such words at once.
        others = (finding for finding in found if finding.code != "MIXED_SCRIPT")
        return (*others, *(finding for finding in (hidden_in_code(found), self._words.finding()) if finding is not None))


class _HeldWorker:
    """Holds a document up to a limit: its canonical form is not known before its end.

    Args:
        limit: Bytes.
        work: Gives canonical bytes, findings and residue of the whole document.
        is_report: A document over the limit is passed on, since nothing would be changed.
    """

    def __init__(self, limit: int, work: Callable[[bytes], _Found], *, is_report: bool) -> None:
        self._limit = limit
        self._work = work
        self._is_report = is_report
        self._held: list[bytes] = []
        self._size = 0
        self._findings: tuple[Finding, ...] = ()
        self._residue: Residue | None = None

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size <= self._limit:
            self._held.append(data)
            return b""
        # The finding does not depend on how much was seen.
        act = "report" if self._is_report else "refuse"
        finding = Finding("LIMIT_SIZE", SEVERITIES["LIMIT_SIZE"], act, self._limit, 0)
        if not self._is_report:
            raise CanonicalizationError(f"the document is larger than {self._limit:,} bytes", findings=(finding,))
        # Too large to be looked at, but a profile that only reports passes it on.
        self._findings = (finding,)
        passed = b"".join((*self._held, data))
        self._held.clear()
        return passed

    def flush(self) -> bytes:
        if self._findings:
            return b""
        clean, self._findings, self._residue = self._work(b"".join(self._held))
        return clean

    def findings(self) -> tuple[Finding, ...]:
        return self._findings

    def residue(self) -> Residue | None:
        return self._residue


class _OpaqueWorker:
    def feed(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""

    def findings(self) -> tuple[Finding, ...]:
        return ()

    def residue(self) -> Residue | None:
        return None


class Canonicalizer:
    """Canonicalize a value piece by piece.

    The pieces that ``feed`` and ``flush`` give, joined, are the bytes that ``canonicalize`` gives for the whole value, wherever
    it was cut; so are the findings. After an error, or after ``flush``, the object takes nothing more (``RuntimeError``).

    Args:
        media_type: Of the value, for example ``"text/plain"``.
        profile: ``"safe"``, ``"strict"`` or ``"report"``.
        is_file: A text may end in one line feed, as files do; else in none, as messages do.
        policy: What links and images may do, and options of the text rules.

    Raises:
        ConfigurationError: No such profile.

    Spec: canonical.md section 11.
    """

    def __init__(
        self, *, media_type: str = "text/plain", profile: str = "safe", is_file: bool = False, policy: Policy = DEFAULT
    ) -> None:
        kind, used = _treatment(media_type, profile)
        self._profile = _id(kind, used, policy)
        self._worker = _worker(media_type, used, "file" if is_file else "message", policy)
        self._findings: tuple[Finding, ...] = ()
        self._residue: Residue | None = None
        self._is_open = True

    @property
    def profile(self) -> str:
        """The whole id of the profile that was applied, or ``opaque``."""
        return self._profile

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, once ``flush`` has returned; empty before."""
        return self._findings

    @property
    def residue(self) -> Residue | None:
        """What the optional characters kept could carry, once ``flush`` has returned; nothing of opaque bytes."""
        return self._residue

    def feed(self, data: bytes) -> bytes:
        """Take the next piece.

        Args:
            data: Raw bytes, cut anywhere, also inside a character.

        Returns:
            Canonical bytes that later input cannot change.

        Raises:
            CanonicalizationError: The value is refused; what was given out before stands, the rest is not released.
        """
        self._close()
        given = self._worker.feed(data)
        self._is_open = True
        return given

    def flush(self) -> bytes:
        """End the value.

        Returns:
            The rest of the canonical bytes.

        Raises:
            CanonicalizationError: The value is refused.
            MalformedJsonError: A JSON document breaks the grammar.
        """
        self._close()
        given = self._worker.flush()
        self._findings = self._worker.findings()
        self._residue = self._worker.residue()
        return given

    def _close(self) -> None:
        # Closed during the call, so that an error leaves it closed.
        if not self._is_open:
            raise RuntimeError("this canonicalizer has ended")
        self._is_open = False


def canonicalize(
    data: bytes | str, *, media_type: str = "text/plain", profile: str = "safe", is_file: bool = False, policy: Policy = DEFAULT
) -> Canonical:
    """Give the canonical form of a whole value.

    Does not tell that a text is free of hidden messages: what is kept is counted (``residue``), and nothing bounds what the
    choice of words could carry.

    Args:
        data: Raw bytes, or a text, which stands for its UTF-8 bytes.
        media_type: Of the value; see ``profiles``.
        profile: ``"safe"``; ``"strict"``, which writes look-alikes in one form; or ``"report"``, which changes nothing.
        is_file: A text may end in one line feed, as files do; else in none, as messages do.
        policy: What links and images may do, and options of the text rules.

    Returns:
        The canonical bytes, the findings and the profile id. Canonicalizing the bytes again changes nothing.

    Raises:
        CanonicalizationError: Text that is not UTF-8 or a lone surrogate (finding ENC_INVALID); JSON or Markdown that is refused.
        MalformedJsonError: A JSON document breaks the grammar.
        ConfigurationError: No such profile.

    Spec: canonical.md.
    """
    raw = encode(data) if isinstance(data, str) else data
    kind, used = _treatment(media_type, profile)
    if kind == "text" or (kind == "code" and raw.isascii() and b"://" not in raw):
        is_plain = kind == "code" or essence_of(media_type) == "text/plain"
        found = None
        if policy.text.eol == "lf" or b"\n" not in raw:
            found = glance(raw, "file" if is_file else "message", is_strict=used.is_strict, is_plain=is_plain)
        if found is not None:
            residue = Residue(0, (), len(raw) if raw.isascii() else len(raw.decode("utf-8")))
            return Canonical(raw, found, _id(kind, used, policy), residue)
    canonicalizer = Canonicalizer(media_type=media_type, profile=profile, is_file=is_file, policy=policy)
    pieces = [canonicalizer.feed(raw[start : start + CHUNK_BYTES]) for start in range(0, len(raw), CHUNK_BYTES)]
    given = b"".join((*pieces, canonicalizer.flush()))
    return Canonical(given, canonicalizer.findings, canonicalizer.profile, canonicalizer.residue)


def _treatment(media_type: str, profile: str) -> tuple[Kind, Profile]:
    """Tell what a media type calls for, and which profile is applied to it: code is only looked at."""
    used = find_profile(profile)
    kind = kind_of(media_type)
    return kind, REPORT if kind == "code" else used


def _id(kind: Kind, profile: Profile, policy: Policy) -> str:
    if kind == "markdown":
        from apostille.core.canon.markdown import PARSER  # the text rules alone need no parser

        return f"{profile.id}{PARSER}{policy.suffix}"
    if kind == "opaque":
        return OPAQUE
    # Code is only looked at: no option acts on it.
    return profile.id if kind == "code" else f"{profile.id}{policy.for_text.suffix}"


def _worker(media_type: str, profile: Profile, ending: Ending, policy: Policy) -> _Worker:
    kind, is_report = kind_of(media_type), profile.is_report
    if kind == "opaque":
        return _OpaqueWorker()
    if kind == "json":
        read = partial(canonicalize_json, is_report=is_report, is_strict=profile.is_strict, options=policy.text)
        return _HeldWorker(MAX_BYTES, read, is_report=is_report)
    if kind == "markdown":
        from apostille.core.canon import markdown

        work = partial(markdown.canonicalize_markdown, policy=policy, ending=ending, is_report=is_report)
        return _HeldWorker(markdown.MAX_BYTES, work, is_report=is_report)
    if kind == "code":
        return _CodeWorker(ending)
    return _TextWorker(ending, profile, is_plain=essence_of(media_type) == "text/plain", options=policy.text)
