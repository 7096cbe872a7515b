"""Where each tensor lies in a model's flat buffer. Needs no torch, so that a fetched state can be named and exported.

A state is one float32 buffer: trainable parameters first, then float buffers such as batch-norm statistics, each part
in the order of sorted names. Every tensor starts at a multiple of 64 bytes; the gaps are zeros. Kernels then see the
same alignment wherever the buffer came from, which keeps one more thing from deciding the bits.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from consensus.errors import EncodingError
from consensus.primitives.digest import bulk_digest, sha256
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Digest, Uint63

ALIGNMENT_BYTES: Final = 64
FLOAT_BYTES: Final = 4
_ALIGNMENT_FLOATS: Final = ALIGNMENT_BYTES // FLOAT_BYTES


class TensorSpec(Record, frozen=True, tag="pouw/tensor/1"):
    """One tensor of the flat buffer."""

    name: str
    shape: tuple[Uint63, ...]
    offset: Uint63
    """In float32 numbers, not bytes."""

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class Layout(Record, frozen=True, tag="pouw/layout/1"):
    """The tensors of a state, in the order of the buffer."""

    tensors: tuple[TensorSpec, ...]
    boundary: Uint63
    """Numbers before this are trainable (or gaps between trainable tensors); from here on come the buffers."""
    total: Uint63
    """Numbers in the whole state, gaps included."""

    @property
    def digest(self) -> Digest:
        """What every bulk digest of such a state or update is bound to."""
        return sha256("pouw/layout-digest/1", encode(self))

    @property
    def parameters(self) -> int:
        """How many numbers are trained, gaps left out."""
        return sum(tensor.count for tensor in self.tensors if tensor.offset < self.boundary)

    @property
    def bytes(self) -> int:
        """Size of a state, and of an update."""
        return self.total * FLOAT_BYTES


def derive_layout(parameters: Mapping[str, tuple[int, ...]], buffers: Mapping[str, tuple[int, ...]]) -> Layout:
    """The layout of a model with these shapes by name."""
    trainable, boundary = _place(parameters, 0)
    fixed, total = _place(buffers, boundary)
    return Layout(tensors=(*trainable, *fixed), boundary=boundary, total=total)


def _place(shapes: Mapping[str, tuple[int, ...]], start: int) -> tuple[list[TensorSpec], int]:
    placed: list[TensorSpec] = []
    offset = start
    for name in sorted(shapes):
        tensor = TensorSpec(name=name, shape=shapes[name], offset=offset)
        placed.append(tensor)
        offset += -(-tensor.count // _ALIGNMENT_FLOATS) * _ALIGNMENT_FLOATS
    return placed, offset


def decode_layout(data: bytes) -> Layout:
    """Decode a layout that came from elsewhere and require that its offsets are the ones its shapes give.

    Raises:
        EncodingError: not a layout, or tensors that overlap, lie out of order or out of place.
    """
    layout = decode(data, Layout)
    parameters = _shapes(tensor for tensor in layout.tensors if tensor.offset < layout.boundary)
    buffers = _shapes(tensor for tensor in layout.tensors if tensor.offset >= layout.boundary)
    if derive_layout(parameters, buffers) != layout:
        raise EncodingError("the layout's offsets are not the ones its names and shapes give")
    return layout


def _shapes(tensors: Iterable[TensorSpec]) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in tensors}


def state_digest(state: bytes | memoryview, layout: Layout) -> Digest:
    """The digest of a model's state, or of an update: both have the same layout."""
    return bulk_digest(state, layout.digest)


def optimizer_binding(layout: Layout) -> Digest:
    """What the digest of an outer optimizer's state is bound to."""
    return sha256("pouw/optimizer-state/1", layout.digest)


def optimizer_digest(optimizer: bytes | memoryview, layout: Layout) -> Digest:
    """The digest of the outer optimizer's state that goes with a model of this layout."""
    return bulk_digest(optimizer, optimizer_binding(layout))
