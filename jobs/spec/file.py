"""Reads a job file. Every mistake in it is reported at once, each with its line, its key and what to write instead."""

import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from jobs.errors import JobFileError
from jobs.spec.data import FileData
from jobs.spec.document import Document, Value, read_document
from jobs.spec.job import JobSpec
from jobs.spec.mistakes import Mistake, describe_mistakes

MAX_FILE_BYTES: Final = 64 * 1024
_START: Final = "start from one of the files in examples/"


def load_job_file(path: Path) -> JobSpec:
    """The job that a YAML file describes; a relative data path is taken from the file's folder.

    Raises:
        JobFileError: the file cannot be read, or has mistakes; all of them are listed.
    """
    document = read_document(_read_text(path))
    if not isinstance(document.value, dict):
        if not document.mistakes:
            document.mistakes.append((document.line(()), Mistake(path=(), message=_not_a_job(document.value))))
        raise _error(path, document)
    try:
        spec = JobSpec.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        _add_mistakes(document, error)
        raise _error(path, document) from error
    if document.mistakes:
        raise _error(path, document)
    return _anchored(spec, path.absolute().parent)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise JobFileError((f"{path}: there is no such file",)) from error
    except OSError as error:
        raise JobFileError((f"{path}: cannot be read ({error.strerror})",)) from error
    if len(data) > MAX_FILE_BYTES:
        raise JobFileError((f"{path}: larger than {MAX_FILE_BYTES // 1024} KiB, so surely not a job file",))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JobFileError((f"{path}:{line}: not UTF-8 text; save the file as UTF-8",)) from error


def _not_a_job(value: Value) -> str:
    if value is None:
        return f"the file is empty; {_START}"
    return f"must be a mapping with the keys {', '.join(JobSpec.model_fields)}; {_START}"


def _add_mistakes(document: Document, error: ValidationError) -> None:
    """Add what validation found, except about values that could not be read in the first place."""
    unread = {mistake.path for _line, mistake in document.mistakes}
    for mistake in describe_mistakes(error):
        if mistake.path not in unread:
            document.mistakes.append((document.line(mistake.path), mistake))


def _error(path: Path, document: Document) -> JobFileError:
    found = sorted(document.mistakes, key=lambda each: each[0])
    return JobFileError(tuple(f"{path}:{line}: {mistake}" for line, mistake in found))


def _anchored(spec: JobSpec, folder: Path) -> JobSpec:
    """The spec with an absolute data path."""
    data = spec.data
    if not isinstance(data, FileData) or "://" in data.path:
        return spec
    here = str((folder / Path(data.path).expanduser()).resolve())
    return spec.model_copy(update={"data": data.model_copy(update={"path": here})})
