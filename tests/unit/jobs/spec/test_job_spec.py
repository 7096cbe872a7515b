"""Defaults, derived figures and the checks that need several sections."""

import json

import pytest
from pydantic import ValidationError

from jobs.spec.job import ErasureSpec, JobSpec
from jobs.spec.mistakes import describe_mistakes
from tests.kit.training import DIGITS, GPT, MLP, TEXT, make_spec

TABLE = {"path": "t.csv", "target": "y"}


def faults(model: dict[str, object], data: dict[str, object], **train: object) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        make_spec(model, data, **train)
    return [str(mistake) for mistake in describe_mistakes(raised.value)]


def test_defaults_are_written_out() -> None:
    train = make_spec(MLP, DIGITS, batch_size=64, slots=4, rounds=300).train
    assert (train.local_steps, train.micro_batch, train.eval_every, train.checkpoint_every) == (1, 16, 15, 15)
    assert (train.optimizer.name, train.optimizer.lr, train.inner_optimizer) == ("adamw", 0.001, None)


def test_several_local_steps_default_to_an_outer_and_an_inner_optimizer() -> None:
    train = make_spec(MLP, DIGITS, local_steps=8).train
    assert train.optimizer.name == "nesterov"
    assert (train.optimizer.lr, train.optimizer.momentum) == (0.7, 0.9)
    assert train.inner_optimizer is not None
    assert (train.inner_optimizer.name, train.inner_optimizer.lr) == ("adamw", 0.001)


def test_a_short_job_evaluates_every_round() -> None:
    assert make_spec(MLP, DIGITS, rounds=3).train.eval_every == 1


def test_parts_left_out_of_a_split_are_empty() -> None:
    assert make_spec(MLP, {"source": "digits", "split": {"train": 1.0}}).data.split.test == 0.0


@pytest.mark.parametrize(
    ("model", "data", "loss", "metric"),
    [
        (MLP, DIGITS, "cross_entropy", "accuracy"),
        (GPT, TEXT, "cross_entropy", "nats_per_byte"),
        (MLP, TABLE, "mse", "rmse"),
        (MLP, TABLE, "cross_entropy", "accuracy"),
    ],
)
def test_the_metric_follows_from_data_and_loss(
    model: dict[str, object], data: dict[str, object], loss: str, metric: str
) -> None:
    assert make_spec(model, data, loss=loss, stop_when={"metric": metric, "reaches": 0.5}).metric == metric


@pytest.mark.parametrize(
    ("model", "data", "train", "expected"),
    [
        (GPT, DIGITS, {}, "model.name: gpt learns from text"),
        (MLP, TEXT, {}, "model.name: mlp cannot learn from text"),
        (GPT, TEXT, {"loss": "mse"}, "train.loss: python-text has classes"),
        (MLP, TABLE | {"kind": "regression"}, {}, "train.loss: regression data needs the loss mse"),
        (MLP, TABLE | {"kind": "classification"}, {"loss": "mse"}, "train.loss: classification data needs"),
        (MLP, TABLE | {"features": ["y"]}, {}, "data.features: must not contain the target 'y'"),
        (MLP, TABLE | {"features": ["a", "a"]}, {}, "data.features: names a column twice"),
        (MLP, TABLE | {"features": []}, {}, "data.features: must have at least 1 entries"),
        (MLP, TABLE | {"source": "digits"}, {}, "data.source: unknown key; known are path"),
        (
            MLP,
            {"source": "digits", "split": {"train": 0.0, "test": 1.0}},
            {},
            "data.split.train: must be greater than 0",
        ),
        (GPT | {"heads": 3}, TEXT, {}, "model.width: must be divisible by heads (3)"),
        (MLP | {"dropout": 1.0}, DIGITS, {}, "model.dropout: must be less than 1"),
        (MLP, DIGITS, {"local_steps": 4, "inner_optimizer": None}, "train.inner_optimizer: must be given"),
        (
            MLP,
            DIGITS,
            {"optimizer": {"name": "sgd", "lr": 1, "warmup_rounds": 21}},
            "train.optimizer.warmup_rounds: must not be more than rounds (20)",
        ),
        (
            MLP,
            {"source": "digits", "split": {"train": 1.0}},
            {"stop_when": {"metric": "accuracy", "reaches": 0.9}},
            "train.stop_when: needs a validation part",
        ),
    ],
)
def test_refuses_sections_that_contradict_each_other(
    model: dict[str, object], data: dict[str, object], train: dict[str, object], expected: str
) -> None:
    (only,) = faults(model, data, **train)
    assert only.startswith(expected)


def test_storage_is_replicas_or_erasure_coding() -> None:
    job = json.loads(make_spec(MLP, DIGITS).model_dump_json())
    coded = JobSpec.model_validate_json(json.dumps(job | {"storage": {"data": 4, "parity": 2}}))
    assert isinstance(coded.storage, ErasureSpec)
    assert (coded.storage.data, coded.storage.parity) == (4, 2)
    with pytest.raises(ValidationError) as raised:
        JobSpec.model_validate_json(json.dumps(job | {"storage": {"data": 4, "replicas": 2}}))
    messages = [str(mistake) for mistake in describe_mistakes(raised.value)]
    known = "known are reward, proofs, collateral, data, parity"
    assert messages == ["storage.parity: is required", f"storage.replicas: unknown key; {known}"]


def test_a_spec_is_frozen() -> None:
    spec = make_spec(MLP, DIGITS)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]
