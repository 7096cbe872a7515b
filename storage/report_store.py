"""Signed slot reports by digest and round commits by round: what an audit needs to be repeated years later, offline."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from consensus.crypto.signing import Signed
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from storage import schema
from storage.kv import Batch, KeyValueStore
from storage.stored_records import load_record

if TYPE_CHECKING:
    from consensus.ports import SignedReports


class ReportStore:
    """Reports and round commits in the chain's database. Implements `ports.SignedReports`."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    def load_report(self, digest: Digest) -> Signed:
        """The envelope with this digest.

        Raises:
            RecordMissingError: it was never kept.
            RecordCorruptError: what is stored is damaged.
        """
        return load_record(self._store, schema.report_key(digest), Signed, digest.hex())

    def load_round_commit(self, job: Digest, round_number: int) -> Signed:
        """The round's commit on the chain; after a fraud was proven, that of the round's last run.

        Raises:
            RecordMissingError: no block holds a commit of this round.
            RecordCorruptError: what is stored is damaged.
        """
        name = f"round commit {round_number} of job {job.hex()}"
        return load_record(self._store, schema.round_commit_key(job, round_number), Signed, name)


def stage_reports(batch: Batch, reports: Iterable[Signed]) -> None:
    """Keep signed slot reports as part of a batch, each under the digest that round commits name."""
    for signed in reports:
        batch.put(schema.report_key(signed.digest), encode(signed))


def stage_round_commit(batch: Batch, job: Digest, round_number: int, signed: bytes) -> None:
    """Index a signed round commit as part of the batch that appends its block."""
    batch.put(schema.round_commit_key(job, round_number), signed)


if TYPE_CHECKING:

    def _conforms(store: ReportStore) -> SignedReports:
        return store
