"""How weights move: three optimizers with the defaults written down."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from jobs.spec.base import NotNegative, Positive, Section

Schedule: TypeAlias = Literal["constant", "linear", "cosine"]
Momentum = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Optimizer(Section):
    """What every optimizer has."""

    lr: Positive
    schedule: Schedule = "constant"
    """How the learning rate falls over the rounds after the warm-up: not, linearly to 0, or as half a cosine to 0."""
    warmup_rounds: Annotated[int, Field(ge=0)] = 0
    """Over these rounds the learning rate rises linearly to `lr`."""
    clip_norm: Positive | None = None
    """Largest global norm of what the optimizer is given; larger ones are scaled down to it."""


class SgdSpec(_Optimizer):
    name: Literal["sgd"]
    momentum: Momentum = 0.0
    weight_decay: NotNegative = 0.0


class NesterovSpec(_Optimizer):
    """SGD with Nesterov's momentum."""

    name: Literal["nesterov"]
    momentum: Momentum = 0.9
    weight_decay: NotNegative = 0.0


class AdamwSpec(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""

    name: Literal["adamw"]
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.01


Optimizer: TypeAlias = SgdSpec | NesterovSpec | AdamwSpec
OptimizerSpec = Annotated[Optimizer, Field(discriminator="name")]
