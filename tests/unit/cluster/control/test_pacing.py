"""How long the committee leaves the chain to the miners."""

from cluster.control.pacing import QUIET_ROUNDS, RoundPace
from consensus.primitives.integers import Digest

JOB, OTHER = Digest(b"j" * 32), Digest(b"o" * 32)


def test_until_two_rounds_are_known_the_least_time_holds() -> None:
    pace = RoundPace()
    assert pace.quiet_after_ms(30_000) == 30_000
    pace.note(JOB, 1_000)
    assert pace.quiet_after_ms(30_000) == 30_000


def test_slow_rounds_leave_miners_more_time() -> None:
    pace = RoundPace()
    for number in range(3):
        pace.note(JOB, number * 10_000)
    assert pace.round_ms == 10_000
    assert pace.quiet_after_ms(30_000) == QUIET_ROUNDS * 10_000


def test_only_the_latest_rounds_count() -> None:
    pace = RoundPace()
    for now_ms in (*range(0, 80_000, 10_000), *range(1_000_000, 1_000_800, 100)):
        pace.note(JOB, now_ms)
    assert pace.round_ms == 100


def test_one_pause_or_a_clock_that_was_set_moves_nothing() -> None:
    pace = RoundPace()
    for now_ms in (0, 100, 200, 5_200, 5_300, 300, 400, 500):
        pace.note(JOB, now_ms)
    assert pace.round_ms == 100


def test_a_clock_that_runs_backwards_counts_nothing() -> None:
    pace = RoundPace()
    for now_ms in (300, 200, 100):
        pace.note(JOB, now_ms)
    assert pace.round_ms == 0


def test_of_two_jobs_the_faster_one_counts_and_neither_disturbs_the_other() -> None:
    pace = RoundPace()
    for number in range(6):
        pace.note(JOB, number * 1_000)
        pace.note(OTHER, number * 1_000 + 1)
    assert pace.round_ms == 1_000
    for number in range(6, 16):
        pace.note(OTHER, number * 30_000)
    assert pace.round_ms == 1_000
    pace.forget(JOB)
    assert pace.round_ms == 30_000


def test_while_a_challenge_is_open_blocks_come_in_equal_steps() -> None:
    """Neither at once because nothing can be mined, nor late because rounds are slow."""
    pace = RoundPace()
    for number in range(4):
        pace.note(JOB, 3_000 * number)
    for can_mine in (False, True):
        assert not pace.is_quiet(4_999, 5_000, is_challenged=True, can_mine=can_mine)
        assert pace.is_quiet(5_000, 5_000, is_challenged=True, can_mine=can_mine)
    assert pace.is_quiet(0, 5_000, is_challenged=False, can_mine=False)
    assert not pace.is_quiet(47_999, 5_000, is_challenged=False, can_mine=True)
    assert pace.is_quiet(48_000, 5_000, is_challenged=False, can_mine=True)
