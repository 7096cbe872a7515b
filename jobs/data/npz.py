"""NumPy archives: `target` and `features` name arrays whose first axis counts the rows. Read as a whole."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consensus.primitives.integers import Digest
from jobs.data.columns import check_names
from jobs.data.files import Files
from jobs.data.rows import RowBatch
from jobs.data.table import image_shape
from jobs.errors import DataError
from jobs.spec.data import FileData

_BATCH_ROWS = 16_384
_IMAGE_AXES = 3

Array = npt.NDArray[Any]  # of whatever type the user's archive holds


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzSource:
    """Arrays of one archive."""

    files: Files
    features: tuple[Array, ...]
    target: Array
    feature_names: tuple[str, ...]
    feature_shape: tuple[int, ...]
    note: str = "npz"

    def digest(self) -> Digest:
        return self.files.digest()

    def batches(self) -> Iterator[RowBatch]:
        for start in range(0, len(self.target), _BATCH_ROWS):
            chosen = slice(start, start + _BATCH_ROWS)
            rows = len(self.target[chosen])
            with np.errstate(over="ignore"):  # becomes infinite, which is refused by row and column
                pieces = [array[chosen].reshape(rows, -1).astype(np.float32) for array in self.features]
            yield RowBatch(inputs=np.concatenate(pieces, axis=1), targets=self.target[chosen].astype(np.float64))


def open_npz(files: Files, data: FileData) -> NpzSource:
    """The arrays that the job names; without `features` all but the target.

    Raises:
        DataError: no archive, more than one, unknown or non-numeric arrays, or lengths that differ.
    """
    if len(files.paths) > 1:
        raise DataError("data.path: a folder of NPZ archives is not supported; put all rows into one")
    path = files.paths[0]
    arrays = _load(files, path)
    names = tuple(arrays)
    check_names((data.target, *(data.features or ())), names, "array")
    chosen = data.features or tuple(name for name in names if name != data.target)
    if not chosen:
        raise DataError(f"data.features: {path} has no array but the target {data.target!r}")
    target = arrays[data.target]
    for name in (*chosen, data.target):
        _check_array(name, arrays[name], len(target) if target.ndim else 0)
    if target.size != len(target):
        raise DataError(f"target {data.target!r} has the shape {target.shape}; one number a row is wanted")
    features = tuple(arrays[name] for name in chosen)
    inputs = sum(int(np.prod(array.shape[1:])) for array in features)
    shape = image_shape(inputs, data) if data.shape or len(features) > 1 else _own_shape(features[0])
    is_flat = all(array.ndim == 1 for array in features)
    return NpzSource(
        files=files,
        features=features,
        target=target.reshape(-1),
        feature_names=chosen if is_flat else (),
        feature_shape=shape,
    )


def _own_shape(array: Array) -> tuple[int, ...]:
    """An array of images keeps its axes; a channel axis is added to grey ones."""
    axes = tuple(int(size) for size in array.shape[1:])
    if len(axes) == _IMAGE_AXES - 1:
        return (1, *axes)
    return axes if len(axes) == _IMAGE_AXES else (int(np.prod(axes)),)


def _load(files: Files, path: str) -> dict[str, Array]:
    try:
        with files.filesystem.open_input_file(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as npz: {error}") from error


def _check_array(name: str, array: Array, rows: int) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"array {name!r} holds {array.dtype}, not numbers")
    if array.ndim == 0 or len(array) != rows or not array.size:
        raise DataError(f"array {name!r} has the shape {array.shape}; its first axis must count the {rows} rows")
