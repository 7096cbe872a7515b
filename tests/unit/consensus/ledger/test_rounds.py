"""Round commits and settlements."""

from dataclasses import replace as replace_context

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import Account, round_key
from consensus.ledger.state import has_open_work
from consensus.records.transactions import AuditedSlot, CancelJob
from consensus.records.work import RoundCommit
from tests.kit.genesis import public_key
from tests.kit.ledger import TestLedger, start_ledger
from tests.kit.work import make_commit, state_word, word


def commit_of(ledger: TestLedger, job: bytes, round_number: int = 0, **changes: object) -> RoundCommit:
    reports = [ledger.report(job, round_number, slot) for slot in range(2)]
    return make_commit(job, round_number, reports, **changes)


def test_commit_makes_the_round_pending() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.move_to(5)
    ledger.commit(job, 0)
    assert (ledger.job(job).next_round, ledger.job(job).state) == (1, state_word(job, 1))
    (pending,) = ledger.state.pending_rounds(job)
    assert (pending.round, pending.height, pending.state_in) == (0, 5, state_word(job, 0))
    assert [slot.miner for slot in pending.slots] == [public_key("miner"), public_key("rival")]


def test_commit_takes_any_state_for_the_first_round_only() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0, state_in=word("any"))
    assert ledger.refusal("coordinator", commit_of(ledger, job, 1, state_in=word("any"))) is Reject.STATE_UNKNOWN
    ledger.commit(job, 1)


@pytest.mark.parametrize("last", [1, 3])
def test_commit_of_the_final_round_closes_the_job(last: int) -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    for number in range(last):
        ledger.commit(job, number)
    ledger.commit(job, last, final=True)
    assert ledger.job(job).closing
    assert not has_open_work(ledger.state)
    assert ledger.refusal("coordinator", commit_of(ledger, job, last + 1)) is Reject.JOB_STATE


def test_commit_refuses_a_last_round_that_is_not_final() -> None:
    ledger = start_ledger()
    job = ledger.open_job(rounds=1)
    assert ledger.refusal("coordinator", commit_of(ledger, job)) is Reject.ROUND


def test_commit_refuses_a_single_fault() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    valid = commit_of(ledger, job)
    assert ledger.refusal("miner", valid) is Reject.NOT_AUTHORISED
    assert ledger.refusal("coordinator", commit_of(ledger, job, 1)) is Reject.ROUND
    assert ledger.refusal("coordinator", replace(valid, slots=valid.slots[:1])) is Reject.SLOT_COUNT
    assert ledger.refusal("coordinator", replace(valid, job=word("no job"))) is Reject.JOB_UNKNOWN
    ledger.apply("coordinator", valid)
    assert ledger.refusal("coordinator", valid) is Reject.ROUND


def test_commit_refuses_a_job_that_does_not_run() -> None:
    ledger = start_ledger()
    job = ledger.submit()
    assert ledger.refusal("coordinator", commit_of(ledger, job)) is Reject.JOB_STATE


def test_commit_refuses_a_cancelled_job() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.apply("client", CancelJob(sequence=1, job=job))
    assert ledger.refusal("coordinator", commit_of(ledger, job)) is Reject.JOB_STATE


def test_commit_refuses_the_slot_of_an_excluded_miner() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.state = ledger.state.with_account(public_key("rival"), Account(excluded=True))
    assert ledger.refusal("coordinator", commit_of(ledger, job)) is Reject.MINER_EXCLUDED


def test_settle_pays_every_slot_and_drops_the_rounds() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    for number in range(3):
        ledger.commit(job, number)
    ledger.settle(job, 2)
    assert ledger.job(job).settled_round == 2
    assert [pending.round for pending in ledger.state.pending_rounds(job)] == [2]
    assert round_key(job, 1) not in ledger.state.rounds
    pay = 1_003 // 8
    assert ledger.account("miner").balance == ledger.account("rival").balance == 2 * pay
    assert ledger.job(job).escrow == 1_003 - 4 * pay


def test_settle_pays_nothing_to_an_excluded_miner() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    ledger.state = ledger.state.with_account(public_key("rival"), Account(excluded=True))
    ledger.settle(job, 1)
    assert ledger.account("rival").balance == 0
    assert ledger.job(job).escrow == 1_003 - 1_003 // 8


def test_settle_of_a_job_without_reward_pays_nothing() -> None:
    ledger = start_ledger()
    job = ledger.open_job(reward=0)
    ledger.commit(job, 0)
    ledger.settle(job, 1)
    assert public_key("miner") not in ledger.state.accounts


def test_settle_takes_exactly_the_slots_the_beacon_draws() -> None:
    ledger = start_ledger()
    job = ledger.open_job(audit_ppm=1_000_000)
    ledger.commit(job, 0)
    valid = ledger.settlement(job, 1)
    assert valid.audited == (AuditedSlot(round=0, slot=0), AuditedSlot(round=0, slot=1))
    for audited in (valid.audited[:1], valid.audited[::-1], (*valid.audited, valid.audited[1]), ()):
        assert ledger.refusal("supervisor", replace(valid, audited=audited)) is Reject.SETTLEMENT
    ledger.apply("supervisor", valid)


def test_settle_waits_for_the_beacon() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    valid = ledger.settlement(job, 1)
    ledger.context = replace_context(ledger.context, beacon=lambda _: None)
    assert ledger.refusal("supervisor", valid) is Reject.SETTLEMENT


@pytest.mark.parametrize("upto", [0, 1, 3])
def test_settle_refuses_rounds_that_are_not_pending(upto: int) -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    ledger.settle(job, 1)
    ledger.commit(job, 1)
    assert ledger.refusal("supervisor", ledger.settlement(job, upto)) is Reject.SETTLEMENT


def test_settle_refuses_a_single_fault() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    valid = ledger.settlement(job, 1)
    assert ledger.refusal("coordinator", valid) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(valid, job=word("no job"))) is Reject.JOB_UNKNOWN
    assert ledger.refusal("supervisor", replace(valid, job=ledger.submit(sequence=1))) is Reject.JOB_STATE
