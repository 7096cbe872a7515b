"""How the learning rate moves over the rounds.

Only additions and multiplications of doubles are used: they give the same bits on every machine, which the cosine of a
C library need not.
"""

import math
from typing import Final

from jobs.spec.optimizer import Optimizer

_TERMS: Final = 14


def learning_rate(optimizer: Optimizer, round_number: int, rounds: int) -> float:
    """The learning rate of one round: a linear rise over the warm-up, then constant, linear or half a cosine to 0."""
    warmup = optimizer.warmup_rounds
    if round_number < warmup:
        return optimizer.lr * (round_number + 1) / (warmup + 1)
    progress = (round_number - warmup) / max(1, rounds - warmup)
    return optimizer.lr * _remaining(optimizer.schedule, progress)


def _remaining(schedule: str, progress: float) -> float:
    if schedule == "linear":
        return 1.0 - progress
    if schedule == "cosine":
        return 0.5 * (1.0 + _cosine_of_half_turns(progress))
    return 1.0


def _cosine_of_half_turns(turns: float) -> float:
    """cos(pi * turns) for turns in [0, 1], as -sin(pi * (turns - 1/2)) by its Taylor series."""
    angle = math.pi * (turns - 0.5)
    term = total = angle
    for n in range(1, _TERMS):
        term *= -angle * angle / ((2 * n) * (2 * n + 1))
        total += term
    return -total
