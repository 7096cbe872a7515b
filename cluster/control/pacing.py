"""How long the committee leaves the chain to the miners, by how long rounds take.

A header has to be committed some rounds before it may be used, and every new block makes the headers on the old tip
useless. If authority blocks came faster than that, jobs with slow rounds would never mine a block.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

QUIET_ROUNDS: Final = 16
"""Rounds that pass without a mined block before an authority block brings waiting transactions to the chain."""
_KEPT: Final = 8


@dataclass(slots=True)
class RoundPace:
    """When the latest rounds of any job were committed, in milliseconds of the node's clock."""

    _committed_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def note(self, now_ms: int) -> None:
        """A round was committed."""
        self._committed_ms.append(now_ms)

    @property
    def round_ms(self) -> int:
        """The median time between the latest rounds, which a single pause does not move; 0 while it is not known."""
        pauses = [later - earlier for earlier, later in pairwise(self._committed_ms)]
        return max(0, int(median(pauses))) if pauses else 0

    def quiet_after_ms(self, least_ms: int) -> int:
        """How old the tip has to be before the committee appends a block although work is open."""
        return max(least_ms, QUIET_ROUNDS * self.round_ms)
