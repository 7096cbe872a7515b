"""A whole site in one process, without Ray: real nodes, real keys, real training of a small model, a clock by hand.

Miners may be given a lie: it turns what they would honestly send into what they send. Everything that judges them is
the code of a real site; only the actors around it are missing, and what they do is done here in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cluster.node.messages import open_message
from cluster.node.miner import MinerNode
from cluster.node.ports import FlatState, JobOpening, SlotReply
from cluster.node.supervisor import Fraud, SupervisorNode
from cluster.node.training import ProgramTrainer, Segments, job_program
from cluster.node.verifier import VerifierNode
from cluster.wiring import node_stores
from consensus.chain.acceptance import Candidate
from consensus.chain.genesis import genesis_state, job_beacon
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, decode_signed, sign
from consensus.errors import InvalidBlockError, Reject
from consensus.ledger.entries import JobAccount
from consensus.params import ConsensusParams
from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Credits, Digest, Height, TimeMs
from consensus.records.genesis import Genesis
from consensus.records.transactions import JobId, ProveFraud, SubmitJob, Transaction
from consensus.records.work import Assignment, SlotReport
from consensus.replay.verdict import Outcome, Verdict
from jobs.data.manifest import DatasetManifest, PartName
from jobs.data.prepare import prepare_dataset
from jobs.program import JobProgram
from jobs.spec.canonical import spec_bytes
from jobs.spec.job import JobSpec
from storage.chain_store import ChainStore
from storage.kv import KeyValueStore
from storage.memory_kv import MemoryStore
from tests.kit.genesis import PARAMS, make_genesis, public_key, secret_key, supervisor_keys
from tests.kit.training import DIGITS, MLP, make_spec

HONEST, CHEAT = "honest", "cheat"
ALL_SLOTS_PPM = 1_000_000
REWARD = Credits(1_000_000)


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that a miner has when it has done its slot: what it was asked, what it would honestly answer, its key."""

    site: "Site"
    assignment: Assignment
    state: FlatState
    reply: SlotReply
    miner: MinerNode

    @property
    def report(self) -> SlotReport:
        """The honest report."""
        return decode(decode_signed(self.reply.report).body, SlotReport)

    def answer(self, report: SlotReport, update: FlatState | None = None) -> SlotReply:
        """Another report, properly signed by the miner, with the honest update or another one."""
        signed = self.site.sign(self.miner.key, report)
        return SlotReply(report=encode(signed), update=self.reply.update if update is None else update)


Lie = Callable[[Task], SlotReply]
"""What a dishonest miner sends instead of its honest answer."""


