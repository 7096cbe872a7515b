"""The rules of a pouw seal, each broken alone in an otherwise valid block."""

from dataclasses import replace as change
from typing import Final

import pytest
from msgspec.structs import replace

from consensus.errors import InvalidBlockError, Reject
from consensus.ledger.entries import Account
from consensus.mechanisms.pouw.nonce import tries
from consensus.mechanisms.pouw.seal import PouwSeal
from consensus.primitives.encoding import encode
from consensus.records.block import Block
from consensus.records.transactions import CloseJob
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import HARD, PARAMS, make_genesis, make_params, public_key, secret_key
from tests.kit.pouw import COMMITTED_ROUND, WINNING_ROUND, PouwDraft, draft_pouw
from tests.kit.work import make_assignment, make_report, make_step, word

RIVAL: Final = public_key("rival")


@pytest.fixture
def draft() -> PouwDraft:
    chain = start_chain()
    return draft_pouw(chain, chain.open_job())


def refusal(chain: TestChain, block: Block) -> Reject:
    with pytest.raises(InvalidBlockError) as caught:
        chain.check(block)
    return caught.value.code


def refused(draft: PouwDraft) -> Reject:
    return refusal(draft.chain, draft.block())


def with_report(draft: PouwDraft, **changes: object) -> PouwDraft:
    return change(draft, report=replace(draft.report, **changes))


def with_commitment(draft: PouwDraft, **changes: object) -> PouwDraft:
    """Another commitment, which its round names as well."""
    return change(draft, commitment=replace(draft.commitment, **changes)).commit()


def with_step(draft: PouwDraft, **changes: object) -> PouwDraft:
    steps = list(draft.report.steps)
    steps[draft.step] = replace(steps[draft.step], **changes)
    return with_report(draft, steps=tuple(steps))


def test_accepts_a_valid_seal_and_asks_for_the_winning_slot(draft: PouwDraft) -> None:
    asked = draft.chain.append(draft.block()).replay
    assert asked is not None
    assert (asked.job, asked.round, asked.slot) == (draft.report.job, WINNING_ROUND, 0)
    assert (asked.report, asked.step) == (draft.seal().report, draft.step)


def test_rewards_the_producer(draft: PouwDraft) -> None:
    state = draft.chain.check(draft.block()).state
    assert state.account(public_key("miner")).balance == PARAMS.block_reward


@pytest.mark.parametrize("part", ["assignment", "report", "commitment"])
def test_refuses_a_seal_that_does_not_decode(draft: PouwDraft, part: str) -> None:
    seal = draft.seal()
    wrong_kind = encode(draft.sign(draft.miner, make_step(draft.assignment)))
    for broken in (b"junk", wrong_kind):
        block = replace(draft.block(), seal=encode(replace(seal, **{part: broken})))
        assert refusal(draft.chain, block) is Reject.ENCODING
    assert refusal(draft.chain, replace(draft.block(), seal=b"")) is Reject.ENCODING


@pytest.mark.parametrize("role", ["coordinator", "miner", "committer"])
def test_refuses_a_message_signed_by_another(draft: PouwDraft, role: str) -> None:
    broken = change(draft, **{role: secret_key("rival")})
    assert refused(broken.commit()) is Reject.SIGNATURE


@pytest.mark.parametrize("part", ["assignment", "report", "commitment"])
def test_refuses_a_message_with_a_forged_signature(draft: PouwDraft, part: str) -> None:
    messages = {"assignment": draft.assignment, "report": draft.report, "commitment": draft.commitment}
    keys = {"assignment": draft.coordinator, "report": draft.miner, "commitment": draft.committer}
    forged = replace(draft.sign(keys[part], messages[part]), signature=bytes(64))
    seal: PouwSeal = replace(draft.seal(), **{part: encode(forged)})
    assert refusal(draft.chain, replace(draft.block(), seal=encode(seal))) is Reject.SIGNATURE


def test_refuses_a_job_that_the_ledger_does_not_know(draft: PouwDraft) -> None:
    assert refused(with_report(draft, job=word("no job"))) is Reject.JOB_STATE


def test_refuses_a_job_that_ended() -> None:
    chain = start_chain()
    job = chain.open_job()
    chain.extend(chain.sign(chain.supervisor, CloseJob(job=job, outcome="failed")))
    assert refused(draft_pouw(chain, job)) is Reject.JOB_STATE


def test_refuses_an_excluded_producer() -> None:
    chain = start_chain()
    job = chain.open_job()
    state = chain.view.state.with_account(public_key("miner"), Account(excluded=True)).sealed()
    chain.view = change(chain.view, state=state)
    assert refused(draft_pouw(chain, job)) is Reject.MINER_EXCLUDED


def test_refuses_a_slot_of_another_miner(draft: PouwDraft) -> None:
    assert refused(change(draft, assignment=replace(draft.assignment, miner=RIVAL))) is Reject.SLOT_OWNER
    assert refused(with_report(draft, miner=RIVAL)) is Reject.SLOT_OWNER
    stolen = change(with_report(draft, miner=RIVAL), assignment=replace(draft.assignment, miner=RIVAL))
    assert refused(change(stolen, miner=secret_key("rival"))) is Reject.SLOT_OWNER


