"""Measures a state on the validation or test part. An adapter for `consensus.ports.Evaluator`."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from consensus.records.work import Metric
from jobs.data.arrays import PartArrays
from jobs.data.manifest import DatasetManifest, PartName
from jobs.determinism import activate
from jobs.errors import DataError
from jobs.layout import Layout
from jobs.program import JobProgram
from jobs.training.binding import ModelBinding
from jobs.training.losses import to_examples
from jobs.training.memory import as_tensor, float_array
from jobs.training.metrics import make_tallies

_VALIDATION_EXAMPLES: Final = 8192
"""Most examples of the validation part that are measured, evenly spread; the test part is measured whole."""
_VALIDATION_TOKENS: Final = 16_384
"""The same for text. Training waits for these figures, so they must not take longer than a round or two."""
_BATCH_INPUTS: Final = 65_536


class StateEvaluator:
    """Measures states of one program."""

    def __init__(
        self,
        program: JobProgram,
        parts: Mapping[PartName, PartArrays],
        *,
        validation_examples: int | None = None,
    ) -> None:
        """`validation_examples`: most that are measured during training; None leaves it to the kind of data."""
        self._program, self._parts = program, parts
        self._limit = validation_examples or _most_examples(program.manifest)
        self._binding = ModelBinding.of(program)

    @property
    def layout(self) -> Layout:
        """Where each tensor lies in the flat state."""
        return self._binding.layout

    def evaluate(self, state: memoryview, part: str) -> tuple[Metric, ...]:
        """The loss and the job's metric on a part; nothing if the part is empty.

        Raises:
            DataError: the part was not opened.
            DivergedStateError: a figure is not finite.
            ModelError: the state has not the model's size.
        """
        activate(self._program.spec.train.device)
        arrays = self._arrays(part)
        if arrays.rows == 0:
            return ()
        spec, layout = self._program.spec, self.layout
        weights = as_tensor(float_array(state, layout.total, "state")).to(spec.train.device)
        tallies = make_tallies(spec.metric, spec.train.loss)
        with torch.no_grad(), self._binding.bound(weights, weights[layout.boundary :]):
            module = self._binding.module.eval()
            for indices in self._batches(arrays.rows, part):
                examples = to_examples(*arrays.gather(indices), spec.train.device)
                outputs = module(examples.inputs)
                for tally in tallies:
                    tally.add(outputs, examples.targets)
        return tuple(tally.figure() for tally in tallies)

    def _arrays(self, part: str) -> PartArrays:
        for name, arrays in self._parts.items():
            if name == part:
                return arrays
        raise DataError(f"the {part} part was not opened here")

    def _batches(self, rows: int, part: str) -> Iterator[npt.NDArray[np.int64]]:
        """Example numbers in batches of one fixed size, so that the figures do not depend on memory at hand."""
        count = min(rows, self._limit) if part == "validation" else rows
        size = max(1, min(256, _BATCH_INPUTS // self._program.manifest.header.inputs_per_row))
        for start in range(0, count, size):
            places = np.arange(start, min(start + size, count), dtype=np.int64)
            yield places * rows // count


def _most_examples(manifest: DatasetManifest) -> int:
    tokens = manifest.header.inputs_per_row
    return max(1, _VALIDATION_TOKENS // tokens) if manifest.kind == "tokens" else _VALIDATION_EXAMPLES
