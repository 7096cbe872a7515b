"""Committed rounds by job, on chain or acknowledged: what a seal's commitments and start states are checked against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.primitives.integers import Digest

_KEPT_ROUNDS: Final = 8192
"""Older rounds of a job are forgotten; miners renew their templates every second."""


@dataclass(slots=True)
class RoundHistory:
    """Implements consensus.ports.WorkLog over round commits that were accepted."""

    _states: dict[Digest, dict[int, Digest]] = field(default_factory=dict)
    _reports: dict[Digest, dict[int, tuple[frozenset[Digest], ...]]] = field(default_factory=dict)
    kept_rounds: int = _KEPT_ROUNDS

    def add(self, job: Digest, number: int, state_in: Digest, state_out: Digest, reports: Sequence[Digest]) -> None:
        """Remember a committed round. One committed again after a rewind keeps the reports of both."""
        states = self._states.setdefault(job, {})
        states[number], states[number + 1] = state_in, state_out
        known = self._reports.setdefault(job, {})
        before = known.get(number, (frozenset[Digest](),) * len(reports))
        known[number] = tuple(seen | {report} for seen, report in zip(before, reports, strict=True))
        forgotten = number - self.kept_rounds
        states.pop(forgotten, None)
        known.pop(forgotten, None)

    def is_report_committed(self, job: Digest, round_number: int, slot: int, report: Digest) -> bool:
        """Whether a round commit of the job's coordinator names this report for this slot."""
        slots = self._reports.get(job, {}).get(round_number, ())
        return slot < len(slots) and report in slots[slot]

    def is_start_state(self, job: Digest, round_number: int, state: Digest) -> bool:
        """Whether the job's committed rounds say that this round starts from `state`."""
        return self._states.get(job, {}).get(round_number) == state

    def rewind(self, job: Digest, round_number: int) -> None:
        """States after `round_number` were discarded; what reports were committed stays true."""
        states = self._states.get(job, {})
        for number in [n for n in states if n > round_number]:
            del states[number]

    def close(self, job: Digest) -> None:
        """The job is over."""
        self._states.pop(job, None)
        self._reports.pop(job, None)
