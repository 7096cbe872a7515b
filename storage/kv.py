"""The contract every store is built on: an ordered map of bytes whose changes land in all-or-nothing batches.

Leaves out records, schemas and files. `tests/contracts/test_kv_contract.py` is the contract in executable form and runs
over every backend.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Protocol

from storage.errors import StorageUsageError

MAX_KEY_BYTES: Final = 256


class Reader(Protocol):
    """Reads of the committed state."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None if the key is absent."""
        ...

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every entry whose key starts with `prefix`, in key order."""
        ...


class Batch(Protocol):
    """Changes that land together when the `with` block ends, or not at all if it raises."""

    def get(self, key: bytes) -> bytes | None:
        """The value as this batch will leave it: its own changes are visible here, and nowhere else yet."""
        ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None:
        """Remove a key; an absent one is no error."""
        ...


class KeyValueStore(Reader, Protocol):
    """An ordered, durable map. Any thread may read; writers take turns.

    `get` and `scan` never see an unfinished batch. A `scan` reads on in pages: each page is consistent, and changes
    made while it is being consumed may or may not be seen. Where a whole must be consistent, use `snapshot`.

    Raises:
        StorageUsageError: key empty or longer than `MAX_KEY_BYTES`, a write inside this thread's own batch.
        StorageFullError: no room; the store is as it was before the batch.
        StorageClosedError: after `close`.
    """

    def put(self, key: bytes, value: bytes) -> None:
        """Store one entry, durable when this returns."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove one entry, durable when this returns; an absent one is no error."""
        ...

    def atomic_batch(self) -> AbstractContextManager[Batch]:
        """A batch, durable when the block has ended. Batches do not nest."""
        ...

    def snapshot(self) -> AbstractContextManager[Reader]:
        """One consistent state, for the thread that opens it. Keep it short: a store cannot grow while one is open."""
        ...

    def close(self) -> None:
        """Release files and locks. Closing twice is no error."""
        ...


def check_key(key: bytes) -> None:
    """Raises StorageUsageError unless every backend can hold the key."""
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise StorageUsageError(f"a key has 1 to {MAX_KEY_BYTES} bytes, not {len(key)}")
