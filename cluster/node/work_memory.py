"""What a supervisor keeps in memory of jobs' rounds, all of it derived from final blocks and what waits for one.

Everything acknowledged is noted once, in the order it came. What only a final block decides (audits are drawn by its
beacon, settlements end them) is added when the block is. A node that is started again reads the same messages in the
same order, so it comes to the same memory as one that was never stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cluster.control.audits import AuditBook
from cluster.node.round_history import RoundHistory
from consensus.crypto.signing import decode_signed
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.transactions import CloseJob, JobId, ProveFraud, SettleRounds, Transaction
from consensus.records.work import RoundCommit, SlotReport


@dataclass(slots=True)
class WorkMemory:
    """Committed rounds, audits and excluded miners."""

    history: RoundHistory = field(default_factory=RoundHistory)
    audits: AuditBook = field(default_factory=AuditBook)
    excluded: set[PublicKey] = field(default_factory=set)

    def note(self, message: Transaction) -> None:
        """A transaction was acknowledged."""
        match message:
            case RoundCommit(job=job, round=number, state_in=state_in, state_out=state_out, slots=slots):
                self.history.add(job, number, state_in, state_out, slots)
            case ProveFraud(job=job):
                report = accused_report(message)
                self.excluded.add(report.miner)
                self.history.rewind(job, report.round)
                self.audits.rewind(job, report.round)
            case CloseJob(job=job):
                self.history.close(job)
                self.audits.close(job)
            case _:
                pass

    def add_final(
        self,
        message: Transaction,
        beacon: Digest,
        audit_ppm: Callable[[JobId], int],
        discarded: Mapping[JobId, int],
    ) -> None:
        """A transaction that was noted is in the final block with this beacon.

        `discarded`: by job, the first round that evidence takes back which waits behind this block.
        """
        match message:
            case RoundCommit(job=job, round=number, slots=slots):
                if number < discarded.get(job, number + 1):
                    self.audits.add_round(job, number, slots, beacon, audit_ppm(job))
            case SettleRounds(job=job, upto=upto):
                self.audits.settled(job, upto)
            case ProveFraud(job=job):
                self.audits.rewind(job, accused_report(message).round)
            case CloseJob(job=job):
                self.audits.close(job)
            case _:
                pass

    def clear(self) -> None:
        """Forget everything."""
        self.history.clear()
        self.audits.clear()
        self.excluded.clear()


def accused_report(message: ProveFraud) -> SlotReport:
    """The report in evidence that the ledger has taken."""
    return decode(decode_signed(message.report).body, SlotReport)
