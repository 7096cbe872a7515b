"""Running stored rounds again, from one checkpoint to the next, and comparing everything that was recorded of them.

A job is a deterministic program: from a checkpoint, the dataset and the spec, every later slot follows. So an auditor
needs no state in between, and what it repeats is complete: each slot's report, and each round's next state.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from cluster.errors import ConflictError
from cluster.node.ports import Checkpoint, JobOpening
from cluster.node.stored_chain import StoredSite
from cluster.node.stored_job import Interval
from cluster.node.training import ProgramTrainer, job_program, open_part
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.work import Assignment, RoundCommit, SlotReport
from consensus.replay.verdict import Outcome
from jobs.determinism import describe
from jobs.mining.search import build_report
from jobs.program import JobProgram
from jobs.training.slot import SlotRunner
from storage.errors import RecordMissingError
from storage.job_store import CheckpointRef


@dataclass(slots=True)
class Findings:
    """What a re-run came to, slot by slot."""

    match: int = 0
    mismatch: int = 0
    inconclusive: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def sampled(self) -> int:
        """Slots that were run again or could not be."""
        return self.match + self.mismatch + self.inconclusive

    def add(self, outcome: Outcome, note: str = "") -> None:
        """Count one slot."""
        match outcome:
            case Outcome.MATCH:
                self.match += 1
            case Outcome.MISMATCH:
                self.mismatch += 1
            case Outcome.INCONCLUSIVE:
                self.inconclusive += 1
        if note:
            self.notes.append(note)


class JobRerun:
    """Runs intervals of one stored job again."""

    def __init__(self, site: StoredSite, opening: JobOpening) -> None:
        self._site, self._opening = site, opening
        self._program: JobProgram = job_program(opening)
        segments = {
            ref.digest: np.frombuffer(site.artifacts.load_artifact(ref.digest), np.uint8)
            for ref in self._program.manifest.part("train")
        }
        self._runner = SlotRunner(self._program, open_part(self._program, "train", segments), threads=2)
        self._trainer = ProgramTrainer(self._program, threads=2)
        self._replay_class = describe(self._program).digest

    def run(self, interval: Interval, findings: Findings, on_slot: Callable[[], None]) -> None:
        """Run the rounds of an interval and note every slot."""
        checkpoint = self._load(interval.checkpoint)
        digest = self._trainer.load(checkpoint)
        for number in range(interval.start, interval.end):
            commit = self._load_commit(number)
            if commit.state_in != digest:
                findings.add(
                    Outcome.MISMATCH, f"round {number} starts from another state than the checkpoint before it"
                )
                return
            digest = self._run_round(commit, findings, on_slot)
            if digest != commit.state_out:
                findings.add(Outcome.MISMATCH, f"round {number} ends in another state than its commit names")
                return

    def _run_round(self, commit: RoundCommit, findings: Findings, on_slot: Callable[[], None]) -> Digest:
        state = self._trainer.checkpoint(commit.round).state
        updates = []
        for slot, committed in enumerate(commit.slots):
            report = decode(self._site.reports.load_report(committed.report).body, SlotReport)
            result = self._runner.run(state, commit.state_in, commit.round, slot)
            updates.append(result.update.copy())
            assignment = Assignment(
                job=commit.job,
                round=commit.round,
                slot=slot,
                attempt=report.attempt,
                miner=committed.miner,
                state=commit.state_in,
            )
            expected = build_report(assignment, result, replay_class=self._replay_class)
            findings.add(*_compare(report, expected))
            on_slot()
        return self._trainer.apply(commit.round, updates, with_optimizer=False).state_digest

    def _load(self, reference: CheckpointRef | None) -> Checkpoint:
        if reference is None:
            return self._trainer.initial()
        state, optimizer = (
            np.frombuffer(self._site.artifacts.load_artifact(root), np.float32)
            for root in (reference.state, reference.optimizer)
        )
        return Checkpoint(round=reference.round, state=state, optimizer=optimizer)

    def _load_commit(self, number: int) -> RoundCommit:
        try:
            return decode(self._site.reports.load_round_commit(self._opening.job, number).body, RoundCommit)
        except RecordMissingError as error:
            raise ConflictError(f"round {number} is not on the chain: {error}", code="round-missing") from error


def _compare(report: SlotReport, expected: SlotReport) -> tuple[Outcome, str]:
    """The outcome of one slot; what it committed to beside its work is its own affair."""
    place = f"round {report.round}, slot {report.slot}"
    if report.replay_class != expected.replay_class:
        return Outcome.INCONCLUSIVE, ""
    if msgspec.structs.replace(report, template=None) == expected:
        return Outcome.MATCH, ""
    return Outcome.MISMATCH, f"{place} was reported otherwise by {report.miner.hex()[:16]}"
