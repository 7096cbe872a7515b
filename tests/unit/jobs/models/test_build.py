"""Models follow from job and data; what does not fit is refused before memory is taken."""

import numpy as np
import pytest

from jobs.errors import ModelError
from jobs.models.build import build_model, model_layout
from jobs.models.initial import InitialValue, draw, initial_values
from jobs.models.size import check_memory, estimate_bytes, measure_model
from jobs.training.state import initial_state
from tests.kit.training import CONVNET, DIGITS, GPT, MLP, RESNET, TEXT, make_spec, make_study

MODELS = [(MLP, DIGITS), (CONVNET, DIGITS), (RESNET, DIGITS), (GPT, TEXT)]
GIB = 2**30


@pytest.mark.parametrize(("model", "data"), MODELS)
def test_a_model_is_shapes_without_memory(model: dict[str, object], data: dict[str, object]) -> None:
    study = make_study(model, data)
    built = build_model(study.program.spec.model, study.program.manifest)
    assert all(parameter.is_meta for parameter in built.parameters())
    assert model_layout(built).total == initial_state(study.program).size


@pytest.mark.parametrize(("model", "data"), MODELS)
def test_first_weights_follow_from_the_program_alone(model: dict[str, object], data: dict[str, object]) -> None:
    study, other = make_study(model, data), make_study(model, data, rounds=21)
    assert np.array_equal(initial_state(study.program), initial_state(study.program))
    assert not np.array_equal(initial_state(study.program), initial_state(other.program))


def test_first_weights_keep_within_their_bounds() -> None:
    study = make_study(GPT, TEXT)
    built = build_model(study.program.spec.model, study.program.manifest)
    layout, values, state = model_layout(built), initial_values(built), initial_state(study.program)
    for tensor in layout.tensors:
        numbers, value = state[tensor.offset : tensor.offset + tensor.count], values[tensor.name]
        if value.bound:
            assert np.abs(numbers).max() <= value.bound
            assert numbers.std() == pytest.approx(value.bound / 3**0.5, rel=0.2)
        else:
            assert (numbers == value.constant).all()


def test_drawn_bits_are_the_same_on_every_machine() -> None:
    known = [5599841837815857887, 15655913098571550255, 2880178291573394738, 573812481542357666]
    expected = [((word >> 40) - 2**23) / 2**23 * 0.125 for word in known]
    assert draw(np.random.Philox(key=1), InitialValue(bound=0.125), 4).tolist() == expected


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (CONVNET, TEXT, "images"),
        (MLP, TEXT, "text"),
        (GPT, DIGITS, "gpt learns from text"),
        (GPT | {"context": 32}, TEXT, "context 32"),
    ],
)
def test_rejects_data_of_another_kind(model: dict[str, object], data: dict[str, object], message: str) -> None:
    manifest = make_study(GPT if data is TEXT else MLP, data).program.manifest
    fitting = TEXT if model["name"] == "gpt" else DIGITS
    with pytest.raises(ModelError, match=message):
        build_model(make_spec(model, fitting).model, manifest)


def test_a_model_larger_than_memory_is_refused() -> None:
    study = make_study(GPT, TEXT)
    huge = make_spec(GPT | {"width": 65_536, "layers": 32}, TEXT)
    assert estimate_bytes(huge, study.program.manifest) > 10_000 * GIB
    with pytest.raises(ModelError, match="GiB are available"):
        check_memory(huge, study.program.manifest, 64 * GIB)
    check_memory(study.program.spec, study.program.manifest, GIB)


def test_size_counts_activations_and_the_inner_optimizer() -> None:
    one, many = make_study(MLP, DIGITS), make_study(MLP, DIGITS, local_steps=4)
    small = measure_model(one.program.spec, one.program.manifest)
    large = measure_model(many.program.spec, many.program.manifest)
    assert small.parameters == 64 * 32 + 32 + 32 * 10 + 10
    assert small.miner_bytes == 2 * small.state_bytes + small.activation_bytes
    assert large.miner_bytes - large.activation_bytes == 6 * large.state_bytes
    doubled = make_spec(MLP, DIGITS, batch_size=64)
    assert measure_model(doubled, one.program.manifest).activation_bytes > small.activation_bytes


def test_rejects_a_micro_batch_that_cannot_be_normalised() -> None:
    study = make_study(CONVNET, DIGITS)
    spec = make_spec(CONVNET | {"channels": [4, 4, 4, 4], "dropout": 0.0}, DIGITS, batch_size=2, slots=2)
    with pytest.raises(ModelError, match="micro-batches of 1"):
        measure_model(spec, study.program.manifest)
