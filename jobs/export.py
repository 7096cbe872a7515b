"""A state as a safetensors file, the format the rest of the world reads. Flat bytes and a layout are enough, no torch.

The file carries its layout, so `read_safetensors` gives back the very bytes that the chain's state digest is over.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from safetensors import safe_open

from consensus.primitives.encoding import encode
from jobs.errors import ModelError
from jobs.layout import FLOAT_BYTES, Layout, TensorSpec, decode_layout, state_digest

_LAYOUT_KEY: Final = "pouw.layout"
_DIGEST_KEY: Final = "pouw.state_digest"
_HEADER_ALIGNMENT: Final = 8


def safetensors_pieces(
    state: bytes | memoryview, layout: Layout, metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """The file's bytes piece by piece; tensors are views of `state`, nothing is copied."""
    view = memoryview(state).cast("B")
    if len(view) != layout.bytes:
        raise ModelError(f"the state has {len(view)} bytes, its layout says {layout.bytes}")
    header = _header(layout, {**(metadata or {}), _DIGEST_KEY: state_digest(view, layout).hex()})
    yield len(header).to_bytes(8, "little")
    yield header
    for tensor in layout.tensors:
        start = tensor.offset * FLOAT_BYTES
        yield view[start : start + tensor.count * FLOAT_BYTES]


def write_safetensors(
    path: Path, state: bytes | memoryview, layout: Layout, metadata: Mapping[str, str] | None = None
) -> int:
    """Write the file whole or not at all, and return its size in bytes."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            size_bytes = sum(file.write(piece) for piece in safetensors_pieces(state, layout, metadata))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return size_bytes


def read_safetensors(path: Path) -> tuple[bytes, Layout]:
    """The state and layout of a file that `write_safetensors` made.

    Raises:
        ModelError: a file from elsewhere, or one whose tensors are not the ones its digest is over.
    """
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if _LAYOUT_KEY not in metadata or _DIGEST_KEY not in metadata:
            raise ModelError(f"{path} was not written by this program: it carries no layout")
        layout = decode_layout(bytes.fromhex(metadata[_LAYOUT_KEY]))
        state = bytearray(layout.bytes)
        for tensor in layout.tensors:
            start = tensor.offset * FLOAT_BYTES
            state[start : start + tensor.count * FLOAT_BYTES] = file.get_tensor(tensor.name).tobytes()
    if state_digest(bytes(state), layout).hex() != metadata[_DIGEST_KEY]:
        raise ModelError(f"{path} is damaged: its tensors are not the ones its digest is over")
    return bytes(state), layout


def _header(layout: Layout, metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {**metadata, _LAYOUT_KEY: encode(layout).hex()}}
    position = 0
    for tensor in layout.tensors:
        entries[tensor.name] = _entry(tensor, position)
        position += tensor.count * FLOAT_BYTES
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _HEADER_ALIGNMENT)


def _entry(tensor: TensorSpec, position: int) -> dict[str, object]:
    offsets = [position, position + tensor.count * FLOAT_BYTES]
    return {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
