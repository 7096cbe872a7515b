"""How the target moves."""

import numpy as np
import pytest

from consensus.chain.difficulty import lateness_ms, next_target
from consensus.primitives.integers import MAX_UINT63, Target, TimeMs
from consensus.primitives.merkle import EMPTY_ROOT
from consensus.records.block import Header
from tests.kit.genesis import GENESIS_TIME_MS, make_params, public_key

PARAMS = make_params()
MIDDLE = 1 << 200
PARENT_MS = TimeMs(GENESIS_TIME_MS)


def step(target: int, late_ms: int) -> int:
    return int.from_bytes(next_target(PARAMS, Target(target.to_bytes(32, "big")), late_ms), "big")


def header(mechanism: str, took_ms: int, history_root: bytes = EMPTY_ROOT) -> Header:
    return Header(
        chain_id=bytes(32),
        height=2,
        parent=bytes(32),
        time_ms=TimeMs(PARENT_MS + took_ms),
        mechanism=mechanism,
        producer=public_key("miner"),
        target=Target(MIDDLE.to_bytes(32, "big")),
        transactions_root=bytes(32),
        history_root=history_root,
        state_root=bytes(32),
    )


def test_a_mined_block_is_late_by_what_it_took_over_the_interval() -> None:
    assert lateness_ms(PARAMS, header("pouw", 25_000), PARENT_MS) == 25_000 - PARAMS.block_interval_ms
    assert lateness_ms(PARAMS, header("pouw", 1), PARENT_MS) == 1 - PARAMS.block_interval_ms


def test_an_authority_block_counts_the_time_in_which_rounds_were_trained() -> None:
    assert lateness_ms(PARAMS, header("authority", 25_000, history_root=bytes(32)), PARENT_MS) == 25_000


def test_an_authority_block_without_rounds_does_not_count() -> None:
    assert lateness_ms(PARAMS, header("authority", 25_000), PARENT_MS) == 0


def test_stays_after_a_block_in_time() -> None:
    assert step(MIDDLE, 0) == MIDDLE


def test_doubles_when_late_by_the_half_life() -> None:
    assert step(MIDDLE, PARAMS.difficulty_half_life_ms) == 2 * MIDDLE


@pytest.mark.parametrize("late_ms", [-9_999, -5_000, 10_000, 30_000, 90_000, 323_333])
def test_follows_the_power_of_two(late_ms: int) -> None:
    assert step(MIDDLE, late_ms) / MIDDLE == pytest.approx(2 ** (late_ms / PARAMS.difficulty_half_life_ms), rel=2e-4)


def test_is_never_easier_than_the_easiest_target() -> None:
    easiest = int.from_bytes(PARAMS.easiest_target, "big")
    assert step(MIDDLE, MAX_UINT63) == easiest
    assert step(easiest, 60_000) == easiest


def test_is_never_zero() -> None:
    assert step(1, -PARAMS.block_interval_ms) == 1


def test_is_moved_little_by_one_quick_block() -> None:
    assert 0.88 < step(MIDDLE, -PARAMS.block_interval_ms) / MIDDLE < 0.9


@pytest.mark.parametrize("quiet_ms", [5_000, 10_000, 30_000])
def test_mined_blocks_keep_the_interval_although_authority_blocks_come_between(quiet_ms: int) -> None:
    """Also from a start at which nearly every second mines a block, and however soon the committee steps in."""
    draws = np.random.default_rng(4).random(20_000)
    wins_at_easiest = 0.5  # a second
    target = easiest = int.from_bytes(PARAMS.easiest_target, "big")
    mined = took_ms = 0
    for draw in draws:
        took_ms += 1_000
        if draw < wins_at_easiest * target / easiest:
            late_ms = lateness_ms(PARAMS, header("pouw", took_ms), PARENT_MS)
            mined += 1
        elif took_ms >= quiet_ms:
            late_ms = lateness_ms(PARAMS, header("authority", took_ms, history_root=bytes(32)), PARENT_MS)
        else:
            continue
        took_ms, target = 0, step(target, late_ms)
    assert mined == pytest.approx(len(draws) * 1_000 / PARAMS.block_interval_ms, rel=0.05)
