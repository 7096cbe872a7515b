"""Transactions that were acknowledged and wait for a block, in order of arrival.

They are on the disk before they are acknowledged. The block that includes one removes it in the same batch
(`stage_removal`), so a transaction is never lost between the two, and never there twice.
"""

from collections.abc import Iterable

from consensus.crypto.signing import Signed
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from storage import schema
from storage.errors import RecordMissingError
from storage.kv import Batch, KeyValueStore
from storage.report_store import stage_reports
from storage.stored_records import decode_stored, load_number, load_record


class MempoolStore:
    """Waiting transactions in the chain's database."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    def add(self, signed: Signed, reports: Iterable[Signed] = ()) -> bool:
        """Keep one transaction, with the slot reports that it names; False if it waits already.

        It may be acknowledged when this returns.
        """
        return bool(self.add_many([signed], reports))

    def add_many(self, transactions: Iterable[Signed], reports: Iterable[Signed] = ()) -> list[Digest]:
        """Keep many in one batch, which costs one write to the disk. Returns the digests of those that are new."""
        added: list[Digest] = []
        with self._store.atomic_batch() as batch:
            stage_reports(batch, reports)
            arrival = load_number(batch, schema.NEXT_ARRIVAL_KEY) or 0
            for signed in transactions:
                digest = signed.digest
                if batch.get(schema.arrival_key(digest)) is not None:
                    continue
                batch.put(schema.waiting_key(arrival), encode(signed))
                batch.put(schema.arrival_key(digest), schema.number_bytes(arrival))
                added.append(digest)
                arrival += 1
            if added:
                batch.put(schema.NEXT_ARRIVAL_KEY, schema.number_bytes(arrival))
        return added

    def remove(self, digests: Iterable[Digest]) -> None:
        """Drop transactions that can never be included. Unknown ones are no error."""
        with self._store.atomic_batch() as batch:
            for digest in digests:
                stage_removal(batch, digest)

    def load_waiting(self, limit: int | None = None) -> list[Signed]:
        """The oldest `limit` waiting transactions (all without a limit), oldest first.

        Raises:
            RecordCorruptError: a stored transaction is damaged.
        """
        waiting: list[Signed] = []
        for key, data in self._store.scan(schema.WAITING):
            if limit is not None and len(waiting) >= limit:
                break
            waiting.append(decode_stored(data, Signed, f"waiting transaction {key.hex()}"))
        return waiting

    def load(self, digest: Digest) -> Signed:
        """One waiting transaction. Raises RecordMissingError."""
        with self._store.snapshot() as reader:
            arrival = load_number(reader, schema.arrival_key(digest))
            if arrival is None:
                raise RecordMissingError("waiting transaction", digest.hex())
            return load_record(reader, schema.waiting_key(arrival), Signed, digest.hex())

    def has(self, digest: Digest) -> bool:
        """Whether a transaction waits."""
        return self._store.get(schema.arrival_key(digest)) is not None

    def count(self) -> int:
        """How many wait."""
        return sum(1 for _ in self._store.scan(schema.ARRIVAL))


def stage_removal(batch: Batch, digest: Digest) -> None:
    """Remove a transaction as part of a larger batch; one that does not wait is no error."""
    arrival = load_number(batch, schema.arrival_key(digest))
    if arrival is not None:
        batch.delete(schema.waiting_key(arrival))
        batch.delete(schema.arrival_key(digest))
