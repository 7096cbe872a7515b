"""The Python standard library's own source as training text: megabytes of it are on every machine already.

Files are taken in the order of their paths up to a number of bytes. Tests and what an installation generates are left
out. Another Python release has another text, and so another dataset root: the job names the root, not the release.
"""

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from consensus.primitives.integers import Digest
from jobs.data.rows import RowBatch
from jobs.errors import DataError

_LEFT_OUT: Final = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_GENERATED: Final = "_sysconfigdata"
_BATCH_ROWS: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """Text cut into rows of `row_bytes` bytes; what is left over at the end is dropped."""

    text: bytes
    row_bytes: int
    note: str
    feature_names: tuple[str, ...] = ()

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return (self.row_bytes,)

    def digest(self) -> Digest:
        return Digest(hashlib.sha256(self.text).digest())

    def batches(self) -> Iterator[RowBatch]:
        rows = len(self.text) // self.row_bytes
        tokens = np.frombuffer(self.text, np.uint8, rows * self.row_bytes).reshape(rows, self.row_bytes)
        for start in range(0, rows, _BATCH_ROWS):
            yield RowBatch(inputs=tokens[start : start + _BATCH_ROWS], targets=None)


def open_python_text(*, context: int, max_bytes: int) -> TextSource:
    """The standard library's text in rows of `context` + 1 bytes.

    Raises:
        DataError: this Python has no readable standard library source.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    text = bytearray()
    for path in _source_files(folder):
        if len(text) >= max_bytes:
            break
        text += _read(path)
    if len(text) <= context:
        raise DataError(f"python-text: {folder} has too little source for one row of {context + 1} bytes")
    return TextSource(text=bytes(text[:max_bytes]), row_bytes=context + 1, note="python-text")


def block_places(rows: int, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each row goes when `len(order)` equal blocks of consecutive rows are put in this order; int64 [rows].

    Neighbouring rows of a text are alike. Moved in blocks, few rows of one part have a neighbour in another.
    """
    blocks = np.array_split(np.arange(rows, dtype=np.int64), len(order))
    by_place = np.concatenate([blocks[number] for number in order])
    places = np.empty(rows, np.int64)
    places[by_place] = np.arange(rows, dtype=np.int64)
    return places


def _source_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        wanted = (name for name in names if name.endswith(".py") and not name.startswith(_GENERATED))
        found.extend(Path(parent, name) for name in wanted)
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"python-text: {path} cannot be read ({error.strerror})") from error
