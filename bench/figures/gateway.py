"""What the gateway costs: CPU of the ``apostille serve`` process for an answer, everything included, keeper and publication too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from figures.machine import ANSWER
from figures.stage import Goal, NotAvailableError, Stage

_EVENTS = 200
_WARM = 30
_TICK = os.sysconf("SC_CLK_TCK")
_BASE = {"id": "chatcmpl-bench", "created": 1_790_000_000, "model": "bench-1"}


def _answer() -> bytes:
    message = {"role": "assistant", "content": ANSWER.decode(), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({**_BASE, "object": "chat.completion", "choices": [choice]}).encode()


def _stream() -> bytes:
    text, lines = ANSWER.decode(), []
    for at in range(_EVENTS - 1):
        delta = {"content": text[at * 5 : at * 5 + 5]} if at else {"role": "assistant", "content": text[:5]}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        lines.append(json.dumps({**_BASE, "object": "chat.completion.chunk", "choices": [choice]}))
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    lines += [json.dumps({**_BASE, "object": "chat.completion.chunk", "choices": [choice]}), "[DONE]"]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: ClassVar[dict[bool, tuple[str, bytes]]] = {}

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        media_type, body = self.bodies[bool(asked.get("stream"))]
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class _Gateway:
    def __init__(self, stage: Stage) -> None:
        _Upstream.bodies = {False: ("application/json", _answer()), True: ("text/event-stream", _stream())}
        self.upstream = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        script = Path(sys.executable).with_name("apostille")
        command = [str(script), "--store", str(stage.store().path), "serve"]
        self.key = subprocess.run([*command, "--add-client", "bench"], capture_output=True, text=True, check=True).stdout.strip()
        url = f"http://127.0.0.1:{self.upstream.server_address[1]}/v1"
        listen = ["--listen", "127.0.0.1:0", "--upstream", url]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        self.process = subprocess.Popen([*command, *listen], stderr=subprocess.PIPE, text=True, env=environment)
        line = self.process.stderr.readline() if self.process.stderr else ""
        found = re.search(r"http://([^:]+):(\d+)", line)
        if not found:
            self.close()
            raise NotAvailableError(f"the gateway did not start: {line.strip()[:80]}")
        self.client = HTTPConnection(found.group(1), int(found.group(2)), timeout=30)

    def ask(self, number: int, *, is_stream: bool) -> None:
        asked: dict[str, Any] = {
            "model": "bench-1",
            "messages": [{"role": "user", "content": f"What was decided in case {number}?"}],
        }
        if is_stream:
            asked["stream"] = True
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        self.client.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
        answer = self.client.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise NotAvailableError(f"the gateway said {answer.status}: {body[:120]!r}")

    def cost(self, count: int, *, is_stream: bool) -> float:
        for number in range(_WARM):
            self.ask(number, is_stream=is_stream)
        before = _cpu_seconds(self.process.pid)
        for number in range(count):
            self.ask(number, is_stream=is_stream)
        return (_cpu_seconds(self.process.pid) - before) / count * 1000

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.upstream.shutdown()


def measure(stage: Stage) -> None:
    """Measure a JSON answer and a stream of events."""
    gateways: list[_Gateway] = []

    def cost(*, is_stream: bool, count: int) -> float:
        if not gateways:
            gateways.append(_Gateway(stage))
        return gateways[0].cost(stage.scaled(count), is_stream=is_stream)

    try:
        for name, is_stream, count, most in (
            ("gateway, a 1 KB JSON answer", False, 2_000, 0.5),
            (f"gateway, a stream of {_EVENTS} events", True, 500, 5.0),
        ):
            stage.measure(
                name,
                "ms CPU",
                lambda is_stream=is_stream, count=count: cost(is_stream=is_stream, count=count),
                ratio=lambda value, r: f"{value * r / 1000:.1f} signatures",
                goal=Goal(f"{most} ms", lambda value, _, most=most: value <= most),
                note="all CPU of the process: HTTP on both sides, one new input, the output, the log, publication",
            )
    finally:
        for gateway in gateways:
            gateway.close()
