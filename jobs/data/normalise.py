"""Mean and deviation of each input over the training part, and their use.

Sums are taken one row after the other, so the result depends neither on how the rows were batched nor on how wide the
machine's vector units are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_Sums = npt.NDArray[np.float64]

_AT_ONCE: Final = 1 << 20
_STORED: Final = np.dtype("<f4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """float32 [inputs per row] each; a constant input has the deviation 1."""

    mean: Floats
    deviation: Floats

    @classmethod
    def measure(cls, width: int, batches: Iterable[Floats], again: Iterable[Floats]) -> Self:
        """Measure over rows [n, width], which are gone through twice."""
        count, total = 0, np.zeros(width)
        for inputs in batches:
            count, total = count + len(inputs), _add_rows(total, inputs, np.zeros(width), power=1)
        mean, squares = total / count, np.zeros(width)
        for inputs in again:
            squares = _add_rows(squares, inputs, mean, power=2)
        deviation = np.sqrt(squares / count).astype(np.float32)
        return cls(mean=mean.astype(np.float32), deviation=np.where(deviation > 0, deviation, np.float32(1)))

    def apply(self, inputs: Floats) -> Floats:
        return (inputs - self.mean) / self.deviation

    def stored(self) -> tuple[bytes, bytes]:
        """Mean and deviation as a manifest holds them."""
        return self.mean.astype(_STORED).tobytes(), self.deviation.astype(_STORED).tobytes()


def _add_rows(total: _Sums, inputs: Floats, offset: _Sums, *, power: int) -> _Sums:
    rows = max(1, _AT_ONCE // total.size)
    for start in range(0, len(inputs), rows):
        terms = inputs[start : start + rows].astype(np.float64) - offset
        terms = terms * terms if power == 2 else terms  # noqa: PLR2004 - the square
        total = np.cumsum(np.concatenate([total[np.newaxis], terms]), axis=0)[-1]
    return total
