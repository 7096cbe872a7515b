"""How the target moves."""

import pytest

from consensus.chain.difficulty import next_target
from consensus.primitives.integers import MAX_UINT63, Target, TimeMs
from tests.kit.genesis import make_params

PARAMS = make_params()
MIDDLE = 1 << 200


def step(target: int, solve_ms: int | None) -> int:
    parent = Target(target.to_bytes(32, "big"))
    return int.from_bytes(next_target(PARAMS, parent, None if solve_ms is None else TimeMs(solve_ms)), "big")


def test_stays_after_a_block_that_was_not_mined() -> None:
    assert step(MIDDLE, None) == MIDDLE


def test_stays_after_a_block_in_time() -> None:
    assert step(MIDDLE, PARAMS.block_interval_ms) == MIDDLE


def test_doubles_when_late_by_the_half_life() -> None:
    assert step(MIDDLE, PARAMS.block_interval_ms + PARAMS.difficulty_half_life_ms) == 2 * MIDDLE


@pytest.mark.parametrize("solve_ms", [1, 5_000, 20_000, 40_000, 100_000, 333_333])
def test_follows_the_power_of_two(solve_ms: int) -> None:
    late = (solve_ms - PARAMS.block_interval_ms) / PARAMS.difficulty_half_life_ms
    assert step(MIDDLE, solve_ms) / MIDDLE == pytest.approx(2**late, rel=2e-4)


def test_is_never_easier_than_the_easiest_target() -> None:
    easiest = int.from_bytes(PARAMS.easiest_target, "big")
    assert step(MIDDLE, MAX_UINT63) == easiest
    assert step(easiest, 70_000) == easiest


def test_is_never_zero() -> None:
    assert step(1, 0) == 1


def test_is_moved_little_by_one_quick_block() -> None:
    assert 0.88 < step(MIDDLE, 0) / MIDDLE < 0.9