@dataclass(kw_only=True)
class Site:
    """A running job with all who take part in it."""

    genesis: Genesis
    store: KeyValueStore
    supervisor: SupervisorNode
    verifier: VerifierNode
    spec: JobSpec
    program: JobProgram
    opening: JobOpening
    train: Segments
    miners: dict[str, MinerNode]
    clock: "Clock"
    lies: dict[str, Lie] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    """What replays came to, in order."""

    @property
    def chain_id(self) -> Digest:
        return self.supervisor.chain.chain_id

    @property
    def params(self) -> ConsensusParams:
        return self.genesis.params

    @property
    def job_id(self) -> JobId:
        return self.opening.job

    @property
    def job(self) -> JobAccount:
        """The job on the ledger after the last final block."""
        return self.supervisor.chain.view.state.jobs[self.job_id]

    @property
    def coordinator(self) -> SecretKey:
        return secret_key("coordinator")

    @property
    def authority(self) -> SecretKey:
        """The key of the only supervisor."""
        return supervisor_keys(1)[0]

    def sign(self, signer: SecretKey | str, message: Record) -> Signed:
        """A message signed for this chain; a signer may be given by name."""
        return sign(secret_key(signer) if isinstance(signer, str) else signer, self.chain_id, message)

    def assignment(self, slot: int, miner: str = CHEAT, **changes: object) -> Assignment:
        """The assignment of a slot of the first round, or with `changes` another one."""
        first = ProgramTrainer(self.program, threads=1)
        fields: dict[str, object] = {
            "job": self.job_id,
            "round": 0,
            "slot": slot,
            "attempt": 0,
            "miner": public_key(miner),
            "state": first.load(first.initial()),
        }
        return Assignment(**{**fields, **changes})

    def run_slot(self, assignment: bytes, miner: str, state: FlatState) -> tuple[SlotReply, bytes | None]:
        """What a miner answers, lie included, and the block it found."""
        self.clock.now_ms += 1_000
        reply, block = self.miners[miner].run_slot(assignment, state)
        lie = self.lies.get(miner)
        if lie is None:
            return reply, block
        opened = decode(decode_signed(assignment).body, Assignment)
        task = Task(site=self, assignment=opened, state=state, reply=reply, miner=self.miners[miner])
        return lie(task), block

    # what the supervisor's actor does around its node

    def append_quiet_block(self) -> bool:
        """Let time pass until the committee may append a block on its own, and have it do so. Whether one was due."""
        pause_ms = self.params.quiet_after_ms + 1
        while True:
            self.clock.now_ms += pause_ms
            if self.supervisor.append_quiet_block():
                return True
            if not len(self.supervisor.pool):
                return False
            pause_ms *= 2  # where rounds are slow, the committee leaves miners more time

    def offer_templates(self) -> None:
        """Give every miner a fresh header to commit to."""
        for miner in self.miners.values():
            template = self.supervisor.template(miner.public_key)
            if template is not None:
                miner.offer_template(template)

    def audit(self, state_of: Callable[[int], FlatState | None]) -> list[Fraud]:
        """Replay every slot that is due. `state_of` gives the state that a round starts from, if it is to be had."""
        frauds: list[Fraud] = []
        for _ in range(self.supervisor.audits.backlog):
            due = self.supervisor.next_audit()
            if due is None:
                break
            slot, report = due
            state = state_of(slot.round)
            if state is None:
                self.supervisor.postpone_audit(slot)
                continue
            fraud = self.supervisor.record_audit(slot, self.replay(report, state))
            if fraud is not None:
                frauds.append(fraud)
        return frauds

    def replay(self, report: SlotReport, state: FlatState) -> Verdict:
        """The verifier's verdict on a slot."""
        verdict = self.verifier.replay(report, state)
        self.verdicts.append(verdict)
        return verdict

    def offer_block(self, data: bytes, state_of: Callable[[int], FlatState | None]) -> Fraud | None:
        """Judge a mined block as a site does. A fraud that its replay shows is put on the chain.

        Raises:
            InvalidBlockError: it breaks a rule, or the fraud was one that the ledger did not take.
        """
        candidate = self.supervisor.offer(data)
        verdict = self._verdict_on(candidate, state_of)
        try:
            self.supervisor.accept(candidate, verdict)
        except InvalidBlockError:
            if candidate.replay is None or verdict is None or verdict.outcome is not Outcome.MISMATCH:
                raise
            fraud = self.supervisor.prove_fraud(decode_signed(candidate.replay.report), verdict)
            if fraud is None:
                raise
            return fraud
        return None

    def _verdict_on(self, candidate: Candidate, state_of: Callable[[int], FlatState | None]) -> Verdict | None:
        if candidate.replay is None:
            return None
        report = decode(decode_signed(candidate.replay.report).body, SlotReport)
        state = state_of(report.round)
        return None if state is None else self.replay(report, state)

    # what tests ask for

    def refusal(self, data: bytes) -> Reject:
        """The code that a block is refused with before anything is replayed."""
        try:
            self.supervisor.offer(data)
        except InvalidBlockError as error:
            return error.code
        raise AssertionError("the block was not refused")

    def balance(self, name: str) -> int:
        """What an account owns after the last final block."""
        return self.supervisor.chain.view.state.account(public_key(name)).balance

    def is_excluded(self, name: str) -> bool:
        """Whether the chain says that a miner cheated."""
        return self.supervisor.chain.view.state.account(public_key(name)).excluded

    def frauds(self) -> list[tuple[str, str]]:
        """Miner and code of every fraud that the chain holds, in order."""
        names = {miner.public_key: name for name, miner in self.miners.items()}
        frauds = [message for message in self.messages() if isinstance(message, ProveFraud)]
        return [(names[decode_signed(fraud.report).signer], fraud.code) for fraud in frauds]

    def messages(self) -> list[Transaction]:
        """All transactions of the chain, in order."""
        stored = ChainStore(self.store)
        blocks = [stored.load_block(Height(height)) for height in range(1, self.supervisor.chain.height + 1)]
        return [open_message(decode_signed(data)) for block in blocks for data in block.transactions]

    def credits(self) -> int:
        """All credits there are: balances, stakes, escrows and treasury."""
        state = self.supervisor.chain.view.state
        accounts = sum(account.balance + account.stake for account in state.accounts.values())
        escrows = sum(job.escrow for job in state.jobs.values()) + sum(deal.escrow for deal in state.deals.values())
        return accounts + escrows + state.totals.treasury


