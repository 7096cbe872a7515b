"""Thousands of runs in which things go wrong. A failing seed is printed; `draw_schedule(seed)` gives it again.

`POUW_SCHEDULES` sets how many are run, `POUW_FIRST_SCHEDULE` from which seed on.
"""

import logging
import os
from collections.abc import Iterator

import pytest

from tests.kit.virtual_time import run_virtual
from tests.simulation.invariants import check_world
from tests.simulation.schedules import draw_schedule, play
from tests.simulation.world import World

SCHEDULES = int(os.environ.get("POUW_SCHEDULES", "1000"))
FIRST = int(os.environ.get("POUW_FIRST_SCHEDULE", "0"))
BATCHES = 20
LIMIT_S = 600.0
"""Simulated seconds after which a run counts as stuck. The longest of those seen took a tenth of it."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def simulate(seed: int) -> World:
    return run_virtual(play(draw_schedule(seed)), LIMIT_S)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_whatever_goes_wrong_the_job_ends_as_if_nothing_had(batch: int) -> None:
    for seed in range(FIRST + batch, FIRST + SCHEDULES, BATCHES):
        try:
            check_world(simulate(seed))
        except (Exception, pytest.fail.Exception) as error:
            raise AssertionError(draw_schedule(seed).describe()) from error


@pytest.mark.parametrize("seed", [3, 14, 159])
def test_a_seed_gives_the_same_run_again(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)
    assert list(first.blocks()) == list(second.blocks())
    assert first.frauds == second.frauds


def test_schedules_reach_what_they_are_for() -> None:
    """Otherwise a thousand harmless runs would prove nothing."""
    worlds = [simulate(seed) for seed in range(FIRST, FIRST + 60)]
    assert sum(bool(world.frauds) for world in worlds) > 5
    assert sum(bool(world.supervisor.tallies.blocks_mined) for world in worlds) > 3
    assert sum(world.stops > 0 for world in worlds) > 10
