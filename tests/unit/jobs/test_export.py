"""An exported file is plain safetensors to everyone else, and gives back the state that is on the chain."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jobs.errors import ModelError
from jobs.export import read_safetensors, write_safetensors
from jobs.layout import Layout, state_digest
from jobs.models.build import build_model, model_layout
from jobs.training.memory import FloatArray, bytes_of
from tests.kit.training import CONVNET, DIGITS, make_study, run_rounds


def trained() -> tuple[FloatArray, Layout]:
    study = make_study(CONVNET, DIGITS)
    layout = model_layout(build_model(study.program.spec.model, study.program.manifest))
    return run_rounds(study, 1).state, layout


def test_round_trip_keeps_the_state_digest(tmp_path: Path) -> None:
    state, layout = trained()
    size = write_safetensors(tmp_path / "model.safetensors", bytes_of(state), layout, {"job": "digits"})
    assert size == (tmp_path / "model.safetensors").stat().st_size
    data, found = read_safetensors(tmp_path / "model.safetensors")
    assert (data, found) == (state.tobytes(), layout)
    assert state_digest(data, found) == state_digest(bytes_of(state), layout)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    state, layout = trained()
    write_safetensors(tmp_path / "model.safetensors", bytes_of(state), layout, {"job": "digits"})
    tensors = load_file(tmp_path / "model.safetensors")
    assert set(tensors) == {tensor.name for tensor in layout.tensors}
    for tensor in layout.tensors:
        expected = state[tensor.offset : tensor.offset + tensor.count].reshape(tensor.shape)
        assert np.array_equal(tensors[tensor.name], expected)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata()["job"] == "digits"
        assert file.metadata()["pouw.state_digest"] == state_digest(bytes_of(state), layout).hex()


def test_rejects_a_damaged_file(tmp_path: Path) -> None:
    state, layout = trained()
    path = tmp_path / "model.safetensors"
    write_safetensors(path, bytes_of(state), layout)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="damaged"):
        read_safetensors(path)


def test_rejects_a_file_from_elsewhere(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="layout"):
        read_safetensors(tmp_path / "other.safetensors")


def test_rejects_a_state_of_another_size_and_leaves_no_file(tmp_path: Path) -> None:
    state, layout = trained()
    with pytest.raises(ModelError, match="bytes"):
        write_safetensors(tmp_path / "model.safetensors", bytes_of(state[:-16]), layout)
    assert list(tmp_path.iterdir()) == []
