"""A slot is a pure function: the same bits whoever runs it, how often, and from which memory."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from jobs.determinism import PORTABLE, environment
from jobs.errors import ModelError, TrainingDivergedError
from jobs.layout import state_digest
from jobs.training.memory import FloatArray, aligned_empty, bytes_of
from jobs.training.result import SlotResult
from jobs.training.slot import SlotRunner
from jobs.training.state import initial_state
from tests.kit.training import CONVNET, DIGITS, GPT, MLP, RESNET, TEXT, make_study, read_only

REPOSITORY = Path(__file__).parents[4]
JOBS = {"mlp": (MLP, DIGITS), "convnet": (CONVNET, DIGITS), "resnet": (RESNET, DIGITS), "gpt": (GPT, TEXT)}

FRESH_PROCESS = """
import sys
from tests.unit.jobs.training.test_slot import JOBS, run_slot, trace
print(*(repr(trace(run_slot(name, steps))) for name, steps in [("convnet", 1), ("gpt", 3)]), sep="\\n")
for name in JOBS:
    run_slot(name, 2)
print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


def run_slot(name: str, local_steps: int) -> SlotResult:
    study = make_study(*JOBS[name], local_steps=local_steps)
    runner = SlotRunner(study.program, study.train)
    return runner.run(read_only(initial_state(study.program)), None, 3, 1)


def trace(result: SlotResult) -> list[object]:
    return [result.update_digest, result.examples, *(asdict(step) for step in result.steps)]


@pytest.mark.parametrize("local_steps", [1, 3])
@pytest.mark.parametrize("name", JOBS)
def test_same_slot_twice_gives_the_same_bits(name: str, local_steps: int) -> None:
    study = make_study(*JOBS[name], local_steps=local_steps)
    runner = SlotRunner(study.program, study.train)
    state = read_only(initial_state(study.program))
    first = runner.run(state, None, 3, 1)
    between = runner.run(state, None, 4, 0)
    again = runner.run(state, first.steps[0].weights_in, 3, 1)
    assert trace(again) == trace(first)
    assert np.array_equal(again.update, first.update)
    assert between.update_digest != first.update_digest


@pytest.fixture(scope="module")
def fresh_process() -> list[str]:
    """What a process of its own says: two traces, and which parts of a compiler were loaded."""
    command = [sys.executable, "-W", "error", "-c", FRESH_PROCESS]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment(PORTABLE), check=True, capture_output=True, text=True
    ).stdout.splitlines()


def test_a_fresh_process_gives_the_same_bits(fresh_process: list[str]) -> None:
    assert fresh_process[:2] == [repr(trace(run_slot("convnet", 1))), repr(trace(run_slot("gpt", 3)))]


def test_no_model_makes_torch_load_its_compiler(fresh_process: list[str]) -> None:
    assert fresh_process[2:] == ["[]"]


@pytest.mark.parametrize("local_steps", [1, 3])
def test_bits_do_not_depend_on_the_hashing_threads(local_steps: int) -> None:
    wide = {"name": "mlp", "hidden": [1200, 300]}
    study = make_study(wide, DIGITS, local_steps=local_steps)
    state = read_only(initial_state(study.program))
    traces = [
        trace(SlotRunner(study.program, study.train, threads=threads).run(state, None, 0, 0)) for threads in (1, 2, 3)
    ]
    assert traces[0] == traces[1] == traces[2]


@pytest.mark.parametrize("local_steps", [1, 3])
def test_the_state_is_left_as_it_was(local_steps: int) -> None:
    study = make_study(CONVNET, DIGITS, local_steps=local_steps)
    state = initial_state(study.program)
    before = state.copy()
    SlotRunner(study.program, study.train).run(state, None, 0, 0)
    assert np.array_equal(state, before)


