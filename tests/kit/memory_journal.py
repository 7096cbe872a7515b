"""A journal of unsettled rounds that outlives its coordinator, as files outlive a process."""

from dataclasses import dataclass, field

from cluster.node.ports import Checkpoint, FlatState
from cluster.node.round_journal import OPTIMIZERS
from consensus.primitives.integers import Digest


@dataclass(slots=True)
class MemoryJournal:
    """Implements cluster.node.round_journal.RoundJournal."""

    states: dict[int, tuple[Digest, FlatState]] = field(default_factory=dict)
    optimizers: dict[int, FlatState] = field(default_factory=dict)

    def save(self, checkpoint: Checkpoint, digest: Digest, round_s: float) -> None:
        self.optimizers[checkpoint.round] = checkpoint.optimizer.copy()
        self.states[checkpoint.round] = digest, checkpoint.state.copy()
        self.optimizers.pop(checkpoint.round - OPTIMIZERS, None)

    def rounds(self) -> dict[int, Digest]:
        return {number: digest for number, (digest, _) in self.states.items()}

    def has_optimizer(self, number: int) -> bool:
        return number in self.optimizers

    def load_state(self, number: int) -> FlatState:
        return self.states[number][1]

    def load_optimizer(self, number: int) -> FlatState:
        return self.optimizers[number]

    def keep(self, first: int, last: int) -> None:
        self.states = {n: kept for n, kept in self.states.items() if first <= n <= last}
        self.optimizers = {n: kept for n, kept in self.optimizers.items() if first <= n <= last}
