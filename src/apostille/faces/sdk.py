"""The SDK: attest what a Python program says, in a few lines.

    import apostille

    store = apostille.open()
    with store.run(agent="claims-agent", principal="claims-desk@clinic.example") as run:
        page = run.input(html, source="web", uri="https://example.org/", label="untrusted")
        said = run.output(answer, media_type="text/markdown", derived_from=[page])
        send(said.text)                                         # canonical, and committed already
        said.published(timeout=5).write("answer.receipt.json")

``async with`` works the same, with ``await`` before each call. A program that opens a store by itself holds the log key: its
runs say ``isolation: none``, and a hostile program there could rebuild the log unnoticed by anybody who remembers no head.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from apostille import wiring
from apostille.core.canon import Canonical, canonicalize
from apostille.core.canon.policy import DEFAULT as DEFAULT_LINKS
from apostille.core.canon.policy import Policy as LinkPolicy
from apostille.core.policy import Policy
from apostille.errors import ConfigurationError, NotFoundError, OutcomeUnknownError
from apostille.faces.keeper_api import AnyKeeper, open_log
from apostille.ports import Reader
from apostille.services.runs import Committed, Pending
from apostille.services.runs import Run as Chain
from apostille.services.verifier import VerifiedReceipt, verify_receipt
from apostille.storage.files import PUBLIC_FILE, read_file, replace_file
from apostille.storage.folder import canon_policy

_P = ParamSpec("_P")
_R = TypeVar("_R")
DEFAULT_TIMEOUT_SECONDS = 30.0
_MAX_FILE_BYTES = 2**30  # of an artifact
# Characters or bytes from which on a loop is not to be held up: cleaning and hashing take a millisecond and more.
_LARGE = 64 * 1024


class Receipt:
    """A published receipt."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def write(self, path: str | PathLike[str]) -> Path:
        """Write it to a file, atomically, and return the path."""
        target = Path(path)
        replace_file(target, self.data, mode=PUBLIC_FILE)
        return target


class Input:
    """Something that the agent was given, recorded."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending

    @property
    def digest(self) -> bytes:
        """SHA-256 of the statement's PAE."""
        return self._pending.digest


class _Said:
    """Something that the agent said: cleaned, bound and durable. Hand on ``text`` or ``data``, nothing else.

    Attributes:
        data: Canonical bytes.
        findings: What the canonicalizer changed or saw.
        index: Place in the log.
        receipt_id: 32 hex digits.
        digest: SHA-256 of the statement's PAE.
    """

    def __init__(self, keeper: AnyKeeper, canonical: Canonical, committed: Committed) -> None:
        self._keeper = keeper
        self.data = canonical.bytes
        self.findings = canonical.findings
        self.index = committed.index
        self.receipt_id = committed.receipt_id
        self.digest = committed.digest

    @property
    def text(self) -> str:
        """The canonical text."""
        return self.data.decode("utf-8")

    def _wait(self, timeout_seconds: float | None) -> Receipt:
        self._keeper.wait_published(self.index, timeout_seconds)
        state, data = self._keeper.receipt_at(self.index)
        if state != "published":
            raise OutcomeUnknownError("the checkpoint that covers this output is not there yet")
        return Receipt(data)


class Output(_Said):
    """An output in a blocking program."""

    def published(self, timeout: float | None = DEFAULT_TIMEOUT_SECONDS) -> Receipt:
        """Wait until a signed checkpoint covers it and return the receipt.

        Args:
            timeout: Seconds; ``None`` waits for ever.

        Raises:
            OutcomeUnknownError: It is committed, but not published in time.
        """
        return self._wait(timeout)


class AsyncOutput(_Said):
    """An output in an asynchronous program."""

    async def published(self, timeout: float | None = DEFAULT_TIMEOUT_SECONDS) -> Receipt:  # noqa: ASYNC109 - as in ``Output``
        """Wait until a signed checkpoint covers it and return the receipt; see ``Output.published``."""
        return await asyncio.to_thread(self._wait, timeout)


def _as_bytes(content: str | bytes) -> bytes:
    # surrogatepass: the canonicalizer refuses lone surrogates with a finding instead of an encoding error here.
    return content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")


def _inputs(derived_from: Sequence[Input | _Said]) -> list[bytes]:
    return [item.digest for item in derived_from if isinstance(item, Input)]


def _parents(derived_from: Sequence[Input | _Said]) -> list[bytes]:
    return [item.digest for item in derived_from if isinstance(item, _Said)]


