"""Slots on a GPU: the same rules hold there, in the GPU's own replay class."""

import pytest
import torch

from consensus.errors import Reject
from consensus.replay.verdict import Outcome
from jobs.determinism import describe
from jobs.evaluation import StateEvaluator
from jobs.mining.search import build_report
from jobs.replay import SlotReplayer
from jobs.training.memory import bytes_of
from jobs.training.slot import SlotRunner
from jobs.training.state import initial_state
from tests.kit.training import CONVNET, DIGITS, GPT, MLP, RESNET, TEXT, make_study, run_rounds
from tests.kit.work import make_assignment, word

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
MODELS = [(MLP, DIGITS), (CONVNET, DIGITS), (RESNET, DIGITS), (GPT, TEXT)]


@pytest.mark.parametrize("local_steps", [1, 3])
@pytest.mark.parametrize(("model", "data"), MODELS)
def test_same_rounds_twice_give_the_same_bits(
    model: dict[str, object], data: dict[str, object], local_steps: int
) -> None:
    study = make_study(model, data, device="cuda", local_steps=local_steps)
    assert run_rounds(study, 3).digests == run_rounds(study, 3).digests


@pytest.mark.parametrize("local_steps", [1, 3])
def test_a_replay_on_the_gpu_matches_and_one_on_the_cpu_decides_nothing(local_steps: int) -> None:
    study = make_study(CONVNET, DIGITS, device="cuda", local_steps=local_steps)
    state = initial_state(study.program)
    result = SlotRunner(study.program, study.train).run(state, None, 0, 0)
    assignment = make_assignment(word("job"), state=result.steps[0].weights_in)
    report = build_report(assignment, result, replay_class=describe(study.program).digest)
    assert SlotReplayer(study.program, study.train).replay(bytes_of(state), report).outcome is Outcome.MATCH
    on_cpu = make_study(CONVNET, DIGITS, local_steps=local_steps)
    verdict = SlotReplayer(on_cpu.program, on_cpu.train).replay(bytes_of(state), report)
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, Reject.REPLAY_CLASS)


def test_figures_are_those_of_the_cpu() -> None:
    on_gpu, on_cpu = make_study(MLP, DIGITS, device="cuda"), make_study(MLP, DIGITS)
    state = bytes_of(initial_state(on_cpu.program))
    figures = [StateEvaluator(study.program, study.parts).evaluate(state, "test") for study in (on_gpu, on_cpu)]
    assert figures[0][0].value == pytest.approx(figures[1][0].value, rel=1e-4)
