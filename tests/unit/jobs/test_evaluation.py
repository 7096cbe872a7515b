"""Figures compared with what a few lines of numpy and plain torch make of the same state."""

from pathlib import Path

import numpy as np
import pytest
import torch

from consensus.records.work import Metric
from jobs.errors import DataError, DivergedStateError, ModelError
from jobs.evaluation import StateEvaluator
from jobs.training.memory import as_tensor, bytes_of
from jobs.training.metrics import MICRO
from jobs.training.state import initial_state
from tests.kit.training import CONVNET, DIGITS, GPT, MLP, TEXT, make_study, run_rounds

LINEAR = {"name": "mlp", "hidden": []}


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def test_accuracy_and_loss_are_those_of_the_whole_test_part() -> None:
    study = make_study(LINEAR, DIGITS, optimizer={"name": "adamw", "lr": 0.02})
    state = run_rounds(study, 10).state
    evaluator = StateEvaluator(study.program, study.parts)
    figures = by_name(evaluator.evaluate(bytes_of(state), "test"))
    rows = study.parts["test"].rows
    inputs, targets = study.parts["test"].gather(np.arange(rows))
    tensors = {t.name: as_tensor(state)[t.offset : t.offset + t.count].view(t.shape) for t in evaluator.layout.tensors}
    flat = torch.from_numpy(inputs).flatten(start_dim=1)
    logits = flat @ tensors["layers.0.weight"].T + tensors["layers.0.bias"]
    assert targets is not None
    assert figures["accuracy"].scale == rows
    assert figures["accuracy"].value == int((logits.argmax(dim=1).numpy() == targets).sum())
    probabilities = torch.softmax(logits.double(), dim=1)[torch.arange(rows), torch.from_numpy(targets)]
    assert figures["loss"].value / MICRO == pytest.approx(float(-probabilities.log().mean()), abs=1e-5)


def test_rmse_is_the_root_of_the_mean_square(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    inputs = generator.normal(size=(300, 3)).astype(np.float32)
    np.savez(tmp_path / "table.npz", x=inputs, y=inputs.sum(axis=1).astype(np.float32))
    data = {"path": str(tmp_path / "table.npz"), "target": "y", "features": ["x"], "kind": "regression"}
    study = make_study(LINEAR, data, loss="mse")
    state = initial_state(study.program)
    evaluator = StateEvaluator(study.program, study.parts)
    figures = by_name(evaluator.evaluate(bytes_of(state), "validation"))
    part = study.parts["validation"]
    rows, targets = part.gather(np.arange(part.rows))
    where = {t.name: state[t.offset : t.offset + t.count] for t in evaluator.layout.tensors}
    errors = rows @ where["layers.0.weight"] + where["layers.0.bias"] - targets
    assert figures["rmse"].value / MICRO == pytest.approx(float(np.sqrt(np.mean(errors**2))), abs=1e-5)
    assert figures["loss"].value / MICRO == pytest.approx(float(np.mean(errors**2)), abs=1e-5)


def test_nats_per_byte_of_a_model_that_knows_nothing() -> None:
    study = make_study(GPT, TEXT)
    state = np.zeros_like(initial_state(study.program))
    figures = by_name(StateEvaluator(study.program, study.parts).evaluate(bytes_of(state), "validation"))
    assert figures["nats_per_byte"].value / MICRO == pytest.approx(np.log(256), abs=1e-5)


def test_figures_do_not_change_from_one_time_to_the_next() -> None:
    study = make_study(CONVNET, DIGITS)
    evaluator, state = StateEvaluator(study.program, study.parts), run_rounds(study, 2).state
    before = state.copy()
    assert evaluator.evaluate(bytes_of(state), "test") == evaluator.evaluate(bytes_of(state), "test")
    assert np.array_equal(state, before)


def test_validation_is_bounded_and_spread() -> None:
    study = make_study(MLP, DIGITS)
    evaluator = StateEvaluator(study.program, study.parts, validation_examples=10)
    state = memoryview(bytes_of(initial_state(study.program)))
    assert by_name(evaluator.evaluate(state, "validation"))["accuracy"].scale == 10
    assert by_name(evaluator.evaluate(state, "test"))["accuracy"].scale == study.parts["test"].rows


def test_an_empty_part_has_no_figures() -> None:
    study = make_study(MLP, {"source": "digits", "split": {"train": 1.0}})
    assert StateEvaluator(study.program, study.parts).evaluate(bytes_of(initial_state(study.program)), "test") == ()


def test_rejects_a_part_that_was_not_opened() -> None:
    study = make_study(MLP, DIGITS)
    evaluator = StateEvaluator(study.program, {"validation": study.parts["validation"]})
    with pytest.raises(DataError, match="test"):
        evaluator.evaluate(bytes_of(initial_state(study.program)), "test")


def test_rejects_a_state_that_is_not_finite_or_of_another_size() -> None:
    study = make_study(MLP, DIGITS)
    evaluator, state = StateEvaluator(study.program, study.parts), initial_state(study.program)
    state[:] = np.float32(np.nan)
    with pytest.raises(DivergedStateError):
        evaluator.evaluate(bytes_of(state), "test")
    with pytest.raises(ModelError):
        evaluator.evaluate(bytes_of(state[:-16]), "test")
