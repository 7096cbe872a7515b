"""Runs a site's job with the real coordinator, in one event loop and without waiting for anybody's clock."""

import asyncio
import time
from dataclasses import dataclass, field

from cluster.control.rounds import MinerJoined
from cluster.control.slots import MinerId
from cluster.node.coordinator import CoordinatorNode
from cluster.node.disputes import Disputes
from cluster.node.ports import Checkpoint, FlatState, JobProgress, SlotReply, StateHandle
from cluster.node.supervisor import Fraud
from cluster.node.training import ProgramTrainer
from cluster.wiring import node_stores
from consensus.crypto.signing import decode_signed
from consensus.errors import ConsensusError, InvalidBlockError, Reject
from consensus.ledger.entries import JobStatus
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.work import Metric, SlotReport
from consensus.replay.verdict import Outcome
from tests.kit.site import Site

_DUTY_S = 0.01
_BLOCKS_AT_MOST = 50
_BLOCKS_TO_SETTLE = 3
_COORDINATORS_AT_MOST = 8


@dataclass(kw_only=True)
class SiteRun:
    """Implements cluster.node.ports.CoordinatorPorts over a site, and does the supervisor's duties after each round."""

    site: Site
    is_mining: bool = False
    stops_at_block: bool = False
    """End the run when a miner has found its first block, and do not offer it."""
    stops_after_round: int | None = None
    """End the run when this round is committed."""
    rounds_per_block: int = 3
    node: CoordinatorNode | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    digests: dict[int, Digest] = field(default_factory=dict)
    """The state that each round started from, as last run."""
    states: dict[int, FlatState] = field(default_factory=dict)
    """The states themselves."""
    slots_run: list[tuple[int, int, str]] = field(default_factory=list)
    """Round, slot and miner of every answer, in order."""
    blocks: list[bytes] = field(default_factory=list)
    refused: list[Reject] = field(default_factory=list)
    """Codes of mined blocks that were not accepted."""
    failures: list[str] = field(default_factory=list)
    """Why a coordinator gave up."""
    _waiting: int = 0
    _has_given_up: bool = False

    async def run(self) -> None:
        """Run the job to its end. A coordinator that gives up is started again, as a site does."""
        for _ in range(_COORDINATORS_AT_MOST):
            known = len(self.failures)
            try:
                await self._run_coordinator()
            except ConsensusError as error:
                await self.fail_job(str(error))
            if len(self.failures) == known or self._end_failed_job():
                return

    async def _run_coordinator(self) -> None:
        self._has_given_up = False
        trainer = ProgramTrainer(self.site.program, threads=1)
        self.node = CoordinatorNode(
            key=self.site.coordinator,
            chain_id=self.site.chain_id,
            opening=self.site.opening,
            trainer=trainer,
            ports=self,
            replay_class=self.site.verifier.replay_class(self.site.job_id),
        )
        for miner in self.site.miners.values():
            self.node.tell(MinerJoined(miner=MinerId(miner.public_key)))
        await asyncio.wait_for(self.node.run(), timeout=30)

    # ports

    def publish(self, state: FlatState) -> StateHandle:
        return StateHandle(state.copy())

    async def run_slot(self, miner: MinerId, assignment: bytes, state: StateHandle) -> SlotReply:
        await asyncio.sleep(0)
        name = next(name for name, node in self.site.miners.items() if node.public_key == miner)
        assert self.node is not None
        number = self.node.meter.round
        self.states[number], self.digests[number] = state, self.node.meter.state_digest
        reply, block = self.site.run_slot(assignment, name, state)
        self.slots_run.append((number, len(self.slots_run), name))
        if block is not None:
            self._take_block(block)
        return reply

    async def commit_round(self, commit: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        self.site.supervisor.commit_round(commit, reports)
        self._waiting += 1
        job = self.site.supervisor.job(self.site.job_id)
        assert job is not None
        if self.stops_after_round is not None and job.next_round > self.stops_after_round:
            self._stop()
        elif job.closing:
            asyncio.get_running_loop().call_later(_DUTY_S, self._finish)
        elif self._waiting >= self.rounds_per_block:
            self._move_on()
        if self.is_mining:
            self.site.offer_templates()
        return await self.load_progress()

    async def load_progress(self) -> JobProgress:
        return self.site.supervisor.progress(self.site.job_id)

    async def load_updates(self, round_number: int) -> tuple[Digest, ...]:
        return self._disputes.committed_updates(self.site.job_id, round_number)

    async def dispute(self, report: bytes) -> Outcome:
        answer = decode(decode_signed(report).body, SlotReport)
        state = self.state_of(answer.round)
        assert state is not None
        verdict = self.site.replay(answer, state)
        fraud = self._disputes.decide(answer, verdict)
        if fraud is None:
            self.site.append_quiet_block()  # time passes: what was being settled is
        self._go_back([] if fraud is None else [fraud])
        return verdict.outcome

    @property
    def _disputes(self) -> Disputes:
        return Disputes(node=self.site.supervisor, stores=node_stores(self.site.store))

    async def evaluate(self, state: StateHandle) -> tuple[Metric, ...]:
        return self.site.verifier.evaluate(self.site.job_id, "validation", state)

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        copied = Checkpoint(
            round=checkpoint.round, state=checkpoint.state.copy(), optimizer=checkpoint.optimizer.copy()
        )
        self.checkpoints = [c for c in self.checkpoints if c.round != checkpoint.round] + [copied]

    async def load_checkpoint(self, at_most: int) -> Checkpoint | None:
        usable = [checkpoint for checkpoint in self.checkpoints if checkpoint.round <= at_most]
        return max(usable, key=lambda checkpoint: checkpoint.round, default=None)

    async def fail_job(self, reason: str) -> None:
        self._has_given_up = True
        self.failures.append(reason)
        self.site.supervisor.fail_job(self.site.job_id, reason)

    def now_s(self) -> float:
        return time.monotonic()

    # the supervisor's duties

    def state_of(self, number: int) -> FlatState | None:
        """The state of an unsettled round, as the coordinator hands it to verifiers."""
        assert self.node is not None
        return self.node.state_handle(number)

    def _move_on(self) -> bool:
        """A block, then the audits it releases. Whether the job has to go back."""
        self._waiting = 0
        self.site.append_quiet_block()
        frauds = self.site.audit(self.state_of)
        self._go_back(frauds)
        return bool(frauds)

    def _stop(self) -> None:
        assert self.node is not None
        self.node.stop()

    def _finish(self) -> None:
        """Settle and close the job, unless an audit finds that it was not over."""
        for _ in range(_BLOCKS_AT_MOST):
            job = self.site.supervisor.job(self.site.job_id)
            if self._has_given_up or job is None or not job.closing or self._move_on():
                return
            if self._close_if_due():
                self._stop()
                return
        raise AssertionError("the job does not come to an end")

    def _end_failed_job(self) -> bool:
        """What a site does while its coordinator is not running. Whether the job is over."""
        for _ in range(_BLOCKS_TO_SETTLE):
            if self._move_on() or self._close_if_due():
                break
        return self.site.job.status is not JobStatus.RUNNING

    def _close_if_due(self) -> bool:
        """Close the job if its rounds are settled. Whether it is over."""
        for job, outcome, reason in self.site.supervisor.closable():
            self.site.supervisor.close_job(job, outcome, reason, ())
        return self.site.job.status is not JobStatus.RUNNING

    def _take_block(self, block: bytes) -> None:
        self.blocks.append(block)
        if self.stops_at_block:
            self.is_mining = False
            self._stop()
        else:
            self._offer(block)

    def _offer(self, block: bytes) -> None:
        try:
            fraud = self.site.offer_block(block, self.state_of)
        except InvalidBlockError as error:
            self.refused.append(error.code)
        else:
            self._go_back([] if fraud is None else [fraud])

    def _go_back(self, frauds: list[Fraud]) -> None:
        assert self.node is not None
        for fraud in frauds:
            self.node.go_back(fraud.miner)


def run_job(site: Site, **options: object) -> SiteRun:
    """Run a site's job to its end."""
    run = SiteRun(site=site, **options)
    asyncio.run(run.run())
    return run
