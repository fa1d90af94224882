"""Many clients on one gateway, as under ``serve``: keys, rolling runs, handles, all on a real store.

Spec: gateway.md sections 2 "Runs under serve", 13 "Auth".
"""

from __future__ import annotations

import hashlib

import pytest
from gateway_kit import Connection, desk, request

from apostille.core import predicates
from apostille.faces.gateway.sessions import ClientRuns, RunContext

KEYS = {hashlib.sha256(key.encode()).hexdigest(): agent for key, agent in (("key-one", "one"), ("key-two", "two"))}
PATH = "/v1/chat/completions"


class Late:
    """A source that gets its keeper after the desk has made one."""

    def __init__(self) -> None:
        self.inner: ClientRuns | None = None
        self.now = 1_790_000_000.0

    def open_on(self, keeper):
        self.inner = ClientRuns(KEYS, lambda agent: keeper.open_run(agent=agent, held_by="gateway"), lambda: self.now)

    def resolve(self, secret, bearer, run_id) -> RunContext:
        return self.inner.resolve(secret, bearer, run_id)

    def use(self, context):
        return self.inner.use(context)

    def sweep(self):
        self.inner.sweep()

    def close(self):
        self.inner.close()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    source = Late()
    with desk(tmp_path, source=source, api_key="sk-upstream") as found:
        source.open_on(found.keeper)
        found.source = source
        yield found


def ask(here, key, **headers):
    with Connection(here.server.url) as connection:
        return connection.ask("POST", PATH, request(), authorization=f"Bearer {key}", **headers)


def runs_of(here):
    """Agent and run of each output, in order."""
    return [(leaf.attributes["agent"], leaf.statement.predicate["run"]) for leaf in here.outputs()]


def test_each_key_is_an_agent_with_its_own_run(here):
    for key in ("key-one", "key-two", "key-one"):
        assert ask(here, key).status == 200
    (one, first), (two, second), (again, third) = runs_of(here)
    assert (one, two, again) == ("one", "two", "one")
    assert first == third != second
    assert all(asked.headers["authorization"] == "Bearer sk-upstream" for asked in here.upstream.asked)
    # Both runs state the messages: an input belongs to a run.
    assert len(here.inputs()) == 4


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer nope"}, {"authorization": "Basic key-one"}, {"x_api_key": "nope"}]
)
def test_without_a_known_key(here, headers):
    with Connection(here.server.url) as connection:
        response = connection.ask("POST", PATH, request(), **headers)
    assert (response.status, response.error["code"], response.error["type"]) == (401, "unauthorized", "authentication_error")
    assert here.upstream.asked == []


def test_the_key_may_come_in_another_header(here):
    for name in ("x_api_key", "api_key"):
        with Connection(here.server.url) as connection:
            assert connection.ask("POST", PATH, request(), **{name: "key-two"}).status == 200
    assert {agent for agent, _ in runs_of(here)} == {"two"}


def test_a_handle_is_bound_to_its_key(here):
    assert ask(here, "key-one", apostille_run="a" * 32).status == 200
    assert ask(here, "key-one", apostille_run="a" * 32).status == 200
    assert ask(here, "key-one").status == 200
    response = ask(here, "key-two", apostille_run="a" * 32)
    assert (response.status, response.error["code"]) == (401, "unauthorized")
    assert ask(here, "key-one", apostille_run="A" * 32).status == 401
    first, second, third = (run for _, run in runs_of(here))
    assert first == second != third


def test_an_idle_run_is_closed_and_another_follows(here):
    assert ask(here, "key-one").status == 200
    here.source.now += 3601
    assert ask(here, "key-one").status == 200
    (_, first), (_, second) = runs_of(here)
    assert first != second
    closed = [leaf.statement.predicate for leaf in here.leaves(predicates.RUN_CLOSE)]
    assert [(said["run"], said["count"], said["outcome"]) for said in closed] == [(first, 5, "completed")]


def test_stopping_closes_what_was_opened(here):
    for key in ("key-one", "key-two"):
        assert ask(here, key).status == 200
    here.server.stop(drain_seconds=2)
    # Queued behind everything before it: once this is durable, so are the two closings.
    here.run.close().committed(10)
    closed = {leaf.statement.predicate["run"] for leaf in here.leaves(predicates.RUN_CLOSE)}
    assert closed == {here.run.id, *(run for _, run in runs_of(here))}
