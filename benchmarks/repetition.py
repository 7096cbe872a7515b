"""Repeating and alternating. Machines get warm and others use them too: what is compared is measured close together."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import TypeVar

Measured = TypeVar("Measured")


def alternate(arms: Sequence[str], repetitions: int, run: Callable[[str], Measured]) -> dict[str, list[Measured]]:
    """Run every arm once a repetition, forwards in one and backwards in the next."""
    measured: dict[str, list[Measured]] = {arm: [] for arm in arms}
    for number in range(repetitions):
        for arm in arms if number % 2 == 0 else arms[::-1]:
            measured[arm].append(run(arm))
    return measured


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios of what was measured in the same repetition."""
    return median(a / b for a, b in zip(over, under, strict=True))


def median_time_s(work: Callable[[], object], repetitions: int) -> float:
    """The median time of one call, after one that is not counted."""
    work()
    return median(_time_s(work) for _ in range(repetitions))


def _time_s(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
