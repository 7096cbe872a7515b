"""What the roles need from each other, as Protocols. Ray actors implement them in cluster/actors; tests in memory.

A `StateHandle` stands for the bytes of a state wherever they lie (the object store, or the array itself in tests), so
that roles pass states on without copying them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

import numpy as np
from numpy.typing import NDArray

from cluster.control.slots import MinerId
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.work import Metric
from consensus.replay.verdict import Outcome

StateHandle = NewType("StateHandle", object)
FlatState = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOpening:
    """What a role must know of a running job to take part in it."""

    job: Digest
    spec: bytes
    manifest: bytes
    beacon: Digest
    coordinator: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job's committed rounds go, those waiting for a block included."""

    next_round: int = 0
    settled_round: int = 0
    state: Digest | None = None
    """What `next_round` starts from; None before the first commit."""
    is_closing: bool = False
    """No more rounds are taken."""
    excluded: tuple[MinerId, ...] = ()
    frauds: int = 0
    """How many were proven in this job, each of which may have taken it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a job can be resumed from: the model's and the outer optimizer's state before `round`."""

    round: int
    state: FlatState
    optimizer: FlatState


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRound:
    """What summing a round's updates came to. The array belongs to the trainer and is good until the next round."""

    state: FlatState
    state_digest: Digest
    optimizer_digest: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """The parts of a job spec that decide the course of its rounds."""

    rounds: int
    slots: int
    local_steps: int
    examples_per_round: int
    eval_every: int
    checkpoint_every: int
    stop_metric: str | None = None
    stop_at: float = 0.0
    has_validation: bool = True

    def is_evaluated(self, round_number: int) -> bool:
        """Whether the state after this round is measured on the validation part."""
        due = (round_number + 1) % self.eval_every == 0 or round_number == self.rounds - 1
        return self.has_validation and due

    def leaves_checkpoint(self, round_number: int) -> bool:
        """Whether the state after this round is stored."""
        return (round_number + 1) % self.checkpoint_every == 0 or round_number == self.rounds - 1

    def is_reached(self, metrics: Sequence[Metric]) -> bool:
        """Whether the stop condition holds. Accuracy is to rise to its goal, errors are to fall to theirs."""
        for metric in metrics:
            if metric.name == self.stop_metric:
                value = metric.value / metric.scale
                return value >= self.stop_at if metric.name == "accuracy" else value <= self.stop_at
        return False


class RoundTrainer(Protocol):
    """Holds a job's state and advances it round by round (jobs.training behind cluster.wiring)."""

    plan: JobPlan

    def initial(self) -> Checkpoint: ...

    def load(self, checkpoint: Checkpoint) -> Digest:
        """Take up this state; returns its digest."""
        ...

    def apply(self, round_number: int, updates: Sequence[FlatState], *, with_optimizer: bool) -> AppliedRound: ...

    def digest(self, update: FlatState) -> Digest:
        """The digest of an update. May be called from several threads, and while a round is applied."""
        ...

    def checkpoint(self, round_number: int) -> Checkpoint:
        """The present state as what `round_number` starts from."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReply:
    """What a miner sends back: the signed report and the update it names."""

    report: bytes
    update: FlatState


class MinerGoneError(Exception):
    """The miner died or cannot be reached."""


class MinerReplacedError(Exception):
    """The process that was asked is gone, and another has taken its name and key meanwhile."""


class CoordinatorPorts(Protocol):
    """What a coordinator needs from outside."""

    def publish(self, state: FlatState) -> StateHandle:
        """Make a state readable by miners and verifiers. The array may be reused afterwards."""
        ...

    async def run_slot(self, miner: MinerId, assignment: bytes, state: StateHandle) -> SlotReply:
        """Raises MinerGoneError, MinerReplacedError, TrainingDivergedError, or whatever went wrong at the miner."""
        ...

    async def commit_round(self, commit: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        """Hand in a signed RoundCommit with its slot reports. Durable when this returns.

        Raises consensus.errors.RejectedError when the chain has gone back meanwhile. Any other error ends the run.
        """
        ...

    async def load_progress(self) -> JobProgress: ...

    async def load_updates(self, round_number: int) -> tuple[Digest, ...]:
        """The updates that a committed round names, in slot order."""
        ...

    async def dispute(self, report: bytes) -> Outcome:
        """A committed slot that was run again came to another update: have this signed report of it replayed.

        A match puts evidence against the committed report on the chain, if that is still possible.
        """
        ...

    async def evaluate(self, state: StateHandle) -> tuple[Metric, ...]:
        """Figures of a state on the validation part. Raises jobs.errors.DivergedStateError."""
        ...

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None: ...

    async def load_checkpoint(self, at_most: int) -> Checkpoint | None:
        """The newest stored checkpoint whose round is not after `at_most`."""
        ...

    async def fail_job(self, reason: str) -> None:
        """Ask for the job to be closed as failed."""
        ...

    def now_s(self) -> float:
        """A monotonic clock."""
        ...
