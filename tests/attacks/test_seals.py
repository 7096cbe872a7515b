"""Attacks on a mined block, from a miner that has really mined one: it has its key, its slots and all of the code.

Every attack changes one thing in a block that would be accepted as it is.
"""

import asyncio

import pytest
from msgspec.structs import replace

from cluster.node.ports import FlatState
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, decode_signed
from consensus.errors import InvalidBlockError, Reject
from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.mechanisms.pouw.seal import PouwSeal
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Digest, Target
from consensus.records.block import Block
from consensus.records.work import Assignment, SlotReport
from tests.kit import lies
from tests.kit.genesis import PARAMS, make_params, public_key
from tests.kit.site import CHEAT, HONEST, REWARD, open_site
from tests.kit.site_run import SiteRun

HALF = Target(b"\x80" + bytes(31))
"""Every second hash wins, so that work can also be in vain."""


class Mined:
    """A site at the moment when a miner has found a block. Refused blocks leave it as it is."""

    def __init__(self, **options: object) -> None:
        self.site = open_site(rounds=12, miners=(CHEAT, HONEST), **options)
        self.run = SiteRun(site=self.site, is_mining=True, stops_at_block=True)
        asyncio.run(self.run.run())
        self.block = decode(self.run.blocks[0], Block)
        self.seal = decode(self.block.seal, PouwSeal)
        self.report = decode(decode_signed(self.seal.report).body, SlotReport)
        self.commitment = decode(decode_signed(self.seal.commitment).body, SlotReport)
        self.assignment = decode(decode_signed(self.seal.assignment).body, Assignment)
        names = {node.public_key: name for name, node in self.site.miners.items()}
        self.miner = names[self.block.header.producer]
        self.other = CHEAT if self.miner == HONEST else HONEST

    def sign(self, message: Record, signer: str | SecretKey | None = None) -> bytes:
        """The message in an envelope of the miner, or of another signer."""
        return encode(self.site.sign(self.miner if signer is None else signer, message))

    def with_seal(self, **changes: object) -> bytes:
        """The block with other parts in its seal."""
        return encode(replace(self.block, seal=encode(replace(self.seal, **changes))))

    def with_report(self, report: SlotReport) -> bytes:
        """The block with another report, and the first nonce of that which wins."""
        step, attempt = self.winning(report)
        return self.with_seal(report=self.sign(report), step=step, attempt=attempt)

    def winning(self, report: SlotReport) -> tuple[int, int]:
        header = encode(self.block.header)
        for step in report.steps:
            for attempt in range(tries(self.site.params, step)):
                work_hash = proof_of_work_hash(header, nonce(step.digest, attempt))
                if is_below_target(work_hash, self.block.header.target):
                    return step.step, attempt
        return 0, 0

    def code(self, data: bytes) -> Reject:
        return self.site.refusal(data)

    def state_of(self, number: int) -> FlatState | None:
        return self.run.states.get(number)


@pytest.fixture(scope="module")
def mined() -> Mined:
    return Mined()


def test_the_block_as_it_was_mined_is_accepted_and_rewarded() -> None:
    mined = Mined()
    chain = mined.site.supervisor.chain
    issued = chain.view.state.totals.issued
    assert mined.site.offer_block(mined.run.blocks[0], mined.state_of) is None
    assert chain.height == mined.block.header.height
    assert chain.view.state.totals.issued == issued + PARAMS.block_reward
    assert mined.site.balance(mined.miner) >= PARAMS.block_reward


# who was given the slot


def test_a_coordinator_of_ones_own_choice(mined: Mined) -> None:
    assert mined.code(mined.with_seal(assignment=mined.sign(mined.assignment))) is Reject.SIGNATURE


def test_an_assignment_that_only_names_the_coordinator(mined: Mined) -> None:
    forged = replace(decode_signed(mined.seal.assignment), signature=bytes(64))
    assert mined.code(mined.with_seal(assignment=encode(forged))) is Reject.SIGNATURE