@pytest.mark.parametrize(
    "fault", [{"assignment": word("another")}, {"round": WINNING_ROUND + 1}, {"slot": 1}, {"attempt": 1}]
)
def test_refuses_a_report_of_another_assignment(draft: PouwDraft, fault: dict[str, object]) -> None:
    assert refused(with_report(draft, **fault)) is Reject.ASSIGNMENT


def test_refuses_an_assignment_for_another_job(draft: PouwDraft) -> None:
    assignment = replace(draft.assignment, job=word("another"))
    broken = change(with_report(draft, assignment=assignment.digest), assignment=assignment)
    assert refused(broken) is Reject.ASSIGNMENT


def test_refuses_a_slot_from_a_state_the_chain_does_not_know(draft: PouwDraft) -> None:
    states = draft.chain.work.states
    states[draft.report.job, WINNING_ROUND] = word("another state")
    assert refused(draft) is Reject.STATE_UNKNOWN
    del states[draft.report.job, WINNING_ROUND]
    assert refused(draft) is Reject.STATE_UNKNOWN


@pytest.mark.parametrize("fault", [{"job": word("another")}, {"round": 1}, {"slot": 7}, {"miner": RIVAL}, {"step": 9}])
def test_refuses_a_step_of_another_place(draft: PouwDraft, fault: dict[str, object]) -> None:
    assert refused(with_step(draft, **fault)) is Reject.REPORT_SHAPE


def test_refuses_a_faulty_step_that_did_not_win(draft: PouwDraft) -> None:
    other = 1 - draft.step
    steps = list(draft.report.steps)
    steps[other] = replace(steps[other], slot=7)
    assert refused(with_report(draft, steps=tuple(steps))) is Reject.REPORT_SHAPE


def test_refuses_a_step_beyond_the_report(draft: PouwDraft) -> None:
    assert refused(change(draft, step=2)) is Reject.STEP_NOT_IN_REPORT
    assert refused(with_report(draft, steps=())) is Reject.STEP_NOT_IN_REPORT


def test_refuses_more_tries_than_the_step_gives(draft: PouwDraft) -> None:
    limit = tries(PARAMS, draft.report.steps[draft.step])
    assert refused(change(draft, attempt=limit)) is Reject.TRIES


def test_refuses_a_commitment_that_no_round_names(draft: PouwDraft) -> None:
    draft.chain.work.reports.clear()
    assert refused(draft) is Reject.NOT_COMMITTED


def test_refuses_a_commitment_other_than_the_one_its_round_names(draft: PouwDraft) -> None:
    assert refused(change(draft, commitment=replace(draft.commitment, examples=1))) is Reject.NOT_COMMITTED


@pytest.mark.parametrize("fault", [{"template": None}, {"job": word("another")}, {"miner": RIVAL}])
def test_refuses_a_report_that_commits_to_nothing_here(draft: PouwDraft, fault: dict[str, object]) -> None:
    assert refused(with_commitment(draft, **fault)) is Reject.NOT_COMMITTED


def test_refuses_a_header_other_than_the_committed_one(draft: PouwDraft) -> None:
    assert refused(with_commitment(draft, template=word("another"))) is Reject.COMMITMENT_CHANGED
    header = replace(draft.header, time_ms=draft.header.time_ms + 1)
    assert refused(change(draft, header=header)) is Reject.COMMITMENT_CHANGED


def test_refuses_a_commitment_of_too_late_a_round(draft: PouwDraft) -> None:
    assert refused(with_commitment(draft, round=COMMITTED_ROUND + 1)) is Reject.COMMITMENT_TOO_LATE


def test_refuses_a_commitment_that_a_newer_one_stands_before(draft: PouwDraft) -> None:
    older = with_commitment(draft, round=COMMITTED_ROUND - 1)
    assert refused(older) is Reject.COMMITMENT_SUPERSEDED
    del draft.chain.work.reports[draft.report.job, COMMITTED_ROUND, draft.miner.public_key]
    draft.chain.check(older.block())


def test_a_report_in_the_lead_supersedes_nothing(draft: PouwDraft) -> None:
    newer = make_report(make_assignment(draft.report.job, WINNING_ROUND - 1), template=word("another"))
    change(draft, commitment=newer).commit()
    draft.chain.check(draft.block())


def test_refuses_a_report_whose_first_step_starts_elsewhere(draft: PouwDraft) -> None:
    steps = (replace(draft.report.steps[0], weights_in=word("elsewhere")), *draft.report.steps[1:])
    assert refused(with_report(draft, steps=steps)) is Reject.WEIGHTS_IN


def test_refuses_a_hash_that_is_not_below_the_target() -> None:
    chain = start_chain(genesis=make_genesis(params=make_params(initial_target=HARD)))
    assert refused(draft_pouw(chain, chain.open_job())) is Reject.DIFFICULTY


def test_refuses_an_assignment_by_a_coordinator_that_was_replaced(draft: PouwDraft) -> None:
    chain, job = draft.chain, draft.report.job
    state = chain.view.state
    account = replace(state.jobs[job], coordinator=RIVAL)
    chain.view = change(chain.view, state=state.with_job(job, account).sealed())
    assert refused(draft_pouw(chain, job)) is Reject.SIGNATURE


def test_a_committed_report_may_be_of_any_slot(draft: PouwDraft) -> None:
    earlier = make_assignment(draft.report.job, COMMITTED_ROUND, 1)
    commitment = make_report(earlier, template=draft.header.template_hash)
    draft.chain.check(change(draft, commitment=commitment).commit().block())
