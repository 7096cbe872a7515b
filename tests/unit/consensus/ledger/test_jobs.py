"""The life of a job: submitted, started, cancelled, closed."""

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import JobStatus
from consensus.ledger.state import has_open_work
from consensus.records.transactions import CancelJob, CloseJob, StartJob, SubmitJob
from consensus.records.work import Metric
from tests.kit.genesis import FUNDS, public_key
from tests.kit.ledger import TestLedger, start_ledger
from tests.kit.work import word

SUBMISSION = SubmitJob(
    sequence=0, name="n", spec=word("s"), dataset=word("d"), rounds=1, slots=1, audit_ppm=10_000, reward=9
)


def start(job: bytes, coordinator: str = "coordinator") -> StartJob:
    return StartJob(job=job, coordinator=public_key(coordinator))


def finished(ledger: TestLedger) -> bytes:
    """A job whose only round is settled."""
    job = ledger.open_job(rounds=1)
    ledger.commit(job, 0, final=True)
    ledger.settle(job, 1)
    return job


def test_submit_moves_the_reward_into_escrow() -> None:
    ledger = start_ledger()
    job = ledger.apply("client", SUBMISSION).digest
    assert ledger.account("client").balance == FUNDS - 9
    assert ledger.account("client").sequence == 1
    account = ledger.job(job)
    assert (account.client, account.escrow, account.status) == (public_key("client"), 9, JobStatus.QUEUED)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (replace(SUBMISSION, rounds=0), Reject.AMOUNT),
        (replace(SUBMISSION, slots=0), Reject.AMOUNT),
        (replace(SUBMISSION, audit_ppm=9_999), Reject.AMOUNT),
        (replace(SUBMISSION, reward=FUNDS + 1), Reject.FUNDS),
        (replace(SUBMISSION, sequence=1), Reject.SEQUENCE),
    ],
)
def test_submit_refuses_a_single_fault(broken: SubmitJob, code: Reject) -> None:
    assert start_ledger().refusal("client", broken) is code


def test_submit_refuses_the_same_job_again() -> None:
    ledger = start_ledger()
    ledger.apply("client", SUBMISSION)
    assert ledger.refusal("client", SUBMISSION) is Reject.JOB_EXISTS


def test_start_opens_a_queued_job_in_this_block() -> None:
    ledger = start_ledger()
    job = ledger.submit()
    assert not has_open_work(ledger.state)
    ledger.move_to(7)
    ledger.apply("supervisor", start(job))
    account = ledger.job(job)
    assert (account.status, account.coordinator) == (JobStatus.RUNNING, public_key("coordinator"))
    assert account.start_height == 7
    assert has_open_work(ledger.state)


def test_start_hands_a_running_job_to_another_coordinator() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.move_to(9)
    ledger.apply("supervisor", start(job, "second"))
    assert ledger.job(job).coordinator == public_key("second")
    assert ledger.job(job).start_height == 1


def test_start_cannot_be_replayed_to_bring_an_old_coordinator_back() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    assert ledger.refusal("supervisor", start(job)) is Reject.JOB_STATE
    ledger.apply("supervisor", start(job, "second"))
    assert ledger.refusal("supervisor", start(job)) is Reject.JOB_STATE


def test_start_refuses_a_single_fault() -> None:
    ledger = start_ledger()
    job = ledger.submit()
    assert ledger.refusal("client", start(job)) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", start(word("no job"))) is Reject.JOB_UNKNOWN
    ledger.apply("client", CancelJob(sequence=1, job=job))
    assert ledger.refusal("supervisor", start(job)) is Reject.JOB_STATE


def test_cancel_refunds_a_queued_job() -> None:
    ledger = start_ledger()
    job = ledger.submit()
    ledger.apply("client", CancelJob(sequence=1, job=job))
    assert ledger.account("client").balance == FUNDS
    assert (ledger.job(job).status, ledger.job(job).escrow) == (JobStatus.CANCELLED, 0)


def test_cancel_stops_a_running_job_that_is_then_closed() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.apply("client", CancelJob(sequence=1, job=job))
    assert (ledger.job(job).status, ledger.job(job).closing) == (JobStatus.RUNNING, True)
    assert not has_open_work(ledger.state)
    assert ledger.refusal("supervisor", CloseJob(job=job, outcome="completed")) is Reject.JOB_STATE
    ledger.apply("supervisor", CloseJob(job=job, outcome="cancelled"))
    assert ledger.job(job).status is JobStatus.CANCELLED
    assert ledger.account("client").balance == FUNDS


def test_cancel_refuses_a_single_fault() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    assert ledger.refusal("other", CancelJob(sequence=0, job=job)) is Reject.NOT_AUTHORISED
    assert ledger.refusal("client", CancelJob(sequence=0, job=job)) is Reject.SEQUENCE
    assert ledger.refusal("client", CancelJob(sequence=1, job=word("no job"))) is Reject.JOB_UNKNOWN
    ledger.apply("client", CancelJob(sequence=1, job=job))
    assert ledger.refusal("client", CancelJob(sequence=2, job=job)) is Reject.JOB_STATE


def test_cancel_refuses_a_job_that_ended() -> None:
    ledger = start_ledger()
    job = finished(ledger)
    ledger.apply("supervisor", CloseJob(job=job, outcome="completed"))
    assert ledger.refusal("client", CancelJob(sequence=1, job=job)) is Reject.JOB_STATE


def test_close_pays_the_rest_back_and_records_the_outcome() -> None:
    ledger = start_ledger()
    job = finished(ledger)
    metrics = (Metric(name="accuracy", value=97, scale=100),)
    ledger.apply("supervisor", CloseJob(job=job, outcome="completed", reason="done", metrics=metrics))
    account = ledger.job(job)
    assert (account.status, account.escrow, account.reason) == (JobStatus.COMPLETED, 0, "done")
    assert account.metrics == metrics
    assert ledger.account("client").balance == FUNDS - 1_002
    assert ledger.account("miner").balance == ledger.account("rival").balance == 501


def test_close_as_failed_is_possible_before_the_first_round() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.apply("supervisor", CloseJob(job=job, outcome="failed", reason="loss is not finite"))
    assert ledger.job(job).status is JobStatus.FAILED
    assert not has_open_work(ledger.state)


@pytest.mark.parametrize("outcome", ["completed", "cancelled", "queued", "running", "perhaps", ""])
def test_close_refuses_an_outcome_that_is_not_the_jobs(outcome: str) -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    assert ledger.refusal("supervisor", CloseJob(job=job, outcome=outcome)) is Reject.JOB_STATE


def test_close_refuses_completed_while_rounds_can_follow() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    ledger.settle(job, 1)
    assert ledger.refusal("supervisor", CloseJob(job=job, outcome="completed")) is Reject.JOB_STATE


def test_close_refuses_a_single_fault() -> None:
    ledger = start_ledger()
    job = ledger.open_job(rounds=1)
    ledger.commit(job, 0, final=True)
    close = CloseJob(job=job, outcome="completed")
    assert ledger.refusal("supervisor", close) is Reject.SETTLEMENT
    ledger.settle(job, 1)
    assert ledger.refusal("client", close) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(close, job=word("no job"))) is Reject.JOB_UNKNOWN
    ledger.apply("supervisor", close)
    assert ledger.refusal("supervisor", close) is Reject.JOB_STATE
