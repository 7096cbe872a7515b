"""What a node has to know of its chain to judge the next block: the tip and the ledger there, not the history."""

from dataclasses import dataclass, replace

from consensus.chain.difficulty import lateness_ms, next_target
from consensus.ledger.context import BeaconSource, TransitionContext
from consensus.ledger.state import LedgerState
from consensus.ledger.transition import TransactionOpener, open_encoded
from consensus.params import ConsensusParams
from consensus.ports import WorkLog
from consensus.primitives.integers import Digest, Height, PublicKey, Target, TimeMs
from consensus.records.block import Block, BlockHash, Header
from consensus.records.genesis import Genesis


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainView:
    """A chain as seen from its tip. `tip` is None before the first block; the chain id then stands for its hash."""

    chain_id: Digest
    params: ConsensusParams
    committee: tuple[PublicKey, ...]
    genesis_time_ms: TimeMs
    tip: Header | None
    tip_hash: BlockHash
    tip_late_ms: int
    """How much later than the interval asks for the tip came."""
    state: LedgerState
    work: WorkLog
    beacon: BeaconSource
    opener: TransactionOpener = open_encoded

    @property
    def next_height(self) -> Height:
        """The height of the block that may come."""
        return Height(1 if self.tip is None else self.tip.height + 1)

    @property
    def tip_time_ms(self) -> TimeMs:
        """When the tip was made."""
        return self.genesis_time_ms if self.tip is None else self.tip.time_ms

    @property
    def next_target(self) -> Target:
        """The target of the block that may come."""
        if self.tip is None:
            return self.params.initial_target
        return next_target(self.params, self.tip.target, self.tip_late_ms)

    @property
    def context(self) -> TransitionContext:
        """What the transactions of the next block are judged against."""
        return TransitionContext(
            chain_id=self.chain_id,
            params=self.params,
            committee=self.committee,
            height=self.next_height,
            beacon=self.beacon,
        )


def open_view(
    *,
    genesis: Genesis,
    state: LedgerState,
    work: WorkLog,
    beacon: BeaconSource,
    tip: Block | None = None,
    parent: Header | None = None,
    opener: TransactionOpener = open_encoded,
) -> ChainView:
    """The view from a stored tip and its parent, or from genesis without a tip. `state` is the ledger there."""
    chain_id = genesis.chain_id
    parent_time_ms = genesis.time_ms if parent is None else parent.time_ms
    return ChainView(
        chain_id=chain_id,
        params=genesis.params,
        committee=genesis.supervisors,
        genesis_time_ms=genesis.time_ms,
        tip=None if tip is None else tip.header,
        tip_hash=chain_id if tip is None else tip.hash,
        tip_late_ms=0 if tip is None else lateness_ms(genesis.params, tip.header, parent_time_ms),
        state=state,
        work=work,
        beacon=beacon,
        opener=opener,
    )


def advance_view(view: ChainView, block: Block, state: LedgerState) -> ChainView:
    """The view once `block`, which left the ledger in `state`, is final."""
    late_ms = lateness_ms(view.params, block.header, view.tip_time_ms)
    return replace(view, tip=block.header, tip_hash=block.hash, tip_late_ms=late_ms, state=state)
