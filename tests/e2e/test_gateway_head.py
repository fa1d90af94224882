"""Bounds on what comes before a request: heads, trailers and frames without end, and heads that never come."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest
from gateway_kit import Connection, chat, desk

from apostille.faces.gateway import head


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with desk(tmp_path) as found:
        yield found


def pour(url, begin, piece, most=64 * 2**20):
    """Send ``piece`` again and again until the server has enough; return bytes sent and the answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as peer:
        sent = 0
        try:
            peer.sendall(begin)
            while sent < most:
                peer.sendall(piece)
                sent += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while data := peer.recv(65_536):
                answer += data
        except ConnectionResetError:
            pass  # what it sent last may be lost behind what we sent too much
        return sent, answer


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (HEAD, b"x-a: " + b"b" * 1000 + b"\r\n"),
        (HEAD + b"x-one: ", b"b" * 8192),
        (b"GET /", b"a" * 8192),
        (CHUNKED + b"1;ext=", b"e" * 8192),
        (CHUNKED + b"0\r\nx-trailer: ", b"t" * 8192),
        (CHUNKED + b"0\r\n", b"x-t: " + b"t" * 1000 + b"\r\n"),
        (CHUNKED, b"1;" + b"e" * 1000 + b"\r\na\r\n"),
    ],
    ids=["headers", "one header", "url", "chunk extension", "one trailer", "trailers", "frames of small chunks"],
)
def test_what_is_no_body_has_an_end(here, begin, piece):
    sent, answer = pour(here.base_url, begin, piece)
    assert sent < 8 * 2**20, "the server has read it all"
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 40")), answer[:200]
    assert chat(here).status == 200, "the others are served as before"


def test_it_says_the_limit(here):
    parts = urlsplit(here.base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as peer:
        peer.sendall(HEAD + b"x: " + b"a" * head.HEAD_BYTES)
        answer = peer.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"65,536 bytes" in answer
    assert b'"code":"head_too_large"' in answer


def test_many_requests_and_large_bodies_on_one_connection_are_no_large_head(here):
    with Connection(here.base_url) as connection:
        for _ in range(150):
            connection.ask("GET", "/healthz", headers={"x-fill": "a" * 1000})
        body = b'{"model":"sim-1","messages":[{"role":"user","content":"' + b"a" * 2**20 + b'"}]}'
        assert connection.ask("POST", here.prefix + "/chat/completions", body).status == 200
        assert connection.ask("GET", "/healthz").status == 200


def test_small_chunks_of_a_large_body_are_no_large_head(here):
    body = b'{"model":"sim-1","messages":[{"role":"user","content":"' + b"a" * 200_000 + b'"}]}'
    pieces = b"".join(b"8\r\n%b\r\n" % body[at : at + 8].ljust(8) for at in range(0, len(body), 8)) + b"0\r\n\r\n"
    assert len(pieces) - len(body) > head.HEAD_BYTES
    parts = urlsplit(here.base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as peer:
        path = here.prefix.encode() + b"/chat/completions"
        peer.sendall(
            b"POST "
            + path
            + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            + pieces
        )
        assert peer.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("begin", "status"), [(b"", b""), (b"GET /healthz HT", b"HTTP/1.1 408 ")])
def test_a_head_that_never_comes(here, monkeypatch, begin, status):
    monkeypatch.setattr(head, "HEAD_SECONDS", 0.3)
    parts = urlsplit(here.base_url)
    began = time.monotonic()
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as peer:
        peer.sendall(begin)
        assert peer.recv(65_536).startswith(status)
        assert time.monotonic() - began < 10
    assert chat(here).status == 200
