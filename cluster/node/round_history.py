"""Committed rounds by job, on chain or acknowledged: what a seal's commitments and start states are checked against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from consensus.primitives.integers import Digest, PublicKey
from consensus.records.work import SlotCommit

_KEPT_ROUNDS: Final = 8192
"""Older rounds of a job are forgotten; miners renew their templates every second."""

FirstReports: TypeAlias = dict[PublicKey, Digest]


@dataclass(slots=True)
class RoundHistory:
    """Implements consensus.ports.WorkLog over round commits that were accepted."""

    _states: dict[Digest, dict[int, Digest]] = field(default_factory=dict)
    _commits: dict[Digest, dict[int, tuple[FirstReports, ...]]] = field(default_factory=dict)
    kept_rounds: int = _KEPT_ROUNDS

    def add(self, job: Digest, number: int, state_in: Digest, state_out: Digest, slots: Sequence[SlotCommit]) -> None:
        """Remember a committed round. One committed again after a rewind keeps the reports of both."""
        states = self._states.setdefault(job, {})
        states[number], states[number + 1] = state_in, state_out
        known = self._commits.setdefault(job, {})
        before, reports = known.get(number, ()), first_reports(slots)
        if reports not in before:
            known[number] = (*before, reports)
        forgotten = number - self.kept_rounds
        states.pop(forgotten, None)
        known.pop(forgotten, None)

    def commitments(self, job: Digest, round_number: int, miner: PublicKey) -> frozenset[Digest | None]:
        """The report of the miner's first slot in each commit of a round; None where it has no slot."""
        commits = self._commits.get(job, {}).get(round_number, ())
        return frozenset(reports.get(miner) for reports in commits)

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
        self._commits.pop(job, None)

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._commits.clear()


def first_reports(slots: Sequence[SlotCommit]) -> FirstReports:
    """By miner, the report of its first slot in a round. It alone says which block the miner has committed to."""
    return {slot.miner: slot.report for slot in reversed(slots)}
