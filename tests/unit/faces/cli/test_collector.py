"""What a process that serves does to its garbage collector."""

from __future__ import annotations

import gc

import pytest

from apostille.faces.cli.collector import calm_collector


@pytest.fixture
def _collector():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("_collector")
def test_what_is_there_is_looked_at_no_more_and_what_comes_seldom():
    calm_collector()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == 10_000
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
