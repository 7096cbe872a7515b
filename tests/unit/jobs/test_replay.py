"""Every single lie in a report of a real slot is found, each under its own code; the truth is found to be the truth."""

import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from consensus.errors import Reject
from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from consensus.records.work import Assignment, SlotReport
from consensus.replay.verdict import Outcome, Verdict
from jobs.data.digests import batch_digest, indices_digest
from jobs.data.order import step_indices
from jobs.determinism import describe
from jobs.layout import state_digest
from jobs.mining.search import build_report
from jobs.replay import SlotReplayer
from jobs.training.memory import FloatArray, bytes_of
from jobs.training.result import SlotResult
from jobs.training.slot import SlotRunner
from jobs.training.state import initial_state
from tests.kit.genesis import public_key
from tests.kit.training import CONVNET, DIGITS, Study, make_study
from tests.kit.work import word

ROUND, SLOT = 2, 1


class Case:
    """A slot that was run honestly, with its report and a replayer."""

    def __init__(self, local_steps: int) -> None:
        self.study: Study = make_study(CONVNET, DIGITS, local_steps=local_steps)
        self.state: FloatArray = initial_state(self.study.program)
        runner = SlotRunner(self.study.program, self.study.train)
        self.result: SlotResult = runner.run(self.state, None, ROUND, SLOT)
        self.replayer = SlotReplayer(self.study.program, self.study.train)
        assignment = Assignment(
            job=word("job"),
            round=ROUND,
            slot=SLOT,
            attempt=0,
            miner=public_key("miner"),
            state=self.result.steps[0].weights_in,
        )
        replay_class = describe(self.study.program).digest
        self.report: SlotReport = build_report(assignment, self.result, replay_class=replay_class)

    def replay(self, report: SlotReport, state: FloatArray | None = None) -> Verdict:
        return self.replayer.replay(bytes_of(self.state if state is None else state), report)


@cache
def case(local_steps: int) -> Case:
    return Case(local_steps)


def changed(report: SlotReport, **fields: object) -> SlotReport:
    values = {name: getattr(report, name) for name in report.__struct_fields__}
    return SlotReport(**{**values, **fields})


def changed_step(report: SlotReport, number: int, **fields: object) -> SlotReport:
    steps = list(report.steps)
    values = {name: getattr(steps[number], name) for name in steps[number].__struct_fields__}
    steps[number] = type(steps[number])(**{**values, **fields})
    return changed(report, steps=tuple(steps))


def last_bit_changed(digested: FloatArray, at: Case) -> Digest:
    """The digest of the same numbers with the last bit of one of them flipped."""
    dithered = digested.copy()
    dithered.view(np.uint32)[7] ^= 1
    return state_digest(bytes_of(dithered), at.replayer.layout)


@pytest.mark.parametrize("local_steps", [1, 3])
def test_an_honest_report_matches(local_steps: int) -> None:
    verdict = case(local_steps).replay(case(local_steps).report)
    assert (verdict.outcome, verdict.code, verdict.detail) == (Outcome.MATCH, None, "")
    assert (verdict.job, verdict.round, verdict.slot) == (word("job"), ROUND, SLOT)


def test_another_replay_class_decides_nothing() -> None:
    verdict = case(1).replay(changed(case(1).report, replay_class=word("another class"), update=word("forged")))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, Reject.REPLAY_CLASS)


def other_indices(at: Case) -> SlotReport:
    chosen = step_indices(at.study.program, ROUND + 1, SLOT, 0)
    inputs, targets = at.study.train.gather(chosen)
    batch = batch_digest(inputs, targets)
    return changed_step(at.report, 0, indices=indices_digest(chosen), batch=batch)


def noise_batch(at: Case) -> SlotReport:
    inputs, targets = at.study.train.gather(step_indices(at.study.program, ROUND, SLOT, 0))
    noise = np.random.default_rng(5).normal(size=inputs.shape).astype(np.float32)
    return changed_step(at.report, 0, batch=batch_digest(noise, targets))


def changed_loss(at: Case) -> SlotReport:
    return changed_step(at.report, 0, loss_bits=at.report.steps[0].loss_bits ^ 1)


def rounded_loss(at: Case) -> SlotReport:
    (loss,) = struct.unpack("<f", struct.pack("<I", at.report.steps[-1].loss_bits))
    (bits,) = struct.unpack("<I", struct.pack("<f", round(loss, 3)))
    return changed_step(at.report, len(at.report.steps) - 1, loss_bits=bits)


