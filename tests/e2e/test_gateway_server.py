"""The gateway's server: as a coroutine, in a thread, started and stopped (gateway.md section 13 "Drain")."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading

import pytest
from gateway_kit import Connection, request

from apostille.errors import NotFoundError, OutcomeUnknownError, StorageUnavailableError, UnavailableError
from apostille.faces.gateway.server import GatewayServer, loopback_socket
from apostille.faces.gateway.sessions import ClientRuns
from apostille.faces.gateway.upstream import UpstreamSettings


class NoReceipts:
    """A keeper that has nothing and can be told not to be ready."""

    is_ready = True

    def receipt(self, receipt_id, *, since=None):
        raise NotFoundError("none")

    def ready(self):
        if not self.is_ready:
            raise StorageUnavailableError("the log has stopped")


def server(keeper=None, **more):
    source = ClientRuns({}, lambda agent: pytest.fail("no run is opened here"), lambda: 0.0)
    return GatewayServer(source, UpstreamSettings("http://127.0.0.1:1/v1"), keeper or NoReceipts(), **more)


def test_in_a_thread_of_its_own():
    found = server()
    found.start()
    try:
        with Connection(found.url) as connection:
            assert connection.ask("GET", "/healthz").json == {"status": "ok"}
            assert connection.ask("GET", "/readyz").status == 200
            NoReceipts.is_ready = False
            response = connection.ask("GET", "/readyz")
            assert (response.status, response.error["code"]) == (503, "not_ready")
    finally:
        NoReceipts.is_ready = True
        found.stop()
    found.stop()
    with pytest.raises(ConnectionRefusedError):
        Connection(found.url)


def test_in_the_callers_loop_without_touching_signals():
    found = server()

    def ask():
        with Connection(found.url) as connection:
            statuses.append(connection.ask("GET", "/healthz").status)
            statuses.append(connection.ask("POST", "/v1/chat/completions", request()).status)

    def handlers():
        return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    async def main():
        before = handlers()
        task = asyncio.create_task(found.serve())
        # The socket listens from the start on; the answer comes as soon as the server is up.
        await asyncio.sleep(0.5)
        assert handlers() == before
        await asyncio.to_thread(ask)
        found.request_stop(drain_seconds=1)
        await task

    statuses: list[int] = []
    asyncio.run(main())
    assert statuses == [200, 401]
    found.request_stop()


def test_the_url_is_known_before_the_start_and_may_be_given():
    bound = loopback_socket()
    port = bound.getsockname()[1]
    found = server(sock=bound)
    assert found.url == f"http://127.0.0.1:{port}"
    found.stop()
    given = server(public_url="https://gateway.example/ai/")
    assert given.url == "https://gateway.example/ai"
    given.stop()


def test_an_ipv6_address_stands_in_brackets():
    bound = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        bound.bind(("::1", 0))
    except OSError:
        bound.close()
        pytest.skip("this machine has no IPv6 loopback")
    found = server(sock=bound)
    assert found.url == f"http://[::1]:{bound.getsockname()[1]}"
    found.stop()


def test_a_socket_that_is_gone_is_an_error_at_start():
    bound = loopback_socket()
    found = server(sock=bound)
    bound.close()
    with pytest.raises(UnavailableError):
        found.start()


def test_it_listens_on_loopback_only():
    with loopback_socket() as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        # From the moment it is bound the port is ours, whoever else asks for it.
        with pytest.raises(OSError, match="in use"):
            loopback_socket(bound.getsockname()[1])


def test_no_thread_is_left():
    before = threading.active_count()
    for _ in range(3):
        found = server()
        found.start()
        found.stop()
    assert threading.active_count() == before


@pytest.mark.parametrize("url", ["", "ftp://x/v1", "http://", "api.example/v1", "https://x/v1?a=b", "https://x/v1#a"])
def test_a_base_url_that_can_not_work(url):
    with pytest.raises(ValueError, match="base URL"):
        UpstreamSettings(url)
    assert "sk-secret" not in repr(UpstreamSettings("https://x/v1", api_key="sk-secret"))


def test_garbage_instead_of_http():
    found = server()
    found.start()
    try:
        with socket.create_connection(("127.0.0.1", int(found.url.rsplit(":", 1)[1])), timeout=10) as raw:
            raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
        with Connection(found.url) as connection:
            assert connection.ask("GET", "/healthz").status == 200
    finally:
        found.stop()


class LostKeeper(NoReceipts):
    """A keeper in another process that does not answer in time."""

    def receipt(self, receipt_id, *, since=None):
        raise OutcomeUnknownError("the keeper has not answered after 30 s")


def test_a_keeper_that_does_not_answer_is_no_fault_of_the_gateway():
    found = server(LostKeeper())
    found.start()
    try:
        with Connection(found.url) as connection:
            response = connection.ask("GET", f"/receipts/{'0' * 32}")
    finally:
        found.stop()
    assert (response.status, response.error["code"], response.headers["retry-after"]) == (503, "log_unavailable", "1")