def test_digests_are_those_of_the_bytes() -> None:
    study = make_study(CONVNET, DIGITS)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    result = runner.run(state, None, 0, 0)
    assert result.steps[0].weights_in == state_digest(bytes_of(state), runner.layout)
    assert result.update_digest == result.steps[0].weights_out == state_digest(bytes_of(result.update), runner.layout)
    assert result.steps[0].weight_bytes == state.nbytes
    assert result.examples == study.program.slot_batch


def test_local_steps_chain_their_digests_and_end_in_the_update() -> None:
    study = make_study(CONVNET, DIGITS, local_steps=3)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    result = runner.run(state, None, 0, 0)
    assert [step.weights_in for step in result.steps[1:]] == [step.weights_out for step in result.steps[:-1]]
    boundary = runner.layout.boundary
    end = np.concatenate([state[:boundary] - result.update[:boundary], state[boundary:] + result.update[boundary:]])
    change = np.abs(result.update).max()
    assert change > 0
    assert np.isfinite(end).all()
    assert result.examples == 3 * study.program.slot_batch


def test_misaligned_state_gives_the_same_bits() -> None:
    study = make_study(GPT, TEXT)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    shifted = aligned_empty(state.size + 1)[1:]
    shifted[:] = state
    assert trace(runner.run(shifted, None, 0, 0)) == trace(runner.run(state, None, 0, 0))


def test_bytes_are_a_state_too() -> None:
    study = make_study(MLP, DIGITS)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    assert trace(runner.run(memoryview(state.tobytes()), None, 0, 0)) == trace(runner.run(state, None, 0, 0))


def test_memory_is_let_go_of_after_the_slot() -> None:
    study = make_study(MLP, DIGITS)
    runner = SlotRunner(study.program, study.train)
    state = read_only(initial_state(study.program))
    references = sys.getrefcount(state)
    runner.run(state, None, 0, 0)
    assert sys.getrefcount(state) == references


@pytest.mark.parametrize("local_steps", [1, 3])
def test_the_update_goes_where_it_is_to_go(local_steps: int) -> None:
    study = make_study(CONVNET, DIGITS, local_steps=local_steps)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    memory = aligned_empty(state.size)
    memory[:] = np.nan
    result = runner.run(state, None, 0, 0, update_out=memory)
    assert result.update is memory
    expected = runner.run(state, None, 0, 0)
    assert trace(result) == trace(expected)
    assert np.array_equal(memory, expected.update)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda size: aligned_empty(size - 1), "numbers"),
        (lambda size: aligned_empty(size + 1)[1:], "multiple of 64"),
        (lambda size: read_only(aligned_empty(size)), "read-only"),
    ],
)
def test_rejects_memory_that_cannot_take_the_update(make: Callable[[int], FloatArray], words: str) -> None:
    study = make_study(MLP, DIGITS)
    state = initial_state(study.program)
    with pytest.raises(ModelError, match=words):
        SlotRunner(study.program, study.train).run(state, None, 0, 0, update_out=make(state.size))


def test_rejects_a_state_of_another_size() -> None:
    study = make_study(MLP, DIGITS)
    with pytest.raises(ModelError, match="numbers"):
        SlotRunner(study.program, study.train).run(aligned_empty(5), None, 0, 0)


@pytest.mark.parametrize(("local_steps", "step"), [(1, 0), (3, 1)])
def test_a_loss_that_is_not_finite_stops_the_slot(local_steps: int, step: int) -> None:
    huge = {"inner_optimizer": {"name": "sgd", "lr": 1e38}} if local_steps > 1 else {}
    study = make_study(MLP, DIGITS, local_steps=local_steps, **huge)
    state = initial_state(study.program)
    if local_steps == 1:
        state[:] = np.float32(np.nan)
    with pytest.raises(TrainingDivergedError) as raised:
        SlotRunner(study.program, study.train).run(state, None, 2, 1)
    assert (raised.value.round_number, raised.value.slot, raised.value.step) == (2, 1, step)
