"""Which part a row belongs to. Fixed by the number of rows alone: neither a seed nor a machine can move a test row."""

from typing import Final

import numpy as np
import numpy.typing as npt

from jobs.data.manifest import PARTS
from jobs.data.order import permute
from jobs.data.text import block_places
from jobs.errors import DataError
from jobs.spec.data import SplitSpec

_KEY: Final = b"pouw/split/1"
_TEXT_BLOCKS: Final = 100

Rows = npt.NDArray[np.int64]


def split_sizes(rows: int, split: SplitSpec) -> tuple[int, int, int]:
    """Rows of train, validation and test: the nearest whole numbers, train taking up the rounding.

    Raises:
        DataError: a part that was asked for would have no rows.
    """
    validation, test = round(rows * split.validation), round(rows * split.test)
    sizes = (rows - validation - test, validation, test)
    shares = (split.train, split.validation, split.test)
    for name, size, share in zip(PARTS, sizes, shares, strict=True):
        if share > 0.0 and size < 1:
            raise DataError(
                f"data.split: with {rows} rows a share of {share:g} leaves none for {name}; "
                "give more rows, a larger share, or 0 for no such part"
            )
    return sizes


def table_places(first_row: int, count: int, rows: int) -> Rows:
    """The places of rows in a fixed shuffle of all `rows`; places below the size of train are train, and so on."""
    return permute(_KEY, rows, np.arange(first_row, first_row + count, dtype=np.uint64))


def text_places(rows: int) -> Rows:
    """The places of all rows of a text, shuffled in blocks."""
    blocks = min(rows, _TEXT_BLOCKS)
    return block_places(rows, permute(_KEY, blocks, np.arange(blocks, dtype=np.uint64)))


def parts_of(places: Rows, sizes: tuple[int, int, int]) -> Rows:
    """The part (as a position in PARTS) of each place."""
    return np.searchsorted(np.cumsum(sizes), places, side="right").astype(np.int64)
