"""Deals rows out to the three parts and cuts each part into segments of one size, however the rows came batched."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from jobs.data.manifest import PARTS, PartName, SegmentRef
from jobs.data.normalise import Floats, Normalisation
from jobs.data.rows import KeptRows, RowBatch
from jobs.data.segment import TARGET_BYTES, SegmentArrays, Targets, write_segment
from jobs.data.split import Rows, parts_of

Places = Callable[[int, int], Rows]
"""Gives the places of `count` rows from `first_row` in the dataset's shuffle."""
Cut = tuple[PartName, SegmentRef, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """How rows go to parts."""

    rows: KeptRows
    places: Places
    sizes: tuple[int, int, int]

    def deal(self) -> Iterator[tuple[PartName, RowBatch]]:
        """Every row once, with the part it belongs to; within a part in the order of the source."""
        first_row = 0
        for batch in self.rows.batches():
            parts = parts_of(self.places(first_row, len(batch.inputs)), self.sizes)
            for number, part in enumerate(PARTS):
                chosen = np.flatnonzero(parts == number)
                if chosen.size:
                    targets = None if batch.targets is None else batch.targets[chosen]
                    yield part, RowBatch(inputs=batch.inputs[chosen], targets=targets)
            first_row += len(batch.inputs)

    def train_inputs(self) -> Iterator[Floats]:
        """The inputs of the training part."""
        for part, batch in self.deal():
            if part == "train":
                yield batch.inputs.astype(np.float32, copy=False)


def cut_segments(
    dealing: Dealing, target_kind: Literal["class", "value", "none"], normalisation: Normalisation | None
) -> Iterator[Cut]:
    """The segments of all parts, each part's in order; the parts are interleaved as their segments fill up."""
    cutters = {part: _Cutter() for part in PARTS}
    for part, batch in dealing.deal():
        for arrays in cutters[part].add(_finished(batch, target_kind, normalisation)):
            yield part, *write_segment(arrays)
    for part, cutter in cutters.items():
        for arrays in cutter.rest():
            yield part, *write_segment(arrays)


def _finished(
    batch: RowBatch, target_kind: Literal["class", "value", "none"], normalisation: Normalisation | None
) -> SegmentArrays:
    inputs = batch.inputs
    if normalisation is not None:
        inputs = normalisation.apply(inputs.astype(np.float32, copy=False))
    if batch.targets is None:
        return SegmentArrays(inputs=inputs, targets=None)
    targets = batch.targets.astype(np.int64) if target_kind == "class" else batch.targets.astype(np.float32)
    return SegmentArrays(inputs=inputs, targets=targets)


@dataclass(slots=True)
class _Cutter:
    """Collects rows of one part until they fill a segment."""

    pending: list[SegmentArrays] = field(default_factory=list)
    pending_rows: int = 0

    def add(self, arrays: SegmentArrays) -> Iterator[SegmentArrays]:
        self.pending.append(arrays)
        self.pending_rows += len(arrays.inputs)
        full = max(1, TARGET_BYTES // _row_bytes(arrays))
        if self.pending_rows < full:
            return
        joined = _join(self.pending)
        cuts = range(0, self.pending_rows - full + 1, full)
        yield from (_slice(joined, start, start + full) for start in cuts)
        rest = _slice(joined, len(cuts) * full, self.pending_rows)
        self.pending_rows = len(rest.inputs)
        self.pending = [rest] if self.pending_rows else []

    def rest(self) -> Iterator[SegmentArrays]:
        if self.pending_rows:
            yield _join(self.pending)


def _row_bytes(arrays: SegmentArrays) -> int:
    targets = 0 if arrays.targets is None else arrays.targets.itemsize
    return int(arrays.inputs.shape[1]) * arrays.inputs.itemsize + targets


def _join(pieces: list[SegmentArrays]) -> SegmentArrays:
    inputs = np.concatenate([piece.inputs for piece in pieces])
    parts = [piece.targets for piece in pieces if piece.targets is not None]
    return SegmentArrays(inputs=inputs, targets=cast("Targets", np.concatenate(parts)) if parts else None)


def _slice(arrays: SegmentArrays, start: int, stop: int) -> SegmentArrays:
    targets = None if arrays.targets is None else arrays.targets[start:stop]
    return SegmentArrays(inputs=arrays.inputs[start:stop], targets=targets)
