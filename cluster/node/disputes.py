"""A slot that is run again comes to another update than the committed one: which of the two is false.

A job that goes back, or whose coordinator starts again, runs rounds once more that the chain has already. Somebody lied
where the two runs differ, now or then. Left alone, every round after that would start from another state than the one
its committed reports are about, and no audit of them could be done. One replay decides: of two answers to the same
question, from the same state, only one can be right.
"""

from dataclasses import dataclass

from cluster.node.node_stores import NodeStores
from cluster.node.supervisor import Fraud, SupervisorNode
from consensus.crypto.signing import Signed
from consensus.errors import Reject
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.transactions import JobId
from consensus.records.work import RoundCommit, SlotReport
from consensus.replay.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputes:
    """Knows what was committed, on chain or waiting."""

    node: SupervisorNode
    stores: NodeStores

    def committed_updates(self, job: JobId, number: int) -> tuple[Digest, ...]:
        """The updates that a committed round names, in slot order. Raises StorageError."""
        commit = self._commit(job, number)
        return tuple(_opened(self.stores.reports.load_report(slot.report)).update for slot in commit.slots)

    def decide(self, report: SlotReport, verdict: Verdict) -> Fraud | None:
        """If a replay came to what `report` says and the committed report says otherwise, prove that one false.

        None if it is the new report that is false, or if the chain has gone back meanwhile or cannot any more.
        """
        if verdict.outcome is not Outcome.MATCH or report.round >= self.node.progress(report.job).next_round:
            return None
        envelope = self.stores.reports.load_report(self._commit(report.job, report.round).slots[report.slot].report)
        committed = _opened(envelope)
        if committed.update == report.update or committed.steps[0].weights_in != report.steps[0].weights_in:
            return None
        false = Verdict(
            job=report.job,
            round=report.round,
            slot=report.slot,
            outcome=Outcome.MISMATCH,
            code=Reject.UPDATE,
            detail="run again it came to another update, and that was replayed",
        )
        return self.node.prove_fraud(envelope, false)

    def _commit(self, job: JobId, number: int) -> RoundCommit:
        """The last commit of a round."""
        waiting = [m for m in self.node.pool.messages(RoundCommit) if m.job == job and m.round == number]
        return waiting[-1] if waiting else decode(self.stores.reports.load_round_commit(job, number).body, RoundCommit)


def _opened(envelope: Signed) -> SlotReport:
    return decode(envelope.body, SlotReport)
