"""How far a job's training is: figures for people, none of which feed back into training."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from cluster.control.rounds import MinerExcluded, MinerLost, SlotReported
from cluster.control.slots import MinerId
from cluster.metrics import RETAINED_BYTES, ROUNDS, SLOT_SECONDS, SLOTS, STALL_SECONDS, Meters, NoMeters
from cluster.node.ports import JobPlan
from cluster.node.slot_calls import SlotOutcome
from consensus.primitives.integers import Digest
from consensus.records.work import Metric

_WINDOW_S: Final = 10.0
_SLOTS: Final = 64
_ENOUGH_SLOTS: Final = 8


@dataclass(slots=True, kw_only=True)
class ProgressMeter:
    """The latest figures of a job."""

    plan: JobPlan
    job: str = ""
    """As labels name it."""
    meters: Meters = field(default_factory=NoMeters)
    round: int = 0
    state_digest: Digest | None = None
    loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    _finished_s: deque[float] = field(default_factory=deque)
    _slots_s: deque[float] = field(default_factory=lambda: deque(maxlen=_SLOTS))
    _kept_bytes: int = 0
    _idle_since_s: dict[MinerId, float] = field(default_factory=dict)

    def round_opened(self, number: int, digest: Digest) -> None:
        """A round starts from this state."""
        self.round, self.state_digest = number, digest

    def round_finished(self, now_s: float, loss: float, metrics: Sequence[Metric]) -> None:
        """A round came to this training loss and, if it was evaluated, these figures."""
        self.loss = loss
        self.meters.add(ROUNDS, job=self.job)
        self.metrics.update({metric.name: metric.value / metric.scale for metric in metrics})
        self._finished_s.append(now_s)
        while now_s - self._finished_s[0] > _WINDOW_S and len(self._finished_s) > 2:  # noqa: PLR2004 - a span needs two
            self._finished_s.popleft()

    def slot_ended(self, outcome: SlotOutcome) -> None:
        """What became of a slot that a miner was asked for.

        A miner is asked for the next slot before it has finished the one it runs: work on a slot begins when the one
        before it ends.
        """
        self.meters.add(SLOTS, job=self.job, outcome=_outcome(outcome))
        if not isinstance(outcome.event, SlotReported):
            return
        miner, began_s = outcome.event.miner, outcome.began_s
        work_s = max(0.0, outcome.ended_s - max(began_s, self._idle_since_s.get(miner, began_s)))
        self._idle_since_s[miner] = outcome.ended_s
        self._slots_s.append(work_s)
        self.meters.observe(SLOT_SECONDS, work_s, job=self.job)

    def stalled(self, seconds: float) -> None:
        """So long no slot was running although there are rounds to run."""
        self.meters.add(STALL_SECONDS, seconds, job=self.job)

    def states_kept(self, size_bytes: int) -> None:
        """So much is kept for audits."""
        self._kept_bytes = size_bytes

    def tick(self) -> None:
        """A gauge is shown only while it is set."""
        self.meters.set(RETAINED_BYTES, self._kept_bytes, job=self.job)

    @property
    def slot_s(self) -> float | None:
        """The median seconds of a miner's work for one of the latest slots; None before a few were run."""
        return median(self._slots_s) if len(self._slots_s) >= _ENOUGH_SLOTS else None

    @property
    def round_s(self) -> float:
        """What a round took lately, in seconds; 0 before there were two."""
        if len(self._finished_s) < 2:  # noqa: PLR2004 - a span needs two ends
            return 0.0
        return (self._finished_s[-1] - self._finished_s[0]) / (len(self._finished_s) - 1)

    @property
    def samples_per_s(self) -> float | None:
        """Training examples a second over the last ten seconds, or over the last two rounds if they took longer."""
        return self.plan.examples_per_round / self.round_s if self.round_s > 0 else None


def _outcome(outcome: SlotOutcome) -> str:
    match outcome.event:
        case SlotReported():
            return "done"
        case MinerExcluded():
            return "refused"
        case MinerLost():
            return "lost"
        case _:
            return "failed" if outcome.diverged is None else "diverged"
