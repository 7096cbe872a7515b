"""Flat float32 buffers: aligned, made once, and seen by numpy, torch and the hash function without copies."""

import ctypes
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from jobs.errors import ModelError
from jobs.layout import ALIGNMENT_BYTES, FLOAT_BYTES

FloatArray: TypeAlias = npt.NDArray[np.float32]

_SPARE: int = ALIGNMENT_BYTES // FLOAT_BYTES


def aligned_empty(count: int) -> FloatArray:
    """`count` numbers of any value, starting at a multiple of 64 bytes."""
    return _aligned(np.empty(count + _SPARE, dtype=np.float32), count)


def aligned_zeros(count: int) -> FloatArray:
    """`count` zeros, starting at a multiple of 64 bytes. Large ones are fresh pages: nothing is written."""
    return _aligned(np.zeros(count + _SPARE, dtype=np.float32), count)


def _aligned(spacious: FloatArray, count: int) -> FloatArray:
    start = -spacious.ctypes.data % ALIGNMENT_BYTES // FLOAT_BYTES
    return spacious[start : start + count]


def float_array(data: FloatArray | memoryview | bytes, count: int, what: str) -> FloatArray:
    """`data` as `count` aligned numbers: in place where its address allows it, else copied.

    Raises:
        ModelError: another number of numbers than the model has.
    """
    array = data if isinstance(data, np.ndarray) else _read_floats(data, what)
    if array.dtype != np.float32 or array.shape != (count,) or not array.flags.c_contiguous:
        raise ModelError(f"the {what} has {array.size} numbers ({array.dtype}), the model has {count} (float32)")
    if array.ctypes.data % ALIGNMENT_BYTES == 0:
        return array
    copied = aligned_empty(count)
    copied[:] = array
    return copied


def result_array(array: FloatArray | None, count: int, what: str) -> FloatArray:
    """Memory for a result of `count` numbers: the caller's, or fresh.

    Raises:
        ModelError: the caller's has another size or alignment, or is read-only: torch would write without asking.
    """
    if array is None:
        return aligned_empty(count)
    if not array.flags.writeable:
        raise ModelError(f"the {what} is read-only")
    if float_array(array, count, what) is not array and count:
        raise ModelError(f"the {what} does not start at a multiple of {ALIGNMENT_BYTES} bytes")
    return array


def _read_floats(data: memoryview | bytes, what: str) -> FloatArray:
    size_bytes = memoryview(data).nbytes
    if size_bytes % FLOAT_BYTES:
        raise ModelError(f"the {what} has {size_bytes} bytes, which are no whole float32 numbers")
    return np.frombuffer(data, dtype=np.float32)


def as_tensor(array: FloatArray) -> torch.Tensor:
    """The same memory as a tensor, also where numpy may only read it. Whoever passes a read-only array must not write.

    Torch has no read-only tensors and warns about such arrays; so the address is handed over instead. The tensor keeps
    the array alive.
    """
    if array.size == 0:
        return torch.empty(0)
    if array.flags.writeable:
        return torch.from_numpy(array)
    memory = (ctypes.c_float * array.size).from_address(array.ctypes.data)
    memory.owner = array  # type: ignore[attr-defined]
    return torch.frombuffer(memory, dtype=torch.float32)


def bytes_of(array: FloatArray) -> memoryview:
    """The array's bytes in place, for hashing."""
    return array.data.cast("B") if array.size else memoryview(b"")
