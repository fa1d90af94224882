"""Which run a request belongs to (gateway.md sections 2 "Runs under serve", 7, 13)."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from apostille.errors import BackPressureError, UntrustedError
from apostille.faces.gateway import sessions
from apostille.faces.gateway.sessions import ClientRuns, SingleRun

SECRET = "s" * 32
MIDNIGHT = 1_790_035_200.0  # 2026-09-22T00:00:00Z
HANDLE, OTHER_HANDLE = "a" * 32, "b" * 32


class PaperRun:
    """The two things that a run source needs of a run."""

    numbers = itertools.count()

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.id = f"{next(self.numbers):032x}"
        self.is_closed = False

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True


class Desk:
    def __init__(self) -> None:
        self.now = MIDNIGHT - 7200
        self.opened: list[PaperRun] = []
        keys = {hashlib.sha256(key.encode()).hexdigest(): agent for key, agent in (("k1", "one"), ("k2", "two"))}
        self.source = ClientRuns(keys, self.open, lambda: self.now)

    def open(self, agent: str) -> PaperRun:
        self.opened.append(PaperRun(agent))
        return self.opened[-1]

    def run(self, key: str = "k1", handle: str | None = None) -> PaperRun:
        return self.source.resolve(None, key, handle).run


@pytest.fixture
def desk():
    return Desk()


def test_the_single_run_is_for_whoever_knows_the_secret():
    run = PaperRun("a")
    source = SingleRun(run, SECRET)
    for bearer in (None, "k", "sk-anything"):
        assert source.resolve(SECRET, bearer, None).run is run
    assert source.resolve(SECRET, None, run.id) is source.resolve(SECRET, None, None)
    source.sweep()
    source.close()
    assert not run.is_closed


@pytest.mark.parametrize("secret", [None, "", "x" * 32, SECRET[:-1], SECRET + "s", SECRET.upper(), "\udcff", "é"])
def test_any_other_secret_is_refused(secret):
    with pytest.raises(UntrustedError):
        SingleRun(PaperRun("a"), SECRET).resolve(secret, SECRET, None)


def test_a_short_secret_is_no_secret():
    with pytest.raises(ValueError, match="too short"):
        SingleRun(PaperRun("a"), "short")
    with pytest.raises(UntrustedError):
        SingleRun(PaperRun("a"), SECRET).resolve(SECRET, None, "0" * 31)


@pytest.mark.parametrize("bearer", [None, "", "k", "k3", "K1", "k1 ", "é", "\udcff"])
def test_an_unknown_key_is_refused(desk, bearer):
    with pytest.raises(UntrustedError):
        desk.source.resolve(None, bearer, None)
    assert desk.opened == []


def test_a_path_secret_means_nothing_to_serve(desk):
    with pytest.raises(UntrustedError):
        desk.source.resolve(SECRET, "k1", None)


def test_one_rolling_run_per_key(desk):
    first = desk.run("k1")
    assert desk.run("k1") is first
    assert desk.run("k2") is not first
    assert [run.agent for run in desk.opened] == ["one", "two"]


@pytest.mark.parametrize(("seconds", "is_same"), [(3599, True), (3600, True), (3601, False)])
def test_a_rolling_run_ends_after_an_hour_idle(desk, seconds, is_same):
    first = desk.run()
    desk.now += seconds
    assert (desk.run() is first) is is_same
    assert first.is_closed is not is_same


def test_use_keeps_it_open(desk):
    first = desk.run()
    for _ in range(10):
        desk.now += 300
        assert desk.run() is first


def test_a_rolling_run_ends_at_midnight(desk):
    desk.now = MIDNIGHT - 1
    first = desk.run()
    desk.now = MIDNIGHT
    assert desk.run() is not first
    assert first.is_closed


def test_a_sweep_closes_without_a_request(desk):
    first = desk.run()
    desk.now += 4000
    desk.source.sweep()
    assert first.is_closed
    desk.source.sweep()


def test_a_run_is_never_closed_under_a_request(desk):
    context = desk.source.resolve(None, "k1", None)
    with desk.source.use(context):
        desk.now = MIDNIGHT + 9000
        desk.source.sweep()
        assert desk.run() is not context.run
        assert not context.run.is_closed
        with desk.source.use(context):
            pass
        assert not context.run.is_closed
    assert context.run.is_closed


def test_a_long_answer_is_not_idleness(desk):
    context = desk.source.resolve(None, "k1", None)
    desk.now = MIDNIGHT - 7200
    with desk.source.use(context):
        desk.now += 5000
        desk.source.sweep()
        assert desk.run() is context.run
    desk.now += 1000
    assert desk.run() is context.run


def test_a_handle_has_its_own_run_and_is_bound_to_its_key(desk):
    rolling, named = desk.run("k1"), desk.run("k1", HANDLE)
    assert named is not rolling
    assert desk.run("k1", HANDLE) is named
    assert desk.run("k1", OTHER_HANDLE) not in (rolling, named)
    with pytest.raises(UntrustedError):
        desk.run("k2", HANDLE)
    # It outlives midnight, not an hour without requests.
    for now in (MIDNIGHT - 3600, MIDNIGHT - 1, MIDNIGHT + 1):
        desk.now = now
        assert desk.run("k1", HANDLE) is named
    desk.now += 3601
    assert desk.run("k1", HANDLE) is not named
    assert named.is_closed


@pytest.mark.parametrize("handle", ["", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 31 + "\n", "\u0661" * 32])
def test_a_handle_is_32_hex_digits(desk, handle):
    with pytest.raises(UntrustedError):
        desk.run("k1", handle)
    assert desk.opened == []


def test_handles_are_bounded_per_key(desk, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_RUNS_PER_KEY", 3)
    for number in range(3):
        desk.run("k1", f"{number:032x}")
    with pytest.raises(BackPressureError):
        desk.run("k1", "f" * 32)
    assert desk.run("k2", "f" * 32).agent == "two"
    assert desk.run("k1", f"{0:032x}") is desk.opened[0]


def test_close_closes_everything(desk):
    desk.run("k1")
    desk.run("k1", HANDLE)
    with desk.source.use(desk.source.resolve(None, "k2", None)):
        desk.source.close()
    assert all(run.is_closed for run in desk.opened)
    assert len(desk.opened) == 3
