"""Who did what, counted from final blocks: verified slots and blocks by miner, audits and blocks by job."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from consensus.ledger.rewards import MINED
from consensus.mechanisms.pouw.seal import open_seal
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.block import Block
from consensus.records.transactions import CloseJob, ProveFraud, SettleRounds, SubmitJob, Transaction
from consensus.records.work import RoundCommit


@dataclass(slots=True)
class Tallies:
    """Counts over the whole chain. Fed every block once, in order."""

    slots_verified: Counter[PublicKey] = field(default_factory=Counter)
    blocks_mined: Counter[PublicKey] = field(default_factory=Counter)
    blocks_of_job: Counter[Digest] = field(default_factory=Counter)
    audits_matched: Counter[Digest] = field(default_factory=Counter)
    frauds: Counter[Digest] = field(default_factory=Counter)
    final_loss_bits: dict[Digest, int] = field(default_factory=dict)
    last_metrics: dict[Digest, dict[str, float]] = field(default_factory=dict)
    _pending: dict[Digest, dict[int, tuple[PublicKey, ...]]] = field(default_factory=dict)

    def add_block(self, block: Block, messages: Sequence[Transaction]) -> None:
        """Count one final block with its decoded transactions."""
        if block.header.mechanism in MINED:
            self.blocks_mined[block.header.producer] += 1
            self.blocks_of_job[open_seal(block.seal).report.job] += 1
        for message in messages:
            match message:
                case RoundCommit():
                    self._add_round(message)
                case SettleRounds():
                    self._settle(message)
                case ProveFraud(job=job):
                    self.frauds[job] += 1
                case CloseJob(job=job):
                    self._pending.pop(job, None)
                case SubmitJob() | _:
                    pass

    def _add_round(self, commit: RoundCommit) -> None:
        """A round committed again after a fraud replaces the first one."""
        self._pending.setdefault(commit.job, {})[commit.round] = tuple(slot.miner for slot in commit.slots)
        self.final_loss_bits[commit.job] = commit.loss_bits
        if commit.metrics:
            values = {metric.name: metric.value / metric.scale for metric in commit.metrics}
            self.last_metrics.setdefault(commit.job, {}).update(values)

    def unsettled(self) -> dict[Digest, Counter[PublicKey]]:
        """By job, how many slots each miner has in committed rounds that are not settled."""
        return {
            job: Counter(miner for miners in rounds.values() for miner in miners)
            for job, rounds in self._pending.items()
        }

    def _settle(self, message: SettleRounds) -> None:
        self.audits_matched[message.job] += len(message.audited)
        rounds = self._pending.get(message.job, {})
        for number in [n for n in rounds if n < message.upto]:
            self.slots_verified.update(rounds.pop(number))