class _Recorder:
    """What the blocking and the asynchronous run have in common: it submits, and waits for nothing."""

    def __init__(self, keeper: AnyKeeper, chain: Chain, links: LinkPolicy) -> None:
        self._keeper = keeper
        self._chain = chain
        self._links = links

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self._chain.id

    def _input(self, content: str | bytes, source: str, uri: str | None, label: str | None, media_type: str) -> Input:
        described = {"kind": source} | ({"uri": uri} if uri else {})
        integrity = {"integrity": label} if label else None
        return Input(
            self._chain.input(
                _as_bytes(content),
                source=described,
                label=integrity,
                labelled_by=self._chain.agent if label else None,
                media_type=media_type,
            )
        )

    def _output(
        self, content: str | bytes, media_type: str, profile: str, derived_from: Sequence[Input | _Said]
    ) -> tuple[Canonical, Pending]:
        raw = _as_bytes(content)
        canonical = canonicalize(raw, media_type=media_type, profile=profile, policy=self._links)
        pending = self._chain.output(
            raw,
            canonical.bytes,
            profile=canonical.profile,
            findings=canonical.findings,
            media_type=media_type,
            inputs=_inputs(derived_from),
            parents=_parents(derived_from),
        )
        return canonical, pending

    def _call(self, name: str, signature: inspect.Signature, args: Any, kwargs: Any) -> tuple[Pending, inspect.BoundArguments]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            raw = json.dumps(bound.arguments, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the arguments of {name} are not JSON, so they can't be attested: {error}") from error
        canonical = canonicalize(raw, media_type="application/json")
        # The tool sees what was attested: the cleaned arguments, not the ones that came in.
        bound.arguments.update(json.JSONDecoder().decode(canonical.bytes.decode()))
        pending = self._chain.tool_call(raw, canonical.bytes, tool=name, profile=canonical.profile, findings=canonical.findings)
        return pending, bound

    def _result(self, result: Any, call: Pending) -> None:
        try:
            raw = json.dumps(result, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
            media_type = "application/json"
        except (TypeError, ValueError):
            raw, media_type = repr(result).encode("utf-8", "backslashreplace"), "text/plain"
        self._chain.input(raw, source={"kind": "tool"}, media_type=media_type, parents=[call.digest])


class Run(_Recorder):
    """A run in a blocking program. ``output`` and tools return when their statements, and all before them, are durable."""

    def input(
        self,
        content: str | bytes,
        *,
        source: str = "user",
        uri: str | None = None,
        label: str | None = None,
        media_type: str = "text/plain",
    ) -> Input:
        """Record something that the agent is given.

        Args:
            content: Text or bytes, recorded as received.
            source: ``user``, ``system``, ``tool``, ``web``, ``file``, ``agent`` or ``model``.
            uri: Where it came from.
            label: ``trusted`` or ``untrusted``: a claim of yours.
            media_type: Of the content.
        """
        return self._input(content, source, uri, label, media_type)

    def output(
        self,
        content: str | bytes,
        *,
        media_type: str = "text/plain",
        profile: str = "safe",
        derived_from: Sequence[Input | _Said] = (),
    ) -> Output:
        """Clean, bind and commit something that the agent says, and return what may be handed on.

        Raises:
            CanonicalizationError: Not text of its media type.
            StorageUnavailableError, OutcomeUnknownError: Not committed: hand on nothing.
        """
        canonical, pending = self._output(content, media_type, profile, derived_from)
        return Output(self._keeper, canonical, pending.committed(DEFAULT_TIMEOUT_SECONDS))

    def tool(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Attest a function's arguments before it is called, and its result after. Arguments must be JSON values."""
        signature = inspect.signature(function)

        @functools.wraps(function)
        def attested(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            call, bound = self._call(function.__name__, signature, args, kwargs)
            call.committed(DEFAULT_TIMEOUT_SECONDS)
            try:
                result = function(*bound.args, **bound.kwargs)
            except BaseException as error:
                self._result({"error": type(error).__name__}, call)
                raise
            self._result(result, call)
            return result

        return attested


class AsyncRun(_Recorder):
    """A run in an asynchronous program."""

    async def input(
        self,
        content: str | bytes,
        *,
        source: str = "user",
        uri: str | None = None,
        label: str | None = None,
        media_type: str = "text/plain",
    ) -> Input:
        """Record something that the agent is given; see ``Run.input``."""
        if len(content) >= _LARGE:
            return await asyncio.to_thread(self._input, content, source, uri, label, media_type)
        return self._input(content, source, uri, label, media_type)

    async def output(
        self,
        content: str | bytes,
        *,
        media_type: str = "text/plain",
        profile: str = "safe",
        derived_from: Sequence[Input | _Said] = (),
    ) -> AsyncOutput:
        """Clean, bind and commit something that the agent says; see ``Run.output``."""
        if len(content) >= _LARGE:
            canonical, pending = await asyncio.to_thread(self._output, content, media_type, profile, derived_from)
        else:
            canonical, pending = self._output(content, media_type, profile, derived_from)
        return AsyncOutput(self._keeper, canonical, await pending)

    def tool(self, function: Callable[_P, Any]) -> Callable[_P, Any]:
        """Attest an asynchronous function's arguments before it is called, and its result after."""
        signature = inspect.signature(function)

        @functools.wraps(function)
        async def attested(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            call, bound = self._call(function.__name__, signature, args, kwargs)
            await call
            try:
                result = await function(*bound.args, **bound.kwargs)
            except BaseException as error:
                self._result({"error": type(error).__name__}, call)
                raise
            self._result(result, call)
            return result

        return attested


class RunContext:
    """``with`` or ``async with``: opens a run, and closes it with how the block ended."""

    def __init__(self, keeper: AnyKeeper, agent: str, principal: str | None, links: LinkPolicy) -> None:
        self._keeper = keeper
        self._links = links
        self._agent = agent
        self._principal = principal
        self._chain: Chain | None = None

    def _open(self) -> Chain:
        if self._chain is not None:
            raise ConfigurationError("a run is opened once")
        self._chain = self._keeper.open_run(agent=self._agent, on_behalf_of=self._principal)
        return self._chain

    def _close(self, error: BaseException | None) -> Pending:
        if self._chain is None:
            raise ConfigurationError("the run is not open")
        return self._chain.close("completed" if error is None else "errored")

    def __enter__(self) -> Run:
        return Run(self._keeper, self._open(), self._links)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close(error).committed(DEFAULT_TIMEOUT_SECONDS)

    async def __aenter__(self) -> AsyncRun:
        return AsyncRun(self._keeper, self._open(), self._links)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close(error)


class Apostille:
    """An open store. Close it, or use it as a context manager, so that the last statements are published."""

    def __init__(self, keeper: AnyKeeper, links: LinkPolicy = DEFAULT_LINKS) -> None:
        self._keeper = keeper
        self._links = links
        self._process = os.getpid()

    def run(self, *, agent: str, principal: str | None = None) -> RunContext:
        """Open a run with ``with`` or ``async with``.

        Args:
            agent: Name of the agent.
            principal: On whose behalf it acts: a claim of yours.
        """
        if os.getpid() != self._process:
            raise ConfigurationError("the store was opened before this process was forked off; open it again here")
        return RunContext(self._keeper, agent, principal, self._links)

    @property
    def reader(self) -> Reader:
        """The store, for reading."""
        return self._keeper.reader

    def close(self) -> None:
        """Publish what is committed and let the store go. In a process that was forked off it does nothing: it is the other's."""
        if os.getpid() == self._process:
            self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.close)


def open_store(
    path: str | PathLike[str] | None = None, *, socket: str | PathLike[str] | None = None, origin: str | None = None
) -> Apostille:
    """Open a store: as a client of the keeper that is at work on it; where there is none, become it, and let others attach.

    Args:
        path: Its folder; else ``$APOSTILLE_STORE``, else ``./.apostille``.
        socket: The socket of a keeper whose store is not for this user to see; with ``origin``.
        origin: The name of that keeper's log.

    Raises:
        NotFoundError: There is none; ``apostille init`` makes one.
        UnavailableError: No keeper answers at ``socket``.
        StorageUnavailableError: Another process owns it, and does not answer.
        RollbackError: It is older than what this machine remembers, or rewritten.
    """
    if socket is not None:
        if origin is None or path is not None:
            raise ConfigurationError("a socket goes with the origin of its log, and without a folder")
        return Apostille(wiring.connect_socket(Path(socket), origin, holder="program", held_by="agent"))
    folder = wiring.store_folder(path)
    return Apostille(open_log(folder, holder="program", held_by="agent"), canon_policy(folder))


def verify(
    receipt: str | PathLike[str], *, artifact: str | PathLike[str] | bytes | None = None, trust: Policy | None = None
) -> VerifiedReceipt:
    """Verify a receipt file offline and return what it shows.

    Args:
        receipt: Path of the receipt.
        artifact: Path or bytes of the output.
        trust: A trust file that was read; else this user's.

    Raises:
        NotFoundError: There is no such file.
        VerificationError, MalformedError: What is wrong; ``UntrustedError`` and ``IncompleteError`` for what is not shown.
    """
    content = artifact if isinstance(artifact, bytes) or artifact is None else _read(artifact)
    return verify_receipt(_read(receipt), trust or wiring.load_policy(), artifact=content)


def _read(path: str | PathLike[str]) -> bytes:
    data = read_file(Path(path), limit=_MAX_FILE_BYTES)
    if data is None:
        raise NotFoundError(f"there is no file {path}")
    return data
