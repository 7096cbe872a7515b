"""The end of a round: the slots' updates become the next state.

Updates are added in slot order and divided by their number; the outer optimizer moves the parameters by the mean, and
buffers move by their mean change. All passes over a chunk, hashing included, run while it is in the processor's cache:
memory is read and written once. The bits do not depend on the number of threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from consensus.primitives.digest import bulk_root
from consensus.primitives.integers import Digest
from jobs.determinism import activate, flush_denormals
from jobs.errors import ModelError
from jobs.layout import optimizer_binding
from jobs.models.build import build_model, model_layout
from jobs.program import JobProgram
from jobs.training.chunks import CHUNK_FLOATS, ChunkPool, chunk_count, chunk_range
from jobs.training.memory import FloatArray, aligned_empty, aligned_zeros, as_tensor, float_array, result_array
from jobs.training.norm import clip_factor, sum_of_squares
from jobs.training.optimizers import build_optimizer
from jobs.training.round_pass import RoundBuffers, RoundPass
from jobs.training.schedule import learning_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRound:
    """What a round came to."""

    state: FloatArray
    optimizer: FloatArray
    state_digest: Digest
    optimizer_digest: Digest | None
    """Only where it was asked for."""


class RoundApplier:
    """Applies rounds of one program. Not for several threads at once: scratch memory is kept between rounds."""

    def __init__(self, program: JobProgram, *, threads: int = 1) -> None:
        activate()
        self.layout = model_layout(build_model(program.spec.model, program.manifest))
        self._layout_digest = self.layout.digest
        self._program = program
        self._optimizer = build_optimizer(program.spec.train.optimizer)
        self._pool = ChunkPool(threads)
        self._scratch = [torch.empty(CHUNK_FLOATS) for _ in range(threads)]
        self._mean: torch.Tensor | None = None

    @property
    def optimizer_size(self) -> int:
        """Numbers in the outer optimizer's state."""
        return self._optimizer.moments * self.layout.boundary

    def initial_optimizer(self) -> FloatArray:
        """The outer optimizer's state before round 0: zeros."""
        return aligned_zeros(self.optimizer_size)

    def apply(
        self,
        state: FloatArray | memoryview,
        optimizer: FloatArray | memoryview,
        updates: Sequence[FloatArray | memoryview],
        round_number: int,
        *,
        state_out: FloatArray | None = None,
        optimizer_out: FloatArray | None = None,
        digest_optimizer: bool = False,
    ) -> AppliedRound:
        """End round `round_number`; `updates` in slot order. Inputs may be read-only and are left as they are.

        The result is written to `state_out` and `optimizer_out` if given (see `aligned_empty`), else to fresh memory.
        They may be `state` and `optimizer` themselves, which saves memory traffic, but no update.

        Raises:
            ModelError: no updates, a buffer of another size than the model's, or result memory that is read-only.
        """
        flush_denormals()
        buffers = self._buffers(state, optimizer, updates, state_out, optimizer_out)
        rate = learning_rate(self._program.spec.train.optimizer, round_number, self._program.rounds)
        work = RoundPass(self.layout, buffers, self._optimizer.prepare(round_number + 1, rate))
        if self._program.spec.train.optimizer.clip_norm is None:
            self._run(work)
        else:
            self._run_clipped(work, self._program.spec.train.optimizer.clip_norm)
        return AppliedRound(
            state=buffers.state_out,
            optimizer=buffers.optimizer_out,
            state_digest=self._root(work.leaves),
            optimizer_digest=self._optimizer_digest(buffers.optimizer_out) if digest_optimizer else None,
        )

    def digest(self, update: FloatArray) -> Digest:
        """The digest of an update, as its miner signs it. May run beside another one."""
        return self._root(self._pool.leaf_digests(update))

    def _buffers(
        self,
        state: FloatArray | memoryview,
        optimizer: FloatArray | memoryview,
        updates: Sequence[FloatArray | memoryview],
        state_out: FloatArray | None,
        optimizer_out: FloatArray | None,
    ) -> RoundBuffers:
        if not updates:
            raise ModelError("a round needs at least one update")
        total, moments = self.layout.total, self.optimizer_size
        return RoundBuffers(
            state=float_array(state, total, "state"),
            optimizer=float_array(optimizer, moments, "optimizer state"),
            updates=[float_array(update, total, f"update of slot {slot}") for slot, update in enumerate(updates)],
            state_out=result_array(state_out, total, "memory for the next state"),
            optimizer_out=result_array(optimizer_out, moments, "memory for the next optimizer state"),
        )

    def _run(self, work: RoundPass) -> None:
        def one_chunk(worker: int, chunk: int) -> None:
            work.advance(chunk, work.average(chunk, self._scratch[worker]))

        self._pool.for_each(chunk_count(self.layout.total), one_chunk)

    def _run_clipped(self, work: RoundPass, largest: float) -> None:
        """The norm has to be known before anything moves: one pass more, with the mean kept in between."""
        chunks, total = chunk_count(self.layout.total), self.layout.total
        if self._mean is None:
            self._mean = as_tensor(aligned_empty(total))
        mean, sums = self._mean, [0.0] * chunks

        def first_pass(_worker: int, chunk: int) -> None:
            averaged = work.average(chunk, mean[slice(*chunk_range(chunk, total))])
            sums[chunk] = sum_of_squares(work.trainable(chunk, averaged))

        self._pool.for_each(chunks, first_pass)
        factor = clip_factor(sums, largest)

        def second_pass(_worker: int, chunk: int) -> None:
            averaged = mean[slice(*chunk_range(chunk, total))]
            work.trainable(chunk, averaged).mul_(factor)
            work.advance(chunk, averaged)

        self._pool.for_each(chunks, second_pass)

    def _root(self, leaves: list[Digest]) -> Digest:
        return bulk_root(leaves, self.layout.bytes, self._layout_digest)

    def _optimizer_digest(self, optimizer: FloatArray) -> Digest:
        return bulk_root(self._pool.leaf_digests(optimizer), optimizer.nbytes, optimizer_binding(self.layout))
