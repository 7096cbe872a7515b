"""The batches of a slot's steps: drawn by the job's seed, gathered, digested and cut into micro-batches."""

from dataclasses import dataclass

from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.digests import batch_bytes, batch_digest, indices_digest
from jobs.data.order import step_indices
from jobs.program import JobProgram
from jobs.training.losses import Examples, split_examples, to_examples


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTrace:
    """What identifies a batch."""

    indices: Digest
    batch: Digest
    batch_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatch:
    """The examples of one step, ready to train on."""

    trace: BatchTrace
    micro_batches: list[Examples]


@dataclass(frozen=True, slots=True)
class BatchSource:
    """Makes the batches of one program from its training part."""

    program: JobProgram
    train: PartArrays

    def trace(self, round_number: int, slot: int, step: int) -> BatchTrace:
        """What the batch of a step must be, without making tensors."""
        return self.load(round_number, slot, step).trace

    def load(self, round_number: int, slot: int, step: int) -> StepBatch:
        """Gather the batch of a step."""
        indices = step_indices(self.program, round_number, slot, step)
        inputs, targets = self.train.gather(indices)
        trace = BatchTrace(
            indices=indices_digest(indices),
            batch=batch_digest(inputs, targets),
            batch_bytes=batch_bytes(inputs, targets),
        )
        train = self.program.spec.train
        examples = to_examples(inputs, targets, train.device)
        return StepBatch(trace=trace, micro_batches=split_examples(examples, train.micro_batch))
