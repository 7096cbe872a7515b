"""The coordinator as a Ray actor: one for each running job. Implements CoordinatorNode's ports over Ray."""

import asyncio
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import ray

from cluster.actors.loading import lasting
from cluster.actors.meters import RayMeters
from cluster.actors.names import SUPERVISOR, VERIFIER
from cluster.actors.nodes import own_node
from cluster.actors.remote import Handle, cause_of, require_actor
from cluster.actors.vigil import Heart
from cluster.config import HomeLayout
from cluster.control.rounds import MinerDraining, MinerHeard, MinerJoined, MinerLost, MinerSilent
from cluster.control.slots import MinerId
from cluster.logs import about, configure_logging
from cluster.node.coordinator import CoordinatorNode
from cluster.node.ports import (
    Checkpoint,
    FlatState,
    JobOpening,
    JobProgress,
    MinerGoneError,
    MinerReplacedError,
    SlotReply,
    StateHandle,
)
from cluster.node.round_journal import FileJournal
from cluster.node.shared_updates import UpdateLostError, UpdatePlace
from cluster.node.training import ProgramTrainer, job_program
from cluster.node.update_reader import UpdateReader
from cluster.wallet.keystore import site_keystore
from consensus.errors import ConsensusError
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from consensus.records.work import Metric
from consensus.replay.verdict import Outcome
from jobs.errors import JobError, TrainingDivergedError
from jobs.program import JobProgram

_RETRY_S: Final = 0.5
_MOST_THREADS: Final = 4
"""For the end of a round, while miners wait. Half of the cores at most: on two, whatever else the site does takes the
other one then, and would take it from training later."""

_log = logging.getLogger("pouw.coordinator")


def _load_torch() -> None:
    with lasting():
        from jobs.models import size  # noqa: F401 - and so torch


def _check_memory(program: JobProgram) -> None:
    """Refuse a model that no miner on a machine like this one could train: takes a second. Raises ModelError."""
    from jobs.models.size import check_memory

    check_memory(program.spec, program.manifest, psutil.virtual_memory().available)


class CoordinatorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway needs to show a running job and to care for its miners."""

    pid: int
    round: int = 0
    loss: float | None = None
    metrics: dict[str, float] = {}
    state_digest: bytes | None = None
    samples_per_s: float | None = None
    waiting: str = ""
    cause: str = ""
    """What it waits for, in one word."""
    miners: dict[bytes, int] = {}
    excluded: dict[bytes, str] = {}
    """Miners from which nothing is taken any more, with the reason."""
    slot_s: float | None = None
    """Seconds of one miner's work for a slot; None before enough were run."""
    has_work: bool = True
    """Rounds are to be run, as far as is known."""
    is_ready: bool = False
    """Its rounds run, and it can take miners on."""


