"""What the gateway's end-to-end tests stand on: a real store with its keeper, a real gateway, a scripted upstream, raw sockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

sys.path.insert(0, str(Path(__file__).parents[1] / "simulators"))

import openai_upstream as sim

from apostille import wiring
from apostille.core import predicates
from apostille.core.opening import split_opening
from apostille.core.statement import Statement, parse_statement
from apostille.faces.gateway.server import GatewayServer
from apostille.faces.gateway.sessions import SingleRun
from apostille.faces.gateway.upstream import UpstreamSettings
from apostille.services.vault import open_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apostille.faces.gateway.cleaning import Cleaning
    from apostille.faces.gateway.sessions import RunSource
    from apostille.faces.gateway.wire import Limits
    from apostille.services.keeper import Keeper
    from apostille.services.runs import Run

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]


@dataclass(frozen=True)
class Leaf:
    """One leaf, opened by the store's own keys."""

    index: int
    statement: Statement
    openings: dict[str, bytes]

    def content(self, name: str) -> bytes:
        """The bytes that the subject ``name`` commits to, without their salt."""
        return split_opening(self.openings[name])[1]

    @property
    def attributes(self) -> Any:
        return json.loads(self.content("attributes"))

    @property
    def findings(self) -> Any:
        return json.loads(self.content("findings")) if "findings" in self.openings else []


@dataclass
class Desk:
    """Everything that one test needs."""

    folder: wiring.StoreFolder
    keeper: Keeper
    run: Run
    upstream: sim.OpenAIUpstream
    server: GatewayServer
    secret: str

    @property
    def prefix(self) -> str:
        return f"/r/{self.secret}/v1"

    @property
    def base_url(self) -> str:
        return self.server.url + self.prefix

    def leaves(self, kind: str | None = None) -> list[Leaf]:
        """All leaves of the run that is open, opened; each digest is checked on the way."""
        records = list(self.keeper.reader.records())
        vault = wiring.open_vault(self.folder)  # after the records: their keys are durable before they are
        found = []
        for index, record in records:
            said = parse_statement(record.statement)
            if "run" not in said.predicate or kind not in (None, said.type):
                continue
            openings = open_record(vault, record, dict(said.subjects))
            assert openings is not None
            found.append(Leaf(index, said, openings))
        return found

    def outputs(self) -> list[Leaf]:
        return self.leaves(predicates.OUTPUT)

    def inputs(self) -> list[Leaf]:
        return self.leaves(predicates.INPUT)

    def output(self) -> Leaf:
        (found,) = self.outputs()
        return found


@contextlib.contextmanager
def desk(
    tmp_path: Path,
    *,
    limits: Limits | None = None,
    idle_seconds: float = 120.0,
    api_key: str | None = None,
    upstream_url: str | None = None,
    source: RunSource | None = None,
    cleaning: Cleaning | None = None,
) -> Iterator[Desk]:
    """Set up a store, an upstream and a gateway; take all of it down again."""
    folder = wiring.store_folder(tmp_path / "store")
    wiring.init_store(folder)
    keeper = wiring.open_keeper(folder, publish_interval_seconds=0.05)
    secret = secrets.token_urlsafe(24)
    with sim.OpenAIUpstream() as upstream:
        settings = UpstreamSettings(upstream_url or upstream.url, api_key=api_key, idle_seconds=idle_seconds)
        run = keeper.open_run(agent="test-agent", held_by="gateway")
        server = GatewayServer(source or SingleRun(run, secret), settings, keeper, limits=limits, cleaning=cleaning)
        server.start()
        try:
            yield Desk(folder, keeper, run, upstream, server, secret)
        finally:
            server.stop(drain_seconds=2)
            keeper.close()


@dataclass(frozen=True)
class Response:
    """One HTTP response as it came over the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def receipt(self) -> Any:
        packed = self.headers["apostille-receipt"]
        return json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))

    @property
    def chunks(self) -> list[Any]:
        events = [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]
        assert events[-1] == "[DONE]"
        return [json.loads(event) for event in events[:-1]]


class Connection:
    """A client that is nothing but a socket: what it returns is what was on the wire."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split("/")[0].split(":")
        self._sock = socket.create_connection((host, int(port)), timeout=30)
        self._file = self._sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        head = {"host": "gateway", "content-type": "application/json", "content-length": str(len(body))}
        head |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items() if value != "-")]
        self._sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def receive(self) -> Response:
        status = int(self._file.readline().split(b" ")[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("ascii").partition(": ")
            assert name not in headers
            headers[name] = value
        body = self._file.read(int(headers["content-length"]))
        assert len(body) == int(headers["content-length"])
        return Response(status, headers, body)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        self.send(method, path, body, **headers)
        return self.receive()

    def nothing_came(self, seconds: float) -> bool:
        """Whether not one byte arrives within ``seconds``."""
        self._sock.settimeout(seconds)
        try:
            return self._sock.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            return True
        finally:
            self._sock.settimeout(30)


def request(*, stream: bool = False, messages: list[Any] | None = None, **more: Any) -> bytes:
    """The body of a chat completion request."""
    value: dict[str, Any] = {"model": "sim-1", "messages": messages or MESSAGES, **more}
    return json.dumps(value | ({"stream": True} if stream else {})).encode()


def chat(where: Desk, *, body: bytes | None = None, **more: Any) -> Response:
    """One chat completion over a raw socket."""
    headers = {name: more.pop(name) for name in list(more) if name in {"authorization", "apostille_run", "x_api_key", "api_key"}}
    with Connection(where.server.url) as connection:
        return connection.ask("POST", f"{where.prefix}/chat/completions", body or request(**more), **headers)


def check_released(where: Desk, response: Response, leaf: Leaf | None = None) -> Leaf:
    """Check that the bytes on the wire are the bytes that the log committed to, by every path that leads there."""
    leaf = leaf or where.output()
    digest = hashlib.sha256(response.body).digest()
    assert response.headers["content-digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert leaf.content("canonical") == response.body
    receipt = response.receipt
    salt = base64.b64decode(receipt["salts"]["canonical"])
    assert hashlib.sha256(salt + response.body).digest() == leaf.statement.subjects["canonical"]
    assert receipt["id"] == response.headers["apostille-id"]
    assert receipt["bundle"] == response.headers["apostille-bundle"] == f"{where.server.url}/receipts/{receipt['id']}"
    assert (receipt["v"], receipt["state"], receipt["index"]) == (1, "committed", leaf.index)
    assert bytes.fromhex(receipt["h"]) == where.keeper.reader.record(leaf.index).pae_digest
    for name, text in receipt["salts"].items():
        assert leaf.openings[name].startswith(base64.b64decode(text))
    return leaf


def text_of(response: Response) -> str:
    """The text of a whole answer or of a stream's first choices, as a client would put it together."""
    if "event-stream" in response.headers["content-type"]:
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in response.chunks if chunk["choices"])
    return response.json["choices"][0]["message"]["content"]


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
