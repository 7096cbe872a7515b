"""How a job trains: loss, batches, slots, optimizers and rounds.

With `local_steps` 1 a slot's update is its gradient and `optimizer` is the optimizer: exactly large-batch training.
With more, every slot trains on its own with `inner_optimizer` and `optimizer` is the outer one that moves the shared
weights by the slots' mean change (DiLoCo, arXiv 2311.08105).
"""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from jobs.spec.base import Count, Section, contradiction
from jobs.spec.optimizer import AdamwSpec, NesterovSpec, Optimizer, OptimizerSpec

_MARKS: Final = 20
"""How many evaluations and checkpoints a job makes when it does not say."""

Loss: TypeAlias = Literal["cross_entropy", "mse"]
MetricName: TypeAlias = Literal["accuracy", "rmse", "nats_per_byte"]


class StopSpec(Section):
    """Stop early once a validation figure is reached: accuracy at least, rmse and nats_per_byte at most."""

    metric: MetricName
    reaches: Annotated[float, Field(ge=0.0)]

    @model_validator(mode="after")
    def _check_reaches(self) -> Self:
        if self.metric == "accuracy" and not 0.0 < self.reaches <= 1.0:
            raise contradiction("reaches", f"an accuracy is a share above 0 and at most 1, not {self.reaches:g}")
        return self


def _marks(data: dict[str, object]) -> int:
    rounds = data["rounds"]
    return max(1, rounds // _MARKS) if isinstance(rounds, int) else 1


def _whole_slot(data: dict[str, object]) -> int:
    batch, slots = data["batch_size"], data["slots"]
    return max(1, batch // slots) if isinstance(batch, int) and isinstance(slots, int) else 1


def _default_optimizer(data: dict[str, object]) -> Optimizer:
    if data["local_steps"] == 1:
        return AdamwSpec(name="adamw", lr=1e-3)
    return NesterovSpec(name="nesterov", lr=0.7, momentum=0.9)


def _default_inner(data: dict[str, object]) -> Optimizer | None:
    return None if data["local_steps"] == 1 else AdamwSpec(name="adamw", lr=1e-3)


class TrainSpec(Section):
    """The order of the fields matters: a default may depend on the fields above it."""

    loss: Loss
    batch_size: Count
    """Examples of one step over all slots together."""
    slots: Annotated[int, Field(ge=1, le=4096)] = 4
    """Parts a round is cut into; at most this many miners work at once."""
    local_steps: Annotated[int, Field(ge=1, le=2_000)] = 1
    """Steps of a slot before its update is merged with the others'. Bounded so that a report fits into a transaction:
    one that does not could never be evidence."""
    micro_batch: Count = Field(default_factory=_whole_slot)
    """Examples that go through the model at once; it decides the memory a miner needs, and the bits."""
    rounds: Count
    optimizer: OptimizerSpec = Field(default_factory=_default_optimizer)
    """Default: adamw lr 0.001; with several local steps nesterov lr 0.7 momentum 0.9 (the outer optimizer)."""
    inner_optimizer: OptimizerSpec | None = Field(default_factory=_default_inner)
    """Only with several local steps. Default: adamw lr 0.001, fresh in every slot."""
    eval_every: Count = Field(default_factory=_marks)
    """Rounds between two evaluations; default: about 20 in all."""
    checkpoint_every: Count = Field(default_factory=_marks)
    """Rounds between two checkpoints; default: about 20 in all."""
    stop_when: StopSpec | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    replay_class: Literal["portable", "avx512", "native"] = "portable"
    """Left out of a job file: that of the site it is submitted to."""

    @property
    def slot_batch(self) -> int:
        """Examples of one step of one slot."""
        return self.batch_size // self.slots

    @model_validator(mode="after")
    def _check_batches(self) -> Self:
        if self.batch_size % self.slots:
            below = self.batch_size - self.batch_size % self.slots
            near = f"{below} or {below + self.slots}" if below else f"{self.slots}"
            raise contradiction("batch_size", f"must be divisible by slots ({self.slots}); try {near}")
        if self.slot_batch % self.micro_batch:
            raise contradiction(
                "micro_batch", f"must divide the {self.slot_batch} examples of a slot (batch_size / slots)"
            )
        return self

    @model_validator(mode="after")
    def _check_inner(self) -> Self:
        if self.local_steps == 1 and self.inner_optimizer is not None:
            raise contradiction(
                "inner_optimizer", "needs local_steps greater than 1; with one step `optimizer` does all"
            )
        if self.local_steps > 1 and self.inner_optimizer is None:
            raise contradiction("inner_optimizer", "must be given when local_steps is greater than 1")
        return self

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        for key, optimizer in (("optimizer", self.optimizer), ("inner_optimizer", self.inner_optimizer)):
            if optimizer is not None and optimizer.warmup_rounds > self.rounds:
                raise contradiction(f"{key}.warmup_rounds", f"must not be more than rounds ({self.rounds})")
        return self
