"""The schedule of faults is the same for the same seed, and progress is measured over whole units."""

from benchmarks.fault_schedule import EVERY_ROLE, MINER_KILLS, choose, draw_schedule, parse_blows, write_blows
from benchmarks.progress import Progress


def test_a_seed_gives_one_schedule() -> None:
    first, again = (draw_schedule(3, 600.0, 20.0, EVERY_ROLE) for _ in range(2))
    assert first == again
    assert first != draw_schedule(4, 600.0, 20.0, EVERY_ROLE)


def test_every_interval_has_one_fault_in_its_first_half() -> None:
    schedule = draw_schedule(3, 600.0, 20.0, EVERY_ROLE)
    assert [int(blow.at_s // 20) for blow in schedule] == list(range(30))
    assert all(blow.at_s % 20 < 10 for blow in schedule)


def test_every_kind_of_fault_is_drawn() -> None:
    schedule = draw_schedule(3, 600.0, 20.0, EVERY_ROLE)
    assert {(blow.role, blow.number) for blow in schedule} == set(EVERY_ROLE)


def test_a_schedule_is_read_as_it_was_written() -> None:
    text = write_blows(draw_schedule(3, 180.0, 20.0, MINER_KILLS))
    assert write_blows(parse_blows(text)) == text
    assert len(parse_blows(text)) == 9
    assert parse_blows("") == []


def test_a_victim_is_one_of_those_that_are_there() -> None:
    assert {choose(3, number, 4) for number in range(100)} == {0, 1, 2, 3}


def test_progress_is_measured_from_growth_to_growth() -> None:
    values = iter([5, 5, 6, 6, 7, 7, 7, 8, 8, 9, 9, 10])
    progress = Progress()
    progress.run(0.0, lambda _: next(values), 0.0)
    assert [value for value, _ in progress.seen] == [6, 7]


def test_progress_that_falls_back_counts_when_it_is_passed() -> None:
    progress = Progress()
    assert [progress.note(value) for value in (1, 3, 2, 3, 4)] == [True, True, False, False, True]
    assert progress.longest_s() > 0
    assert progress.per_s() > 0
