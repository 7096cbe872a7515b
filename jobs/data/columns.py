"""Chooses the columns of a table and turns them into numbers."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.errors import DataError
from jobs.spec.data import FileData
from jobs.spec.mistakes import did_you_mean

_SHOWN: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns a job uses."""

    target: str
    features: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        return [*self.features, self.target]


def choose_columns(schema: pa.Schema, data: FileData) -> Columns:
    """The target and the features, by name; without `features` all columns but the target.

    Raises:
        DataError: a column is unknown, doubled or not numeric, or there is none to learn from.
    """
    names = tuple(str(name) for name in schema.names)
    check_names((data.target, *(data.features or ())), names, "column")
    features = data.features or tuple(name for name in names if name != data.target)
    if not features:
        raise DataError(f"data.features: the table has no column but the target {data.target!r}")
    for name in (*features, data.target):
        if names.count(name) > 1:
            raise DataError(f"column {name!r} is there twice; rename one")
        _check_numeric(name, schema.field(name).type, data)
    return Columns(target=data.target, features=features)


def check_names(wanted: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    """Require that all wanted names are known.

    Raises:
        DataError: one is not; the message suggests another or lists what there is.
    """
    for name in wanted:
        if name not in known:
            more = ", ..." if len(known) > _SHOWN else ""
            listed = f"; there are {', '.join(known[:_SHOWN])}{more}"
            raise DataError(f"there is no {what} {name!r} in the data{did_you_mean(name, known) or listed}")


def _check_numeric(name: str, kind: pa.DataType, data: FileData) -> None:
    types = pa.types
    if types.is_null(kind):
        return  # nothing in it, so far: a row with no value is refused when it is read
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return
    if name == data.target:
        raise DataError(f"target {name!r} holds {kind}, not numbers; number the classes 0, 1, 2, ...")
    wanted = "convert it" if data.features else "convert it, or name the columns to use under data.features"
    raise DataError(f"column {name!r} holds {kind}, not numbers; {wanted}")


def column_numbers(column: pa.Array, name: str, first_row: int) -> npt.NDArray[np.float64]:
    """A column as float64 [n].

    Raises:
        DataError: a value is missing or no number.
    """
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"row {first_row + row + 1}, column {name}: no value; fill in or remove such rows")
    try:
        numbers: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(f"column {name!r} has values that are no numbers ({error})") from error
    return numbers
