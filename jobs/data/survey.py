"""The first time through the rows: count them, and refuse what a model could not learn from."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from jobs.data.checks import Labels, check_inputs, check_labels, check_values
from jobs.data.rows import KeptRows, Progress
from jobs.errors import DataError
from jobs.spec.data import FileData, PythonTextData
from jobs.spec.job import JobSpec

TargetKind: TypeAlias = Literal["class", "value", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is known after all rows were seen once."""

    rows: int
    classes: int
    """0 where the target is not a class."""


def target_kind(spec: JobSpec) -> TargetKind:
    """What is to be predicted, beside the next token."""
    if isinstance(spec.data, PythonTextData):
        return "none"
    return "class" if spec.train.loss == "cross_entropy" else "value"


def survey_rows(rows: KeptRows, spec: JobSpec, progress: Progress) -> Survey:
    """Go through all rows.

    Raises:
        DataError: no rows, or a value that cannot be used, by row and column.
    """
    kind, names = target_kind(spec), rows.source.feature_names
    target = spec.data.target if isinstance(spec.data, FileData) else "label"
    count, labels = 0, Labels()
    for batch in rows.batches():
        if batch.targets is not None:
            check_inputs(batch.inputs.astype(np.float32, copy=False), names, count)
            if kind == "class":
                labels = check_labels(batch.targets, target, count, labels)
            else:
                check_values(batch.targets, target, count)
        count += len(batch.inputs)
        progress("reading", count)
    if count == 0:
        raise DataError(f"{rows.source.note}: there are no rows in it")
    return Survey(rows=count, classes=labels.classes() if kind == "class" else 0)
