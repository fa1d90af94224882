"""The gateway on a socket: started, ready, drained, stopped.

One loopback socket, bound before anything starts, so that its port is known and nobody else can take it. The server runs as a
coroutine in the caller's loop (``serve``) or in a thread of its own (``start``, ``stop``), and leaves signals to its caller.

    stop = readyz says 503, new requests get 503 -> running ones finish until the deadline -> the rest gets 503 -> runs are closed

Spec: ``gateway.md`` sections 3, 13 "Drain".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from apostille.errors import ApostilleError, UnavailableError
from apostille.faces.gateway.app import Gateway
from apostille.faces.gateway.cleaning import Cleaning
from apostille.faces.gateway.head import BoundedProtocol
from apostille.faces.gateway.upstream import Upstream
from apostille.faces.gateway.wire import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apostille.faces.gateway.app import Receipts
    from apostille.faces.gateway.sessions import RunSource
    from apostille.faces.gateway.upstream import UpstreamSettings

KEEP_ALIVE_SECONDS = 65
DRAIN_SECONDS = 10.0
MAX_CONNECTIONS = 1024
_SWEEP_SECONDS = 30.0
_BACKLOG = 2048
_log = logging.getLogger(__name__)


def loopback_socket(port: int = 0) -> socket.socket:
    """Return a socket that listens on 127.0.0.1; with port 0 the system chooses the port.

    It listens at once: a socket that is only bound does not keep others from binding the same port.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


class GatewayServer:
    """A gateway that serves one socket.

    Args:
        source: Finds the run of a request. Runs that it opened itself are closed at the end.
        upstream: Where answers come from.
        receipts: The keeper's receipts and readiness.
        sock: A listening socket; by default one on loopback with a port that the system chooses.
        public_url: How clients reach the gateway, if not at the socket's own address.
        limits: Bounds.
        cleaning: What is done to the texts of answers.
    """

    def __init__(
        self,
        source: RunSource,
        upstream: UpstreamSettings,
        receipts: Receipts,
        *,
        sock: socket.socket | None = None,
        public_url: str | None = None,
        limits: Limits | None = None,
        cleaning: Cleaning | None = None,
    ) -> None:
        self._source = source
        self._upstream = upstream
        self._receipts = receipts
        self._sock = sock or loopback_socket()
        host, port = self._sock.getsockname()[:2]
        self._url = (public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}").rstrip("/")
        self._limits = limits or Limits()
        self._cleaning = cleaning or Cleaning()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._drain_seconds = DRAIN_SECONDS
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The gateway's URL, without a slash at the end and without ``/v1``."""
        return self._url

    async def serve(self) -> None:
        """Serve until somebody asks to stop."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with Upstream(self._upstream, response_bytes=self._limits.response_bytes) as upstream:
            gateway = Gateway(
                self._source, upstream, self._receipts, public_url=self._url, limits=self._limits, cleaning=self._cleaning
            )
            server = _Server(_config(gateway), self._ready.set)
            helpers = [asyncio.create_task(self._sweep()), asyncio.create_task(self._drain(gateway, server, self._stopping))]
            try:
                await server.serve(sockets=[self._sock])
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                self._source.close()

    def request_stop(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Ask the server to drain and to end. Returns at once; from any thread."""
        self._drain_seconds = drain_seconds
        if self._loop is not None and self._stopping is not None:
            # The loop may have ended by itself meanwhile: then there is nothing to stop.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)

    def start(self, *, timeout_seconds: float = 10.0) -> None:
        """Serve in a thread and return once requests are taken.

        Raises:
            UnavailableError: The server did not come up.
        """
        self._thread = threading.Thread(target=self._run, name="apostille-gateway", daemon=True)
        self._thread.start()
        if not self._ready.wait(timeout_seconds) or self._failure is not None:
            raise UnavailableError("the gateway did not start") from self._failure

    def stop(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Drain, and wait for the thread to end.

        Raises:
            UnavailableError: The thread did not end, or ended with a fault.
        """
        if self._thread is None:
            self._sock.close()
            return
        self.request_stop(drain_seconds=drain_seconds)
        self._thread.join(drain_seconds + 15.0)
        if self._thread.is_alive():
            raise UnavailableError("the gateway did not stop")
        self._thread = None
        if self._failure is not None:
            raise UnavailableError("the gateway ended with a fault") from self._failure

    def check(self) -> None:
        """Raise if the thread has ended by itself.

        Raises:
            UnavailableError: It has.
        """
        if self._thread is None or not self._thread.is_alive():
            raise UnavailableError("the gateway ended by itself") from self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self.serve())
        except BaseException as error:  # noqa: BLE001 -- the thread's end: whatever it was, start() or stop() reports it
            self._failure = error
        finally:
            self._ready.set()

    async def _drain(self, gateway: Gateway, server: uvicorn.Server, stopping: asyncio.Event) -> None:
        await stopping.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gateway.drain(self._drain_seconds), self._drain_seconds + 5.0)
        server.should_exit = True

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                self._source.sweep()
            except ApostilleError as error:
                _log.warning("a run could not be closed: %s", error.code)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it takes requests and leaves signals alone."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )


def _loop_factory() -> Callable[[], Any] | None:
    try:
        import uvloop
    except ImportError:  # no uvloop on this platform
        return None
    return uvloop.new_event_loop
