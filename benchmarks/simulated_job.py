"""A coordinator with everything around it simulated: miners that answer at once, training that computes nothing.

What is left is the real `CoordinatorNode`: every slot is handed out under a signed assignment, its signed report is
checked, every round is signed and handed in. What the simulated miners need to make and sign their reports is timed,
so that it can be taken off. A round has as many slots as there are miners (4 at least), as jobs have.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from cluster.control.rounds import MinerJoined
from cluster.control.slots import MinerId
from cluster.node.coordinator import CoordinatorNode
from cluster.node.ports import (
    AppliedRound,
    Checkpoint,
    FlatState,
    JobOpening,
    JobPlan,
    JobProgress,
    SlotReply,
    StateHandle,
)
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import decode_signed, sign
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest
from consensus.records.work import Assignment, Metric, SlotReport, StepRecord
from consensus.replay.verdict import Outcome

_LEAST_SLOTS = 4
_NUMBERS = 16
_ROUND_S = 1.0
"""What the coordinator's clock says of a round: figures over the last ten seconds span ten rounds, not thousands."""
_WORD = sha256("pouw/bench-word/1", b"some content")
_UPDATE = np.zeros(_NUMBERS, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedJob:
    """So many rounds with so many miners."""

    miners: int
    rounds: int

    @property
    def slots(self) -> int:
        """Slots of one round."""
        return max(self.miners, _LEAST_SLOTS)

    def run(self, look: Callable[[], None] = lambda: None) -> float:
        """The coordinator's own seconds. `look` is called before it is made, and when it has committed all rounds."""
        return asyncio.run(self._run(_Ports(keys=_keys(self.miners)), look))

    async def _run(self, ports: "_Ports", look: Callable[[], None]) -> float:
        trainer = _NoTraining(plan=_plan(self.slots, self.rounds))
        key = _key("coordinator")
        opening = JobOpening(job=_WORD, spec=b"", manifest=b"", beacon=_WORD, coordinator=key.public_key)
        look()
        node = CoordinatorNode(
            key=key, chain_id=_WORD, opening=opening, trainer=trainer, ports=ports, replay_class=_WORD
        )
        for miner in ports.keys:
            node.tell(MinerJoined(miner=miner))
        started = perf_counter()
        running = asyncio.create_task(node.run())
        await ports.last_commit(self.rounds)
        elapsed_s = perf_counter() - started
        look()
        node.stop()
        await running
        return elapsed_s - ports.spent_s


def _plan(slots: int, rounds: int) -> JobPlan:
    return JobPlan(
        rounds=rounds,
        slots=slots,
        local_steps=1,
        examples_per_round=slots,
        eval_every=rounds + 1,
        checkpoint_every=rounds + 1,
        has_validation=False,
    )


def _key(name: str) -> SecretKey:
    return SecretKey(hashlib.sha256(f"benchmark key {name}".encode()).digest())


def _keys(miners: int) -> dict[MinerId, SecretKey]:
    keys = [_key(f"miner {number}") for number in range(miners)]
    return {MinerId(key.public_key): key for key in keys}


@dataclass(slots=True, kw_only=True)
class _NoTraining:
    """cluster.node.ports.RoundTrainer: every round gives the same zeros under another digest."""

    plan: JobPlan

    def initial(self) -> Checkpoint:
        return Checkpoint(round=0, state=np.zeros(_NUMBERS, np.float32), optimizer=np.zeros(0, np.float32))

    def load(self, checkpoint: Checkpoint) -> Digest:
        return self._digest(checkpoint.round)

    def apply(self, round_number: int, updates: Sequence[FlatState], *, with_optimizer: bool) -> AppliedRound:
        del updates
        return AppliedRound(
            state=_UPDATE,
            state_digest=self._digest(round_number + 1),
            optimizer_digest=_WORD if with_optimizer else None,
        )

    def digest(self, update: FlatState) -> Digest:
        del update
        return _WORD

    def checkpoint(self, round_number: int) -> Checkpoint:
        return Checkpoint(round=round_number, state=_UPDATE, optimizer=_UPDATE)

    @staticmethod
    def _digest(number: int) -> Digest:
        return sha256("pouw/bench-state/1", number.to_bytes(8, "big"))


@dataclass(slots=True, kw_only=True)
class _Ports:
    """cluster.node.ports.CoordinatorPorts in memory: miners answer at once, rounds are settled when they come in."""

    keys: dict[MinerId, SecretKey]
    spent_s: float = 0.0
    """What the miners needed."""
    committed: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def last_commit(self, rounds: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.committed == rounds)

    def publish(self, state: FlatState) -> StateHandle:
        return StateHandle(state)

    async def run_slot(self, miner: MinerId, assignment: bytes, state: StateHandle) -> SlotReply:
        del state
        started = perf_counter()
        reply = SlotReply(report=self._report(self.keys[miner], assignment), update=_UPDATE)
        self.spent_s += perf_counter() - started
        await asyncio.sleep(0)
        return reply

    @staticmethod
    def _report(key: SecretKey, message: bytes) -> bytes:
        assignment = decode(decode_signed(message).body, Assignment)
        step = StepRecord(
            job=assignment.job,
            round=assignment.round,
            slot=assignment.slot,
            step=0,
            miner=assignment.miner,
            indices=_WORD,
            batch=_WORD,
            batch_bytes=4096,
            weights_in=assignment.state,
            weights_out=_WORD,
            weight_bytes=_UPDATE.nbytes,
            loss_bits=0x3F800000,
        )
        report = SlotReport(
            job=assignment.job,
            round=assignment.round,
            slot=assignment.slot,
            attempt=assignment.attempt,
            miner=assignment.miner,
            replay_class=_WORD,
            assignment=assignment.digest,
            steps=(step,),
            update=_WORD,
            examples=1,
        )
        return encode(sign(key, _WORD, report))

    async def commit_round(self, commit: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        del commit, reports
        async with self._news:
            self.committed += 1
            self._news.notify_all()
        return await self.load_progress()

    async def load_progress(self) -> JobProgress:
        return JobProgress(next_round=self.committed, settled_round=self.committed)

    async def load_updates(self, round_number: int) -> tuple[Digest, ...]:
        raise RuntimeError(f"round {round_number} is not run again here")

    async def dispute(self, report: bytes) -> Outcome:
        raise RuntimeError(f"nothing is disputed here: {decode_signed(report).digest.hex()}")

    async def evaluate(self, state: StateHandle) -> tuple[Metric, ...]:
        del state
        return ()

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        del checkpoint

    async def load_checkpoint(self, at_most: int) -> Checkpoint | None:
        del at_most
        return None

    async def fail_job(self, reason: str) -> None:
        raise RuntimeError(reason)

    def now_s(self) -> float:
        return self.committed * _ROUND_S
