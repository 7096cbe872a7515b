"""What must hold at the end of every simulated run, whatever went wrong on the way."""

from collections import Counter
from dataclasses import dataclass, field

from cluster.node.messages import open_message
from cluster.node.supervisor import SupervisorNode
from consensus.crypto.signing import decode_signed
from consensus.ledger.rewards import MINED
from consensus.mechanisms.pouw.seal import OpenSeal, open_seal
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.block import Block
from consensus.records.transactions import ProveFraud, SettleRounds, Transaction
from consensus.records.work import RoundCommit, SlotReport
from tests.kit.genesis import FUNDS, public_key
from tests.kit.hashed_training import undisturbed_states
from tests.simulation.world import REWARD, World


@dataclass
class ChainStory:
    """The chain read from its first block, by rules of this test only."""

    committed: dict[int, RoundCommit] = field(default_factory=dict)
    excluded: set[PublicKey] = field(default_factory=set)
    paid: Counter[PublicKey] = field(default_factory=Counter)
    mined: Counter[PublicKey] = field(default_factory=Counter)
    settled: int = 0
    seals: list[tuple[Block, OpenSeal]] = field(default_factory=list)
    reports: set[Digest] = field(default_factory=set)
    """Every slot report that a round commit ever named."""
    held: set[Digest] = field(default_factory=set)
    """Every round commit that a block holds."""
    went_back: bool = False

    def add(self, block: Block, pay: int, reward: int) -> None:
        for data in block.transactions:
            signed = decode_signed(data)
            self.held.add(signed.digest)
            self.add_message(open_message(signed), pay)
        if block.header.mechanism in MINED:
            self.mined[block.header.producer] += reward
            self.seals.append((block, open_seal(block.seal)))

    def add_message(self, message: Transaction, pay: int) -> None:
        match message:
            case RoundCommit():
                assert not self.excluded & {slot.miner for slot in message.slots}, "an excluded miner is credited"
                assert message.round not in self.committed, "a round is committed twice"
                self.committed[message.round] = message
                self.reports |= {slot.report for slot in message.slots}
            case ProveFraud():
                self._go_back(decode(decode_signed(message.report).body, SlotReport))
            case SettleRounds(upto=upto):
                self._pay(upto, pay)

    def _go_back(self, report: SlotReport) -> None:
        self.excluded.add(report.miner)
        self.went_back = True
        for number in [n for n in self.committed if n >= report.round]:
            del self.committed[number]

    def _pay(self, upto: int, pay: int) -> None:
        for number in range(self.settled, upto):
            for slot in self.committed[number].slots:
                if slot.miner not in self.excluded:
                    self.paid[slot.miner] += pay
        self.settled = upto


def check_world(world: World, *, outcome: str = "completed") -> ChainStory:
    """Everything that can be said of a finished run."""
    assert world.mistakes == []
    pay = REWARD // (world.plan.rounds * world.plan.slots)
    story = ChainStory()
    for block in world.blocks():
        story.add(block, pay, world.genesis.params.block_reward)
    assert world.account.status.value == outcome, (world.account.reason, world.failures)
    assert story.settled == len(story.committed) == world.account.next_round
    check_states(world, story)
    check_credits(world, story)
    check_acknowledged(world, story)
    check_headers(world, story)
    check_same_after_restart(world.supervisor, world.open_supervisor())
    return story


def check_states(world: World, story: ChainStory) -> None:
    """Invariant 1: the states are those of a run in which nothing went wrong."""
    expected: list[Digest] = undisturbed_states(world.plan)
    for number in range(len(story.committed)):
        commit = story.committed[number]
        assert (commit.state_in, commit.state_out) == (expected[number], expected[number + 1]), f"round {number}"
        assert len(commit.slots) == world.plan.slots


def check_credits(world: World, story: ChainStory) -> None:
    """Invariant 4, and everybody has what was earned, to the last unit."""
    state = world.supervisor.chain.view.state
    for name in (*world.lies, *world.miners):
        key = public_key(name)
        assert state.account(key).balance == story.paid[key] + story.mined[key], name
    assert state.account(public_key("client")).balance == FUNDS - story.paid.total()
    assert world.account.escrow == 0
    held = sum(account.balance + account.stake for account in state.accounts.values())
    assert held + state.totals.treasury == state.totals.issued == 2 * FUNDS + story.mined.total()


def check_acknowledged(world: World, story: ChainStory) -> None:
    """Invariant 5: what was acknowledged is on the chain, unless a proven fraud took it back before it was."""
    lost = set(world.acknowledged) - story.held
    assert not lost or story.went_back, f"{len(lost)} acknowledged rounds are not on the chain"


def check_headers(world: World, story: ChainStory) -> None:
    """Invariant 10: a mined header was committed before its work was handed out, in a report that a round names.

    The winning report itself need not be named: work that came too late for its round is work all the same.
    """
    for block, opened in story.seals:
        assert opened.commitment.template == block.header.template_hash
        assert opened.commitment.miner == opened.report.miner == block.header.producer
        assert opened.report.round - opened.commitment.round >= world.genesis.params.commit_lead
        assert opened.signed_commitment.digest in story.reports


def check_same_after_restart(before: SupervisorNode, after: SupervisorNode) -> None:
    """A node that is started again has in memory what it had before, but for audits that it has to do again."""
    assert after.memory.history == before.memory.history
    assert after.memory.excluded == before.memory.excluded
    assert after.tallies == before.tallies
    assert after.pool.all_messages() == before.pool.all_messages()
    assert after.pool.state == before.pool.state
    assert after.chain.view.tip_hash == before.chain.view.tip_hash
    assert after.chain.view.state == before.chain.view.state
    assert after.audits.sampled() == before.audits.sampled()
    assert after.audits.backlog == sum(len(slots) for _, _, slots in after.audits.sampled())
