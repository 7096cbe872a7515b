"""Reads the three columnar formats batch by batch. The only place that knows one from another."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from jobs.data.files import Files
from jobs.errors import DataError

_BATCH_ROWS: Final = 16_384
_BLOCK_BYTES: Final = 4 * 1024 * 1024


def read_schema(files: Files, path: str) -> pa.Schema:
    """The columns of one file; those of CSV are guessed from its beginning.

    Raises:
        DataError: the file cannot be read in its format.
    """
    with _readable(files, path):
        if files.format == "csv":
            with _open_csv(files, path, pacsv.ConvertOptions()) as reader:
                return reader.schema
        with files.filesystem.open_input_file(path) as file:
            return pq.read_schema(file) if files.format == "parquet" else _open_arrow(file).schema


def read_batches(files: Files, path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of one file with these columns.

    Raises:
        DataError: the file cannot be read in its format, or a CSV value is no number.
    """
    with _readable(files, path):
        if files.format == "csv":
            numbers = pacsv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, pa.float64()))
            with _open_csv(files, path, numbers) as reader:
                yield from reader
            return
        with files.filesystem.open_input_file(path) as file:
            if files.format == "parquet":
                yield from pq.ParquetFile(file).iter_batches(batch_size=_BATCH_ROWS, columns=columns)
            else:
                yield from (batch.select(columns) for batch in _arrow_batches(_open_arrow(file)))


def _open_csv(files: Files, path: str, convert: pacsv.ConvertOptions) -> pacsv.CSVStreamingReader:
    # One thread: only then does a conversion error name the row.
    options = pacsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    return pacsv.open_csv(files.filesystem.open_input_stream(path), read_options=options, convert_options=convert)


def _open_arrow(file: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    try:
        return pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(file)


def _arrow_batches(reader: pa.RecordBatchFileReader | pa.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.RecordBatchFileReader):
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from reader


@contextmanager
def _readable(files: Files, path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as {files.format}: {error}") from error
