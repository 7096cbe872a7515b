"""One writer a folder. The lock file also remembers that a database was completed here.

An empty or missing data file is then told apart from a new store, and lost data never passes for a fresh start.
The lock belongs to the open file, so the kernel drops it however the process ends.
"""

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from storage.errors import StorageLockedError

_FILE_NAME: Final = "owner.lock"
_MARK: Final = b"pouw store 1\n"


class OwnerLock:
    """The right to write to one folder, held until `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Raises StorageLockedError if anybody holds it."""
        descriptor = os.open(folder / _FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            reason = "another process has this store open for writing: stop it, or use another folder"
            raise StorageLockedError(folder, reason) from error
        return cls(descriptor)

    def is_marked_complete(self) -> bool:
        return os.pread(self._descriptor, len(_MARK), 0) == _MARK

    def mark_complete(self) -> None:
        os.pwrite(self._descriptor, _MARK, 0)
        os.fsync(self._descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


def is_store(folder: Path) -> bool:
    """Whether a database was completed in this folder."""
    lock_file = folder / _FILE_NAME
    return lock_file.is_file() and lock_file.read_bytes() == _MARK