@dataclass(slots=True)
class RayPorts:
    """cluster.node.ports.CoordinatorPorts over actors and the object store."""

    job: bytes
    layout: bytes
    updates: UpdateReader
    miners: dict[MinerId, Handle] = field(default_factory=dict)

    def publish(self, state: FlatState) -> StateHandle:
        return StateHandle(ray.put(state))

    def take_on(self, miner: MinerId, handle: Handle, shared: tuple[int, bytes] | None) -> None:
        """A miner may be asked for slots. `shared`: the number of its latest update in memory, and its proof."""
        self.miners[miner] = handle
        can_share = self.updates.take_on(miner, shared)
        way = "hands over updates in memory, if they are large" if can_share else "sends its updates"
        _log.info("miner %s %s", miner.hex()[:16], way, extra=about(self.job))

    async def run_slot(self, miner: MinerId, assignment: bytes, state: StateHandle) -> SlotReply:
        handle = self.miners.get(miner)
        if handle is None:
            raise MinerGoneError(miner.hex())
        taken = self.updates.latest_of(miner)
        try:
            report, update = await handle.run_slot.remote(assignment, state, taken)
        except ray.exceptions.RayTaskError as error:
            cause = cause_of(error)
            if isinstance(cause, TrainingDivergedError):
                raise cause from None
            _log.warning(
                "miner %s failed and gets no more work here: %s", miner.hex()[:16], cause, extra=about(self.job)
            )
            raise MinerGoneError(miner.hex()) from cause
        except ray.exceptions.RayError as error:
            if self.miners.get(miner) != handle:
                raise MinerReplacedError(miner.hex()) from error
            raise MinerGoneError(miner.hex()) from error
        if isinstance(update, UpdatePlace):
            if taken is None:
                raise UpdateLostError("the miner was not asked to share its memory")
            update = self.updates.read(miner, update)
        return SlotReply(report=report, update=update)

    async def commit_round(self, commit: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        while True:
            try:
                progress: JobProgress = await require_actor(SUPERVISOR).commit_round.remote(commit, reports)
            except ray.exceptions.RayTaskError as error:
                raise cause_of(error) from None
            except ray.exceptions.RayError as error:
                _log.warning("the supervisor does not answer, trying again: %s", error, extra=about(self.job))
                await asyncio.sleep(_RETRY_S)
            else:
                return progress

    async def load_progress(self) -> JobProgress:
        progress: JobProgress = await require_actor(SUPERVISOR).progress.remote(self.job)
        return progress

    async def load_updates(self, round_number: int) -> tuple[Digest, ...]:
        updates: tuple[Digest, ...] = await require_actor(SUPERVISOR).updates.remote(self.job, round_number)
        return updates

    async def dispute(self, report: bytes) -> Outcome:
        outcome: Outcome = await require_actor(SUPERVISOR).dispute.remote(report)
        return outcome

    async def evaluate(self, state: StateHandle) -> tuple[Metric, ...]:
        await require_actor(SUPERVISOR).verifier_for.remote(self.job)
        metrics: tuple[Metric, ...] = await require_actor(VERIFIER).evaluate.remote(self.job, "validation", state)
        return metrics

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        await require_actor(SUPERVISOR).save_checkpoint.remote(
            self.job, checkpoint.round, checkpoint.state, checkpoint.optimizer, self.layout
        )

    async def load_checkpoint(self, at_most: int) -> Checkpoint | None:
        found: Checkpoint | None = await require_actor(SUPERVISOR).load_checkpoint.remote(self.job, at_most)
        return found

    async def fail_job(self, reason: str) -> None:
        await require_actor(SUPERVISOR).fail_job.remote(self.job, reason)

    def now_s(self) -> float:
        return time.monotonic()


class Coordinator:
    """Runs one job, from the first moment of its process on: one that was killed takes the job up from the chain."""

    OPTIONS: Final[dict[str, Any]] = {"num_cpus": 0, "max_restarts": -1, "concurrency_groups": {"control": 1}}

    def __init__(self, *, home: str, name: str, job: bytes, chain_id: bytes) -> None:
        layout = HomeLayout(root=Path(home))
        configure_logging(layout, name)
        self._rounds = layout.rounds / job.hex()
        self._key = site_keystore(layout).load_or_create("coordinator-0")
        self._job, self._chain_id = Digest(job), Digest(chain_id)
        self._heart = Heart(self._key, self._chain_id, name)
        self._opening: JobOpening | None = None
        self._segments: ray.ObjectRef | None = None
        self._ports: RayPorts | None = None
        self._node: CoordinatorNode | None = None
        self._meters = RayMeters(role="coordinator")
        self._torch = threading.Thread(target=_load_torch, name="load torch", daemon=True)
        self._torch.start()
        self._running = asyncio.create_task(self._run())

    @ray.method(concurrency_group="control")
    async def beat(self, watch: bytes, question: int) -> bytes:
        """A signed word that this process answers."""
        return self._heart.beat(watch, question)

    async def run(self) -> None:
        """Returns when the job's rounds are stopped. If they are already, the job is taken up first."""
        if self._running.done():
            self._running = asyncio.create_task(self._run())
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            await self._run_rounds()
        except (JobError, ConsensusError) as error:
            _log.exception("the job cannot go on", extra={"job": self._job.hex()})
            await require_actor(SUPERVISOR).fail_job.remote(self._job, str(error))
        except ray.exceptions.RayError:
            _log.exception("another role failed; the job is taken up again", extra={"job": self._job.hex()})
        except Exception:
            _log.exception("unexpected; the job is taken up again", extra={"job": self._job.hex()})
            raise

    async def _run_rounds(self) -> None:
        self._node = self._ports = None
        supervisor = require_actor(SUPERVISOR)
        opening: JobOpening = await supervisor.open_job.remote(self._job, self._key.public_key)
        self._segments = supervisor.load_part.remote(self._job, "train")
        verifier_ready = supervisor.verifier_for.remote(self._job)
        program = await asyncio.to_thread(job_program, opening)
        await asyncio.to_thread(self._torch.join)
        progress: JobProgress = await supervisor.progress.remote(self._job)
        if progress.state is None:  # a job that has run before fitted
            await asyncio.to_thread(_check_memory, program)
        threads = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // 2))
        trainer = await asyncio.to_thread(ProgramTrainer, program, threads=threads)
        await verifier_ready
        replay_class = await require_actor(VERIFIER).replay_class.remote(self._job)
        self._ports = RayPorts(job=self._job, layout=encode(trainer.layout), updates=UpdateReader(trainer.layout.bytes))
        self._opening = opening
        self._node = CoordinatorNode(
            key=self._key,
            chain_id=self._chain_id,
            opening=opening,
            trainer=trainer,
            ports=self._ports,
            replay_class=Digest(replay_class),
            journal=FileJournal(self._rounds),
            meters=self._meters,
        )
        await self._node.run()

    async def add_miner(self, miner: bytes, handle: list[Handle]) -> bool:
        """Take on a miner; False while the job is not ready for it. In a list the handle stays a handle."""
        if self._node is None or self._ports is None:
            return False
        ready = handle[0].prepare.remote(self._opening, self._segments, own_node(), self._ports.updates.board.place)
        self._ports.take_on(MinerId(miner), handle[0], await ready)
        self._node.tell(MinerJoined(miner=MinerId(miner)))
        return True

    async def drain_miner(self, miner: bytes) -> None:
        """Give a miner nothing more. When `status` no longer names it, it holds nothing."""
        if self._node is not None:
            self._node.tell(MinerDraining(miner=MinerId(miner)))

    async def lose_miner(self, miner: bytes) -> None:
        """A miner was found dead."""
        if self._node is not None:
            self._node.tell(MinerLost(miner=MinerId(miner)))

    async def silent_miner(self, miner: bytes) -> None:
        """A miner does not answer: others take over what it holds."""
        if self._node is not None:
            self._node.tell(MinerSilent(miner=MinerId(miner)))

    async def heard_miner(self, miner: bytes) -> None:
        """A silent miner answers again."""
        if self._node is not None:
            self._node.tell(MinerHeard(miner=MinerId(miner)))

    async def go_back(self, cheat: bytes) -> None:
        """Fraud was proven."""
        if self._node is not None:
            self._node.go_back(MinerId(cheat))

    async def stop(self) -> None:
        """No more rounds."""
        if self._node is not None:
            self._node.stop()

    async def state_handle(self, round_number: int) -> list[StateHandle] | None:
        """The state that a round starts from, in a list so that it stays a reference."""
        handle = self._node.state_handle(round_number) if self._node is not None else None
        return None if handle is None else [handle]

    async def status(self) -> CoordinatorStatus:
        """Figures for people, and which miners hold how many slots."""
        if self._node is None:
            return CoordinatorStatus(pid=os.getpid(), waiting="is being prepared")
        meter = self._node.meter
        return CoordinatorStatus(
            pid=os.getpid(),
            round=meter.round,
            loss=meter.loss,
            metrics=dict(meter.metrics),
            state_digest=meter.state_digest,
            samples_per_s=meter.samples_per_s,
            waiting=self._node.waiting_reason,
            cause=self._node.waiting_cause,
            miners={bytes(miner): held for miner, held in self._node.miners.items()},
            excluded={bytes(miner): why for miner, why in self._node.excluded.items()},
            slot_s=meter.slot_s,
            has_work=self._node.has_work,
            is_ready=not self._running.done(),
        )
