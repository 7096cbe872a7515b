"""A layout has one form for given names and shapes; anything else is refused."""

import pytest

from consensus.errors import EncodingError
from consensus.primitives.encoding import encode
from jobs.layout import Layout, TensorSpec, decode_layout, derive_layout, optimizer_digest, state_digest


def sample() -> Layout:
    return derive_layout({"b.weight": (3, 5), "a.bias": (20,), "c.scale": ()}, {"a.running_mean": (2,)})


def test_sorted_parameters_come_first_then_buffers_all_aligned() -> None:
    layout = sample()
    assert [tensor.name for tensor in layout.tensors] == ["a.bias", "b.weight", "c.scale", "a.running_mean"]
    assert [tensor.offset for tensor in layout.tensors] == [0, 32, 48, 64]
    assert (layout.boundary, layout.total, layout.bytes) == (64, 80, 320)
    assert layout.parameters == 20 + 15 + 1


def test_a_layout_survives_its_encoding() -> None:
    assert decode_layout(encode(sample())) == sample()
    assert decode_layout(encode(sample())).digest == sample().digest


def replaced(**changes: object) -> Layout:
    layout = sample()
    values = {"tensors": layout.tensors, "boundary": layout.boundary, "total": layout.total}
    return Layout(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"total": 64},
        {"total": 96},
        {"boundary": 48},
        {"tensors": sample().tensors[::-1]},
        {"tensors": (*sample().tensors, TensorSpec(name="d", shape=(4,), offset=0))},
        {"tensors": (TensorSpec(name="a.bias", shape=(21,), offset=8), *sample().tensors[1:])},
    ],
    ids=["short", "long", "boundary", "order", "overlap", "offset"],
)
def test_rejects_offsets_that_shapes_do_not_give(changes: dict[str, object]) -> None:
    with pytest.raises(EncodingError):
        decode_layout(encode(replaced(**changes)))


def test_digests_are_bound_to_the_layout_and_to_the_kind_of_state() -> None:
    other = derive_layout({"z": (64,)}, {"a.running_mean": (2,)})
    data = bytes(sample().bytes)
    assert other.bytes == sample().bytes
    assert state_digest(data, sample()) != state_digest(data, other)
    assert state_digest(data, sample()) != optimizer_digest(data, sample())
