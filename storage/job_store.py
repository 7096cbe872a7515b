"""What a node keeps beside the chain to run and repeat jobs: dataset manifests, checkpoints, the order jobs came in.

The bytes themselves are artifacts; here are the names by which they are found.
"""

from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, Uint63
from storage import schema
from storage.errors import RecordMissingError
from storage.kv import KeyValueStore
from storage.stored_records import decode_stored, load_number


class CheckpointRef(Record, frozen=True, tag="pouw/checkpoint-ref/1"):
    """A state a job can be resumed from: artifacts of the model's and the outer optimizer's state before `round`."""

    job: Digest
    round: Uint63
    state: Digest
    optimizer: Digest


class JobStore:
    """Names of a node's job data, in the chain's database."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    def put_manifest(self, root: Digest, manifest: bytes) -> None:
        """Keep the encoded manifest of a dataset. The caller has checked that it has this root."""
        self._store.put(schema.dataset_key(root), manifest)

    def load_manifest(self, root: Digest) -> bytes:
        """Raises RecordMissingError."""
        manifest = self._store.get(schema.dataset_key(root))
        if manifest is None:
            raise RecordMissingError("dataset manifest", root.hex())
        return manifest

    def put_layout(self, digest: Digest, layout: bytes) -> None:
        """Keep the encoded layout that states of this binding are cut up by."""
        self._store.put(schema.layout_key(digest), layout)

    def load_layout(self, digest: Digest) -> bytes:
        """Raises RecordMissingError."""
        layout = self._store.get(schema.layout_key(digest))
        if layout is None:
            raise RecordMissingError("layout", digest.hex())
        return layout

    def note_arrival(self, job: Digest) -> None:
        """Remember that a job came after all those noted before. Doing it again changes nothing."""
        with self._store.atomic_batch() as batch:
            if batch.get(schema.arrived_job_key(job)) is None:
                number = load_number(batch, schema.NEXT_JOB_KEY) or 0
                batch.put(schema.arrived_job_key(job), schema.number_bytes(number))
                batch.put(schema.NEXT_JOB_KEY, schema.number_bytes(number + 1))

    def arrival(self, job: Digest) -> int | None:
        """A job's place in the order of arrival."""
        return load_number(self._store, schema.arrived_job_key(job))

    def put_checkpoint(self, reference: CheckpointRef) -> None:
        """Keep where a checkpoint is found."""
        self._store.put(schema.checkpoint_key(reference.job, reference.round), encode(reference))

    def load_checkpoints(self, job: Digest) -> list[CheckpointRef]:
        """The checkpoints of a job, by round.

        Raises:
            RecordCorruptError: a stored reference is damaged.
        """
        stored = self._store.scan(schema.CHECKPOINT + job)
        return [decode_stored(data, CheckpointRef, f"checkpoint of {job.hex()}") for _, data in stored]
