"""One training step: forward and backward over the micro-batches, gradients collected in the bound flat buffer."""

import math
from dataclasses import dataclass

import torch

from jobs.determinism import seed_step
from jobs.errors import TrainingDivergedError
from jobs.program import JobProgram
from jobs.training.batches import StepBatch
from jobs.training.binding import ModelBinding
from jobs.training.losses import LOSSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a job a step is."""

    round: int
    slot: int
    step: int


@dataclass(frozen=True, slots=True)
class Stepper:
    """Runs steps of one program on whatever memory its network is bound to."""

    program: JobProgram
    binding: ModelBinding

    def compute_gradient(self, batch: StepBatch, place: Place) -> float:
        """Leave the gradient of the batch's mean loss in the bound memory and return that loss.

        Raises:
            TrainingDivergedError: the loss is not finite.
        """
        seed_step(self.program, place.round, place.slot, place.step)
        module, loss_of = self.binding.module.train(), LOSSES[self.program.spec.train.loss]
        losses: list[torch.Tensor] = []
        for examples in batch.micro_batches:
            loss = loss_of(module(examples.inputs), examples.targets)
            mean_share = loss / len(batch.micro_batches) if len(batch.micro_batches) > 1 else loss
            torch.autograd.backward([mean_share])
            losses.append(loss.detach())
        mean = sum(float(loss) for loss in losses) / len(losses)
        if not math.isfinite(mean):
            raise TrainingDivergedError(place.round, place.slot, place.step)
        return mean
