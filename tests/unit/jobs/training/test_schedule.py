"""The learning rate over the rounds."""

import math

import pytest

from jobs.spec.optimizer import AdamwSpec, Schedule
from jobs.training.schedule import learning_rate


def rates(schedule: Schedule, rounds: int, warmup_rounds: int = 0) -> list[float]:
    optimizer = AdamwSpec(name="adamw", lr=0.5, schedule=schedule, warmup_rounds=warmup_rounds)
    return [learning_rate(optimizer, number, rounds) for number in range(rounds)]


def test_constant_stays() -> None:
    assert set(rates("constant", 10)) == {0.5}


def test_linear_falls_in_even_steps_towards_zero() -> None:
    assert rates("linear", 4) == [0.5, 0.375, 0.25, 0.125]


def test_cosine_is_the_cosine() -> None:
    expected = [0.25 * (1 + math.cos(math.pi * number / 100)) for number in range(100)]
    assert rates("cosine", 100) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warm_up_rises_and_meets_the_schedule_at_its_top(schedule: Schedule) -> None:
    rising = rates(schedule, 10, warmup_rounds=4)
    assert rising[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rising[4] == 0.5


def test_warm_up_may_last_the_whole_job() -> None:
    assert rates("cosine", 3, warmup_rounds=3) == pytest.approx([0.125, 0.25, 0.375])
