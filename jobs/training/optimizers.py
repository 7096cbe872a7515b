"""Optimizers over flat buffers: one fused kernel per call and no loop over parameters.

They are torch's own fused kernels, so that training with one local step gives what `torch.optim` gives. The kernels
are elementwise: chunks that are always the same give the same bits, whoever takes them. Torch's version is pinned as
part of the replay class, so its kernels may be called without the classes around them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from jobs.spec.optimizer import AdamwSpec, NesterovSpec, SgdSpec
from jobs.spec.optimizer import Optimizer as OptimizerSpec

Update: TypeAlias = Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]], None]
"""Changes (parameters, gradient, moments) in place; the gradient may be used as scratch."""


class FlatOptimizer(Protocol):
    """What an optimizer is to the round and to the slot."""

    @property
    def moments(self) -> int:
        """How many numbers of state it keeps for every parameter; they start as zeros."""
        ...

    def prepare(self, step: int, rate: float, device: str = "cpu") -> Update:
        """The change of step `step` (counted from 1) at this learning rate."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay, arXiv 1711.05101."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    moments: int = 2

    def prepare(self, step: int, rate: float, device: str = "cpu") -> Update:
        count = torch.tensor(float(step), device=device)

        def update(parameters: torch.Tensor, gradient: torch.Tensor, moments: Sequence[torch.Tensor]) -> None:
            torch._fused_adamw_(
                [parameters],
                [gradient],
                [moments[0]],
                [moments[1]],
                [],
                [count],
                lr=rate,
                beta1=self.beta1,
                beta2=self.beta2,
                weight_decay=self.weight_decay,
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )

        return update


@dataclass(frozen=True, slots=True, kw_only=True)
class Sgd:
    """Gradient descent, with momentum and with Nesterov's form of it if asked for."""

    momentum: float
    nesterov: bool
    weight_decay: float

    @property
    def moments(self) -> int:
        return 1 if self.momentum else 0

    def prepare(self, step: int, rate: float, device: str = "cpu") -> Update:
        del step, device

        def update(parameters: torch.Tensor, gradient: torch.Tensor, moments: Sequence[torch.Tensor]) -> None:
            torch._fused_sgd_(
                [parameters],
                [gradient],
                list(moments),
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=self.nesterov and self.momentum > 0.0,
                maximize=False,
                is_first_step=False,
            )

        return update


def build_optimizer(spec: OptimizerSpec) -> FlatOptimizer:
    """The optimizer a job asks for."""
    match spec:
        case AdamwSpec():
            return AdamW(beta1=spec.betas[0], beta2=spec.betas[1], eps=spec.eps, weight_decay=spec.weight_decay)
        case NesterovSpec() | SgdSpec():
            is_nesterov = isinstance(spec, NesterovSpec)
            return Sgd(momentum=spec.momentum, nesterov=is_nesterov, weight_decay=spec.weight_decay)
