"""Tables: the chosen columns of one or more columnar files as rows of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from consensus.primitives.integers import Digest
from jobs.data.columns import Columns, choose_columns, column_numbers
from jobs.data.files import Files
from jobs.data.formats import read_batches, read_schema
from jobs.data.rows import RowBatch
from jobs.errors import DataError
from jobs.spec.data import FileData


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """The chosen columns of one or more files, whose rows count on from file to file."""

    files: Files
    columns: Columns
    feature_shape: tuple[int, ...]

    @property
    def note(self) -> str:
        return self.files.format

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.columns.features

    def digest(self) -> Digest:
        return self.files.digest()

    def batches(self) -> Iterator[RowBatch]:
        first_row = 0
        for path in self.files.paths:
            for batch in read_batches(self.files, path, self.columns.all):
                if batch.num_rows:
                    yield _numbers(batch, self.columns, first_row)
                first_row += batch.num_rows


def open_table(files: Files, data: FileData) -> TableSource:
    """A table whose columns are known to be there and numeric in every file.

    Raises:
        DataError: a file is not readable in its format, or lacks columns.
    """
    first = choose_columns(read_schema(files, files.paths[0]), data)
    for path in files.paths[1:]:
        if choose_columns(read_schema(files, path), data) != first:
            raise DataError(f"{path} has other columns than {files.paths[0]}; name those to use under data.features")
    return TableSource(files=files, columns=first, feature_shape=image_shape(len(first.features), data))


def image_shape(inputs: int, data: FileData) -> tuple[int, ...]:
    """The shape the user gave, if it fits; else a flat one.

    Raises:
        DataError: it does not fit the number of inputs.
    """
    if data.shape is None:
        return (inputs,)
    channels, height, width = data.shape
    if channels * height * width != inputs:
        wanted = channels * height * width
        raise DataError(f"data.shape: {channels} x {height} x {width} is {wanted} values, but a row has {inputs}")
    return data.shape


def _numbers(batch: pa.RecordBatch, columns: Columns, first_row: int) -> RowBatch:
    inputs = np.empty((batch.num_rows, len(columns.features)), np.float32)
    for number, name in enumerate(columns.features):
        with np.errstate(over="ignore"):  # becomes infinite, which is refused by row and column
            inputs[:, number] = column_numbers(batch.column(name), name, first_row)
    return RowBatch(inputs=inputs, targets=column_numbers(batch.column(columns.target), columns.target, first_row))
