"""Who is paid what: the issue of new credits for a mined block, and the pay of a verified slot."""

from typing import Final

from consensus.ledger.entries import JobAccount
from consensus.ledger.state import LedgerState
from consensus.ledger.transfers import credit
from consensus.params import ConsensusParams
from consensus.primitives.integers import MAX_UINT63, PublicKey

MINED: Final = frozenset({"pouw"})
"""Mechanisms whose blocks prove work: they are rewarded, and their times move the difficulty."""


def issue_block_reward(state: LedgerState, producer: PublicKey, mechanism: str, params: ConsensusParams) -> LedgerState:
    """Issue the block reward to the producer of a mined block; never more in all than the integers can hold."""
    reward = min(params.block_reward, MAX_UINT63 - state.totals.issued)
    if mechanism not in MINED or reward == 0:
        return state
    return credit(state, producer, reward).with_totals(issued=reward)


def slot_pay(job: JobAccount) -> int:
    """What one verified slot of the job earns. The rest of the division goes back to the client in the end."""
    return job.reward // (job.rounds * job.slots)
