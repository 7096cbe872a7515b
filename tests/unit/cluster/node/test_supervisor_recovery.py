"""A supervisor that is started again knows what it knew, whatever happened before."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.node.supervisor import SupervisorNode
from consensus.crypto.signing import decode_signed
from consensus.errors import RejectedError
from consensus.ledger.entries import JobStatus
from consensus.primitives.encoding import decode, encode
from consensus.records.transactions import JobId
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome
from tests.kit.genesis import public_key
from tests.kit.node import NodeSite


def check_same(before: SupervisorNode, after: SupervisorNode) -> None:
    """Equal in all but replays, which are done again as long as their round is not settled."""
    assert after.memory.history == before.memory.history
    assert after.memory.excluded == before.memory.excluded
    assert after.audits.sampled() == before.audits.sampled()
    assert after.audits.backlog == sum(len(slots) for _, _, slots in after.audits.sampled())
    assert after.tallies == before.tallies
    assert after.pool.all_messages() == before.pool.all_messages()
    assert after.pool.state == before.pool.state
    assert after.chain.view.state == before.chain.view.state
    assert after.chain.view.tip_hash == before.chain.view.tip_hash
    assert after.chain.view.next_target == before.chain.view.next_target
    for job in before.pool.state.jobs:
        assert after.progress(job) == before.progress(job)
        assert after.arrival(job) == before.arrival(job)


class History:
    """Acts on a site as clients, coordinators, miners and auditors do. What is refused changes nothing."""

    def __init__(self) -> None:
        self.site = NodeSite()
        self.jobs: list[JobId] = []
        self.salts = 0

    def act(self, action: str, number: int) -> None:
        try:
            getattr(self, action)(number)
        except RejectedError:
            return

    def pick(self, number: int) -> JobId | None:
        return self.jobs[number // 7 % len(self.jobs)] if self.jobs else None

    def opens_job(self, number: int) -> None:
        if len(self.jobs) < 3:
            self.jobs.append(
                self.site.open_job(rounds=1 + number % 4, audit_ppm=(10_000, 500_000, 1_000_000)[number % 3])
            )

    def commits(self, number: int) -> None:
        job = self.pick(number)
        if job is not None:
            self.salts += 1
            miners = (("miner", "rival"), ("rival",), ("third",))[number % 3]
            self.site.commit(job, miners=miners, salt=str(self.salts))

    def audits(self, number: int) -> None:
        due = self.site.node.next_audit()
        if due is not None:
            outcome = (Outcome.MATCH, Outcome.MATCH, Outcome.MATCH, Outcome.INCONCLUSIVE, Outcome.MISMATCH)[number % 5]
            self.site.node.record_audit(due[0], self.site.verdict(due[0], outcome))

    def accuses(self, number: int) -> None:
        """The winning slot of a mined block was false: evidence about a round that is not on the chain."""
        job = self.pick(number)
        if job is not None:
            report = self.site.report(job, self.site.node.progress(job).next_round, 0, "third", salt="false")
            verdict = self.site.verdict_on(decode(report.body, SlotReport), Outcome.MISMATCH)
            self.site.node.prove_fraud(report, verdict)

    def pays(self, number: int) -> None:
        self.site.transfer(1 + number)

    def cancels(self, number: int) -> None:
        job = self.pick(number)
        if job is not None and number % 4 == 0:
            self.site.cancel(job)

    def appends(self, number: int) -> None:
        self.site.block()

    def mines(self, number: int) -> None:
        job = self.pick(number)
        if job is None or public_key("miner") in self.site.node.excluded:
            return
        if self.site.node.pool.state.jobs[job].rounds - self.site.node.progress(job).next_round < 3:
            return
        candidate = self.site.node.offer(encode(self.site.mine(job)))
        assert candidate.replay is not None
        report = decode(decode_signed(candidate.replay.report).body, SlotReport)
        self.site.node.accept(candidate, self.site.verdict_on(report))

    def closes(self, number: int) -> None:
        for job, outcome, reason in self.site.node.closable():
            self.site.node.close_job(job, outcome, reason, ())

    def restarts(self, number: int) -> None:
        self.site.node = self.site.open()


ACTIONS = ("opens_job", "commits", "commits", "commits", "audits", "audits", "audits", "accuses", "pays", "cancels")
MORE = ("appends", "appends", "mines", "closes", "restarts")


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS + MORE), st.integers(0, 59)), min_size=10, max_size=60))
def test_a_node_that_starts_again_equals_the_one_that_ran_on(actions: list[tuple[str, int]]) -> None:
    history = History()
    history.act("opens_job", 2)
    for action, number in actions:
        history.act(action, number)
    check_same(history.site.node, history.site.open())
    assert history.site.is_conserved()


def test_a_settlement_that_was_missed_is_made_up_for() -> None:
    """The node stopped between a block and the settlement that its beacon made possible."""
    site = NodeSite()
    job = site.open_job(audit_ppm=site.genesis.params.min_audit_ppm)
    site.commit(job)
    site.block()
    site.stores.mempool.remove(signed.digest for signed in site.stores.mempool.load_waiting())
    site.node = site.open()
    site.audit()
    assert site.block()
    assert site.state.jobs[job].settled_round == 1


def test_a_stored_transaction_that_is_not_valid_any_more_is_dropped() -> None:
    site = NodeSite()
    stale = site.sign("client", site.transfer_message())
    site.transfer(7)
    site.block()
    site.stores.mempool.add(stale)
    site.node = site.open()
    assert len(site.node.pool) == 0
    assert not site.stores.mempool.has(stale.digest)


def test_a_failed_job_is_forgotten_and_may_fail_again() -> None:
    site = NodeSite()
    job = site.open_job()
    site.node.fail_job(job, "diverged")
    assert site.node.closable() == [(job, JobStatus.FAILED, "diverged")]
    site.node = site.open()
    assert site.node.closable() == []
