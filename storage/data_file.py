"""The data file of a store: how long it is, how long it must be, and that its creation survives a power cut.

The file is kept as long as the memory map. It is sparse, so this takes no room on the disk, and it makes a file that
was cut short recognisable: reading past its end would otherwise kill the process.
"""

import mmap
import os
from pathlib import Path
from typing import Final

from storage.errors import StorageCorruptError
from storage.owner_lock import OwnerLock

WHAT_TO_DO: Final = "restore this folder from a backup, or move it away and synchronise again"


class DataFile:
    """`data.mdb` in the folder of a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "data.mdb"

    def size_bytes(self) -> int:
        """Its length; 0 if it is not there."""
        return self._path.stat().st_size if self._path.exists() else 0

    def check_present(self) -> None:
        """Raises StorageCorruptError if the file of a completed database is empty or gone."""
        if self.size_bytes() == 0:
            raise StorageCorruptError(self._folder, f"data.mdb is empty or gone: {WHAT_TO_DO}")

    def check_length(self, needed_bytes: int) -> None:
        """Raises StorageCorruptError if the file ends before its last used page."""
        actual = self.size_bytes()
        if actual < needed_bytes:
            reason = f"data.mdb was cut short, {actual} of {needed_bytes} bytes are left: {WHAT_TO_DO}"
            raise StorageCorruptError(self._folder, reason)

    def extend(self, size_bytes: int) -> None:
        """Make the file at least this long, without using room on the disk."""
        if self.size_bytes() < size_bytes:
            os.truncate(self._path, size_bytes)

    def make_creation_durable(self, lock: OwnerLock) -> None:
        """Remember that the database was completed, and put its directory entries on the disk."""
        if lock.is_marked_complete():
            return
        lock.mark_complete()
        for folder in (self._folder, self._folder.parent):
            _synchronise(folder)


def whole_pages(size_bytes: int) -> int:
    """The size rounded up to whole memory pages."""
    return -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
