"""A miner that commits to another header with every report, keeps them all, and tries each result with every one.

It would have as many hashes a result as it has headers on the tip. The rule against it: a result may be tried with one
header only, the one in the miner's first slot of the last round, before the lead, in which it had a slot.

What is left, as a bound: who can run the whole job ahead of the site by `commit_lead` rounds knows its results before
it commits, and can then choose among headers. For that it has to do all slots of all miners, and stay ahead: it needs
more computing power than the whole site has. A round that was run again after a fraud gives as many headers a result
as there were runs; each costs a miner its place.
"""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from cluster.node.ports import SlotReply
from consensus.crypto.signing import Signed, decode_signed
from consensus.errors import InvalidBlockError, Reject
from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.mechanisms.pouw.seal import PouwSeal
from consensus.primitives.encoding import encode
from consensus.records.block import Block
from consensus.records.work import Assignment, SlotReport
from jobs.mining.templates import Template
from tests.kit.site import CHEAT, HONEST, Site, Task, open_site
from tests.kit.site_run import run_job

LAST_ROUND = 6


@dataclass(frozen=True)
class Committed:
    """One of the cheat's reports, with the header it commits to."""

    template: Template
    assignment: Assignment
    report: SlotReport
    signed: Signed


@dataclass
class Hoarder:
    """Commits to another header with every report, and forgets none. Its work is honest."""

    committed: list[Committed] = field(default_factory=list)

    def __call__(self, task: Task) -> SlotReply:
        task.site.clock.now_ms += 7
        template = task.site.supervisor.template(task.miner.public_key)
        assert template is not None
        report = replace(task.report, template=template.header.template_hash)
        reply = task.answer(report)
        self.committed.append(Committed(template, task.assignment, report, decode_signed(reply.report)))
        return reply


class Hoard:
    """A site whose cheat has committed to many headers on one tip; nothing was mined yet."""

    def __init__(self) -> None:
        self.site: Site = open_site(rounds=20, slots=4)
        self.hoarder = Hoarder()
        self.site.lies[CHEAT] = self.hoarder
        run_job(self.site, rounds_per_block=100, stops_after_round=LAST_ROUND)
        self.latest = self.hoarder.committed[-1]

    def block(self, commitment: Committed, result: Committed) -> bytes | None:
        """A block with the header of one report and the work of another; None if no nonce wins."""
        header = encode(commitment.template.header)
        for step in result.report.steps:
            for attempt in range(tries(self.site.params, step)):
                if is_below_target(
                    proof_of_work_hash(header, nonce(step.digest, attempt)), commitment.template.header.target
                ):
                    seal = PouwSeal(
                        assignment=encode(self.site.sign("coordinator", result.assignment)),
                        report=encode(result.signed),
                        step=step.step,
                        attempt=attempt,
                        commitment=encode(commitment.signed),
                    )
                    return encode(
                        Block(
                            header=commitment.template.header,
                            seal=encode(seal),
                            transactions=commitment.template.transactions,
                        )
                    )
        return None

    def code(self, data: bytes) -> Reject | None:
        try:
            self.site.supervisor.offer(data)
        except InvalidBlockError as error:
            return error.code
        return None


@pytest.fixture(scope="module")
def hoard() -> Hoard:
    return Hoard()


def test_one_header_can_be_used_with_a_result(hoard: Hoard) -> None:
    last = hoard.latest.report.round - hoard.site.params.commit_lead
    early = [c for c in hoard.hoarder.committed if c.report.round <= last]
    headers = {c.report.template for c in early}
    blocks = {c.signed.digest: hoard.block(c, hoard.latest) for c in early}
    assert len(headers) == len(early) >= 6, "it holds many headers"
    assert None not in blocks.values(), "and all of them would win"
    codes = {digest: hoard.code(data) for digest, data in blocks.items() if data is not None}
    accepted = [c for c in early if codes[c.signed.digest] is None]
    newest = [c for c in early if c.report.round == last]
    assert accepted == [min(newest, key=lambda c: c.report.slot)]


def test_older_headers_are_superseded_and_later_slots_commit_to_nothing(hoard: Hoard) -> None:
    last = hoard.latest.report.round - hoard.site.params.commit_lead
    found: set[Reject | None] = set()
    for commitment in hoard.hoarder.committed:
        if commitment.report.round > last:
            continue
        slots = [c.report.slot for c in hoard.hoarder.committed if c.report.round == commitment.report.round]
        data = hoard.block(commitment, hoard.latest)
        assert data is not None
        code = hoard.code(data)
        found.add(code)
        if commitment.report.slot > min(slots):
            assert code is Reject.NOT_COMMITTED
        elif commitment.report.round < last:
            assert code is Reject.COMMITMENT_SUPERSEDED
    assert found == {None, Reject.NOT_COMMITTED, Reject.COMMITMENT_SUPERSEDED}


def test_headers_within_the_lead_cannot_be_used_yet(hoard: Hoard) -> None:
    newest = hoard.hoarder.committed[-1]
    data = hoard.block(newest, newest)
    assert data is not None
    assert hoard.code(data) is Reject.COMMITMENT_TOO_LATE


def test_an_honest_miner_finds_as_many_blocks_as_the_rule_allows() -> None:
    """It looks with the one header that it may use, so nothing it finds is refused for its commitment."""
    site = open_site(rounds=12, miners=(HONEST,))
    run = run_job(site, is_mining=True)
    assert len(run.blocks) >= 2
    assert set(run.refused) <= {Reject.HEIGHT}
