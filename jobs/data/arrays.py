"""One part of a dataset as arrays: segments checked against the manifest, read where they lie, gathered by number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from consensus.primitives.integers import Digest
from jobs.data.manifest import DatasetHeader, DatasetManifest, PartName
from jobs.data.segment import Inputs, SegmentArrays, Targets, read_segment

LoadBytes = Callable[[Digest], bytes | memoryview]
"""Gives the bytes of a segment by its bulk digest. What it returns is checked here."""

_INPUT_TYPES: Final = {"float32": np.float32, "uint8": np.uint8}
_TARGET_TYPES: Final = {"class": np.int64, "value": np.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartArrays:
    """The examples of one part, by number."""

    header: DatasetHeader
    segments: tuple[SegmentArrays, ...]
    starts: npt.NDArray[np.int64]
    """First row of each segment, and the number of rows at the end."""

    @classmethod
    def open(cls, manifest: DatasetManifest, part: PartName, load: LoadBytes) -> Self:
        """Open a part.

        Raises:
            SegmentError: a segment's bytes are not what the manifest commits to.
        """
        refs = manifest.part(part)
        segments = tuple(read_segment(manifest.header, ref, load(ref.digest)) for ref in refs)
        starts = np.cumsum([0, *(ref.rows for ref in refs)], dtype=np.int64)
        return cls(header=manifest.header, segments=segments, starts=starts)

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    def gather(self, indices: npt.NDArray[np.int64]) -> tuple[Inputs, Targets | None]:
        """The examples with these numbers, copied: inputs [n, *feature_shape] and targets [n], or None for tokens.

        Raises:
            IndexError: a number is not that of a row.
        """
        if indices.size and not (indices.min() >= 0 and indices.max() < self.rows):
            raise IndexError(f"example numbers must be from 0 to {self.rows - 1}")
        inputs = np.empty((indices.size, self.header.inputs_per_row), _INPUT_TYPES[self.header.input_dtype])
        target_type = _TARGET_TYPES.get(self.header.target_kind)
        targets = None if target_type is None else np.empty(indices.size, target_type)
        owners = np.searchsorted(self.starts, indices, side="right") - 1
        for owner in np.unique(owners):
            chosen = np.flatnonzero(owners == owner)
            rows, segment = indices[chosen] - self.starts[owner], self.segments[owner]
            inputs[chosen] = segment.inputs[rows]
            if targets is not None and segment.targets is not None:
                targets[chosen] = segment.targets[rows]
        return inputs.reshape(indices.size, *self.header.feature_shape), targets
