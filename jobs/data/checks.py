"""What a row must be before it becomes part of a dataset. Messages name the row, counted from 1 as people do."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.data.manifest import MAX_CLASSES
from jobs.errors import DataError

_FEWEST_CLASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The range of the labels seen so far."""

    rows: int = 0
    highest: int = -1

    def classes(self) -> int:
        """How many classes the labels of all rows make.

        Raises:
            DataError: one class only, or so many that they are surely no classes.
        """
        count = self.highest + 1
        if count < _FEWEST_CLASSES:
            raise DataError("the target has only one class: there is nothing to tell apart")
        if count > min(MAX_CLASSES, max(self.rows, 1)):
            raise DataError(
                f"labels go up to {self.highest} in {self.rows} rows; number the classes from 0 without gaps, "
                "or use the loss mse if the target is a quantity"
            )
        return count


def check_inputs(inputs: npt.NDArray[np.float32], names: tuple[str, ...], first_row: int) -> None:
    """Require finite inputs [n, inputs per row].

    Raises:
        DataError: a value is missing, infinite or too large for 32 bits.
    """
    bad = np.argwhere(~np.isfinite(inputs))
    if len(bad):
        row, column = (int(number) for number in bad[0])
        name = names[column] if column < len(names) else f"number {column + 1}"
        raise DataError(f"row {first_row + row + 1}, column {name}: {_why(inputs[row, column])}; {_WHAT_TO_DO}")


def check_values(targets: npt.NDArray[np.float64], name: str, first_row: int) -> None:
    """Require finite float32 targets.

    Raises:
        DataError: a value is missing, infinite or too large for 32 bits.
    """
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(targets.astype(np.float32)))
    if bad.size:
        raise DataError(f"row {first_row + int(bad[0]) + 1}, target {name}: {_why(targets[bad[0]])}; {_WHAT_TO_DO}")


def check_labels(targets: npt.NDArray[np.float64], name: str, first_row: int, seen: Labels) -> Labels:
    """Require labels that are whole numbers from 0 on; gives the range including these.

    Raises:
        DataError: a label is something else.
    """
    check_values(targets, name, first_row)
    bad = np.flatnonzero((targets != np.floor(targets)) | (targets < 0))
    if bad.size:
        value = targets[bad[0]]
        raise DataError(
            f"row {first_row + int(bad[0]) + 1}, target {name}: {value:g} is not a class; number the classes from 0, "
            "or use the loss mse if the target is a quantity"
        )
    highest = int(targets.max()) if targets.size else -1
    return Labels(rows=seen.rows + targets.size, highest=max(seen.highest, highest))


_WHAT_TO_DO = "fill in or remove such rows"


def _why(value: np.floating) -> str:
    return "no value (NaN)" if np.isnan(value) else "infinite, or too large for a 32-bit float"
