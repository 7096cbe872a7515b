"""Fraud proofs: who is punished, and what happens to the job."""

import pytest
from msgspec.structs import replace

from consensus.crypto.signing import sign
from consensus.errors import Reject
from consensus.ledger.entries import Account
from consensus.ledger.state import has_open_work
from consensus.primitives.encoding import encode
from consensus.records.block import Vote
from consensus.records.transactions import CancelJob, ProveFraud
from tests.kit.genesis import public_key, secret_key
from tests.kit.ledger import TestLedger, held, start_ledger
from tests.kit.work import make_assignment, make_commit, make_report, state_word, word


def proof(ledger: TestLedger, job: bytes, round_number: int = 0, slot: int = 1, **changes: object) -> ProveFraud:
    report = ledger.report(job, round_number, slot, **changes)
    return ProveFraud(job=job, report=encode(report), code="update")


def ledger_with_rounds(rounds: int = 3) -> tuple[TestLedger, bytes]:
    ledger = start_ledger()
    job = ledger.open_job()
    for number in range(rounds):
        ledger.commit(job, number)
    return ledger, job


def test_excludes_the_miner_and_takes_its_stake() -> None:
    ledger, job = ledger_with_rounds()
    ledger.state = ledger.state.with_account(public_key("rival"), Account(balance=3, stake=40)).with_totals(issued=43)
    ledger.apply("supervisor", proof(ledger, job))
    assert ledger.account("rival") == Account(balance=3, excluded=True)
    assert ledger.state.totals.treasury == 40
    assert held(ledger.state) == ledger.state.totals.issued


@pytest.mark.parametrize("fraud", [1, 2])
def test_goes_back_to_the_round(fraud: int) -> None:
    ledger, job = ledger_with_rounds()
    ledger.apply("supervisor", proof(ledger, job, fraud))
    assert (ledger.job(job).next_round, ledger.job(job).state) == (fraud, state_word(job, fraud))
    assert [pending.round for pending in ledger.state.pending_rounds(job)] == list(range(fraud))
    assert len(ledger.state.rounds) == fraud


def test_goes_back_to_the_start_and_lets_it_be_chosen_anew() -> None:
    ledger, job = ledger_with_rounds()
    ledger.apply("supervisor", proof(ledger, job, 0))
    assert (ledger.job(job).next_round, ledger.job(job).state) == (0, None)


def test_opens_a_job_again_that_had_come_to_its_final_round() -> None:
    ledger, job = ledger_with_rounds(1)
    ledger.commit(job, 1, final=True)
    assert not has_open_work(ledger.state)
    ledger.apply("supervisor", proof(ledger, job, 1))
    assert has_open_work(ledger.state)


def test_leaves_a_cancelled_job_closing() -> None:
    ledger, job = ledger_with_rounds(1)
    ledger.apply("client", CancelJob(sequence=1, job=job))
    ledger.apply("supervisor", proof(ledger, job))
    assert ledger.job(job).closing


def test_punishes_a_report_of_a_round_that_is_not_committed() -> None:
    ledger, job = ledger_with_rounds(1)
    ledger.apply("supervisor", proof(ledger, job, 1))
    assert ledger.account("rival").excluded
    assert ledger.job(job).next_round == 1


def test_punishes_the_same_fraud_once() -> None:
    ledger, job = ledger_with_rounds(2)
    ledger.apply("supervisor", proof(ledger, job, 1))
    assert ledger.refusal("supervisor", proof(ledger, job, 1)) is Reject.EVIDENCE
    ledger.apply("supervisor", proof(ledger, job, 0))
    assert ledger.job(job).next_round == 0


def test_the_old_commit_cannot_be_replayed_after_the_fraud() -> None:
    ledger, job = ledger_with_rounds(1)
    reports = [ledger.report(job, 0, slot) for slot in range(2)]
    ledger.apply("supervisor", proof(ledger, job, 0))
    assert ledger.refusal("coordinator", make_commit(job, 0, reports)) is Reject.MINER_EXCLUDED


def test_refuses_a_report_that_the_round_does_not_name() -> None:
    ledger, job = ledger_with_rounds()
    assert ledger.refusal("supervisor", proof(ledger, job, salt="another")) is Reject.EVIDENCE
    assert ledger.refusal("supervisor", proof(ledger, job, slot=2)) is Reject.EVIDENCE


def test_refuses_a_round_that_is_settled() -> None:
    ledger, job = ledger_with_rounds()
    valid = proof(ledger, job)
    ledger.settle(job, 1)
    assert ledger.refusal("supervisor", valid) is Reject.EVIDENCE


def test_refuses_a_single_fault() -> None:
    ledger, job = ledger_with_rounds()
    valid = proof(ledger, job)
    other = ledger.open_job()
    assert ledger.refusal("miner", valid) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(valid, job=word("no job"))) is Reject.JOB_UNKNOWN
    assert ledger.refusal("supervisor", replace(valid, job=ledger.submit())) is Reject.JOB_STATE
    assert ledger.refusal("supervisor", replace(valid, job=other)) is Reject.EVIDENCE
    assert ledger.refusal("supervisor", replace(valid, code="made-up")) is Reject.EVIDENCE
    assert ledger.refusal("supervisor", replace(valid, report=b"junk")) is Reject.EVIDENCE
    vote = encode(ledger.sign("rival", Vote(height=1, block=word("block"))))
    assert ledger.refusal("supervisor", replace(valid, report=vote)) is Reject.EVIDENCE


def test_refuses_to_punish_for_what_another_signed() -> None:
    ledger, job = ledger_with_rounds()
    report = make_report(make_assignment(job, 0, 1, miner=public_key("rival")))
    framed = ProveFraud(job=job, report=encode(ledger.sign("miner", report)), code="update")
    assert ledger.refusal("supervisor", framed) is Reject.EVIDENCE


def test_refuses_a_report_that_was_not_signed_for_this_chain() -> None:
    ledger, job = ledger_with_rounds()
    report = make_report(make_assignment(job, 0, 1, miner=public_key("rival")))
    elsewhere = encode(sign(secret_key("rival"), word("another chain"), report))
    assert ledger.refusal("supervisor", ProveFraud(job=job, report=elsewhere, code="update")) is Reject.SIGNATURE
