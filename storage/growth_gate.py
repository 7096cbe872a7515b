"""Moving a memory map while a thread reads it would crash the process, so growing waits for readers to leave.

New readers wait behind a growth that waits. A thread that reads already may read again, or it would wait for a growth
that waits for it; for the same reason a thread with an open snapshot cannot cause growth.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import StorageUsageError


class GrowthGate:
    """Many readers, or one thread alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reads: dict[int, int] = {}
        self._taken = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        thread = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or thread in self._reads)
            self._reads[thread] = self._reads.get(thread, 0) + 1
        try:
            yield
        finally:
            self._leave(thread)

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            if threading.get_ident() in self._reads:
                raise StorageUsageError("the store has to grow: close this thread's snapshot first")
            self._changed.wait_for(lambda: not self._taken)
            self._taken = True
            self._changed.wait_for(lambda: not self._reads)
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()

    def _leave(self, thread: int) -> None:
        with self._changed:
            self._reads[thread] -= 1
            if not self._reads[thread]:
                del self._reads[thread]
                self._changed.notify_all()
