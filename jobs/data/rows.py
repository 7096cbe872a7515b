"""What every source of examples gives: rows in a fixed order, in batches, as often as asked.

Preparing a dataset goes over the rows several times (count and check, statistics, segments) so that no source has to
fit in memory; a small one is kept after the first time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from consensus.primitives.integers import Digest
from jobs.data.segment import Inputs

KEPT_BYTES: Final = 256 * 1024 * 1024
Progress: TypeAlias = Callable[[str, int], None]
"""Told what is being done and how many rows are through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """Consecutive rows: inputs [n, inputs per row], targets as read [n] or None for tokens."""

    inputs: Inputs
    targets: npt.NDArray[np.float64] | None

    @property
    def size_bytes(self) -> int:
        return self.inputs.nbytes + (0 if self.targets is None else self.targets.nbytes)


class RowSource(Protocol):
    """Where rows come from. Leaves out what they mean to the job: splitting, labels and normalisation."""

    @property
    def note(self) -> str:
        """What was read, for people; nothing that differs from machine to machine."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    @property
    def feature_shape(self) -> tuple[int, ...]: ...

    def digest(self) -> Digest:
        """SHA-256 of what was read."""
        ...

    def batches(self) -> Iterator[RowBatch]:
        """All rows from the first.

        Raises:
            DataError: they cannot be read as numbers.
        """
        ...


@dataclass(slots=True)
class KeptRows:
    """The batches of a source, kept in memory when together they are small."""

    source: RowSource
    limit_bytes: int = KEPT_BYTES
    _kept: list[RowBatch] | None = field(default=None, init=False)

    def batches(self) -> Iterator[RowBatch]:
        if self._kept is not None:
            yield from self._kept
            return
        batches: list[RowBatch] = []
        size_bytes = 0
        for batch in self.source.batches():
            size_bytes += batch.size_bytes
            if size_bytes <= self.limit_bytes:
                batches.append(batch)
            else:
                batches.clear()
            yield batch
        if size_bytes <= self.limit_bytes:
            self._kept = batches
