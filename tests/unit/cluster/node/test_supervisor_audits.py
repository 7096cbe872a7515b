"""Audits and what follows: payment, evidence, going back, and how a job ends."""

import pytest

from consensus.crypto.signing import decode_signed
from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.entries import JobStatus
from consensus.primitives.encoding import decode, encode
from consensus.records.transactions import JobId
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome
from tests.kit.genesis import FUNDS, public_key
from tests.kit.node import NodeSite
from tests.kit.work import state_word, word

PAY = 1_203 // 12


@pytest.fixture
def site() -> NodeSite:
    return NodeSite()


@pytest.fixture
def job(site: NodeSite) -> JobId:
    return site.open_job()


def settle(site: NodeSite) -> None:
    """Blocks and audits until nothing moves any more."""
    for _ in range(8):
        site.block()
        site.audit()


def refused(site: NodeSite, job: JobId, outcome: JobStatus) -> Reject:
    with pytest.raises(InvalidTransactionError) as caught:
        site.node.close_job(job, outcome, "", ())
    return caught.value.code


def test_nothing_is_audited_before_its_round_is_final(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    assert site.node.next_audit() is None
    site.block()
    slot, report = site.node.next_audit() or (None, None)
    assert slot is not None
    assert report == decode(site.reports(job, 0)[0].body, SlotReport)


def test_settlement_pays_each_slot_exactly(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.commit(job, miners=("miner",))
    settle(site)
    assert site.state.jobs[job].settled_round == 2
    assert (site.balance("miner"), site.balance("rival")) == (3 * PAY, PAY)
    assert site.state.jobs[job].escrow == 1_203 - 4 * PAY
    assert site.node.tallies.slots_verified == {public_key("miner"): 3, public_key("rival"): 1}
    assert site.is_conserved()


def test_nothing_is_paid_while_an_audit_is_open(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.block()
    slot, _ = site.node.next_audit() or (None, None)
    assert slot is not None
    site.node.record_audit(slot, site.verdict(slot, Outcome.INCONCLUSIVE))
    site.block()
    assert site.state.jobs[job].settled_round == 0
    again, _ = site.node.next_audit() or (None, None)
    assert again == slot


def test_a_mismatch_excludes_the_miner_and_takes_the_job_back(site: NodeSite, job: JobId) -> None:
    for _ in range(3):
        site.commit(job)
    site.block()
    frauds = site.audit((1, 0))
    assert [(fraud.job, fraud.round, fraud.miner) for fraud in frauds] == [(job, 1, public_key("miner"))]
    progress = site.node.progress(job)
    assert (progress.next_round, progress.state, progress.frauds) == (1, state_word(job, 1), 1)
    assert progress.excluded == (public_key("miner"),)
    with pytest.raises(InvalidTransactionError) as caught:
        site.commit(job, salt="again")
    assert caught.value.code is Reject.MINER_EXCLUDED
    for _ in range(2):
        site.commit(job, miners=("rival",), salt="again")
    settle(site)
    assert site.state.account(public_key("miner")).excluded
    assert site.state.jobs[job].settled_round == 3
    assert (site.balance("miner"), site.balance("rival")) == (PAY, 5 * PAY)
    assert site.is_conserved()


def test_a_cheat_is_not_paid_for_honest_slots_that_were_not_settled(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.commit(job)
    site.block()
    due = [(site.node.next_audit() or (None,))[0] for _ in range(4)]
    assert due[2] is not None
    site.node.record_audit(due[2], site.verdict(due[2], Outcome.MISMATCH))
    for slot in due[:2]:
        assert slot is not None
        site.node.record_audit(slot, site.verdict(slot))
    settle(site)
    assert site.state.jobs[job].settled_round == 1
    assert (site.balance("miner"), site.balance("rival")) == (0, PAY)
    assert site.is_conserved()


def test_what_a_cheat_was_paid_before_is_not_taken_back(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    settle(site)
    site.commit(job)
    site.block()
    site.audit((1, 0))
    site.block()
    assert site.balance("miner") == PAY


def test_the_frauds_of_a_job_are_counted_once_wherever_they_are(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.block()
    site.audit((0, 0))
    assert site.node.progress(job).frauds == 1
    site.block()
    assert site.node.progress(job).frauds == 1


def test_an_old_block_that_brings_discarded_rounds_starts_no_audits(site: NodeSite, job: JobId) -> None:
    """Its header was committed before the fraud was known; it is accepted after the evidence came."""
    mining = site.open_job()
    site.commit(job)
    block = site.mine(mining)
    forged = site.reports(job, 0)[1]
    verdict = site.verdict_on(decode(forged.body, SlotReport), Outcome.MISMATCH)
    assert site.node.prove_fraud(forged, verdict) is not None
    candidate = site.node.offer(encode(block))
    assert candidate.replay is not None
    report = decode(decode_signed(candidate.replay.report).body, SlotReport)
    site.node.accept(candidate, site.verdict_on(report))
    assert site.node.audits.sampled() == []
    site.commit(job, miners=("miner",), salt="again")
    site.block()
    assert (job, 0, (0, 1)) in site.node.audits.sampled()
    due = [slot.report for slot in iter(lambda: (site.node.next_audit() or (None,))[0], None) if slot.job == job]
    assert due == [report.digest for report in site.reports(job, 0, ("miner",), "again")]


def test_a_verdict_that_comes_too_late_changes_nothing(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.block()
    first, _ = site.node.next_audit() or (None, None)
    second, _ = site.node.next_audit() or (None, None)
    assert first is not None
    assert second is not None
    site.node.record_audit(first, site.verdict(first, Outcome.MISMATCH))
    site.node.postpone_audit(second)
    assert site.node.record_audit(second, site.verdict(second, Outcome.MATCH)) is None
    assert site.node.audits.backlog == 0


def test_evidence_that_the_ledger_does_not_take_is_dropped(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    settle(site)
    report = site.reports(job, 0)[0]
    verdict = site.verdict_on(decode(report.body, SlotReport), Outcome.MISMATCH)
    assert site.node.prove_fraud(report, verdict) is None
    assert site.node.excluded == ()


# how jobs end


def finish(site: NodeSite, job: JobId) -> None:
    for _ in range(6 - site.node.progress(job).next_round):
        site.commit(job)
    settle(site)


def test_a_trained_job_is_completed(site: NodeSite, job: JobId) -> None:
    assert site.node.closable() == []
    finish(site, job)
    assert site.node.closable() == [(job, JobStatus.COMPLETED, "")]
    site.node.close_job(job, JobStatus.COMPLETED, "", ())
    assert site.node.closable() == []
    site.block()
    assert site.state.jobs[job].status is JobStatus.COMPLETED
    assert site.balance("client") == FUNDS - 12 * PAY
    assert site.is_conserved()


def test_a_job_cannot_be_closed_before_its_rounds_are_settled(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    assert refused(site, job, JobStatus.FAILED) is Reject.SETTLEMENT


def test_a_job_that_still_trains_is_not_completed(site: NodeSite, job: JobId) -> None:
    assert refused(site, job, JobStatus.COMPLETED) is Reject.JOB_STATE
    assert refused(site, job, JobStatus.CANCELLED) is Reject.JOB_STATE


def test_a_queued_job_is_cancelled_and_refunded_at_once(site: NodeSite) -> None:
    job = site.submit_job()
    site.cancel(job)
    site.block()
    assert site.state.jobs[job].status is JobStatus.CANCELLED
    assert site.balance("client") == FUNDS


def test_a_running_job_is_cancelled_after_its_rounds_are_paid(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.cancel(job)
    with pytest.raises(InvalidTransactionError) as caught:
        site.commit(job)
    assert caught.value.code is Reject.JOB_STATE
    assert site.node.progress(job).is_closing
    settle(site)
    assert site.node.closable() == [(job, JobStatus.CANCELLED, "cancelled by its client")]
    site.node.close_job(job, JobStatus.CANCELLED, "cancelled by its client", ())
    site.block()
    assert site.balance("client") == FUNDS - 2 * PAY
    assert site.is_conserved()


def test_a_job_that_cannot_go_on_fails_once_it_is_settled(site: NodeSite, job: JobId) -> None:
    site.commit(job)
    site.node.fail_job(job, "the loss is not finite")
    assert site.node.closable() == []
    settle(site)
    assert site.node.closable() == [(job, JobStatus.FAILED, "the loss is not finite")]
    site.node.close_job(job, JobStatus.FAILED, "x" * 2_000, ())
    site.block()
    assert site.state.jobs[job].status is JobStatus.FAILED
    assert len(site.state.jobs[job].reason) == 500


def test_proven_fraud_takes_back_that_a_job_failed(site: NodeSite, job: JobId) -> None:
    """What a cheat sent may be why training diverged."""
    site.commit(job)
    site.node.fail_job(job, "the loss is not finite")
    site.block()
    site.audit((0, 1))
    settle(site)
    assert site.node.closable() == []


def test_a_closed_job_leaves_the_memory(site: NodeSite, job: JobId) -> None:
    finish(site, job)
    site.node.close_job(job, JobStatus.COMPLETED, "", ())
    assert site.node.memory.history.is_start_state(job, 1, state_word(job, 1)) is False
    assert site.node.audits.sampled() == []
    assert word("any") != job
