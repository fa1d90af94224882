"""Who asks, and into which run it goes.

| source | for | a request belongs to |
|---|---|---|
| ``SingleRun`` | ``apostille run`` | the one run, if its path starts with ``/r/<secret>`` |
| ``ClientRuns`` | ``apostille serve`` | its key's run: the one of the ``Apostille-Run`` header, else the rolling one |

A rolling run is closed after an hour without requests or at midnight UTC, whichever comes first, and never under a request that
is still being answered. An ``Apostille-Run`` header is a handle that the client chooses (32 hex digits); it is bound to the key
that used it first, and ends after an hour without requests. Neither keys nor secrets are kept: only their SHA-256.

Spec: ``gateway.md`` sections 2 "Runs under serve", 7, 13.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from apostille.errors import BackPressureError, UntrustedError
from apostille.faces.gateway.inputs import InputIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from apostille.services.runs import Run

IDLE_SECONDS = 3600.0
MAX_RUNS_PER_KEY = 1000
_HANDLE = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class RunContext:
    """A run, and what the gateway remembers about it while it is open.

    Attributes:
        run: Where statements go.
        inputs: Messages that the run has statements of.
        used_at: POSIX seconds of the last request.
        opened_on: The UTC day on which it was opened, as a number.
        active: Requests being answered now.
        retired: Whether it closes as soon as nothing is active.
    """

    run: Run
    used_at: float = 0.0
    opened_on: int = 0
    active: int = 0
    retired: bool = False
    inputs: InputIndex = field(default_factory=InputIndex)


class RunSource(Protocol):
    """Finds the run that a request belongs to."""

    def resolve(self, secret: str | None, bearer: str | None, run_id: str | None) -> RunContext:
        """Return the context of a request's run, opening it where needed.

        Args:
            secret: The path's ``/r/<secret>`` part.
            bearer: The key of the ``Authorization`` or ``x-api-key`` header.
            run_id: The ``Apostille-Run`` header.

        Raises:
            UntrustedError: Nothing here may be used by this request.
            BackPressureError: Too many runs are open.
        """
        ...

    def use(self, context: RunContext) -> contextlib.AbstractContextManager[None]:
        """Keep a run open while a request is answered."""
        ...

    def sweep(self) -> None:
        """Close what is due. Called now and then."""
        ...

    def close(self) -> None:
        """Close every run that this source opened itself."""
        ...


class SingleRun:
    """One run, reached by a secret in the path. The run is opened and closed by its owner.

    Args:
        run: The run.
        secret: The secret; at least 16 characters.
    """

    def __init__(self, run: Run, secret: str) -> None:
        if len(secret) < 16:
            raise ValueError("the secret is too short")
        self._context = RunContext(run)
        self._secret = hashlib.sha256(secret.encode("utf-8")).digest()

    def resolve(self, secret: str | None, bearer: str | None, run_id: str | None) -> RunContext:
        """Return the one context; see ``RunSource.resolve``. The bearer is the upstream's affair."""
        del bearer
        given = hashlib.sha256((secret or "").encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(given, self._secret):
            raise UntrustedError("the path names no run of this gateway")
        if run_id is not None and run_id != self._context.run.id:
            raise UntrustedError("the Apostille-Run header names another run")
        return self._context

    @contextlib.contextmanager
    def use(self, context: RunContext) -> Iterator[None]:
        """Count a request; the run is closed by its owner."""
        context.active += 1
        try:
            yield
        finally:
            context.active -= 1

    def sweep(self) -> None:
        """Do nothing: the run's owner closes it."""

    def close(self) -> None:
        """Do nothing: the run's owner closes it."""


class ClientRuns:
    """Runs of many clients, each known by the SHA-256 of its bearer key.

    Args:
        agents: Hex SHA-256 of a key to the agent that it stands for.
        open_run: Opens a run for an agent.
        now: The clock, in POSIX seconds.
        idle_seconds: How long a run stays open without a request.
    """

    def __init__(
        self,
        agents: Mapping[str, str],
        open_run: Callable[[str], Run],
        now: Callable[[], float],
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._agents = dict(agents)
        self._open_run = open_run
        self._now = now
        self._idle = idle_seconds
        self._rolling: dict[str, RunContext] = {}
        self._named: dict[str, tuple[str, RunContext]] = {}
        self._retired: list[RunContext] = []

    def resolve(self, secret: str | None, bearer: str | None, run_id: str | None) -> RunContext:
        """Return the context of the client's run; see ``RunSource.resolve``."""
        # The lookup is by digest: how long it takes says nothing about the key.
        key = hashlib.sha256((bearer or "").encode("utf-8", "surrogateescape")).hexdigest()
        agent = self._agents.get(key)
        if bearer is None or agent is None or secret is not None:
            raise UntrustedError("no such key")
        self.sweep()
        context = self._rolling_run(key, agent) if run_id is None else self._named_run(key, agent, run_id)
        context.used_at = self._now()
        return context

    @contextlib.contextmanager
    def use(self, context: RunContext) -> Iterator[None]:
        """Keep the run open while a request is answered."""
        context.active += 1
        try:
            yield
        finally:
            context.active -= 1
            context.used_at = self._now()
            if context.retired and not context.active:
                self.sweep()

    def sweep(self) -> None:
        """Retire runs that are idle or of yesterday, and close those that nothing uses."""
        now, today = self._now(), self._today()
        for key, context in list(self._rolling.items()):
            if context.opened_on != today or self._is_idle(context, now):
                self._retire(self._rolling.pop(key))
        for handle, (_, context) in list(self._named.items()):
            if self._is_idle(context, now):
                self._retire(self._named.pop(handle)[1])
        for context in [context for context in self._retired if not context.active]:
            self._retired.remove(context)
            context.run.close()

    def close(self) -> None:
        """Close every open run, whether or not something is still being answered."""
        left = [*self._rolling.values(), *(context for _, context in self._named.values()), *self._retired]
        self._rolling.clear()
        self._named.clear()
        self._retired.clear()
        for context in left:
            context.run.close()

    def _rolling_run(self, key: str, agent: str) -> RunContext:
        context = self._rolling.get(key)
        if context is None:
            context = self._rolling[key] = self._opened(agent)
        return context

    def _named_run(self, key: str, agent: str, handle: str) -> RunContext:
        if not _HANDLE.fullmatch(handle):
            raise UntrustedError("an Apostille-Run header holds 32 hex digits")
        owner, context = self._named.get(handle, (key, None))
        if owner != key:
            raise UntrustedError("this Apostille-Run header belongs to another key")
        if context is None:
            if sum(1 for other, _ in self._named.values() if other == key) >= MAX_RUNS_PER_KEY:
                raise BackPressureError("too many runs are open for this key", retry_after_seconds=self._idle)
            context = self._opened(agent)
            self._named[handle] = (key, context)
        return context

    def _opened(self, agent: str) -> RunContext:
        return RunContext(self._open_run(agent), used_at=self._now(), opened_on=self._today())

    def _is_idle(self, context: RunContext, now: float) -> bool:
        return not context.active and now - context.used_at > self._idle

    def _retire(self, context: RunContext) -> None:
        context.retired = True
        self._retired.append(context)

    def _today(self) -> int:
        return datetime.fromtimestamp(self._now(), UTC).toordinal()