def test_a_slot_that_another_miner_ran(mined: Mined) -> None:
    stolen = replace(mined.block.header, producer=public_key(mined.other))
    assert mined.code(encode(replace(mined.block, header=stolen))) is Reject.STATE_ROOT, "the reward is in the state"
    honest = replace(mined.assignment, miner=public_key(mined.other))
    assert mined.code(mined.with_seal(assignment=mined.sign(honest, "coordinator"))) is Reject.SLOT_OWNER


def test_a_header_of_ones_own_over_the_slot_of_another(mined: Mined) -> None:
    """The thief makes a whole header for itself, reward included, and takes the other's seal."""
    template = mined.site.supervisor.template(public_key(mined.other))
    assert template is not None
    block = Block(header=template.header, seal=mined.block.seal, transactions=template.transactions)
    assert mined.code(encode(block)) is Reject.SLOT_OWNER


def test_an_assignment_of_another_round_slot_or_attempt(mined: Mined) -> None:
    for change in ({"round": mined.report.round - 1}, {"slot": 1 - mined.report.slot}, {"attempt": 9}):
        other = replace(mined.assignment, **change)
        assert mined.code(mined.with_seal(assignment=mined.sign(other, "coordinator"))) is Reject.ASSIGNMENT


def test_a_slot_that_was_never_handed_out(mined: Mined) -> None:
    """A report of a round that is not there yet, under an assignment for it that somebody made the coordinator sign."""
    ahead = replace(mined.assignment, round=mined.assignment.round + 50)
    steps = tuple(replace(step, round=ahead.round) for step in mined.report.steps)
    report = replace(mined.report, round=ahead.round, assignment=ahead.digest, steps=steps)
    data = mined.with_seal(assignment=mined.sign(ahead, "coordinator"), report=mined.sign(report))
    assert mined.code(data) is Reject.STATE_UNKNOWN


# what was done in it


def test_a_report_with_a_forged_signature(mined: Mined) -> None:
    for part in ("report", "commitment"):
        forged = replace(decode_signed(getattr(mined.seal, part)), signature=bytes(64))
        assert mined.code(mined.with_seal(**{part: encode(forged)})) is Reject.SIGNATURE


def test_more_tries_than_the_step_gives(mined: Mined) -> None:
    limit = tries(mined.site.params, mined.report.steps[0])
    for attempt in (limit, limit + 1, 2**32 - 1):
        assert mined.code(mined.with_seal(attempt=attempt)) is Reject.TRIES


def test_a_step_that_the_report_does_not_have(mined: Mined) -> None:
    assert mined.code(mined.with_seal(step=len(mined.report.steps))) is Reject.STEP_NOT_IN_REPORT


def test_a_start_state_that_gives_a_better_nonce(mined: Mined) -> None:
    """No verifier has such a state, so nothing could be replayed: it has to be refused before."""
    dithered = lies.altered_step(mined.report, 0, weights_in=Digest(bytes(32)))
    assert mined.code(mined.with_report(dithered)) is Reject.WEIGHTS_IN


def test_step_records_of_another_slot(mined: Mined) -> None:
    borrowed = lies.altered_step(mined.report, 0, slot=1 - mined.report.slot)
    assert mined.code(mined.with_report(borrowed)) is Reject.REPORT_SHAPE


