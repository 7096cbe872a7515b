"""Sealing a piece into a store of chunks, so that a process killed at any instant goes on where it was; and unsealing.

A pass overwrites the chunks of the pass before, so a replica takes its own size while it is made. In memory there is
one chunk at a time. Progress is stored in one batch with the chunk it speaks of: a chunk is never sealed twice in one
pass. What goes in and comes out is held to the piece's root by the caller, who has the manifest.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, Uint63
from consensus.storage.permutation import seal_blocks
from consensus.storage.seal import NO_BLOCK, Seal, opening_sectors, unseal_chunk
from consensus.storage.sectors import BLOCK_BYTES, GROUP_SECTORS, SECTOR_BYTES, group_root
from storage.errors import StorageUsageError

LoadChunk = Callable[[int], bytes]
"""The bytes of a chunk by its index."""


class SealProgress(Record, frozen=True, tag="pouw/seal-progress/1"):
    """How far a seal is."""

    passes: Uint63
    """Passes that are complete."""
    chunks: Uint63
    """Chunks that are complete in the pass under way."""
    last: bytes
    """The block that was sealed last."""


class SealingStore(Protocol):
    """The chunks of one replica in the making. Leaves out where the piece comes from, and quota."""

    def load_progress(self) -> SealProgress | None:
        """What was stored last, or None before the first chunk."""
        ...

    def load(self, index: int) -> bytes:
        """The chunk as it was stored last."""
        ...

    def store(self, index: int, chunk: bytes, group: Digest | None, progress: SealProgress) -> None:
        """Replace a chunk and the progress in one batch. In the last pass also keep `group`, the chunk's tree node."""
        ...


def is_sealed(seal: Seal, progress: SealProgress | None) -> bool:
    """Whether nothing is left to do."""
    return progress is not None and progress.passes == seal.passes


def seal_replica(seal: Seal, load_piece: LoadChunk, store: SealingStore) -> Iterator[SealProgress]:
    """Seal a piece from where `store` is, and yield after each step that was stored; to stop, drop the iterator.

    `load_piece` gives the chunks of the piece; it is asked in the first pass only. A step is a chunk of work: one chunk
    of a large replica, several passes over a small one.

    Raises:
        StorageUsageError: `load_piece` gives a chunk of another length.
        Whatever `load_piece` and `store` raise; what was stored before stays.
    """
    progress = store.load_progress() or SealProgress(passes=0, chunks=0, last=NO_BLOCK)
    while not is_sealed(seal, progress):
        index = progress.chunks
        chunk = _padded(seal, index, load_piece(index)) if progress.passes == 0 else store.load(index)
        chunk, progress = _step(seal, chunk, progress)
        is_last_pass = progress.passes + (progress.chunks > 0) == seal.passes
        store.store(index, chunk, group_root(chunk) if is_last_pass else None, progress)
        yield progress


def unseal_at(seal: Seal, index: int, load: LoadChunk) -> bytes:
    """One chunk of the piece, from the replica's chunks.

    Raises:
        IndexError: there is no such chunk.
        SealError: the replica ends in something else than the piece's padding.
    """
    before, _ = opening_sectors(seal, index)
    return unseal_chunk(seal, index, load(index), load_sectors(before, load))


def unseal_replica(seal: Seal, load: LoadChunk) -> Iterator[bytes]:
    """The chunks of the piece in order. Raises as `unseal_at`."""
    return (unseal_at(seal, index, load) for index in range(seal.chunk_count))


def load_sectors(sectors: range, load: LoadChunk) -> bytes:
    """The bytes of a run of sectors, from the chunks they are in."""
    if not sectors:
        return b""
    first = sectors.start // GROUP_SECTORS
    chunks = b"".join(load(index) for index in range(first, (sectors.stop - 1) // GROUP_SECTORS + 1))
    start = sectors.start * SECTOR_BYTES - first * CHUNK_BYTES
    return chunks[start : start + len(sectors) * SECTOR_BYTES]


_STEP_BLOCKS: Final = CHUNK_BYTES // BLOCK_BYTES


def _step(seal: Seal, chunk: bytes, progress: SealProgress) -> tuple[bytes, SealProgress]:
    """Seal a chunk, or, if it is the only one, as many times as makes the work of a whole chunk."""
    if seal.chunk_count > 1:
        chunk = seal_blocks(chunk, progress.last, seal.key)
        passes, chunks = divmod(progress.passes * seal.chunk_count + progress.chunks + 1, seal.chunk_count)
        return chunk, SealProgress(passes=passes, chunks=chunks, last=chunk[-BLOCK_BYTES:])
    wanted = min(max(_STEP_BLOCKS * BLOCK_BYTES // len(chunk), 1), seal.passes - progress.passes)
    last = progress.last
    for _ in range(wanted):
        chunk = seal_blocks(chunk, last, seal.key)
        last = chunk[-BLOCK_BYTES:]
    return chunk, SealProgress(passes=progress.passes + wanted, chunks=0, last=last)


def _padded(seal: Seal, index: int, chunk: bytes) -> bytes:
    expected = min(CHUNK_BYTES, seal.size - index * CHUNK_BYTES)
    if len(chunk) != expected:
        raise StorageUsageError(f"chunk {index} of the piece has {len(chunk)} bytes, not {expected}")
    return chunk + bytes(-expected % BLOCK_BYTES)
