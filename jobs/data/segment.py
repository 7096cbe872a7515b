"""The bytes of a segment: one Arrow IPC stream of one record batch, uncompressed, so that it is used where it lies.

Bytes that came from elsewhere are held to the manifest first and to the exact schema after that; only then are numpy
views made over them.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consensus.primitives.digest import bulk_digest
from jobs.data.manifest import MAX_SEGMENT_BYTES, DatasetHeader, SegmentRef
from jobs.errors import SegmentError

Inputs: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint8]
Targets: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float32]

TARGET_BYTES: Final = 1024 * 1024 * 4
"""How large a segment is meant to be; a single row may be larger."""
_TARGET_TYPES: Final = {"class": pa.int64(), "value": pa.float32()}
_INPUT_TYPES: Final = {"float32": pa.float32(), "uint8": pa.uint8()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentArrays:
    """Rows of a segment: inputs [rows, inputs per row], targets [rows] or None. Read-only views of its bytes."""

    inputs: Inputs
    targets: Targets | None


def write_segment(arrays: SegmentArrays) -> tuple[SegmentRef, bytes]:
    """The bytes of a segment and what a manifest says of them. `inputs` must be C-contiguous."""
    rows, width = arrays.inputs.shape
    columns = [pa.FixedSizeListArray.from_arrays(pa.array(arrays.inputs.reshape(-1)), width)]
    if arrays.targets is not None:
        columns.append(pa.array(arrays.targets))
    batch = pa.record_batch(columns, names=["input", "target"][: len(columns)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return SegmentRef(digest=bulk_digest(data), rows=rows, size_bytes=len(data)), data


def read_segment(header: DatasetHeader, segment: SegmentRef, data: bytes | memoryview) -> SegmentArrays:
    """Views of a segment's rows, once its bytes are known to be those of the manifest.

    Raises:
        SegmentError: other bytes than the manifest's, or not rows as the header describes them.
    """
    if len(data) != segment.size_bytes or len(data) > MAX_SEGMENT_BYTES or bulk_digest(data) != segment.digest:
        raise SegmentError(
            f"segment {segment.digest.hex()[:16]}: its bytes are not those of the dataset; fetch it again"
        )
    batch = _read_batch(segment, data)
    if not batch.schema.equals(_schema(header), check_metadata=True) or batch.num_rows != segment.rows:
        raise _malformed(segment, "its columns or rows are not what the dataset's header says")
    if any(column.null_count for column in batch.columns):
        raise _malformed(segment, "it has missing values")
    # Not `to_numpy`: it loads pandas (27 MB a process) to look whether it is there.
    inputs = cast("Inputs", np.from_dlpack(batch.column(0).flatten()))
    targets = cast("Targets", np.from_dlpack(batch.column(1))) if batch.num_columns > 1 else None
    if header.target_kind == "class" and targets is not None and not _in_range(targets, header.classes):
        raise _malformed(segment, f"it has labels outside 0 to {header.classes - 1}")
    return SegmentArrays(inputs=inputs.reshape(segment.rows, header.inputs_per_row), targets=targets)


def _read_batch(segment: SegmentRef, data: bytes | memoryview) -> pa.RecordBatch:
    try:
        batches = list(pa.ipc.open_stream(pa.py_buffer(data)))
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _malformed(segment, f"it is not an Arrow stream ({error})") from error
    if len(batches) != 1:
        raise _malformed(segment, f"it has {len(batches)} record batches instead of one")
    return batches[0]


def _schema(header: DatasetHeader) -> pa.Schema:
    columns = {"input": pa.list_(_INPUT_TYPES[header.input_dtype], header.inputs_per_row)}
    if header.target_kind != "none":
        columns["target"] = _TARGET_TYPES[header.target_kind]
    return pa.schema(columns)


def _in_range(labels: Targets, classes: int) -> bool:
    return bool(labels.min() >= 0 and labels.max() < classes)


def _malformed(segment: SegmentRef, why: str) -> SegmentError:
    return SegmentError(f"segment {segment.digest.hex()[:16]} of the dataset is malformed: {why}")
