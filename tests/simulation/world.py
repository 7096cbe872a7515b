"""A site in virtual time: the real coordinator, supervisor and miner nodes around training that is hashing.

What actors, processes and the network do is simulated here: messages take their time and overtake each other, are lost
and sent again, or come twice; links are cut and healed; miners crash, freeze, come back and cheat; nodes are started
again. Everything that decides is the code of a real site.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - handed in by whoever knows the seed

from cluster.control.rounds import MinerDraining, MinerJoined, MinerLost
from cluster.control.slots import MinerId
from cluster.node.coordinator import CoordinatorNode
from cluster.node.disputes import Disputes
from cluster.node.miner import MinerNode
from cluster.node.ports import (
    Checkpoint,
    FlatState,
    JobOpening,
    JobPlan,
    JobProgress,
    MinerGoneError,
    SlotReply,
    StateHandle,
)
from cluster.node.supervisor import Fraud, SupervisorNode
from cluster.wiring import node_stores
from consensus.chain.genesis import genesis_state
from consensus.crypto.signing import Signed, decode_signed, sign
from consensus.errors import ConsensusError, InvalidBlockError
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Credits, Digest, Height, PublicKey, TimeMs
from consensus.records.block import Block
from consensus.records.transactions import SubmitJob
from consensus.records.work import Metric, SlotReport
from consensus.replay.verdict import Outcome
from jobs.errors import TrainingDivergedError
from storage.memory_kv import MemoryStore
from tests.kit.genesis import make_genesis, make_params, public_key, secret_key, supervisor_keys
from tests.kit.hashed_training import REPLAY_CLASS, HashTrainer, replay
from tests.kit.memory_journal import MemoryJournal
from tests.kit.work import word
from tests.simulation.miners import Miner, start_miner

REWARD = Credits(1_000_000)
DUTY_S = 1.0
FROZEN_S = 10.0
"""How long it takes until a miner that does not answer is given up."""
LOST_S = 0.5
"""After so long a message that was not answered is sent again."""

Lie = Callable[["World", MinerNode, SlotReply], SlotReply]
"""What a dishonest miner sends instead of its honest answer. May raise what a miner can raise."""


@dataclass(kw_only=True)
class World:
    """Implements cluster.node.ports.CoordinatorPorts for the coordinator that is running."""

    plan: JobPlan
    random: Random
    audit_ppm: int = 1_000_000
    is_mining: bool = False
    slot_s: float = 0.5
    call_s: float = 0.02
    lies: dict[str, Lie] = field(default_factory=dict)
    miners: dict[str, Miner] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    frauds: list[Fraud] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Reasons that coordinators gave for not going on."""
    errors: list[Exception] = field(default_factory=list)
    """What ended coordinators."""
    mistakes: list[Exception] = field(default_factory=list)
    """Errors of the simulation itself; a coordinator takes them for a miner's."""
    store: MemoryStore = field(default_factory=MemoryStore)
    acknowledged: list[Digest] = field(default_factory=list)
    """Round commits that the supervisor took."""
    journal: MemoryJournal | None = None
    """What a coordinator leaves to the next one beside checkpoints."""
    clock_offset_ms: int = 0
    stops: int = 0
    """How often a node was started again."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.genesis = make_genesis(params=make_params(quiet_after_ms=TimeMs(2_000)))
        stores = node_stores(self.store)
        stores.chain.create(self.genesis, genesis_state(self.genesis).entries())
        self.supervisor = self.open_supervisor()
        submission = SubmitJob(
            sequence=0,
            name="simulated",
            spec=word("spec"),
            dataset=word("dataset"),
            rounds=self.plan.rounds,
            slots=self.plan.slots,
            audit_ppm=self.audit_ppm,
            reward=REWARD,
        )
        self.job = self.supervisor.submit(encode(self.sign("client", submission)))
        self.coordinator: CoordinatorNode | None = None
        self.running: asyncio.Task[None] | None = None

    def set_clock_back(self) -> None:
        """Further than blocks may be ahead of it."""
        self.clock_offset_ms -= 3_000

    def sign(self, name: str, message: Record) -> Signed:
        return sign(secret_key(name), self.genesis.chain_id, message)

    def open_supervisor(self) -> SupervisorNode:
        """A supervisor over what is stored."""
        stores = node_stores(self.store)
        return SupervisorNode(key=supervisor_keys(1)[0], genesis=self.genesis, stores=stores, clock_ms=self.now_ms)

    @property
    def account(self) -> JobAccount:
        """The job on the ledger after the last final block."""
        return self.supervisor.chain.view.state.jobs[self.job]

    @property
    def is_over(self) -> bool:
        found = self.supervisor.chain.view.state.jobs.get(self.job)
        return found is not None and found.status not in (JobStatus.QUEUED, JobStatus.RUNNING)

    def now_ms(self) -> TimeMs:
        try:
            now_s = asyncio.get_running_loop().time()
        except RuntimeError:
            now_s = 0.0
        return TimeMs(self.genesis.time_ms + 1 + self.clock_offset_ms + int(now_s * 1000))

    # ports of the coordinator

    def publish(self, state: FlatState) -> StateHandle:
        return StateHandle(state.copy())

    async def run_slot(self, miner: MinerId, assignment: bytes, state: FlatState) -> SlotReply:
        process = next((m for m in self.miners.values() if m.id == miner), None)
        if process is None:
            raise MinerGoneError(miner.hex())
        await process.cross()
        await process.pass_time(self.random.expovariate(1 / self.slot_s))
        reply, block = process.node.run_slot(assignment, state)
        if block is not None:
            for _ in range(self._copies()):
                self._spawn(self._offer(block))
        await process.cross()
        lie = self.lies.get(process.name)
        try:
            return reply if lie is None else lie(self, process.node, reply)
        except (MemoryError, TrainingDivergedError):
            raise
        except Exception as error:
            self.mistakes.append(error)
            raise

    async def commit_round(self, commit: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        lost_s = LOST_S if self.random.random() < 0.1 else 0.0  # it was lost: it is sent again
        await asyncio.sleep(lost_s + self.random.expovariate(1 / self.call_s))
        progress = self.supervisor.commit_round(commit, reports)
        self.acknowledged.append(decode_signed(commit).digest)
        if self.random.random() < 0.1:  # the answer was lost: it is sent again
            await asyncio.sleep(LOST_S)
            progress = self.supervisor.commit_round(commit, reports)
        return progress

    async def load_progress(self) -> JobProgress:
        await asyncio.sleep(self.call_s)
        return self.supervisor.progress(self.job)

    async def load_updates(self, round_number: int) -> tuple[Digest, ...]:
        await asyncio.sleep(self.call_s)
        return self.disputes.committed_updates(self.job, round_number)

    async def dispute(self, report: bytes) -> Outcome:
        answer = decode(decode_signed(report).body, SlotReport)
        state = None if self.coordinator is None else self.coordinator.state_handle(answer.round)
        await asyncio.sleep(self.random.expovariate(1 / self.call_s))
        if state is None:
            return Outcome.INCONCLUSIVE
        verdict = replay(answer, state)
        self._pursue(self.disputes.decide(answer, verdict))
        return verdict.outcome

    @property
    def disputes(self) -> Disputes:
        return Disputes(node=self.supervisor, stores=node_stores(self.store))

    async def evaluate(self, state: FlatState) -> tuple[Metric, ...]:
        await asyncio.sleep(self.call_s)
        return (Metric(name="accuracy", value=state.tobytes()[0], scale=255),)

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        state, optimizer = checkpoint.state.copy(), checkpoint.optimizer.copy()
        await asyncio.sleep(self.call_s)
        self.checkpoints[checkpoint.round] = Checkpoint(round=checkpoint.round, state=state, optimizer=optimizer)

    async def load_checkpoint(self, at_most: int) -> Checkpoint | None:
        await asyncio.sleep(self.call_s)
        usable = [number for number in self.checkpoints if number <= at_most]
        return self.checkpoints[max(usable)] if usable else None

    async def fail_job(self, reason: str) -> None:
        self.failures.append(reason)
        self.supervisor.fail_job(self.job, reason)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    # what happens to miners

    def join(self, name: str) -> None:
        """A miner starts, or starts again."""
        miner = self.miners[name] = start_miner(name, self.genesis, self.opening())
        self.tell(MinerJoined(miner=miner.id))

    def crash(self, name: str) -> None:
        """A miner dies. Its calls say so soon, the site's care later."""
        miner = self.miners.pop(name)
        miner.gone.set()
        self._spawn(self._notice(miner))

    async def _notice(self, miner: Miner) -> None:
        await asyncio.sleep(self.random.random())
        if miner.name not in self.miners:
            self.tell(MinerLost(miner=miner.id))

    def freeze(self, name: str) -> None:
        """A miner stops answering without dying."""
        self.miners[name].thawed.clear()

    def thaw(self, name: str) -> None:
        self.miners[name].thawed.set()

    def cut(self, name: str) -> None:
        """A miner works on, but no message reaches it or comes from it. After a while it is given up."""
        miner = self.miners[name]
        miner.linked.clear()
        self._spawn(self._give_up(miner))

    async def _give_up(self, miner: Miner) -> None:
        await asyncio.sleep(FROZEN_S)
        if not miner.linked.is_set():
            self.tell(MinerLost(miner=miner.id))

    def heal(self, name: str) -> None:
        """What was under way arrives, and the miner joins again."""
        self.miners[name].linked.set()
        self.tell(MinerJoined(miner=self.miners[name].id))

    def drain(self, name: str) -> None:
        self.tell(MinerDraining(miner=self.miners[name].id))

    def tell(self, event: MinerJoined | MinerLost | MinerDraining) -> None:
        if self.coordinator is None:
            return
        self.coordinator.tell(event)
        if self._copies() > 1:
            self._spawn(self._tell_again(self.coordinator, event))

    async def _tell_again(self, coordinator: CoordinatorNode, event: MinerJoined | MinerLost | MinerDraining) -> None:
        """A second copy arrives, after later ones if it is slow, unless it says of the living that they died."""
        await asyncio.sleep(self.random.expovariate(1 / LOST_S))
        is_there = any(miner.id == event.miner for miner in self.miners.values())
        if is_there is not isinstance(event, MinerLost):
            coordinator.tell(event)

    def _copies(self) -> int:
        return 2 if self.random.random() < 0.1 else 1

    # the life of the site

    def opening(self) -> JobOpening:
        return JobOpening(
            job=self.job, spec=b"", manifest=b"", beacon=word("beacon"), coordinator=public_key("coordinator")
        )

    async def run(self) -> None:
        """Until the job is closed."""
        duties = asyncio.create_task(self._duties())
        keeping = asyncio.create_task(self._keep_coordinator())
        try:
            while not self.is_over:
                for task in (duties, keeping, *self._tasks):
                    if task.done():
                        task.result()
                await asyncio.sleep(DUTY_S)
        finally:
            for task in (duties, keeping, *self._tasks):
                task.cancel()
            await asyncio.gather(duties, keeping, *self._tasks, return_exceptions=True)

    async def _keep_coordinator(self) -> None:
        self.supervisor.start_job(self.job, public_key("coordinator"))
        named = public_key("coordinator")
        while not self.supervisor.is_started(self.job, named):  # noqa: ASYNC110 - as the actor does
            await asyncio.sleep(DUTY_S)
        while True:
            await self._run_coordinator(self.new_coordinator())
            await asyncio.sleep(DUTY_S)

    def new_coordinator(self) -> CoordinatorNode:
        """A coordinator that knows of the miners there are."""
        self.coordinator = CoordinatorNode(
            key=secret_key("coordinator"),
            chain_id=self.genesis.chain_id,
            opening=self.opening(),
            trainer=HashTrainer(self.plan),
            ports=self,
            replay_class=REPLAY_CLASS,
            journal=self.journal,
        )
        for miner in self.miners.values():
            self.tell(MinerJoined(miner=miner.id))
        return self.coordinator

    async def _run_coordinator(self, node: CoordinatorNode) -> None:
        self.running = asyncio.create_task(node.run())
        try:
            await asyncio.wait([self.running])
        finally:
            self.running.cancel()
        if self.running.cancelled():
            return
        error = self.running.exception()
        if isinstance(error, ConsensusError):
            self.errors.append(error)
            await self.fail_job(str(error))
        elif error is not None:
            raise error

    def restart_coordinator(self) -> None:
        """The coordinator's process dies and is started again with nothing but what is stored."""
        if self.running is not None:
            self.stops += 1
            self.running.cancel()

    def restart_supervisor(self) -> SupervisorNode:
        """The same for the supervisor. Returns the one that was there before."""
        self.stops += 1
        before, self.supervisor = self.supervisor, self.open_supervisor()
        return before

    # duties of the supervisor's process

    async def _duties(self) -> None:
        while True:
            await asyncio.sleep(DUTY_S)
            self.supervisor.append_quiet_block()
            self._offer_templates()
            await self.audit()
            self.close_jobs()

    def close_jobs(self) -> None:
        for job, outcome, reason in self.supervisor.closable():
            self.supervisor.close_job(job, outcome, reason, ())

    def _offer_templates(self) -> None:
        for miner in self.miners.values() if self.is_mining else ():
            template = self.supervisor.template(PublicKey(miner.id))
            if template is not None:
                miner.node.offer_template(template)

    async def audit(self) -> None:
        """Replay what is due, as far as the states are there."""
        for _ in range(self.supervisor.audits.backlog):
            due = self.supervisor.next_audit()
            if due is None:
                return
            slot, report = due
            state = None if self.coordinator is None else self.coordinator.state_handle(slot.round)
            await asyncio.sleep(self.random.expovariate(1 / self.call_s))
            if state is None:
                self.supervisor.postpone_audit(slot)
                return
            self._pursue(self.supervisor.record_audit(slot, replay(report, state)))

    async def _offer(self, block: bytes) -> None:
        await asyncio.sleep(self.random.expovariate(1 / self.call_s))
        try:
            self._judge(block)
        except InvalidBlockError:
            return

    def _judge(self, data: bytes) -> None:
        candidate = self.supervisor.offer(data)
        if candidate.replay is None or self.coordinator is None:
            return
        report = decode(decode_signed(candidate.replay.report).body, SlotReport)
        state = self.coordinator.state_handle(report.round)
        verdict = None if state is None else replay(report, state)
        try:
            self.supervisor.accept(candidate, verdict)
        except InvalidBlockError:
            if verdict is not None and verdict.outcome is Outcome.MISMATCH:
                self._pursue(self.supervisor.prove_fraud(decode_signed(candidate.replay.report), verdict))
            raise

    def _pursue(self, fraud: Fraud | None) -> None:
        if fraud is not None:
            self.frauds.append(fraud)
            if self.coordinator is not None:
                self.coordinator.go_back(fraud.miner)

    def _spawn(self, action: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(action))

    def blocks(self) -> Iterator[Block]:
        """All final blocks in order."""
        chain = node_stores(self.store).chain
        return (chain.load_block(Height(height)) for height in range(1, chain.tip_height() + 1))
