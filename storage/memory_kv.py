"""The contract in memory: for simulations and tests. Nothing survives the process."""

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from storage.errors import StorageClosedError, StorageUsageError
from storage.kv import Batch, KeyValueStore, Reader, check_key
from storage.write_batch import Changes, WriterTurn, atomic_batch


class MemoryStore:
    """Implements `kv.KeyValueStore` with a dict and its sorted keys."""

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._lock = threading.Lock()
        self._turn = WriterTurn()
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        check_key(key)
        with self._opened():
            return self._entries.get(key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        with self._opened():
            found = [(key, self._entries[key]) for key in _starting_with(self._keys, prefix)]
        yield from found

    def put(self, key: bytes, value: bytes) -> None:
        with self.atomic_batch() as batch:
            batch.put(key, value)

    def delete(self, key: bytes) -> None:
        with self.atomic_batch() as batch:
            batch.delete(key)

    def atomic_batch(self) -> AbstractContextManager[Batch]:
        return atomic_batch(self._turn, self, self._commit)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        with self._opened():
            frozen = _Frozen(dict(self._entries), list(self._keys))
        try:
            yield frozen
        finally:
            frozen.end()

    def close(self) -> None:
        with self._turn.taken(), self._lock:
            self._closed = True

    @contextmanager
    def _opened(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StorageClosedError("the store is closed")
            yield

    def _commit(self, changes: Changes) -> None:
        with self._opened():
            for key, value in changes.items():
                if value is None:
                    self._remove(key)
                else:
                    self._insert(key, value)

    def _insert(self, key: bytes, value: bytes) -> None:
        if key not in self._entries:
            insort(self._keys, key)
        self._entries[key] = value

    def _remove(self, key: bytes) -> None:
        if self._entries.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]


class _Frozen:
    """A copy taken at one instant. Implements `kv.Reader`."""

    def __init__(self, entries: dict[bytes, bytes], keys: list[bytes]) -> None:
        self._entries = entries
        self._keys = keys
        self._ended = False

    def get(self, key: bytes) -> bytes | None:
        check_key(key)
        self._check_use()
        return self._entries.get(key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in _starting_with(self._keys, prefix):
            self._check_use()
            yield key, self._entries[key]

    def end(self) -> None:
        self._ended = True

    def _check_use(self) -> None:
        if self._ended:
            raise StorageUsageError("this snapshot has ended")


def _starting_with(keys: list[bytes], prefix: bytes) -> Iterator[bytes]:
    for position in range(bisect_left(keys, prefix), len(keys)):
        if not keys[position].startswith(prefix):
            return
        yield keys[position]


if TYPE_CHECKING:

    def _conforms(store: MemoryStore) -> KeyValueStore:
        return store
