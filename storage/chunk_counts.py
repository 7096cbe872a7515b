"""Why a chunk is kept: complete artifacts refer to it, unfinished puts hold it. Without a reason it goes.

Artifacts share chunks, and puts and deletes run side by side, so each put holds every chunk it relies on until its
artifact is complete. Holds are on the disk: what a killed process left behind is known when the store is opened again.
Every function changes a batch and lands with it.
"""

from consensus.primitives.integers import Digest
from storage import schema
from storage.kv import Batch
from storage.stored_records import load_number


def stage_hold(batch: Batch, leaf: Digest, chunk: bytes) -> None:
    """Keep a chunk for an unfinished put. A stored chunk that differs is damaged, and is replaced."""
    if batch.get(schema.chunk_key(leaf)) != chunk:
        batch.put(schema.chunk_key(leaf), chunk)
    if not _is_needed(batch, leaf):
        _add(batch, schema.ARTIFACT_BYTES_KEY, len(chunk))
    _add(batch, schema.holds_key(leaf), 1)


def stage_reference(batch: Batch, leaf: Digest) -> None:
    """One more complete artifact contains the chunk."""
    _add(batch, schema.references_key(leaf), 1)


def stage_unhold(batch: Batch, leaf: Digest, count: int = 1) -> None:
    """Unfinished puts need the chunk no more."""
    _add(batch, schema.holds_key(leaf), -count)
    _drop_if_unneeded(batch, leaf)


def stage_unreference(batch: Batch, leaf: Digest) -> None:
    """One artifact that contains the chunk is gone."""
    _add(batch, schema.references_key(leaf), -1)
    _drop_if_unneeded(batch, leaf)


def load_stored_bytes(batch: Batch) -> int:
    """Bytes of all chunks, each counted once."""
    return load_number(batch, schema.ARTIFACT_BYTES_KEY) or 0


def _drop_if_unneeded(batch: Batch, leaf: Digest) -> None:
    if _is_needed(batch, leaf):
        return
    stored = batch.get(schema.chunk_key(leaf)) or b""
    batch.delete(schema.chunk_key(leaf))
    _add(batch, schema.ARTIFACT_BYTES_KEY, -len(stored))


def _is_needed(batch: Batch, leaf: Digest) -> bool:
    return any(batch.get(counter) is not None for counter in (schema.references_key(leaf), schema.holds_key(leaf)))


def _add(batch: Batch, counter: bytes, change: int) -> None:
    """Change a counter; at zero its key goes."""
    count = (load_number(batch, counter) or 0) + change
    if count > 0:
        batch.put(counter, schema.number_bytes(count))
    else:
        batch.delete(counter)
