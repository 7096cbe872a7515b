"""What a slot came to: the update, and for every step what a replay must reproduce."""

from dataclasses import dataclass

from consensus.primitives.integers import Digest
from jobs.float_bits import float_bits
from jobs.training.batches import BatchTrace
from jobs.training.memory import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTrace:
    """One step, reduced to digests and integers: what becomes a StepRecord."""

    indices: Digest
    batch: Digest
    batch_bytes: int
    weights_in: Digest
    weights_out: Digest
    weight_bytes: int
    loss_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotResult:
    """What a slot hands over."""

    update: FloatArray
    """With one local step [gradient | change of the buffers], with more [start - end | change of the buffers]."""
    update_digest: Digest
    steps: tuple[StepTrace, ...]
    examples: int


def trace_step(batch: BatchTrace, weights_in: Digest, weights_out: Digest, weight_bytes: int, loss: float) -> StepTrace:
    """The trace of a step that was trained on `batch`."""
    return StepTrace(
        indices=batch.indices,
        batch=batch.batch,
        batch_bytes=batch.batch_bytes,
        weights_in=weights_in,
        weights_out=weights_out,
        weight_bytes=weight_bytes,
        loss_bits=float_bits(loss),
    )
