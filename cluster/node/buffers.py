"""Arrays as plain bytes, without copying them."""

from typing import Any

from numpy.typing import NDArray


def bytes_of(array: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, in place."""
    return array.data.cast("B")