@dataclass
class Clock:
    """Stands still unless it is moved."""

    now_ms: int

    def __call__(self) -> TimeMs:
        return TimeMs(self.now_ms)


def open_site(
    *,
    miners: tuple[str, ...] = (HONEST, CHEAT),
    params: ConsensusParams = PARAMS,
    audit_ppm: int = ALL_SLOTS_PPM,
    **train: object,
) -> Site:
    """A site whose job is started: 2 slots, 6 rounds, every slot audited unless it is said otherwise."""
    genesis = make_genesis(params=params)
    store, clock = MemoryStore(), Clock(genesis.time_ms + 1)
    supervisor = _create_supervisor(genesis, store, clock)
    spec = make_spec(MLP, DIGITS, **({"rounds": 6} | train))
    prepared = prepare_dataset(spec)
    manifest, segments = prepared.manifest, prepared.segments.by_digest()
    opening = _start_job(supervisor, clock, spec, manifest, audit_ppm)
    parts = {part: _part(manifest, segments, part) for part in ("train", "validation")}
    site = Site(
        genesis=genesis,
        store=store,
        supervisor=supervisor,
        verifier=VerifierNode(),
        spec=spec,
        program=job_program(opening),
        opening=opening,
        train=parts["train"],
        miners={name: make_miner(name, genesis, opening, parts["train"]) for name in miners},
        clock=clock,
    )
    site.verifier.prepare(opening, parts["train"], parts["validation"])
    return site


def make_miner(name: str, genesis: Genesis, opening: JobOpening, train: Segments) -> MinerNode:
    """A miner that is ready for the job's slots."""
    miner = MinerNode(key=secret_key(name), chain_id=genesis.chain_id, params=genesis.params)
    miner.prepare(opening, train)
    return miner


def _create_supervisor(genesis: Genesis, store: KeyValueStore, clock: Clock) -> SupervisorNode:
    stores = node_stores(store)
    stores.chain.create(genesis, genesis_state(genesis).entries())
    return SupervisorNode(key=supervisor_keys(1)[0], genesis=genesis, stores=stores, clock_ms=clock)


def _start_job(
    supervisor: SupervisorNode, clock: Clock, spec: JobSpec, manifest: DatasetManifest, audit_ppm: int
) -> JobOpening:
    """Have a job paid for and started under `coordinator`."""
    submission = SubmitJob(
        sequence=0,
        name=spec.name,
        spec=bulk_digest(spec_bytes(spec)),
        dataset=manifest.root,
        rounds=spec.train.rounds,
        slots=spec.train.slots,
        audit_ppm=audit_ppm,
        reward=REWARD,
    )
    job = supervisor.submit(encode(sign(secret_key("client"), supervisor.chain.chain_id, submission)))
    supervisor.start_job(job, public_key("coordinator"))
    clock.now_ms += 1_000
    supervisor.append_quiet_block()
    beacon = supervisor.chain.beacon(supervisor.chain.height)
    assert beacon is not None
    return JobOpening(
        job=job,
        spec=spec_bytes(spec),
        manifest=encode(manifest),
        beacon=job_beacon(supervisor.chain.genesis, beacon),
        coordinator=public_key("coordinator"),
    )


def _part(manifest: DatasetManifest, segments: dict[Digest, bytes], part: PartName) -> Segments:
    return {ref.digest: np.frombuffer(segments[ref.digest], np.uint8) for ref in manifest.part(part)}
