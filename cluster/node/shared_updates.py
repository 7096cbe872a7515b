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
import secrets
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from cluster.node.ports import FlatState

_NAME: Final = "pouw-update"
_HEADER_BYTES: Final = mmap.PAGESIZE
"""The number, and nothing more, so that the update starts on a page."""
_NUMBER: Final = struct.Struct("<Q")
_FLOAT_BYTES: Final = 4
_FIXED_SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
"""A file that could shrink would end the process that reads what is no more."""
_SPARE: Final = 4
"""So many slots a buffer may be idle beyond twice the number of buffers before it is given back."""
_BOARD_NUMBERS: Final = 8


class UpdateLostError(Exception):
    """There is no update where a reply says it is: its miner uses the memory for another one by now."""


class NoSharedMemoryError(UpdateLostError):
    """There is no such memory, or this process may not open it."""


class UpdatePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an update lies: a process of this machine, its file descriptor, the number of the reply."""

    pid: int
    descriptor: int
    number: int


class UpdateBuffer:
    """Memory for one update."""

    def __init__(self, numbers: int) -> None:
        self._descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self._descriptor)
        os.ftruncate(self._descriptor, _HEADER_BYTES + numbers * _FLOAT_BYTES)
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _FIXED_SIZE)
        self._memory = mmap.mmap(self._descriptor, 0)
        self.array: FlatState = np.frombuffer(self._memory, dtype=np.float32, offset=_HEADER_BYTES)
        self.number = 0
        """Of the reply that names this buffer; 0 if none does."""
        self.is_lent = False

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


class Board:
    """Memory of the coordinator with something drawn at random: who can tell what it is can share memory with it."""

    def __init__(self) -> None:
        self._buffer = UpdateBuffer(_BOARD_NUMBERS)
        self._words = secrets.token_bytes(self._buffer.array.nbytes)
        self._buffer.array[:] = np.frombuffer(self._words, dtype=np.float32)

    @property
    def place(self) -> UpdatePlace:
        """Where a process of this machine can read it."""
        return self._buffer.place

    def says(self, words: bytes) -> bool:
        """Whether these are the words on it."""
        return words == self._words


def read_board(place: UpdatePlace) -> bytes:
    """The words on a board. Raises UpdateLostError if this process cannot share memory with that one."""
    return read_update(place).tobytes()


class UpdateMemory:
    """A miner's buffers. Each is used again when it was read; those that were not needed for long are given back."""

    def __init__(self) -> None:
        self._buffers: list[UpdateBuffer] = []
        self._choosing = threading.Lock()
        self._taken = self._latest_before = 0
        self.latest = 0
        """The number of the latest reply."""

    @contextmanager
    def lend(self, numbers: int, taken: int) -> Iterator[UpdateBuffer]:
        """A buffer to write an update of so many numbers into; afterwards it can be read at its place.

        `taken`: replies up to this number have reached the coordinator, or never will: it takes a miner's replies in
        the order in which they were given. The others' buffers are left alone, for they may be about to be read.
        """
        with self._choosing:
            self._taken = taken
            buffer = self._locked(numbers)
            self.latest += 1
            buffer.begin(self.latest)
            buffer.is_lent = True
        try:
            yield buffer
        except BaseException:
            buffer.number = 0
            raise
        finally:
            buffer.is_lent = False
            buffer.unlock()

    def forget_replies(self) -> int:
        """A coordinator takes the miner on: nothing is on its way to it. Gives back what nobody reads.

        Returns the latest reply's number.
        """
        with self._choosing:
            self._taken = self.latest
            self._give_back(lambda _buffer: True)
            return self.latest

    def give_back_if_idle(self) -> None:
        """Give back what nobody reads if no slot was run since this was asked last."""
        with self._choosing:
            if self.latest == self._latest_before:
                self._give_back(lambda _buffer: True)
            self._latest_before = self.latest

    def _locked(self, numbers: int) -> UpdateBuffer:
        """The buffer of this size that was free last, or a new one."""
        oldest = self.latest - 2 * len(self._buffers) - _SPARE
        fitting = [b for b in self._buffers if b.array.size == numbers and b.number <= self._taken]
        found = next((b for b in sorted(fitting, key=lambda b: -b.number) if b.lock()), None)
        self._give_back(lambda buffer: buffer is not found and (buffer.array.size != numbers or buffer.number < oldest))
        if found is None:
            found = UpdateBuffer(numbers)
            found.lock()
            self._buffers.append(found)
        return found

    def _give_back(self, is_unwanted: Callable[[UpdateBuffer], bool]) -> None:
        self._buffers = [b for b in self._buffers if not (is_unwanted(b) and self._is_free(b))]

    def _is_free(self, buffer: UpdateBuffer) -> bool:
        """A lock of this process does not keep it from locking again."""
        if buffer.is_lent or buffer.number > self._taken or not buffer.lock():
            return False
        buffer.unlock()
        return True


def read_update(place: UpdatePlace) -> FlatState:
    """An update where its miner wrote it, read-only. The memory stays as it is until the array is let go of.

    Of any size: whoever asked for the update knows how many numbers it has.

    Raises:
        NoSharedMemoryError: there is no such memory.
        UpdateLostError: it holds, or is about to hold, another update.
    """
    try:
        descriptor = _open(f"/proc/{place.pid:d}/fd/{place.descriptor:d}")
        try:
            if not _lock(descriptor, fcntl.LOCK_SH):
                raise UpdateLostError(f"another update than that of reply {place.number} is being written")
            memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)  # has a descriptor of its own, and with it the lock
        finally:
            os.close(descriptor)
        (number,) = _NUMBER.unpack_from(memory)
        if number != place.number:
            raise UpdateLostError(f"the update is of reply {number}, not {place.number}")
        return np.frombuffer(memory, dtype=np.float32, offset=_HEADER_BYTES)
    except (OSError, ValueError, struct.error) as error:
        raise NoSharedMemoryError(f"descriptor {place.descriptor} of process {place.pid}: {error}") from error


def _open(path: str) -> int:
    """A descriptor of memory for updates. Whatever else is there is not opened: that might block or have effects."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        link = Path(f"/proc/self/fd/{found}")
        if not str(link.readlink()).startswith(f"/memfd:{_NAME}"):
            raise NoSharedMemoryError(f"{path} is no memory for updates")
        descriptor = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)
    has_small_pages = os.fstat(descriptor).st_blksize == mmap.PAGESIZE  # large ones may run out while they are read
    if has_small_pages and fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _FIXED_SIZE == _FIXED_SIZE:
        return descriptor
    os.close(descriptor)
    raise NoSharedMemoryError(f"{path} is memory that may change its size")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
