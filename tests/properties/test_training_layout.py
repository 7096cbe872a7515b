"""Layouts of any model: aligned, without overlap, and a file of any state gives that state back."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.primitives.encoding import encode
from jobs.export import read_safetensors, write_safetensors
from jobs.layout import ALIGNMENT_BYTES, FLOAT_BYTES, decode_layout, derive_layout

NAMES = st.text("abcxyz._01", min_size=1, max_size=12)
SHAPES = st.lists(st.integers(1, 9), max_size=4).map(tuple)
TENSORS = st.dictionaries(NAMES, SHAPES, max_size=6)


@settings(max_examples=60, deadline=None)
@given(parameters=TENSORS, buffers=TENSORS)
def test_tensors_are_aligned_in_order_and_apart(
    parameters: dict[str, tuple[int, ...]], buffers: dict[str, tuple[int, ...]]
) -> None:
    layout = derive_layout(parameters, buffers)
    ends = [0]
    for tensor in layout.tensors:
        assert tensor.offset * FLOAT_BYTES % ALIGNMENT_BYTES == 0
        assert tensor.offset >= ends[-1]
        ends.append(tensor.offset + tensor.count)
    assert layout.total >= ends[-1]
    assert layout.parameters == sum(int(np.prod(shape)) for shape in parameters.values())
    assert decode_layout(encode(layout)) == layout


@settings(max_examples=25, deadline=None)
@given(parameters=TENSORS, buffers=TENSORS, seed=st.integers(0, 2**32 - 1))
def test_an_exported_state_comes_back(
    parameters: dict[str, tuple[int, ...]], buffers: dict[str, tuple[int, ...]], seed: int
) -> None:
    buffers = {f"buffer.{name}": shape for name, shape in buffers.items()}
    layout = derive_layout(parameters, buffers)
    state, generator = np.zeros(layout.total, np.float32), np.random.default_rng(seed)
    for tensor in layout.tensors:
        state[tensor.offset : tensor.offset + tensor.count] = generator.normal(size=tensor.count)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_safetensors(path, state.tobytes(), layout)
        assert read_safetensors(path) == (state.tobytes(), layout)
