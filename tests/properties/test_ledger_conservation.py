"""Credits are conserved, and nothing else about a ledger drifts, whatever transactions come in whatever order."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from consensus.errors import InvalidTransactionError
from consensus.ledger.entries import Account, JobAccount, round_key
from consensus.ledger.rewards import issue_block_reward
from consensus.ledger.state import LedgerState, state_root
from consensus.ledger.transition import apply_transaction
from consensus.primitives.encoding import Record, encode
from consensus.records.transactions import CancelJob, CloseJob, JobId, ProveFraud, StartJob, SubmitJob, Transfer
from tests.kit.genesis import public_key
from tests.kit.ledger import MINERS, TestLedger, held, start_ledger
from tests.kit.work import make_commit, state_word, word

NAMES = ("client", "other", *MINERS)
SPARE_MINERS = (*MINERS, "spare", "extra")
RARELY = st.sampled_from([False] * 7 + [True])


class LedgerMachine(RuleBasedStateMachine):
    """Random transactions, valid or not; the ones that break a rule must change nothing."""

    ledger: TestLedger
    jobs: list[JobId]

    @initialize()
    def start(self) -> None:
        self.ledger = start_ledger()
        self.jobs = [self.ledger.open_job(rounds=rounds, slots=slots) for rounds, slots in ((3, 2), (2, 3))]
        stake = Account(stake=1_000)
        self.ledger.state = self.ledger.state.with_account(public_key("rival"), stake).with_totals(issued=1_000)

    def offer(self, signer: str, message: Record) -> bool:
        """Apply a transaction if the rules allow it."""
        before = self.ledger.state
        signed = self.ledger.sign(signer, message)
        try:
            self.ledger.state = apply_transaction(before, signed, self.ledger.context)
        except InvalidTransactionError:
            return False
        return True

    def sequence(self, name: str) -> int:
        return self.ledger.account(name).sequence

    def pick(self, number: int) -> JobId:
        return self.jobs[number % len(self.jobs)] if self.jobs else word("no job")

    @rule(sender=st.sampled_from(NAMES), to=st.sampled_from(NAMES), amount=st.integers(0, 2_000_000_000))
    def transfer(self, sender: str, to: str, amount: int) -> None:
        self.offer(sender, Transfer(sequence=self.sequence(sender), recipient=public_key(to), amount=amount))

    @rule(rounds=st.integers(0, 3), slots=st.integers(0, 3), reward=st.integers(0, 3_000))
    def submit(self, rounds: int, slots: int, reward: int) -> None:
        message = SubmitJob(
            sequence=self.sequence("client"),
            name="n",
            spec=word("spec"),
            dataset=word("data"),
            rounds=rounds,
            slots=slots,
            audit_ppm=500_000,
            reward=reward,
        )
        if self.offer("client", message):
            self.jobs.append(self.ledger.sign("client", message).digest)

    @rule(number=st.integers(0, 5), coordinator=st.sampled_from(["coordinator"] * 9 + ["other"]))
    def start_job(self, number: int, coordinator: str) -> None:
        self.offer("supervisor", StartJob(job=self.pick(number), coordinator=public_key(coordinator)))

    @rule(number=st.integers(0, 5), final=RARELY, skew=RARELY, settles=RARELY)
    def commit(self, number: int, final: bool, skew: bool, settles: bool) -> None:
        job = self.pick(number)
        account = self.ledger.state.jobs.get(job)
        if account is None:
            return
        number = account.next_round + skew
        last = final or number == account.rounds - 1
        reports = [self.ledger.report(job, number, slot) for slot in range(account.slots)]
        state_in = account.state or state_word(job, 0)
        commit = make_commit(job, number, reports, final=last, state_in=state_in)
        spare = self.substitutes(commit.slots)
        if self.offer("coordinator", replace(commit, slots=spare)) and settles:
            self.offer("supervisor", self.ledger.settlement(job, account.next_round + 1))

    def substitutes(self, slots: tuple[Record, ...]) -> tuple[Record, ...]:
        """Let spare miners stand in for excluded ones, so that jobs go on after a fraud."""
        free = [name for name in SPARE_MINERS if not self.ledger.account(name).excluded]
        return tuple(
            replace(slot, miner=public_key(free[0])) if self.ledger.state.account(slot.miner).excluded else slot
            for slot in slots
        )

    @rule(number=st.integers(0, 5), back=st.integers(0, 2))
    def settle(self, number: int, back: int) -> None:
        job = self.pick(number)
        account = self.ledger.state.jobs.get(job)
        if account is not None and account.next_round > back:
            self.offer("supervisor", self.ledger.settlement(job, account.next_round - back))

    @rule(number=st.integers(0, 5), back=st.integers(0, 2), slot=st.integers(0, 2))
    def prove_fraud(self, number: int, back: int, slot: int) -> None:
        job = self.pick(number)
        account = self.ledger.state.jobs.get(job)
        if account is not None and account.next_round >= back:
            report = encode(self.ledger.report(job, account.next_round - back, slot))
            self.offer("supervisor", ProveFraud(job=job, report=report, code="update"))

    @rule(number=st.integers(0, 5), meant=RARELY)
    def cancel(self, number: int, meant: bool) -> None:
        if meant:
            self.offer("client", CancelJob(sequence=self.sequence("client"), job=self.pick(number)))

    @rule(number=st.integers(0, 5), outcome=st.sampled_from(["completed", "failed", "cancelled"]), meant=RARELY)
    def close(self, number: int, outcome: str, meant: bool) -> None:
        if meant or outcome != "failed":
            self.offer("supervisor", CloseJob(job=self.pick(number), outcome=outcome))

    @rule(producer=st.sampled_from(NAMES))
    def end_block(self, producer: str) -> None:
        state = issue_block_reward(self.ledger.state, public_key(producer), "pouw", self.ledger.context.params)
        self.ledger.state = state.sealed()
        self.ledger.move_to(self.ledger.context.height + 1)

    @invariant()
    def credits_are_conserved(self) -> None:
        state = self.ledger.state
        assert held(state) == state.totals.issued
        assert all(account.balance >= 0 and account.stake >= 0 for account in state.accounts.values())
        assert all(0 <= job.escrow <= job.reward + job.kept_for_storage for job in state.jobs.values())

    @invariant()
    def open_jobs_are_counted(self) -> None:
        assert self.ledger.state.totals.open_jobs == sum(job.is_open for job in self.ledger.state.jobs.values())

    @invariant()
    def pending_rounds_are_those_between_settled_and_next(self) -> None:
        def pending(job_id: JobId, job: JobAccount) -> set[bytes]:
            return {round_key(job_id, number) for number in range(job.settled_round, job.next_round)}

        expected = [pending(job_id, job) for job_id, job in self.ledger.state.jobs.items()]
        assert set(self.ledger.state.rounds) == set().union(*expected)

    def teardown(self) -> None:
        state = self.ledger.state
        rebuilt = LedgerState.from_entries(state.entries())
        assert rebuilt == state
        assert state_root(rebuilt) == state_root(state)


TestLedgerConservation = LedgerMachine.TestCase
TestLedgerConservation.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
