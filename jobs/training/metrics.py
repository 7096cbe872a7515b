"""Figures of a state, summed over batches as doubles and handed out as integers: floats end here."""

import math
from dataclasses import dataclass, field
from typing import Final, Protocol

import torch

from consensus.records.work import Metric
from jobs.errors import DivergedStateError
from jobs.training.losses import LOSSES

MICRO: Final = 1_000_000
"""Scale of figures that are not counts."""


class Tally(Protocol):
    """A figure in the making."""

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None: ...

    def figure(self) -> Metric: ...


@dataclass(slots=True)
class AccuracyTally:
    """Share of examples whose largest output is the target: correct / total."""

    correct: int = 0
    total: int = 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.correct += int((outputs.argmax(dim=-1) == targets).sum())
        self.total += targets.numel()

    def figure(self) -> Metric:
        return Metric(name="accuracy", value=self.correct, scale=self.total)


@dataclass(slots=True)
class MeanLossTally:
    """The mean of a loss over all targets, or its root, in millionths."""

    name: str
    loss: str
    is_root: bool = False
    _sums: list[float] = field(default_factory=list)
    _total: int = 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        self._sums.append(float(LOSSES[self.loss](outputs, targets)) * targets.numel())
        self._total += targets.numel()

    def figure(self) -> Metric:
        """Raises DivergedStateError: the figure is not finite."""
        mean = math.fsum(self._sums) / self._total if all(map(math.isfinite, self._sums)) else math.nan
        if not math.isfinite(mean):
            raise DivergedStateError(self.name)
        return Metric(name=self.name, value=round((math.sqrt(mean) if self.is_root else mean) * MICRO), scale=MICRO)


def make_tallies(metric: str, loss: str) -> tuple[Tally, ...]:
    """The loss, and the figure that a job measures beside it."""
    mean_loss = MeanLossTally("loss", loss)
    if metric == "accuracy":
        return mean_loss, AccuracyTally()
    return mean_loss, MeanLossTally(metric, loss, is_root=metric == "rmse")
