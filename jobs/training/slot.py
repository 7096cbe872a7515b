"""The unit of work: a pure function from a state and a place in the job to an update and its trace."""

from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.determinism import RANDOM_STATE, activate
from jobs.program import JobProgram
from jobs.training.batches import BatchSource
from jobs.training.binding import ModelBinding
from jobs.training.chunks import ChunkPool
from jobs.training.gradient_slot import GradientSlot
from jobs.training.local_slot import LocalSlot
from jobs.training.memory import FloatArray, float_array, result_array
from jobs.training.result import SlotResult
from jobs.training.step import Stepper


class SlotRunner:
    """Runs slots of one program, one at a time. The network is built once.

    `threads` share hashing and optimizer passes; they never touch the bits. Forward and backward use the threads that
    the process was configured with, which do.
    """

    def __init__(self, program: JobProgram, train: PartArrays, *, threads: int = 2) -> None:
        activate(program.spec.train.device)
        binding = ModelBinding.of(program)
        stepper, pool = Stepper(program, binding), ChunkPool(threads)
        self.program, self.layout = program, binding.layout
        self.batches = BatchSource(program, train)
        inner = program.spec.train.inner_optimizer
        self._slot = (
            GradientSlot(stepper, self.batches, pool)
            if inner is None
            else LocalSlot(stepper, self.batches, pool, inner)
        )

    def run(
        self,
        state: FloatArray | memoryview,
        state_digest: Digest | None,
        round_number: int,
        slot: int,
        *,
        update_out: FloatArray | None = None,
    ) -> SlotResult:
        """Run one slot from `state`, which may be read-only and is read in place if its address is a multiple of 64.

        `state_digest`: if the caller knows it; None to have it taken here. The first step's `weights_in` tells it.
        `update_out`: memory for the update (see `aligned_empty`), else fresh memory.

        Raises:
            ModelError: the state or the memory for the update has not the model's size.
            TrainingDivergedError: a loss is not finite.
        """
        activate(self.program.spec.train.device)
        with RANDOM_STATE:
            return self._slot.run(
                float_array(state, self.layout.total, "state"),
                state_digest,
                round_number,
                slot,
                result_array(update_out, self.layout.total, "memory for the update"),
            )
