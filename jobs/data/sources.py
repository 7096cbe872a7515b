"""Chooses the reader for a job's data section."""

from jobs.data.digits import DigitsSource
from jobs.data.files import find_files
from jobs.data.npz import open_npz
from jobs.data.rows import RowSource
from jobs.data.table import open_table
from jobs.data.text import open_python_text
from jobs.errors import DataError
from jobs.spec.data import DigitsData, PythonTextData
from jobs.spec.job import JobSpec
from jobs.spec.model import GptSpec


def open_source(spec: JobSpec) -> RowSource:
    """The rows of a job's data, not read yet.

    Raises:
        DataError: the files are missing, unreadable or without the columns that the job names.
    """
    if isinstance(spec.data, DigitsData):
        return DigitsSource()
    if isinstance(spec.data, PythonTextData):
        if not isinstance(spec.model, GptSpec):
            raise DataError(f"{spec.model.name} cannot learn from text; use gpt")
        return open_python_text(context=spec.model.context, max_bytes=spec.data.max_bytes)
    files = find_files(spec.data)
    return open_npz(files, spec.data) if files.format == "npz" else open_table(files, spec.data)