def wrong_start(at: Case) -> SlotReport:
    return changed_step(at.report, 0, weights_in=last_bit_changed(at.state, at))


def dithered_update(at: Case) -> SlotReport:
    return changed(at.report, update=last_bit_changed(at.result.update, at))


def invented_gradient(at: Case) -> SlotReport:
    invented = np.random.default_rng(6).normal(size=at.state.size).astype(np.float32)
    digest = state_digest(bytes_of(invented), at.replayer.layout)
    return changed(changed_step(at.report, 0, weights_out=digest), update=digest)


def dithered_weights(at: Case) -> SlotReport:
    return changed_step(at.report, 0, weights_out=last_bit_changed(at.result.update, at))


def broken_chain(at: Case) -> SlotReport:
    return changed_step(at.report, len(at.report.steps) - 1, weights_in=word("elsewhere"))


def fewer_steps(at: Case) -> SlotReport:
    return changed(at.report, steps=at.report.steps[:-1])


def more_examples(at: Case) -> SlotReport:
    return changed(at.report, examples=at.report.examples + 1)


def larger_weights(at: Case) -> SlotReport:
    return changed_step(at.report, 0, weight_bytes=at.report.steps[0].weight_bytes * 1000)


def larger_batch(at: Case) -> SlotReport:
    return changed_step(at.report, 0, batch_bytes=at.report.steps[0].batch_bytes * 1000)


def anothers_step(at: Case) -> SlotReport:
    return changed_step(at.report, 0, miner=public_key("another"))


def round_beyond_the_job(at: Case) -> SlotReport:
    beyond = at.study.program.rounds
    return changed(changed_step(at.report, 0, round=beyond), round=beyond)


LIES: list[tuple[int, Callable[[Case], SlotReport], Reject, int | None]] = [
    (1, other_indices, Reject.BATCH_INDICES, 0),
    (1, noise_batch, Reject.BATCH_BYTES, 0),
    (3, larger_batch, Reject.BATCH_BYTES, 0),
    (1, wrong_start, Reject.WEIGHTS_IN, 0),
    (3, broken_chain, Reject.WEIGHTS_IN, 2),
    (1, changed_loss, Reject.LOSS, 0),
    (3, rounded_loss, Reject.LOSS, 2),
    (1, dithered_weights, Reject.WEIGHTS_OUT, 0),
    (3, dithered_weights, Reject.WEIGHTS_OUT, 0),
    (1, invented_gradient, Reject.UPDATE, 0),
    (1, dithered_update, Reject.UPDATE, None),
    (3, dithered_update, Reject.UPDATE, None),
    (3, fewer_steps, Reject.REPORT_SHAPE, None),
    (1, more_examples, Reject.REPORT_SHAPE, None),
    (1, larger_weights, Reject.REPORT_SHAPE, 0),
    (1, anothers_step, Reject.REPORT_SHAPE, 0),
    (1, round_beyond_the_job, Reject.REPORT_SHAPE, None),
]


@pytest.mark.parametrize(("local_steps", "lie", "code", "step"), LIES)
def test_a_lie_is_found(local_steps: int, lie: Callable[[Case], SlotReport], code: Reject, step: int | None) -> None:
    verdict = case(local_steps).replay(lie(case(local_steps)))
    assert (verdict.outcome, verdict.code, verdict.step) == (Outcome.MISMATCH, code, step)
    assert verdict.detail


def test_a_slot_that_diverges_was_not_as_reported() -> None:
    broken = case(1).state.copy()
    broken[:] = np.float32(np.nan)
    start = state_digest(bytes_of(broken), case(1).replayer.layout)
    verdict = case(1).replay(changed_step(case(1).report, 0, weights_in=start), broken)
    assert (verdict.outcome, verdict.code, verdict.step) == (Outcome.MISMATCH, Reject.LOSS, 0)
    assert "diverged" in verdict.detail


def test_another_beacon_is_another_job() -> None:
    study = case(1).study
    program = type(study.program)(
        spec=study.program.spec, manifest=study.program.manifest, beacon=sha256("test/beacon/1", b"other")
    )
    verdict = SlotReplayer(program, study.train).replay(bytes_of(case(1).state), case(1).report)
    assert (verdict.outcome, verdict.code) == (Outcome.MISMATCH, Reject.BATCH_INDICES)
