"""A slot of several steps: an inner optimizer starts fresh on a copy of the state, and the update is start - end.

After each backward pass the optimizer and the digest of the new weights run chunk by chunk while the chunk is in the
processor's cache; in the last step the update and its digest do too. On a GPU the optimizer
runs there, and the rest on a copy in main memory.
"""

import numpy as np

from consensus.primitives.digest import bulk_root
from consensus.primitives.integers import Digest
from jobs.spec.optimizer import Optimizer
from jobs.training.batches import BatchSource, StepBatch
from jobs.training.chunks import ChunkPool, chunk_count, chunk_range, leaf_of
from jobs.training.memory import FloatArray, aligned_empty, as_tensor
from jobs.training.norm import clip_factor, sum_of_squares
from jobs.training.optimizers import Update, build_optimizer
from jobs.training.result import SlotResult, StepTrace, trace_step
from jobs.training.schedule import learning_rate
from jobs.training.step import Place, Stepper


class LocalSlot:
    """Runs slots with several local steps. Its memory is made once and used again in every slot."""

    def __init__(self, stepper: Stepper, batches: BatchSource, pool: ChunkPool, inner: Optimizer) -> None:
        self._stepper, self._batches, self._pool, self._inner = stepper, batches, pool, inner
        self._layout = stepper.binding.layout
        self._layout_digest = self._layout.digest
        self._optimizer = build_optimizer(inner)
        device, boundary = stepper.program.spec.train.device, self._layout.boundary
        self._on_gpu = device != "cpu"
        self._host = aligned_empty(self._layout.total)
        self._weights = as_tensor(self._host).to(device)
        self._gradient = as_tensor(aligned_empty(boundary)).to(device)
        self._moments = [as_tensor(aligned_empty(boundary)).to(device) for _ in range(self._optimizer.moments)]

    def run(
        self, state: FloatArray, state_digest: Digest | None, round_number: int, slot: int, update: FloatArray
    ) -> SlotResult:
        """Run one slot into `update`; a state digest that is not given is taken first."""
        weights_in = state_digest or self._root(self._pool.leaf_digests(state))
        self._start(state)
        update_leaves = self._no_leaves()
        traces: list[StepTrace] = []
        batch = self._batches.load(round_number, slot, 0)
        steps = self._stepper.program.local_steps
        rate = learning_rate(self._inner, round_number, self._stepper.program.rounds)
        for step in range(steps):
            is_last = step == steps - 1
            upcoming = None if is_last else self._pool.submit(self._batches.load, round_number, slot, step + 1)
            loss = self._train(batch, Place(round=round_number, slot=slot, step=step))
            change = self._optimizer.prepare(step + 1, rate, self._weights.device.type)
            leaves = self._finish_step(change, (state, update, update_leaves) if is_last else None)
            traces.append(trace_step(batch.trace, weights_in, self._root(leaves), self._layout.bytes, loss))
            weights_in = traces[-1].weights_out
            batch = upcoming.result() if upcoming else batch
        return SlotResult(
            update=update,
            update_digest=self._root(update_leaves),
            steps=tuple(traces),
            examples=steps * self._stepper.program.slot_batch,
        )

    def _start(self, state: FloatArray) -> None:
        self._weights.copy_(as_tensor(state))
        for moment in self._moments:
            moment.zero_()

    def _train(self, batch: StepBatch, place: Place) -> float:
        buffers = self._weights[self._layout.boundary :]
        with self._stepper.binding.bound(self._weights, buffers, self._gradient):
            return self._stepper.compute_gradient(batch, place)

    def _finish_step(self, change: Update, last: tuple[FloatArray, FloatArray, list[Digest]] | None) -> list[Digest]:
        """Move the weights and take their leaves; in the last step write the update as well."""
        if self._inner.clip_norm is not None:
            self._clip(self._inner.clip_norm)
        if self._on_gpu:
            change(self._weights[: self._layout.boundary], self._gradient, self._moments)
            as_tensor(self._host).copy_(self._weights)
        leaves = self._no_leaves()

        def one_chunk(_worker: int, chunk: int) -> None:
            if not self._on_gpu:
                self._advance(change, chunk)
            leaves[chunk] = leaf_of(self._host, chunk)
            if last is not None:
                state, update, update_leaves = last
                self._write_update(state, update, chunk)
                update_leaves[chunk] = leaf_of(update, chunk)

        self._pool.for_each(len(leaves), one_chunk)
        return leaves

    def _advance(self, change: Update, chunk: int) -> None:
        where = self._trainable(chunk)
        if where.start < where.stop:
            change(self._weights[where], self._gradient[where], [moment[where] for moment in self._moments])

    def _write_update(self, state: FloatArray, update: FloatArray, chunk: int) -> None:
        """Parameters: start - end, so that the outer optimizer descends along it. Buffers: end - start."""
        start, end = chunk_range(chunk, self._layout.total)
        middle = max(start, self._trainable(chunk).stop)
        np.subtract(state[start:middle], self._host[start:middle], out=update[start:middle])
        np.subtract(self._host[middle:end], state[middle:end], out=update[middle:end])

    def _clip(self, largest: float) -> None:
        sums = [0.0] * chunk_count(self._layout.boundary)

        def one_chunk(_worker: int, chunk: int) -> None:
            sums[chunk] = sum_of_squares(self._gradient[self._trainable(chunk)])

        self._pool.for_each(len(sums), one_chunk)
        factor = clip_factor(sums, largest)
        if factor < 1.0:
            self._gradient.mul_(factor)

    def _trainable(self, chunk: int) -> slice:
        start, end = chunk_range(chunk, self._layout.total)
        return slice(start, min(end, self._layout.boundary))

    def _no_leaves(self) -> list[Digest]:
        return [Digest(b"")] * chunk_count(self._layout.total)

    def _root(self, leaves: list[Digest]) -> Digest:
        return bulk_root(leaves, self._layout.bytes, self._layout_digest)
