"""A verifier without Ray: replays slots and measures states. The only process on the supervisors' side that trains."""

from dataclasses import dataclass, field

from cluster.node.buffers import bytes_of
from cluster.node.ports import FlatState, JobOpening
from cluster.node.training import Segments, job_program, open_part
from consensus.primitives.integers import Digest
from consensus.records.work import Metric, SlotReport
from consensus.replay.verdict import Outcome, Verdict
from jobs.data.arrays import PartArrays
from jobs.data.manifest import PartName
from jobs.determinism import describe
from jobs.evaluation import StateEvaluator
from jobs.layout import state_digest
from jobs.program import JobProgram
from jobs.replay import SlotReplayer


@dataclass(slots=True, kw_only=True)
class _Job:
    program: JobProgram
    replayer: SlotReplayer
    evaluator: StateEvaluator
    parts: dict[PartName, PartArrays]


@dataclass(slots=True, kw_only=True)
class VerifierNode:
    """Jobs are prepared once, then asked about by id."""

    threads: int = 1
    _jobs: dict[Digest, _Job] = field(default_factory=dict)

    def prepare(self, opening: JobOpening, train: Segments, validation: Segments) -> None:
        """Get ready to replay and measure a job. Raises JobError."""
        program = job_program(opening)
        parts: dict[PartName, PartArrays] = {
            "train": open_part(program, "train", train),
            "validation": open_part(program, "validation", validation),
        }
        self._jobs[opening.job] = _Job(
            program=program,
            replayer=SlotReplayer(program, parts["train"]),
            evaluator=StateEvaluator(program, parts),
            parts=parts,
        )

    def is_prepared(self, job: Digest) -> bool:
        """Whether this job can be asked about."""
        return job in self._jobs

    def replay_class(self, job: Digest) -> Digest:
        """The class in which a job is replayed here."""
        return describe(self._jobs[job].program).digest

    def replay(self, report: SlotReport, state: FlatState) -> Verdict:
        """Run a slot again and compare. A state that is not the one the report starts from decides nothing."""
        job = self._jobs[report.job]
        found = state_digest(bytes_of(state), job.replayer.layout)
        if not report.steps or found != report.steps[0].weights_in:
            detail = f"the state at hand is {found.hex()[:16]}"
            return Verdict(
                job=report.job, round=report.round, slot=report.slot, outcome=Outcome.INCONCLUSIVE, detail=detail
            )
        return job.replayer.replay(bytes_of(state), report)

    def evaluate(self, job: Digest, part: PartName, state: FlatState) -> tuple[Metric, ...]:
        """Figures of a state on a part that was opened."""
        return tuple(self._jobs[job].evaluator.evaluate(bytes_of(state), part))

    def open_test(self, job: Digest, segments: Segments) -> None:
        """The withheld part was released. Raises SegmentError."""
        prepared = self._jobs[job]
        prepared.parts["test"] = open_part(prepared.program, "test", segments)
        prepared.evaluator = StateEvaluator(prepared.program, prepared.parts)

    def forget(self, job: Digest) -> None:
        """The job is over."""
        self._jobs.pop(job, None)
