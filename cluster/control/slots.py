"""One slot of a round: who was asked to run it, and whose result counts.

A slot may be handed out more than once (a miner died, lags, or sent something refused). The first valid result wins and
later ones are ignored, which is harmless: by invariant 1 every honest miner would have sent the same bits.
"""

from dataclasses import dataclass, replace
from typing import NewType

MinerId = NewType("MinerId", bytes)
"""A miner's public key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One handing-out of a slot."""

    number: int
    miner: MinerId
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot is open (nobody runs it), running (it has attempts) or done (it has a winner)."""

    index: int
    next_attempt: int = 0
    attempts: tuple[Attempt, ...] = ()
    failed: frozenset[MinerId] = frozenset()
    """Miners whose attempt came to nothing. The slot goes to others first."""
    winner: Attempt | None = None

    @property
    def is_done(self) -> bool:
        return self.winner is not None

    @property
    def is_open(self) -> bool:
        return self.winner is None and not self.attempts

    def assign(self, miner: MinerId, now_s: float) -> "Slot":
        """Hand the slot to `miner`."""
        attempt = Attempt(number=self.next_attempt, miner=miner, since_s=now_s)
        return replace(self, attempts=(*self.attempts, attempt), next_attempt=self.next_attempt + 1)

    def find(self, number: int, miner: MinerId) -> Attempt | None:
        """The running attempt with this number by this miner."""
        return next((a for a in self.attempts if a.number == number and a.miner == miner), None)

    def finish(self, attempt: Attempt) -> "Slot":
        """`attempt` won; others still running are forgotten."""
        return replace(self, attempts=(), winner=attempt)

    def give_up(self, attempt: Attempt) -> "Slot":
        """`attempt` came to nothing; its miner may be asked again when there is nobody else."""
        kept = tuple(a for a in self.attempts if a != attempt)
        return replace(self, attempts=kept, failed=self.failed | {attempt.miner})

    def without(self, miner: MinerId) -> "Slot":
        """The slot after `miner` is gone: its attempts end, a win of it stays."""
        kept = tuple(a for a in self.attempts if a.miner != miner)
        return self if len(kept) == len(self.attempts) else replace(self, attempts=kept)

    def reopen(self) -> "Slot":
        """The slot after its winning result was refused."""
        return replace(self, attempts=(), winner=None)
