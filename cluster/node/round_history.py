"""Committed rounds by job, on chain or acknowledged: what a seal's commitments and start states are checked against."""

from dataclasses import dataclass, field
from typing import Final

from consensus.primitives.integers import Digest
from consensus.records.work import RoundCommit

_KEPT_ROUNDS: Final = 8192
"""Older rounds of a job are forgotten; miners renew their templates every second."""


@dataclass(slots=True)
class RoundHistory:
    """Implements consensus.ports.WorkLog over round commits that were accepted."""

    _states: dict[Digest, dict[int, Digest]] = field(default_factory=dict)
    _reports: dict[Digest, dict[int, tuple[frozenset[Digest], ...]]] = field(default_factory=dict)
    kept_rounds: int = _KEPT_ROUNDS

    def open_job(self, job: Digest, state: Digest) -> None:
        """The job's first state is known."""
        self._states.setdefault(job, {})[0] = state

    def add(self, commit: RoundCommit) -> None:
        """Remember a round commit. A round committed again after a rewind keeps the reports of both."""
        states = self._states.setdefault(commit.job, {})
        states[commit.round] = commit.state_in
        states[commit.round + 1] = commit.state_out
        reports = self._reports.setdefault(commit.job, {})
        known = reports.get(commit.round, (frozenset[Digest](),) * len(commit.slots))
        reports[commit.round] = tuple(seen | {slot.report} for seen, slot in zip(known, commit.slots, strict=True))
        forgotten = commit.round - self.kept_rounds
        states.pop(forgotten, None)
        reports.pop(forgotten, None)

    def is_report_committed(self, job: Digest, round_number: int, slot: int, report: Digest) -> bool:
        """Whether a round commit of the job's coordinator names this report for this slot."""
        slots = self._reports.get(job, {}).get(round_number, ())
        return slot < len(slots) and report in slots[slot]

    def state_digest(self, job: Digest, round_number: int) -> Digest | None:
        """The state that a round starts from, if known."""
        return self._states.get(job, {}).get(round_number)

    def rewind(self, job: Digest, round_number: int) -> None:
        """States after `round_number` were discarded; what reports were committed stays true."""
        states = self._states.get(job, {})
        for number in [n for n in states if n > round_number]:
            del states[number]

    def close(self, job: Digest) -> None:
        """The job is over."""
        self._states.pop(job, None)
        self._reports.pop(job, None)
