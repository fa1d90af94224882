"""``apostille run -- CMD``: a supervisor with the gateway, outside the program's process; the keeper is a third one.

The program gets the gateway's address with a secret in its path; it gets no key and no store. What else it may reach is not
limited here: the run says ``isolation: none``, and so does the summary.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core import predicates
from apostille.core.statement import parse_statement
from apostille.errors import ApostilleError, ConfigurationError, NotFoundError
from apostille.faces import codes
from apostille.faces.cli.keeper import keeper_client
from apostille.faces.cli.terminal import Terminal, plain
from apostille.faces.cli.verdict import print_verdict
from apostille.faces.gateway.cleaning import Cleaning
from apostille.faces.gateway.server import GatewayServer
from apostille.faces.gateway.sessions import SingleRun
from apostille.faces.gateway.upstream import UpstreamSettings
from apostille.ports import Reader
from apostille.services.client import KeeperClient
from apostille.services.examination import Examination
from apostille.services.run_audit import examine_run
from apostille.services.runs import Run
from apostille.storage.folder import StoreFolder, canon_policy, gateway_settings

OPENAI_API = "https://api.openai.com/v1"
# Some clients prefer the older name; a program that has it set would slip past the gateway.
_BASE_URLS = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
_TIMEOUT_SECONDS = 30.0
_SECRET_BYTES = 24
_TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def upstream_settings(url: str | None, *, api_key: str | None = None) -> UpstreamSettings:
    """Return the settings of the upstream that is meant.

    Raises:
        ConfigurationError: Not a base URL.
    """
    base = url or next((os.environ[name] for name in _BASE_URLS if os.environ.get(name)), OPENAI_API)
    try:
        return UpstreamSettings(base, api_key=api_key)
    except ValueError as error:
        raise ConfigurationError(f"the upstream {error}") from error


def answer_cleaning(folder: StoreFolder) -> Cleaning:
    """Return what a store's settings say about the texts of answers.

    Raises:
        ConfigurationError: A setting that is unknown, or of the wrong kind.
    """
    settings = gateway_settings(folder)
    return Cleaning(settings.answers, settings.profile, canon_policy(folder))


def run_program(terminal: Terminal, command: list[str], *, agent: str | None, principal: str | None, upstream: str | None) -> int:
    """Run a program through the gateway and return the exit status of the call."""
    terminal.is_stdout_taken = True
    terminal.is_quiet |= terminal.as_json  # what we say on stderr then is the document alone
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise ConfigurationError("there is no program to run: apostille run -- COMMAND")
    settings = upstream_settings(upstream)
    cleaning = answer_cleaning(terminal.folder)
    with keeper_client(terminal) as keeper:
        # Words of a command line are bytes: where they are not UTF-8 they are recorded escaped.
        words = [word[:1024].encode("utf-8", "backslashreplace").decode() for word in command[:64]]
        opening: dict[str, Any] = {"command": words}
        if principal:
            opening["principal_source"] = "command line"
        signals = _Signals()
        with signals.held():
            chain = keeper.open_run(
                agent=agent or Path(words[0]).name, on_behalf_of=principal, held_by="gateway", isolation="none", opening=opening
            )
            chain.opened.committed(_TIMEOUT_SECONDS)
            try:
                # ``subprocess`` gives the program its own SIGPIPE back, which we ignore.
                status = _supervise(terminal, command, keeper, chain, signals, upstream=settings, cleaning=cleaning)
            except BaseException:
                chain.close("aborted").committed(_TIMEOUT_SECONDS)  # a program that never began leaves no open run
                raise
            code = _end(terminal, keeper, chain, status)
    return status or code


def _end(terminal: Terminal, keeper: KeeperClient, chain: Run, status: int) -> int:
    """Close, publish and verify the run. What goes wrong here never hides the program's own failure."""
    try:
        chain.close("completed" if status == 0 else "errored").committed(_TIMEOUT_SECONDS)
        keeper.publish()
        return _summary(terminal, keeper, chain, status)
    except ApostilleError as error:
        if not status:
            raise
        terminal.complain(f"[bold red]error[/] ({error.code}): {plain(error, limit=2000)}")
        return codes.exit_code(error)


def _supervise(
    terminal: Terminal,
    command: list[str],
    keeper: KeeperClient,
    chain: Run,
    signals: _Signals,
    *,
    upstream: UpstreamSettings,
    cleaning: Cleaning,
) -> int:
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    server = GatewayServer(SingleRun(chain, secret), upstream, keeper, cleaning=cleaning)
    server.start()
    try:
        environment = dict(os.environ)
        for name in _BASE_URLS:
            environment[name] = f"{server.url}/r/{secret}/v1"
        # The gateway is on loopback: a proxy that is configured for the outside must not take its traffic.
        for name in ("NO_PROXY", "no_proxy"):
            environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1", "localhost"]))
        terminal.say(f"[dim]run {chain.id}: {plain(' '.join(command), limit=80)} -> {plain(upstream.base_url)}[/]")
        return _spawn(command, environment, signals)
    finally:
        server.stop()


def _spawn(command: list[str], environment: dict[str, str], signals: _Signals) -> int:
    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603 - running the user's program is the purpose
    except OSError as error:
        raise NotFoundError(f"{command[0]!r} can't be started: {error.strerror}") from error
    signals.pass_to(child)
    status = child.wait()
    return status if status >= 0 else 128 - status


class _Signals:
    """Signals that would end us while a run is open: they are the program's, and we end when the run is closed and published."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def pass_to(self, child: subprocess.Popen[bytes]) -> None:
        """Send the program what has come so far, and from now on what comes."""
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def _take(self, number: int, _frame: object) -> None:
        if self._child is None:
            self._early.append(number)
        elif number != signal.SIGINT:  # Ctrl-C reached the program too; it decides when to end
            self._child.send_signal(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take signals, in the main thread; others never get any."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._take) for number in _TAKEN}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _summary(terminal: Terminal, keeper: KeeperClient, chain: Run, status: int) -> int:
    reader = keeper.reader
    counts, cleaned = _count(reader, chain.id)
    terminal.say(
        f"run {chain.id} ended with {status}: {counts.get(predicates.INPUT, 0)} inputs, "
        f"[bold]{counts.get(predicates.OUTPUT, 0)} outputs attested[/], {cleaned} with hidden characters removed or other changes"
    )
    terminal.say("coverage: what came through the gateway; other ways out: open (isolation: none)")
    if not counts.get(predicates.OUTPUT, 0):
        terminal.say(
            "[bold red]WARNING: no answer came through the gateway.[/] Does the program read OPENAI_BASE_URL? "
            "Only POST .../chat/completions is attested."
        )
    examination = Examination()
    audit = examine_run(
        examination,
        reader,
        wiring.load_policy(),
        origin=keeper.origin,
        run=chain.id,
        heads=wiring.head_memory(),
        vault=wiring.open_vault(terminal.folder),
    )
    # The program's own stdout stays the program's: the verdict goes to stderr, as text or as JSON.
    return print_verdict(terminal, f"run {chain.id}", examination, audit=audit, to_stderr=True)


def _count(reader: Reader, run: str) -> tuple[dict[str, int], int]:
    counts: dict[str, int] = {}
    cleaned = 0
    for index in reader.run_indexes(bytes.fromhex(run)):
        said = parse_statement(reader.record(index).statement)
        counts[said.type] = counts.get(said.type, 0) + 1
        cleaned += said.type == predicates.OUTPUT and "findings" in said.subjects
    return counts, cleaned
