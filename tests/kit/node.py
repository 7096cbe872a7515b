"""A supervisor node over any store; its jobs' rounds are made up of words and signed by fixed keys. No torch."""

from collections.abc import Sequence

from cluster.control.audits import SlotRef
from cluster.control.pacing import RoundPace
from cluster.node.ports import JobProgress
from cluster.node.supervisor import Fraud, SupervisorNode
from cluster.wiring import node_stores
from consensus.chain.genesis import genesis_state
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, sign
from consensus.errors import Reject
from consensus.ledger.state import LedgerState
from consensus.params import ConsensusParams
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Credits, Digest, TimeMs
from consensus.records.block import Block
from consensus.records.transactions import CancelJob, JobId, SubmitJob, Transfer
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome, Verdict
from jobs.mining.search import find_seal
from storage.kv import KeyValueStore
from storage.memory_kv import MemoryStore
from tests.kit.genesis import PARAMS, make_genesis, public_key, secret_key, supervisor_keys
from tests.kit.ledger import held
from tests.kit.work import make_assignment, make_commit, make_report, word

MINERS = ("miner", "rival")
"""Who runs the slots of a round, in turn."""
ALL_SLOTS_PPM = 1_000_000


class NodeSite:
    """One supervisor, and what its clients, coordinator and miners send."""

    def __init__(self, store: KeyValueStore | None = None, params: ConsensusParams = PARAMS, **genesis: object) -> None:
        self.genesis = make_genesis(params=params, **genesis)
        self.now_ms = self.genesis.time_ms + 1
        self.store = MemoryStore() if store is None else store
        self.stores = node_stores(self.store)
        self.stores.chain.create(self.genesis, genesis_state(self.genesis).entries())
        self.node = self.open()

    def open(self) -> SupervisorNode:
        """A node that starts from what is stored."""
        key = supervisor_keys(1)[0]
        return SupervisorNode(key=key, genesis=self.genesis, stores=node_stores(self.store), clock_ms=self.clock_ms)

    def clock_ms(self) -> TimeMs:
        return TimeMs(self.now_ms)

    @property
    def chain_id(self) -> Digest:
        return self.genesis.chain_id

    @property
    def state(self) -> LedgerState:
        """The ledger after the last final block."""
        return self.node.chain.view.state

    def sign(self, signer: str | SecretKey, message: Record) -> Signed:
        return sign(secret_key(signer) if isinstance(signer, str) else signer, self.chain_id, message)

    def send(self, signer: str | SecretKey, message: Record) -> Digest:
        """Have a transaction acknowledged."""
        return self.node.submit(encode(self.sign(signer, message)))

    def transfer(self, amount: int = 5, signer: str = "client") -> Digest:
        return self.send(signer, self.transfer_message(amount, signer))

    def transfer_message(self, amount: int = 5, signer: str = "client") -> Transfer:
        sequence = self.node.pool.state.account(public_key(signer)).sequence
        return Transfer(sequence=sequence, recipient=public_key("friend"), amount=Credits(amount))

    def cancel(self, job: JobId) -> Digest:
        sequence = self.node.pool.state.account(public_key("client")).sequence
        return self.send("client", CancelJob(sequence=sequence, job=job))

    def submit_job(self, **changes: object) -> JobId:
        """Submit a job of `client`: 6 rounds of 2 slots, all audited, 1203 units."""
        fields: dict[str, object] = {
            "sequence": self.node.pool.state.account(public_key("client")).sequence,
            "name": "digits",
            "spec": word("spec"),
            "dataset": word("dataset"),
            "rounds": 6,
            "slots": 2,
            "audit_ppm": ALL_SLOTS_PPM,
            "reward": 1_203,
        }
        return self.send("client", SubmitJob(**{**fields, **changes}))

    def open_job(self, **changes: object) -> JobId:
        """Submit a job and have it started."""
        job = self.submit_job(**changes)
        self.node.start_job(job, public_key("coordinator"))
        self.block()
        return job

    # rounds

    def reports(self, job: JobId, number: int, miners: Sequence[str] = MINERS, salt: str = "") -> list[Signed]:
        """The signed reports of a round."""
        slots = self.node.pool.state.jobs[job].slots
        return [self.report(job, number, slot, miners[slot % len(miners)], salt) for slot in range(slots)]

    def report(self, job: JobId, number: int, slot: int, miner: str, salt: str = "", **changes: object) -> Signed:
        assignment = make_assignment(job, number, slot, miner=public_key(miner))
        return self.sign(miner, make_report(assignment, salt=salt, **changes))

    def commit(self, job: JobId, miners: Sequence[str] = MINERS, salt: str = "", **changes: object) -> JobProgress:
        """Hand in the next round."""
        account = self.node.pool.state.jobs[job]
        reports = self.reports(job, account.next_round, miners, salt)
        changes = {"final": account.next_round == account.rounds - 1, **changes}
        return self.hand_in(reports, make_commit(job, account.next_round, reports, **changes))

    def hand_in(self, reports: Sequence[Signed], commit: Record) -> JobProgress:
        data = encode(self.sign("coordinator", commit))
        return self.node.commit_round(data, [encode(report) for report in reports])

    # audits

    def verdict(self, slot: SlotRef, outcome: Outcome = Outcome.MATCH) -> Verdict:
        code = Reject.UPDATE if outcome is Outcome.MISMATCH else None
        return Verdict(job=slot.job, round=slot.round, slot=slot.slot, outcome=outcome, code=code)

    def audit(self, *forged: tuple[int, int]) -> list[Fraud]:
        """Replay what is due; slots named as (round, slot) turn out forged."""
        frauds: list[Fraud] = []
        while (due := self.node.next_audit()) is not None:
            slot, _ = due
            outcome = Outcome.MISMATCH if (slot.round, slot.slot) in forged else Outcome.MATCH
            fraud = self.node.record_audit(slot, self.verdict(slot, outcome))
            frauds += [] if fraud is None else [fraud]
        return frauds

    # blocks

    def block(self) -> bool:
        """Let time pass until the committee may append a block, and have it do so."""
        self.node._pace = RoundPace()  # a clock that jumps says nothing of how long rounds take
        self.now_ms += self.genesis.params.quiet_after_ms + 100
        return self.node.append_quiet_block()

    def mine(self, job: JobId, miner: str = "miner", salt: str = "mined") -> Block:
        """A block that a miner has found: committed in the next round, won `commit_lead` rounds later.

        The rounds in between are handed in; that of the winning slot is not.
        """
        template = self.node.template(public_key(miner))
        assert template is not None
        number = self.node.pool.state.jobs[job].next_round
        commitment = self.report(job, number, 0, miner, template=template.header.template_hash)
        reports = [commitment, *self.reports(job, number)[1:]]
        self.hand_in(reports, make_commit(job, number, reports))
        while self.node.pool.state.jobs[job].next_round < number + self.genesis.params.commit_lead:
            self.commit(job, miners=("rival",))
        assignment = make_assignment(job, self.node.pool.state.jobs[job].next_round, 0, miner=public_key(miner))
        for attempt in range(100):
            report = make_report(assignment, salt=f"{salt} {attempt}")
            seal = find_seal(
                self.sign("coordinator", assignment),
                report,
                self.sign(miner, report),
                commitment=commitment,
                header=template.header,
                params=self.genesis.params,
            )
            if seal is not None:
                return Block(header=template.header, seal=encode(seal), transactions=template.transactions)
        raise AssertionError("no nonce wins")

    def verdict_on(self, report: SlotReport, outcome: Outcome = Outcome.MATCH) -> Verdict:
        return self.verdict(SlotRef(report.job, report.round, report.slot, word("any")), outcome)

    # figures

    def balance(self, name: str) -> int:
        return self.state.account(public_key(name)).balance

    def is_conserved(self) -> bool:
        """Whether all credits that were issued are somewhere, now and once all that waits is in a block."""
        states = (self.state, self.node.pool.state)
        return all(held(state) == state.totals.issued for state in states)
