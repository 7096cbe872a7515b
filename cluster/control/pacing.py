"""How long the committee leaves the chain to the miners, by how long rounds take.

A header has to be committed some rounds before it may be used, and every new block makes the headers on the old tip
useless. If authority blocks came faster than that, jobs with slow rounds would never mine a block.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

from consensus.primitives.integers import Digest

QUIET_ROUNDS: Final = 16
"""Rounds that pass without a mined block before an authority block brings waiting transactions to the chain."""
_KEPT: Final = 8


@dataclass(slots=True)
class RoundPace:
    """When the latest rounds of each open job were committed, in milliseconds of the node's clock."""

    _committed_ms: dict[Digest, deque[int]] = field(default_factory=dict)

    def note(self, job: Digest, now_ms: int) -> None:
        """A round was committed."""
        self._committed_ms.setdefault(job, deque(maxlen=_KEPT)).append(now_ms)

    def forget(self, job: Digest) -> None:
        """The job is over."""
        self._committed_ms.pop(job, None)

    @property
    def round_ms(self) -> int:
        """The median time between the latest rounds, which a single pause does not move; 0 while it is not known.

        Of several jobs, that of the fastest: its miners are the ones who can have a block by then.
        """
        known = [_median_pause(times) for times in self._committed_ms.values() if len(times) > 1]
        return min(known, default=0)

    def is_quiet(self, age_ms: int, least_ms: int, *, is_challenged: bool, can_mine: bool) -> bool:
        """Whether the committee may append a block to a tip of this age.

        Deadlines of storage challenges count blocks: while one is open, blocks come in equal steps of `least_ms`.
        """
        if is_challenged:
            return age_ms >= least_ms
        return not can_mine or age_ms >= self.quiet_after_ms(least_ms)

    def quiet_after_ms(self, least_ms: int) -> int:
        """How old the tip has to be before the committee appends a block although work is open."""
        return max(least_ms, QUIET_ROUNDS * self.round_ms)


def _median_pause(times_ms: Iterable[int]) -> int:
    return max(0, int(median(later - earlier for earlier, later in pairwise(times_ms))))
