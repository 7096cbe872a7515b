"""Judging a candidate by the replay that it asked for."""

import pytest
from msgspec.structs import replace

from consensus.chain.acceptance import Candidate, judge
from consensus.errors import InvalidBlockError, Reject
from consensus.records.transactions import Transfer
from consensus.replay.verdict import Outcome, Verdict
from tests.kit.chain import start_chain
from tests.kit.genesis import public_key
from tests.kit.pouw import draft_pouw
from tests.kit.work import word


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    chain = start_chain()
    return chain.check(draft_pouw(chain, chain.open_job()).block())


def verdict(candidate: Candidate, outcome: Outcome, **changes: object) -> Verdict:
    asked = candidate.replay
    assert asked is not None
    return replace(Verdict(job=asked.job, round=asked.round, slot=asked.slot, outcome=outcome), **changes)


def test_lets_a_match_pass(candidate: Candidate) -> None:
    judge(candidate, verdict(candidate, Outcome.MATCH))


@pytest.mark.parametrize(
    ("outcome", "changes", "code"),
    [
        (Outcome.MISMATCH, {"code": Reject.LOSS, "step": 1}, Reject.LOSS),
        (Outcome.MISMATCH, {}, Reject.UPDATE),
        (Outcome.INCONCLUSIVE, {"detail": "cuda"}, Reject.REPLAY_CLASS),
    ],
)
def test_refuses_anything_else(
    candidate: Candidate, outcome: Outcome, changes: dict[str, object], code: Reject
) -> None:
    with pytest.raises(InvalidBlockError) as caught:
        judge(candidate, verdict(candidate, outcome, **changes))
    assert caught.value.code is code


@pytest.mark.parametrize("change", [{"job": word("another")}, {"round": 0}, {"slot": 1}])
def test_takes_no_verdict_about_another_slot(candidate: Candidate, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not what the block asked for"):
        judge(candidate, verdict(candidate, Outcome.MATCH, **change))


def test_takes_no_verdict_for_a_block_that_asked_for_none(candidate: Candidate) -> None:
    chain = start_chain()
    transfer = Transfer(sequence=0, recipient=public_key("client"), amount=1)
    authority = chain.check(chain.authority_block(chain.sign("other", transfer)))
    with pytest.raises(ValueError, match="not what the block asked for"):
        judge(authority, verdict(candidate, Outcome.MATCH))
