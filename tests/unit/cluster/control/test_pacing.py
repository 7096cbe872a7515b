"""How long the committee leaves the chain to the miners."""

from cluster.control.pacing import QUIET_ROUNDS, RoundPace


def test_until_two_rounds_are_known_the_least_time_holds() -> None:
    pace = RoundPace()
    assert pace.quiet_after_ms(30_000) == 30_000
    pace.note(1_000)
    assert pace.quiet_after_ms(30_000) == 30_000


def test_slow_rounds_leave_miners_more_time() -> None:
    pace = RoundPace()
    for number in range(3):
        pace.note(number * 10_000)
    assert pace.round_ms == 10_000
    assert pace.quiet_after_ms(30_000) == QUIET_ROUNDS * 10_000


def test_only_the_latest_rounds_count_and_a_clock_set_back_counts_nothing() -> None:
    pace = RoundPace()
    for now_ms in (0, *range(1_000_000, 1_000_800, 100)):
        pace.note(now_ms)
    assert pace.round_ms == 100
    pace.note(5)
    assert pace.round_ms == 0
