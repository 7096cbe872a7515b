"""Updates in memory that a miner shares with its coordinator, when both run on one machine.

A slot writes its update into a buffer of the miner's `UpdateMemory`, the reply names the buffer's place, and the
coordinator reads it there. Through the object store it would be copied once more.

Whoever uses a buffer has it locked: the miner alone while it writes, readers together as long as they hold the array.
The locks are the kernel's (`flock`), so they end with their process, and a buffer is there until the last process that
uses it has ended. A buffer carries the number of the reply that it belongs to: a reader that comes too late notices.
"""

import fcntl
import mmap
import os
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import numpy as np

from cluster.node.ports import FlatState

_HEADER_BYTES: Final = mmap.PAGESIZE
"""The number, and nothing more, so that the update starts on a page."""
_NUMBER: Final = struct.Struct("<Q")
_FLOAT_BYTES: Final = 4
_FIXED_SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
"""A file that could shrink would end the process that reads what is no more."""


class UpdateLostError(Exception):
    """There is no update where a reply says it is: its miner has ended, or uses the memory for another one."""


class UpdatePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an update lies: a process of this machine, its file descriptor, the number of the reply."""

    pid: int
    descriptor: int
    number: int


class UpdateBuffer:
    """Memory for one update, of a miner."""

    def __init__(self, numbers: int) -> None:
        self._descriptor = os.memfd_create("pouw-update", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self._descriptor)
        os.ftruncate(self._descriptor, _HEADER_BYTES + numbers * _FLOAT_BYTES)
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _FIXED_SIZE)
        self._memory = mmap.mmap(self._descriptor, 0)
        self.array: FlatState = np.frombuffer(self._memory, dtype=np.float32, offset=_HEADER_BYTES)
        self.number = 0
        """Of the reply that names this buffer; 0 if none does."""

    @property
    def place(self) -> UpdatePlace:
        """Where others of this machine find it."""
        return UpdatePlace(pid=os.getpid(), descriptor=self._descriptor, number=self.number)

    def lock(self) -> bool:
        """Take it for writing; False while somebody reads it."""
        return _lock(self._descriptor, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Let others read it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def begin(self, number: int) -> None:
        """From now on it belongs to another reply. Only while it is locked."""
        self.number = number
        _NUMBER.pack_into(self._memory, 0, number)


class UpdateMemory:
    """A miner's buffers. Each is used again when it was read; there are as many as slots that wait to be added up."""

    def __init__(self) -> None:
        self._buffers: list[UpdateBuffer] = []
        self.latest = 0
        """The number of the latest reply."""

    @contextmanager
    def lend(self, numbers: int, taken: int) -> Iterator[UpdateBuffer]:
        """A buffer to write an update of so many numbers into; afterwards it can be read at its place.

        `taken`: replies up to this number have reached the coordinator, or never will. The others' buffers are left
        alone, for they may be about to be read.
        """
        buffer = self._locked(numbers, taken)
        self.latest += 1
        buffer.begin(self.latest)
        try:
            yield buffer
        except BaseException:
            buffer.number = 0
            raise
        finally:
            buffer.unlock()

    def _locked(self, numbers: int, taken: int) -> UpdateBuffer:
        """A free buffer of this size, or a new one. Free ones of another size are given back."""
        found: UpdateBuffer | None = None
        for buffer in [b for b in self._buffers if b.number <= taken]:
            if found is not None or not buffer.lock():
                continue
            if buffer.array.size == numbers:
                found = buffer
            else:
                self._buffers.remove(buffer)
        if found is None:
            found = UpdateBuffer(numbers)
            found.lock()
            self._buffers.append(found)
        return found


def read_update(place: UpdatePlace) -> FlatState:
    """An update where its miner wrote it, read-only. The memory stays as it is until the array is let go of.

    Raises UpdateLostError. Of any size: whoever asked for the update knows how many numbers it has.
    """
    path = f"/proc/{place.pid:d}/fd/{place.descriptor:d}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _FIXED_SIZE != _FIXED_SIZE:
                raise UpdateLostError(f"{path} is no memory for updates")
            if not _lock(descriptor, fcntl.LOCK_SH):
                raise UpdateLostError(f"another update is being written to {path}")
            memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)  # has a descriptor of its own, and with it the lock
        finally:
            os.close(descriptor)
        (number,) = _NUMBER.unpack_from(memory)
        if number != place.number:
            raise UpdateLostError(f"{path} is of reply {number}, not {place.number}")
        return np.frombuffer(memory, dtype=np.float32, offset=_HEADER_BYTES)
    except (OSError, ValueError, struct.error) as error:
        raise UpdateLostError(f"{path}: {error}") from error


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
