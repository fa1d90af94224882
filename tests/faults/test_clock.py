"""A clock that was set back: small steps are borne, a large one stops the keeper at its start.

Spec: trust.md section 3 (threat 15), section 4 (69: clock stop), section 6.
"""

from __future__ import annotations

import pytest

from apostille.errors import UnavailableError
from tests.simulators.world import World
from tests.unit.services.service_kit import examine, talk

pytest_plugins = ("tests.e2e.cli_kit",)
DAY = 24 * 3600


def at(home, seconds: int, *words: str, **options):
    return home.run(str(seconds), *words, call="tests.faults.late_clock:main", **options).clear()


def size(home) -> int:
    return home.ok("--json", "log", "info").json["committed_size"]


def test_a_day_back_stops_every_command_that_would_sign(home):
    before = size(home)
    for words in (("attest", "-"), ("run", "--", "true"), ("erase", "--index", "4", "--yes")):
        stopped = at(home, -DAY, *words, stdin=b"x")
        assert (stopped.code, "clock stop" in stopped.talk) == (69, True), (words, stopped.talk)
    assert size(home) == before
    # Reading and verifying go on: they say nothing that bears a time.
    assert at(home, -DAY, "verify").code == 0
    assert at(home, -DAY, "show").code == 0
    # And with the clock set right everything does.
    home.ok("attest", "-", stdin=b"x")


def test_a_clock_that_was_ahead_is_accepted_by_hand(home):
    assert at(home, DAY // 2, "attest", "-", stdin=b"x").code == 0
    stopped = home.run("attest", "-", stdin=b"x").clear()
    assert stopped.code == 69
    line = stopped.talk.split("apostille.toml: ")[1].split("\n")[0].strip()
    assert line == f"clock_accepted_before = {size(home)}"
    config = home.store / "apostille.toml"
    config.write_text(line + "\n" + config.read_text())
    home.ok("attest", "-", stdin=b"x")
    home.ok("verify")
    for wrong in ("clock_accepted_before = -1", 'clock_accepted_before = "all"', "clock_accepted_before = true"):
        config.write_text(config.read_text().replace(line, wrong))
        assert home.run("attest", "-", stdin=b"x").clear().code == 78
        line = wrong


@pytest.mark.parametrize(("seconds", "stops"), [(0, False), (55, False), (65, True), (DAY, True)])
def test_the_limit(seconds, stops):
    world = World()
    keeper = world.keeper()
    talk(keeper)
    keeper.close()
    world.clock.now -= seconds * 1000
    signed = world.store.checkpoint()
    if stops:
        with pytest.raises(UnavailableError, match="clock stop"):
            world.keeper()
        assert (world.store.checkpoint(), world.store.head().size) == (signed, signed.size)
        return
    keeper = world.keeper()
    talk(keeper)
    keeper.close()
    assert examine(world).code == 0, "what is said with a clock a little behind is accepted"
