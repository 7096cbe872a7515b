"""Training that is hashing: as deterministic as the real thing, exact, and done in microseconds.

A state is the 32 bytes of a digest, looked at as float32 numbers that nobody calculates with. The next state is the
hash of the state and the updates in slot order, so a wrong, missing or misplaced one shows in every state after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluster.node.ports import AppliedRound, Checkpoint, FlatState, JobPlan
from consensus.errors import Reject
from consensus.primitives.integers import Digest
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome, Verdict
from tests.kit.work import word

REPLAY_CLASS = word("class")
LOSS_BITS = 0x3F800000


def make_plan(**changes: object) -> JobPlan:
    """A plan of 4 rounds of 2 slots, every second state stored."""
    fields: dict[str, object] = {
        "rounds": 4,
        "slots": 2,
        "local_steps": 1,
        "examples_per_round": 64,
        "eval_every": 2,
        "checkpoint_every": 2,
        "has_validation": False,
    }
    return JobPlan(**{**fields, **changes})


def numbers(digest: bytes) -> FlatState:
    """A digest as a state or an update."""
    return np.frombuffer(digest, np.float32)


def digest_of(array: FlatState) -> Digest:
    """What names a state or an update."""
    return word("digest", array.tobytes().hex())


def update_of(state: FlatState, round_number: int, slot: int) -> FlatState:
    """What a slot comes to."""
    return numbers(word("update", state.tobytes().hex(), round_number, slot))


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedStep:
    """Implements jobs.mining.trace.FinishedStep."""

    indices: Digest
    batch: Digest
    weights_in: Digest
    weights_out: Digest
    batch_bytes: int = 4_096
    weight_bytes: int = 4_096
    loss_bits: int = LOSS_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedSlot:
    """Implements jobs.mining.trace.FinishedSlot, with the update."""

    update: FlatState
    update_digest: Digest
    steps: tuple[HashedStep, ...]
    examples: int = 64


class HashRunner:
    """Runs slots in a `MinerNode`, in the place of jobs.training.slot.SlotRunner."""

    def run(
        self, state: FlatState, digest: Digest, round_number: int, slot: int, *, update_out: None = None
    ) -> HashedSlot:
        update = update_of(state, round_number, slot)
        named = digest_of(update)
        step = HashedStep(
            indices=word("indices", round_number, slot),
            batch=word("batch", round_number, slot),
            weights_in=digest,
            weights_out=named,
        )
        return HashedSlot(update=update, update_digest=named, steps=(step,))


def replay(report: SlotReport, state: FlatState) -> Verdict:
    """The verdict on a slot, as a verifier's."""
    known, step = digest_of(state), report.steps[0]
    code: Reject | None = None
    outcome = Outcome.MATCH
    if step.weights_in != known:
        outcome = Outcome.INCONCLUSIVE
    else:
        honest = HashRunner().run(state, known, report.round, report.slot)
        if report.update != honest.update_digest or step.weights_out != honest.update_digest:
            outcome, code = Outcome.MISMATCH, Reject.UPDATE
        elif step.loss_bits != LOSS_BITS:
            outcome, code = Outcome.MISMATCH, Reject.LOSS
    return Verdict(job=report.job, round=report.round, slot=report.slot, outcome=outcome, code=code)


class HashTrainer:
    """Implements cluster.node.ports.RoundTrainer."""

    def __init__(self, plan: JobPlan) -> None:
        self.plan = plan
        self._state = self._optimizer = numbers(bytes(32))

    def initial(self) -> Checkpoint:
        return Checkpoint(round=0, state=numbers(word("initial")), optimizer=numbers(word("optimizer")))

    def load(self, checkpoint: Checkpoint) -> Digest:
        self._state, self._optimizer = checkpoint.state.copy(), checkpoint.optimizer.copy()
        return digest_of(self._state)

    def apply(self, round_number: int, updates: Sequence[FlatState], *, with_optimizer: bool) -> AppliedRound:
        parts = [array.tobytes().hex() for array in (self._state, self._optimizer, *updates)]
        self._state = numbers(word("state", round_number, *parts))
        self._optimizer = numbers(word("moments", round_number, *parts))
        return AppliedRound(
            state=self._state,
            state_digest=digest_of(self._state),
            optimizer_digest=digest_of(self._optimizer) if with_optimizer else None,
        )

    def digest(self, update: FlatState) -> Digest:
        return digest_of(update)

    def checkpoint(self, round_number: int) -> Checkpoint:
        return Checkpoint(round=round_number, state=self._state, optimizer=self._optimizer)


def undisturbed_states(plan: JobPlan) -> list[Digest]:
    """The state that each round starts from and the last one, when nothing goes wrong."""
    trainer = HashTrainer(plan)
    checkpoint = trainer.initial()
    digests, state = [trainer.load(checkpoint)], checkpoint.state
    for number in range(plan.rounds):
        updates = [update_of(state, number, slot) for slot in range(plan.slots)]
        applied = trainer.apply(number, updates, with_optimizer=False)
        digests.append(applied.state_digest)
        state = applied.state
    return digests
