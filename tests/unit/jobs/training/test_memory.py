"""Buffers: aligned, shared, never copied when they need not be."""

import numpy as np
import pytest
import torch

from jobs.errors import ModelError
from jobs.training.memory import aligned_empty, aligned_zeros, as_tensor, bytes_of, float_array
from tests.kit.training import read_only


@pytest.mark.parametrize("count", [1, 16, 100_001])
def test_memory_is_aligned(count: int) -> None:
    for array in (aligned_empty(count), aligned_zeros(count)):
        assert array.shape == (count,)
        assert array.ctypes.data % 64 == 0
    assert not aligned_zeros(count).any()


def test_a_read_only_array_is_aliased_and_kept_alive() -> None:
    array = aligned_zeros(64)
    array[:] = 3.0
    tensor = as_tensor(read_only(array))
    assert tensor.data_ptr() == array.ctypes.data
    del array
    assert torch.equal(tensor, torch.full((64,), 3.0))


def test_aligned_bytes_are_read_in_place_others_copied() -> None:
    array = aligned_zeros(32)
    assert float_array(bytes_of(array), 32, "state").ctypes.data == array.ctypes.data
    shifted = float_array(array[1:], 31, "state")
    assert shifted.ctypes.data % 64 == 0
    assert shifted.ctypes.data != array[1:].ctypes.data


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(3, np.float32), np.zeros(4, np.float64), np.zeros((2, 2), np.float32), np.zeros(8, np.float32)[::2]],
    ids=["size", "type", "shape", "stride"],
)
def test_rejects_what_is_not_a_flat_buffer(wrong: np.ndarray) -> None:
    with pytest.raises(ModelError, match="the state"):
        float_array(wrong, 4, "state")


def test_rejects_bytes_that_are_no_floats() -> None:
    with pytest.raises(ModelError, match="the state"):
        float_array(memoryview(b"abcde"), 4, "state")
