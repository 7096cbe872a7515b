"""The global norm of a gradient, with bits that depend on neither threads nor timing.

Squares are added in float64 within each fixed chunk, and the chunks' sums in order.
"""

import math
from collections.abc import Iterable
from typing import Final

import torch

_GUARD: Final = 1e-6
_SERIAL_FLOATS: Final = 16_384
"""So few numbers are never shared among threads, whatever the process was configured with."""


def sum_of_squares(chunk: torch.Tensor) -> float:
    """The sum of squares of one chunk, in float64."""
    norms = (torch.linalg.vector_norm(piece, dtype=torch.float64) for piece in torch.split(chunk, _SERIAL_FLOATS))
    return sum(float(norm) ** 2 for norm in norms)


def clip_factor(sums: Iterable[float], largest: float) -> float:
    """What to multiply a gradient with so that its norm is at most `largest`. `sums`: of each chunk, in order."""
    total = 0.0
    for part in sums:
        total += part
    return min(1.0, largest / (math.sqrt(total) + _GUARD))
