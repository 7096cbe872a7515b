"""The ledger's entries as they are after the tip. It knows keys and values, not what they mean."""

from collections.abc import Iterable, Iterator

from storage import schema
from storage.kv import Batch, Reader


class LedgerStore:
    """Reads entries back, from a store or from a snapshot of one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def load_entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry in key order, as `LedgerState.from_entries` takes them."""
        for key, value in self._reader.scan(schema.LEDGER):
            yield key[len(schema.LEDGER) :], value

    def load_entry(self, key: bytes) -> bytes | None:
        """One entry, or None."""
        return self._reader.get(schema.ledger_key(key))


def stage_ledger_changes(batch: Batch, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Write a diff: new values, and None for entries that are gone."""
    for key, value in changes:
        if value is None:
            batch.delete(schema.ledger_key(key))
        else:
            batch.put(schema.ledger_key(key), value)
