"""Blocks: when the committee appends one, and what a mined one has to bring."""

import pytest

from consensus.crypto.signing import decode_signed
from consensus.errors import InvalidBlockError, Reject
from consensus.primitives.encoding import decode, encode
from consensus.records.block import Block
from consensus.records.transactions import JobId
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome, Verdict
from tests.kit.genesis import public_key
from tests.kit.node import NodeSite


@pytest.fixture
def site() -> NodeSite:
    return NodeSite()


@pytest.fixture
def job(site: NodeSite) -> JobId:
    return site.open_job()


def accept(site: NodeSite, block: Block, outcome: Outcome | None = Outcome.MATCH) -> None:
    candidate = site.node.offer(encode(block))
    assert candidate.replay is not None
    report = decode(decode_signed(candidate.replay.report).body, SlotReport)
    site.node.accept(candidate, None if outcome is None else site.verdict_on(report, outcome))


def refusal(site: NodeSite, block: Block, outcome: Outcome | None = Outcome.MATCH) -> Reject:
    height = site.node.chain.height
    with pytest.raises(InvalidBlockError) as caught:
        accept(site, block, outcome)
    assert site.node.chain.height == height
    return caught.value.code


def test_an_idle_chain_takes_a_block_as_soon_as_something_waits(site: NodeSite) -> None:
    assert not site.node.append_quiet_block()
    site.transfer()
    assert site.node.append_quiet_block()
    assert site.balance("friend") == 5
    assert len(site.node.pool) == 0
    assert not site.node.append_quiet_block()


def test_with_open_work_the_committee_waits_for_miners(site: NodeSite, job: JobId) -> None:
    site.transfer()
    site.now_ms += site.genesis.params.quiet_after_ms // 2
    assert not site.node.append_quiet_block()
    site.now_ms += site.genesis.params.quiet_after_ms
    assert site.node.append_quiet_block()


def test_when_the_last_open_job_ends_a_block_is_due_at_once(site: NodeSite, job: JobId) -> None:
    site.cancel(job)
    site.now_ms += 1
    assert site.node.append_quiet_block()


def test_a_block_that_is_not_due_after_all_waits(site: NodeSite, job: JobId) -> None:
    """The clock says it is due, but not by enough for the rule, which asks for more than `quiet_after_ms`."""
    site.transfer()
    site.now_ms = site.node.chain.view.tip_time_ms + site.genesis.params.quiet_after_ms
    assert not site.node.append_quiet_block()
    site.now_ms += 1
    assert site.node.append_quiet_block()


def test_with_a_clock_that_was_set_back_blocks_wait(site: NodeSite) -> None:
    site.transfer()
    site.block()
    site.transfer()
    now_ms = site.now_ms
    site.now_ms -= 100_000
    assert not site.node.append_quiet_block()
    site.now_ms = now_ms
    assert site.node.append_quiet_block()


def test_other_faults_of_an_own_block_are_errors(site: NodeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.transfer()
    monkeypatch.setattr(site.node.pool, "select", lambda limit: ())
    with pytest.raises(InvalidBlockError) as caught:
        site.block()
    assert caught.value.code is Reject.EMPTY_BLOCK


def test_a_template_holds_what_waits(site: NodeSite, job: JobId) -> None:
    site.transfer()
    template = site.node.template(public_key("miner"))
    assert template is not None
    assert template.header.producer == public_key("miner")
    assert len(template.transactions) == 1


def test_a_mined_block_with_a_matching_replay_is_final_and_rewarded(site: NodeSite, job: JobId) -> None:
    site.transfer()
    block = site.mine(job)
    accept(site, block)
    assert site.node.chain.view.tip_hash == block.hash
    assert site.balance("miner") == site.genesis.params.block_reward
    assert site.balance("friend") == 5
    assert site.node.tallies.blocks_mined == {public_key("miner"): 1}
    assert site.is_conserved()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (None, Reject.REPLAY_CLASS),
        (Outcome.INCONCLUSIVE, Reject.REPLAY_CLASS),
        (Outcome.MISMATCH, Reject.UPDATE),
    ],
)
def test_a_mined_block_without_a_matching_replay_is_refused(
    site: NodeSite, job: JobId, outcome: Outcome | None, code: Reject
) -> None:
    assert refusal(site, site.mine(job), outcome) is code


def test_a_verdict_on_another_slot_says_nothing(site: NodeSite, job: JobId) -> None:
    candidate = site.node.offer(encode(site.mine(job)))
    verdict = Verdict(job=job, round=0, slot=1, outcome=Outcome.MATCH)
    with pytest.raises(ValueError, match="not what the block asked for"):
        site.node.accept(candidate, verdict)


def test_a_candidate_is_refused_when_the_tip_has_moved(site: NodeSite, job: JobId) -> None:
    block = site.mine(job)
    candidate = site.node.offer(encode(block))
    assert candidate.replay is not None
    site.block()
    with pytest.raises(InvalidBlockError) as caught:
        site.node.accept(candidate, None)
    assert caught.value.code is Reject.PARENT


def test_a_miner_with_evidence_waiting_gets_neither_template_nor_block(site: NodeSite, job: JobId) -> None:
    block = site.mine(job)
    report = site.report(job, 2, 1, "miner", salt="forged")
    forged = decode(report.body, SlotReport)
    assert site.node.prove_fraud(report, site.verdict_on(forged, Outcome.MISMATCH)) is not None
    assert site.node.template(public_key("miner")) is None
    assert refusal(site, block) is Reject.MINER_EXCLUDED
    assert site.node.excluded == (public_key("miner"),)


def test_a_block_may_bring_what_never_waited_here(site: NodeSite, job: JobId) -> None:
    """A transaction that came with a block replaces one that cannot follow it any more."""
    other = NodeSite()
    assert other.open_job() == job
    other.transfer(7)
    block = other.mine(job)
    waiting = site.transfer(8)
    for number in range(other.node.pool.state.jobs[job].next_round):
        miner_reports = [other.stores.reports.load_report(slot.report) for slot in _slots(other, job, number)]
        site.hand_in(miner_reports, _commit(other, job, number))
    accept(site, block)
    assert site.balance("friend") == 7
    assert waiting not in site.node.pool
    assert not site.stores.mempool.has(waiting)
    assert site.node.progress(job).next_round == 2


def _commit(site: NodeSite, job: JobId, number: int) -> object:
    from consensus.records.work import RoundCommit

    return next(m for m in site.node.pool.messages(RoundCommit) if m.round == number)


def _slots(site: NodeSite, job: JobId, number: int) -> tuple[object, ...]:
    return _commit(site, job, number).slots
