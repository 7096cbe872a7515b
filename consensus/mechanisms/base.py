"""What every mechanism must be able to say about a seal. Producing seals is none of its business."""

from dataclasses import dataclass
from typing import Protocol

from consensus.ledger.state import LedgerState
from consensus.params import ConsensusParams
from consensus.ports import WorkLog
from consensus.primitives.integers import Digest, PublicKey, TimeMs
from consensus.records.block import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class SealContext:
    """What a seal is judged against."""

    chain_id: Digest
    params: ConsensusParams
    parent_state: LedgerState
    post_state: LedgerState
    """The ledger after the block's transactions."""
    parent_time_ms: TimeMs
    work: WorkLog
    committee: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """A slot that must be replayed, and match, before the block counts."""

    job: Digest
    round: int
    slot: int
    report: bytes
    """The signed slot report."""
    step: int
    """The step that won."""


class Mechanism(Protocol):
    """One way to earn a block. Leaves out the header's fields, its transactions and the vote."""

    @property
    def name(self) -> str: ...

    def check_seal(self, header: Header, seal: bytes, context: SealContext) -> ReplayRequest | None:
        """What has still to be replayed, if anything. Raises InvalidBlockError."""
        ...
