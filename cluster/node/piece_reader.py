"""Reading a piece from those who have it: whole copies from any of them, a lost shard from enough others.

Nothing here is believed: who keeps what is read holds every chunk to the piece's root.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from cluster.node.storage_work import PieceTask
from consensus.primitives.digest import chunk_count
from storage.erasure import ErasureCode

BATCH_CHUNKS: Final = 16
"""Chunks asked for at a time: 4 MiB."""


class PieceSource(Protocol):
    """Somebody who keeps one piece."""

    def load(self, first: int, count: int) -> Sequence[bytes]:
        """Up to `count` chunks of the piece from `first` on. Raises whatever keeps it from answering."""
        ...


def read_copy(sources: Sequence[PieceSource], size: int, first: int, turn: int) -> Iterator[bytes]:
    """The chunks of a piece of `size` bytes from `first` on, in turn from all who have it; another `turn` begins
    with another source.
    """
    total = chunk_count(size)
    for number, start in enumerate(range(first, total, BATCH_CHUNKS), turn):
        yield from sources[number % len(sources)].load(start, min(BATCH_CHUNKS, total - start))


def rebuild_shard(sources: dict[int, PieceSource], task: PieceTask) -> Iterator[bytes]:
    """The chunks of a lost shard, from the beginning. Reads as many shards as the artifact has parts.

    Raises:
        ErasureError: too few sources.
    """
    code = ErasureCode.of(task.data_pieces, task.total_pieces)
    streams = {number: _stream(source, task.size) for number, source in sources.items()}
    return code.repair(streams, task.piece, task.artifact_size)


def _stream(source: PieceSource, size: int) -> Iterator[bytes]:
    return read_copy([source], size, 0, 0)
