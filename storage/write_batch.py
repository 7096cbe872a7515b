"""Batches collect their changes in memory and hand them over in one piece, so that a backend may apply them twice.

Applying twice is what growing a full database takes. Writers take turns; a thread that asks for a second turn while it
has one would wait for itself, so that is refused.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from storage.errors import StorageUsageError
from storage.kv import Reader, check_key

Changes: TypeAlias = Mapping[bytes, bytes | None]
"""Keys with their new value, or None for those that go."""


class WriteBatch:
    """An overlay over committed state. Implements `kv.Batch`."""

    def __init__(self, committed: Reader) -> None:
        self._committed = committed
        self._changes: dict[bytes, bytes | None] = {}
        self._finished = False

    def get(self, key: bytes) -> bytes | None:
        self._check_use(key)
        if key in self._changes:
            return self._changes[key]
        return self._committed.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._check_use(key)
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        self._check_use(key)
        self._changes[key] = None

    def finish(self) -> Changes:
        """End the batch: later use is refused."""
        self._finished = True
        return self._changes

    def _check_use(self, key: bytes) -> None:
        if self._finished:
            raise StorageUsageError("this batch has ended")
        check_key(key)


class WriterTurn:
    """Lets one thread at a time write, and no thread twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        if self._holder == threading.get_ident():
            raise StorageUsageError("this thread is inside a batch already: write through that batch")
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None


@contextmanager
def atomic_batch(turn: WriterTurn, committed: Reader, commit: Callable[[Changes], None]) -> Iterator[WriteBatch]:
    """Collect changes and commit them when the block ends without an error."""
    with turn.taken():
        batch = WriteBatch(committed)
        try:
            yield batch
        finally:
            changes = batch.finish()
        if changes:
            commit(changes)
