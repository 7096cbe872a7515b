"""The handwritten digits of scikit-learn: 1,797 images of 8x8 pixels from 0 to 16, here scaled to 0 to 1."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from jobs.data.rows import RowBatch

_BRIGHTEST: Final = np.float32(16.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsSource:
    """Reads the copy that comes with the package; nothing is downloaded."""

    note: str = "digits (scikit-learn)"
    feature_names: tuple[str, ...] = ()
    feature_shape: tuple[int, ...] = (1, 8, 8)

    def digest(self) -> Digest:
        (batch,) = self.batches()
        targets = b"" if batch.targets is None else batch.targets.tobytes()
        return sha256("pouw/source/1", batch.inputs.tobytes(), targets)

    def batches(self) -> Iterator[RowBatch]:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        inputs = np.asarray(pixels, np.float32) / _BRIGHTEST
        yield RowBatch(inputs=inputs, targets=np.asarray(labels, np.float64))
