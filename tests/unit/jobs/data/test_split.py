"""Rows go to parts by their number alone; text moves in blocks."""

import numpy as np
import pytest

from jobs.data.split import parts_of, split_sizes, table_places, text_places
from jobs.errors import DataError
from jobs.spec.data import SplitSpec

SPLIT = SplitSpec(train=0.7, validation=0.1, test=0.2)


def test_sizes_are_the_nearest_and_leave_nothing_out() -> None:
    assert split_sizes(1797, SPLIT) == (1258, 180, 359)
    assert split_sizes(10, SPLIT) == (7, 1, 2)
    assert split_sizes(1, SplitSpec(train=1.0)) == (1, 0, 0)


def test_a_part_that_was_asked_for_is_never_empty() -> None:
    with pytest.raises(DataError, match=r"with 4 rows a share of 0\.1 leaves none for validation"):
        split_sizes(4, SPLIT)


def test_a_table_is_shuffled_the_same_way_in_any_batches() -> None:
    whole = table_places(0, 1000, 1000)
    pieces = [table_places(start, 250, 1000) for start in range(0, 1000, 250)]
    assert (np.concatenate(pieces) == whole).all()
    assert sorted(whole) == list(range(1000))
    assert abs(np.corrcoef(whole, np.arange(1000))[0, 1]) < 0.1


def test_few_neighbouring_rows_of_a_text_are_in_different_parts() -> None:
    parts = parts_of(text_places(10_000), split_sizes(10_000, SPLIT))
    assert [int((parts == number).sum()) for number in range(3)] == [7000, 1000, 2000]
    assert (parts[1:] != parts[:-1]).sum() < 100


def test_a_text_of_few_rows_is_split_as_well() -> None:
    assert sorted(text_places(7)) == list(range(7))
