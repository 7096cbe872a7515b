"""What came back for the slots of the round that is under way, and what the round came to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.control.slots import Attempt
from cluster.node.ports import FlatState
from consensus.crypto.signing import Signed
from consensus.records.work import SlotCommit, SlotReport
from jobs.float_bits import bits_value, float_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotResult:
    """One checked report with the update it names."""

    signed: Signed
    report: SlotReport
    update: FlatState


@dataclass(slots=True)
class RoundResults:
    """Results by attempt. Cleared when a round opens."""

    _results: dict[tuple[int, int], SlotResult] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget the results, and with them their updates."""
        self._results.clear()

    def add(self, result: SlotResult) -> None:
        """Keep a checked result."""
        self._results[result.report.slot, result.report.attempt] = result

    def take_winners(self, winners: Sequence[Attempt]) -> tuple[SlotResult, ...]:
        """The winners' results in slot order."""
        return tuple(self._results[slot, attempt.number] for slot, attempt in enumerate(winners))


def slot_commits(results: Sequence[SlotResult]) -> tuple[SlotCommit, ...]:
    """What a round commit says of its slots."""
    return tuple(SlotCommit(miner=r.report.miner, report=r.signed.digest) for r in results)


def mean_loss_bits(results: Sequence[SlotResult]) -> int:
    """The mean loss over all steps of the round, as float32 bits."""
    losses = [bits_value(record.loss_bits) for result in results for record in result.report.steps]
    return float_bits(sum(losses) / len(losses))
