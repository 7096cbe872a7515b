"""A job that pays for the keeping of its weights: the deal comes when it is completed, with the job's money."""

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import JobStatus
from consensus.primitives.integers import MAX_UINT63, Digest
from consensus.records.storage import KeepWeights, PieceRoot, StorageTerms
from consensus.records.transactions import CancelJob, CloseJob, SubmitJob
from tests.kit.genesis import FUNDS, public_key
from tests.kit.ledger import TestLedger, held, start_ledger
from tests.kit.work import word

TERMS = StorageTerms(data_pieces=1, total_pieces=3, price=7, collateral=50, proofs=10)
COST = 7 * 3 * 10
SIZE = 5_000


def completed(terms: StorageTerms | None = TERMS, outcome: str = "completed") -> tuple[TestLedger, Digest]:
    ledger = start_ledger()
    job = ledger.open_job(rounds=1, storage=terms)
    ledger.commit(job, 0, final=True)
    ledger.settle(job, 1)
    ledger.apply("supervisor", CloseJob(job=job, outcome=outcome))
    return ledger, job


def keeping(ledger: TestLedger, job: Digest, **changes: object) -> KeepWeights:
    root = ledger.job(job).state
    assert root is not None
    pieces = (PieceRoot(root=root, size=SIZE),) * 3
    message = KeepWeights(job=job, size=SIZE, binding=word("layout"), pieces=pieces)
    return replace(message, **changes)


def test_the_pay_for_keeping_stays_in_escrow_when_the_job_is_completed() -> None:
    ledger, job = completed()
    assert ledger.job(job).escrow == COST
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_job_that_failed_pays_all_of_it_back() -> None:
    ledger, job = completed(outcome="failed")
    assert ledger.job(job).escrow == 0
    assert ledger.account("client").balance == FUNDS - ledger.job(job).paid
    assert held(ledger.state) == ledger.state.totals.issued


def test_the_deal_is_about_the_jobs_weights_and_belongs_to_its_client() -> None:
    ledger, job = completed()
    key = ledger.apply("supervisor", keeping(ledger, job)).digest
    deal, account = ledger.state.deals[key], ledger.job(job)
    assert (deal.client, deal.root, deal.job, deal.escrow) == (public_key("client"), account.state, job, COST)
    assert (deal.price, deal.collateral, deal.proofs_left, len(deal.pieces)) == (7, 50, 10, 3)
    assert (account.escrow, account.deal) == (0, key)
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_deal_without_pay_can_be_opened_once_only() -> None:
    ledger, job = completed(replace(TERMS, price=0))
    ledger.apply("supervisor", keeping(ledger, job))
    assert ledger.refusal("supervisor", keeping(ledger, job, binding=word("other"))) is Reject.JOB_STATE


def test_the_client_may_have_its_money_back_while_nobody_keeps_the_weights() -> None:
    ledger, job = completed()
    ledger.apply("client", CancelJob(sequence=ledger.account("client").sequence, job=job))
    assert (ledger.job(job).status, ledger.job(job).escrow) == (JobStatus.COMPLETED, 0)
    assert ledger.account("client").balance == FUNDS - ledger.job(job).paid
    assert ledger.refusal("supervisor", keeping(ledger, job)) is Reject.JOB_STATE
    again = CancelJob(sequence=ledger.account("client").sequence, job=job)
    assert ledger.refusal("client", again) is Reject.JOB_STATE


def test_keeping_refuses_a_single_fault() -> None:
    ledger, job = completed()
    good = keeping(ledger, job)
    other = PieceRoot(root=word("other"), size=SIZE)
    assert ledger.refusal("client", good) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(good, job=word("job"))) is Reject.JOB_UNKNOWN
    assert ledger.refusal("supervisor", replace(good, pieces=good.pieces[:2])) is Reject.DEAL_SHAPE
    assert ledger.refusal("supervisor", replace(good, pieces=(*good.pieces[:2], other))) is Reject.DEAL_SHAPE
    assert ledger.refusal("supervisor", replace(good, size=SIZE + 1)) is Reject.DEAL_SHAPE
    ledger.apply("supervisor", good)
    assert ledger.refusal("supervisor", replace(good, binding=word("b"))) is Reject.JOB_STATE


def test_a_job_without_terms_or_under_way_has_no_deal() -> None:
    ledger, job = completed(None)
    assert ledger.refusal("supervisor", keeping(ledger, job)) is Reject.JOB_STATE
    running = start_ledger()
    job = running.open_job(rounds=2, storage=TERMS)
    running.commit(job, 0)
    assert running.refusal("supervisor", keeping(running, job)) is Reject.JOB_STATE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"data_pieces": 0}, Reject.DEAL_SHAPE),
        ({"data_pieces": 4}, Reject.DEAL_SHAPE),
        ({"total_pieces": 65}, Reject.DEAL_SHAPE),
        ({"proofs": 0}, Reject.AMOUNT),
        ({"price": MAX_UINT63}, Reject.AMOUNT),
        ({"price": FUNDS}, Reject.FUNDS),
    ],
)
def test_submitting_refuses_impossible_terms(changes: dict[str, int], code: Reject) -> None:
    ledger = start_ledger()
    submission = SubmitJob(
        sequence=0,
        name="n",
        spec=word("s"),
        dataset=word("d"),
        rounds=1,
        slots=1,
        audit_ppm=10_000,
        reward=9,
        storage=replace(TERMS, **changes),
    )
    assert ledger.refusal("client", submission) is code
