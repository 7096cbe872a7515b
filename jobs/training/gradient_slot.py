"""A slot of one step: its update is the gradient. The parameters alias the state that was handed in, without a copy."""

import numpy as np

from consensus.primitives.digest import bulk_digest, bulk_root
from consensus.primitives.integers import Digest
from jobs.training.batches import BatchSource, StepBatch
from jobs.training.chunks import ChunkPool
from jobs.training.memory import FloatArray, aligned_empty, as_tensor, bytes_of
from jobs.training.result import SlotResult, trace_step
from jobs.training.step import Place, Stepper


class GradientSlot:
    """Runs slots with one local step."""

    def __init__(self, stepper: Stepper, batches: BatchSource, pool: ChunkPool) -> None:
        self._stepper, self._batches, self._pool = stepper, batches, pool
        self._layout = stepper.binding.layout
        self._layout_digest = self._layout.digest
        self._device = stepper.program.spec.train.device
        self._buffers = aligned_empty(self._layout.total - self._layout.boundary)

    def run(
        self, state: FloatArray, state_digest: Digest | None, round_number: int, slot: int, update: FloatArray
    ) -> SlotResult:
        """Run one slot into `update`; a state digest that is not given is taken while the step runs."""
        hashing = self._pool.submit(_known_or_bulk_digest, state_digest, bytes_of(state), self._layout_digest)
        batch = self._batches.load(round_number, slot, 0)
        try:
            loss = self._train(state, update, batch, Place(round=round_number, slot=slot, step=0))
        finally:
            weights_in = hashing.result()
        digest = bulk_root(self._pool.leaf_digests(update), self._layout.bytes, self._layout_digest)
        trace = trace_step(batch.trace, weights_in, digest, self._layout.bytes, loss)
        return SlotResult(
            update=update, update_digest=digest, steps=(trace,), examples=self._stepper.program.slot_batch
        )

    def _train(self, state: FloatArray, update: FloatArray, batch: StepBatch, place: Place) -> float:
        boundary = self._layout.boundary
        self._buffers[:] = state[boundary:]
        parameters = as_tensor(state).to(self._device)
        gradient = as_tensor(update).to(self._device)
        buffers = as_tensor(self._buffers).to(self._device)
        with self._stepper.binding.bound(parameters, buffers, gradient):
            loss = self._stepper.compute_gradient(batch, place)
        if self._device != "cpu":
            as_tensor(update).copy_(gradient)
            as_tensor(self._buffers).copy_(buffers)
        np.subtract(self._buffers, state[boundary:], out=update[boundary:])
        return loss


def _known_or_bulk_digest(known: Digest | None, data: memoryview, binding: Digest) -> Digest:
    return known or bulk_digest(data, binding)
