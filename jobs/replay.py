"""Runs a reported slot again and compares every digest. An adapter for `consensus.ports.Replayer`.

Everything the miner declared is computed anew, nothing is taken over and nothing is tolerated. What is cheap is
compared first, so that a report with an invented batch costs no training.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.errors import Reject
from consensus.records.work import SlotReport, StepRecord
from consensus.replay.verdict import Outcome, Verdict
from jobs.data.arrays import PartArrays
from jobs.determinism import describe
from jobs.errors import TrainingDivergedError
from jobs.layout import Layout, state_digest
from jobs.program import JobProgram
from jobs.training.memory import bytes_of, float_array
from jobs.training.result import SlotResult, StepTrace
from jobs.training.slot import SlotRunner


@dataclass(frozen=True, slots=True)
class _Difference:
    """The first thing that is not as reported."""

    code: Reject
    step: int | None
    detail: str


class SlotReplayer:
    """Replays slots of one program in this process's replay class."""

    def __init__(self, program: JobProgram, train: PartArrays, *, threads: int = 2) -> None:
        self._program = program
        self._runner = SlotRunner(program, train, threads=threads)
        self._replay_class = describe(program).digest

    @property
    def layout(self) -> Layout:
        """Where each tensor lies in the flat state."""
        return self._runner.layout

    def replay(self, state: memoryview, report: SlotReport) -> Verdict:
        """Run the slot that `report` is about from `state`.

        Raises:
            ModelError: the state has not the model's size.
        """
        if report.replay_class != self._replay_class:
            detail = f"reported in {report.replay_class.hex()[:16]}, this process is {self._replay_class.hex()[:16]}"
            return _verdict(report, Outcome.INCONCLUSIVE, _Difference(Reject.REPLAY_CLASS, None, detail))
        difference = self._find_difference(state, report)
        return _verdict(report, Outcome.MISMATCH if difference else Outcome.MATCH, difference)

    def _find_difference(self, state: memoryview, report: SlotReport) -> _Difference | None:
        return self._shape(report) or self._batches(report) or self._training(state, report)

    def _shape(self, report: SlotReport) -> _Difference | None:
        program = self._program
        if not (report.round < program.rounds and report.slot < program.slots):
            return _Difference(Reject.REPORT_SHAPE, None, f"no round {report.round}, slot {report.slot} in this job")
        expected = (program.local_steps, program.local_steps * program.slot_batch)
        if (len(report.steps), report.examples) != expected:
            return _Difference(Reject.REPORT_SHAPE, None, f"{expected[0]} steps and {expected[1]} examples expected")
        for number, step in enumerate(report.steps):
            place = (step.job, step.round, step.slot, step.step, step.miner, step.weight_bytes)
            if place != (report.job, report.round, report.slot, number, report.miner, self.layout.bytes):
                return _Difference(Reject.REPORT_SHAPE, number, "the step's record names another place or size")
        return None

    def _batches(self, report: SlotReport) -> _Difference | None:
        for number, step in enumerate(report.steps):
            found = self._runner.batches.trace(report.round, report.slot, number)
            if step.indices != found.indices:
                return _unequal(Reject.BATCH_INDICES, number, found.indices, step.indices)
            if (step.batch, step.batch_bytes) != (found.batch, found.batch_bytes):
                return _unequal(Reject.BATCH_BYTES, number, found.batch, step.batch)
        return None

    def _training(self, state: memoryview, report: SlotReport) -> _Difference | None:
        flat = float_array(state, self.layout.total, "state")
        start = state_digest(bytes_of(flat), self.layout)
        if report.steps[0].weights_in != start:
            return _unequal(Reject.WEIGHTS_IN, 0, start, report.steps[0].weights_in)
        try:
            result = self._runner.run(flat, start, report.round, report.slot)
        except TrainingDivergedError as error:
            return _Difference(Reject.LOSS, error.step, str(error))
        return next(_differences(report, result), None)


def _differences(report: SlotReport, result: SlotResult) -> Iterator[_Difference]:
    for number, (step, trace) in enumerate(zip(report.steps, result.steps, strict=True)):
        yield from _step_differences(number, step, trace, report, result)
    if report.update != result.update_digest:
        yield _unequal(Reject.UPDATE, None, result.update_digest, report.update)


def _step_differences(
    number: int, step: StepRecord, trace: StepTrace, report: SlotReport, result: SlotResult
) -> Iterator[_Difference]:
    if step.weights_in != trace.weights_in:
        yield _unequal(Reject.WEIGHTS_IN, number, trace.weights_in, step.weights_in)
    if step.loss_bits != trace.loss_bits:
        detail = f"{trace.loss_bits:08x} expected, {step.loss_bits:08x} reported"
        yield _Difference(Reject.LOSS, number, detail)
    if step.weights_out != trace.weights_out:
        # With one local step both name the gradient: a report that is wrong in both invented its update.
        is_invented = len(report.steps) == 1 and report.update != result.update_digest
        code = Reject.UPDATE if is_invented else Reject.WEIGHTS_OUT
        yield _unequal(code, number, trace.weights_out, step.weights_out)


def _unequal(code: Reject, step: int | None, expected: bytes, reported: bytes) -> _Difference:
    return _Difference(code, step, f"{expected.hex()[:16]} expected, {reported.hex()[:16]} reported")


def _verdict(report: SlotReport, outcome: Outcome, difference: _Difference | None) -> Verdict:
    return Verdict(
        job=report.job,
        round=report.round,
        slot=report.slot,
        outcome=outcome,
        code=difference.code if difference else None,
        step=difference.step if difference else None,
        detail=difference.detail if difference else "",
    )