def test_a_replay_class_that_nobody_can_check_earns_nothing() -> None:
    mined = Mined()
    data = mined.with_report(replace(mined.report, replay_class=lies.unknown_class()))
    with pytest.raises(InvalidBlockError) as caught:
        mined.site.offer_block(data, mined.state_of)
    assert caught.value.code is Reject.REPLAY_CLASS
    assert mined.site.balance(mined.miner) == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"loss_bits": 1}, Reject.LOSS),
        ({"batch": Digest(bytes(32))}, Reject.BATCH_BYTES),
        ({"batch_bytes": 10**12}, Reject.BATCH_BYTES),
        ({"indices": Digest(bytes(32))}, Reject.BATCH_INDICES),
        ({"weight_bytes": 10**12}, Reject.REPORT_SHAPE),
        ({"weights_out": Digest(bytes(32))}, Reject.WEIGHTS_OUT),
    ],
)
def test_a_record_varied_until_a_nonce_wins(change: dict[str, object], code: Reject) -> None:
    """The honest report is in the round, the one in the block differs from it. Its replay excludes the miner."""
    mined = Mined()
    site = mined.site
    fraud = site.offer_block(mined.with_report(lies.altered_step(mined.report, 0, **change)), mined.state_of)
    assert fraud is not None
    assert fraud.miner == public_key(mined.miner)
    site.append_quiet_block()
    assert site.frauds() == [(mined.miner, code.value)]
    assert site.is_excluded(mined.miner)
    assert mined.code(mined.run.blocks[0]) is Reject.HEIGHT
    assert site.balance(mined.miner) < REWARD
    assert site.supervisor.template(public_key(mined.miner)) is None


# where the block was committed to


def test_a_header_that_was_never_committed(mined: Mined) -> None:
    """A signed report with the right template that no round holds: signed when the result was known."""
    late = replace(mined.commitment, examples=mined.commitment.examples + 1)
    assert mined.code(mined.with_seal(commitment=mined.sign(late))) is Reject.NOT_COMMITTED


def test_a_report_without_a_template(mined: Mined) -> None:
    bare = replace(mined.commitment, template=None)
    assert mined.code(mined.with_seal(commitment=mined.sign(bare))) is Reject.NOT_COMMITTED


def test_a_template_changed_after_the_commitment(mined: Mined) -> None:
    """Grinding the time, which is the cheapest part of a header to vary."""
    later = replace(mined.block.header, time_ms=mined.block.header.time_ms + 1)
    assert mined.code(encode(replace(mined.block, header=later))) is Reject.COMMITMENT_CHANGED


def test_a_commitment_in_the_very_report_that_wins(mined: Mined) -> None:
    own = replace(mined.report, template=mined.block.header.template_hash)
    data = mined.with_seal(report=mined.sign(own), commitment=mined.sign(own))
    assert mined.code(data) is Reject.COMMITMENT_TOO_LATE


def test_a_commitment_one_round_too_late(mined: Mined) -> None:
    late = replace(mined.commitment, round=mined.report.round - mined.site.params.commit_lead + 1)
    assert mined.code(mined.with_seal(commitment=mined.sign(late))) is Reject.COMMITMENT_TOO_LATE


def test_a_template_that_another_miner_committed_to(mined: Mined) -> None:
    others = replace(mined.commitment, miner=public_key(mined.other))
    assert mined.code(mined.with_seal(commitment=mined.sign(others, mined.other))) is Reject.SIGNATURE
    assert mined.code(mined.with_seal(commitment=mined.sign(others))) is Reject.NOT_COMMITTED


def test_a_commitment_of_another_job(mined: Mined) -> None:
    other = replace(mined.commitment, job=Digest(bytes(32)))
    assert mined.code(mined.with_seal(commitment=mined.sign(other))) is Reject.NOT_COMMITTED


# transactions in the block


def test_transactions_that_are_not_those_of_the_header(mined: Mined) -> None:
    extra: Signed = mined.site.sign("other", mined.commitment)
    more = replace(mined.block, transactions=(*mined.block.transactions, encode(extra)))
    assert mined.code(encode(more)) is Reject.TRANSACTIONS_ROOT


# work that does not suffice


def test_a_nonce_that_is_not_below_the_target() -> None:
    """Of the tries that a step gives, one in two loses here: none of the losers is taken."""
    mined = Mined(params=make_params(initial_target=HALF, easiest_target=HALF))
    header, step = encode(mined.block.header), mined.report.steps[0]
    refused = 0
    for attempt in range(tries(mined.site.params, step)):
        is_winner = is_below_target(proof_of_work_hash(header, nonce(step.digest, attempt)), HALF)
        if not is_winner:
            refused += 1
            assert mined.code(mined.with_seal(step=0, attempt=attempt)) is Reject.DIFFICULTY
    assert refused
