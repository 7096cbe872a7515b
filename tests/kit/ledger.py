"""A ledger without blocks: transactions of named signers, applied one by one."""

from dataclasses import dataclass, field, replace

import pytest

from consensus.chain.genesis import genesis_state
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, sign
from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import TransitionContext
from consensus.ledger.entries import Account, JobAccount
from consensus.ledger.rounds import draw_audits
from consensus.ledger.state import LedgerState
from consensus.ledger.transition import apply_transaction
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, Height
from consensus.records.transactions import JobId, SettleRounds, StartJob, SubmitJob
from consensus.records.work import SlotReport
from tests.kit.genesis import make_genesis, public_key, secret_key, supervisor_keys
from tests.kit.work import make_assignment, make_commit, make_report, word

GENESIS = make_genesis()
MINERS = ("miner", "rival")
"""Who runs the slots of a round, in turn."""


@dataclass
class TestLedger:
    """State and context; `supervisor` is the signer name of the committee."""

    __test__ = False

    state: LedgerState
    context: TransitionContext
    reports: dict[tuple[int, int], Signed] = field(default_factory=dict)

    def key(self, name: str) -> SecretKey:
        return supervisor_keys(1)[0] if name == "supervisor" else secret_key(name)

    def sign(self, signer: str, message: Record) -> Signed:
        return sign(self.key(signer), self.context.chain_id, message)

    def apply(self, signer: str, message: Record) -> Signed:
        """Apply a valid transaction; returns its envelope."""
        signed = self.sign(signer, message)
        self.state = apply_transaction(self.state, signed, self.context)
        return signed

    def refusal(self, signer: str, message: Record) -> Reject:
        """The code that a transaction is refused with."""
        with pytest.raises(InvalidTransactionError) as caught:
            apply_transaction(self.state, self.sign(signer, message), self.context)
        return caught.value.code

    def account(self, name: str) -> Account:
        return self.state.account(self.key(name).public_key)

    def job(self, job: JobId) -> JobAccount:
        return self.state.jobs[job]

    def move_to(self, height: int) -> None:
        """Apply what follows in another block."""
        self.context = replace(self.context, height=Height(height))

    def submit(self, **changes: object) -> JobId:
        """Submit a job of `client`: 4 rounds of 2 slots, 1003 units."""
        fields: dict[str, object] = {
            "sequence": self.account("client").sequence,
            "name": "digits",
            "spec": word("spec"),
            "dataset": word("dataset"),
            "rounds": 4,
            "slots": 2,
            "audit_ppm": 500_000,
            "reward": 1_003,
        }
        return self.apply("client", SubmitJob(**{**fields, **changes})).digest

    def open_job(self, **changes: object) -> JobId:
        """Submit and start a job with `coordinator`."""
        job = self.submit(**changes)
        self.apply("supervisor", StartJob(job=job, coordinator=public_key("coordinator")))
        return job

    def report(self, job: JobId, round_number: int, slot: int, **changes: object) -> Signed:
        """The signed report of a slot by the miner whose turn it is."""
        miner = MINERS[slot % len(MINERS)]
        assignment = make_assignment(job, round_number, slot, miner=public_key(miner))
        report: SlotReport = make_report(assignment, **changes)
        return self.sign(miner, report)

    def commit(self, job: JobId, round_number: int, **changes: object) -> None:
        """Commit a round of reports by `MINERS`."""
        reports = [self.report(job, round_number, slot) for slot in range(self.job(job).slots)]
        self.apply("coordinator", make_commit(job, round_number, reports, **changes))

    def settlement(self, job: JobId, upto: int) -> SettleRounds:
        """The settlement that the beacons ask for."""
        rounds = [pending for pending in self.state.pending_rounds(job) if pending.round < upto]
        audited = draw_audits(job, self.job(job).audit_ppm, rounds, self.context)
        return SettleRounds(job=job, upto=upto, audited=audited)

    def settle(self, job: JobId, upto: int) -> None:
        self.apply("supervisor", self.settlement(job, upto))


def start_ledger() -> TestLedger:
    """The ledger at genesis, applying transactions in block 1. Every block below 100 has a beacon."""

    def beacon(height: Height) -> Digest | None:
        return word("beacon", height) if height < 100 else None

    context = TransitionContext(
        chain_id=GENESIS.chain_id,
        params=GENESIS.params,
        committee=GENESIS.supervisors,
        height=Height(1),
        beacon=beacon,
    )
    return TestLedger(state=genesis_state(GENESIS), context=context)


def held(state: LedgerState) -> int:
    """All credits there are: balances, stakes, escrows and treasury."""
    accounts = sum(account.balance + account.stake for account in state.accounts.values())
    escrows = sum(job.escrow for job in state.jobs.values()) + sum(deal.escrow for deal in state.deals.values())
    return accounts + escrows + state.totals.treasury
