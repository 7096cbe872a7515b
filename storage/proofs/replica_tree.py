"""The tree over a replica, of which only one node a chunk is kept, and the proofs made from it.

What a proof needs below the kept nodes is computed again from the chunks it speaks of, which shows whether these are
still what was sealed: a damaged chunk is named here, before a proof that fails goes on chain.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

from consensus.primitives.integers import Digest
from consensus.storage.multiproof import Position, sibling_positions
from consensus.storage.seal import Opening, Seal, opening_sectors
from consensus.storage.sectors import (
    GROUP_LEVEL,
    GROUP_SECTORS,
    SECTOR_BYTES,
    bind_size,
    sector_count,
    sector_leaves,
    tree_levels,
)
from storage.proofs.errors import ReplicaCorruptError
from storage.proofs.sealing import LoadChunk


class ReplicaTree:
    """One replica's tree: `groups` are the nodes of its chunks in order, `size` its bytes."""

    def __init__(self, size: int, groups: Sequence[Digest]) -> None:
        self._size = size
        self._groups = groups

    @cached_property
    def root(self) -> Digest:
        """The replica's root. Raises ValueError if there is not one node a chunk."""
        return bind_size(self._upper[-1][0], self._size)

    def prove(self, indices: Sequence[int], load: LoadChunk) -> tuple[tuple[bytes, ...], tuple[Digest, ...]]:
        """The sectors with these ascending indices, and the siblings that prove them; each chunk is loaded once.

        Raises:
            ValueError: indices that are not distinct, ascending and in the replica.
            ReplicaCorruptError: a chunk is not what was sealed.
        """
        positions = sibling_positions(sector_count(self._size), indices)
        chunks = {group: load(group) for group in dict.fromkeys(index // GROUP_SECTORS for index in indices)}
        lower = {group: self._levels_of(group, chunk) for group, chunk in chunks.items()}
        sectors = tuple(_sector(chunks[index // GROUP_SECTORS], index % GROUP_SECTORS) for index in indices)
        return sectors, tuple(self._node(position, lower) for position in positions)

    def open(self, seal: Seal, index: int, load: LoadChunk) -> Opening:
        """Chunk `index` with all that unsealing it takes.

        Raises:
            IndexError: there is no such chunk.
            ReplicaCorruptError: a chunk is not what was sealed.
        """
        before, chunk = opening_sectors(seal, index)
        indices = sorted({*before, *chunk})
        sectors, siblings = self.prove(indices, load)
        shown = dict(zip(indices, sectors, strict=True))
        return Opening(index=index, chunk=_joined(shown, chunk), before=_joined(shown, before), siblings=siblings)

    @cached_property
    def _upper(self) -> list[list[Digest]]:
        """The levels from the kept nodes upwards."""
        if len(self._groups) != -(-sector_count(self._size) // GROUP_SECTORS):
            raise ValueError(f"{len(self._groups)} nodes do not make a replica of {self._size} bytes")
        return tree_levels(self._groups)

    def _levels_of(self, group: int, chunk: bytes) -> list[list[Digest]]:
        levels = tree_levels(sector_leaves(chunk)) if chunk else [[]]
        if levels[-1] != [self._groups[group]]:
            raise ReplicaCorruptError(group)
        return levels

    def _node(self, position: Position, lower: dict[int, list[list[Digest]]]) -> Digest:
        level, place = position
        if level >= GROUP_LEVEL:
            return self._upper[level - GROUP_LEVEL][place]
        group, inside = divmod(place, GROUP_SECTORS >> level)
        return lower[group][level][inside]


def _sector(chunk: bytes, inside: int) -> bytes:
    return chunk[inside * SECTOR_BYTES : (inside + 1) * SECTOR_BYTES]


def _joined(shown: dict[int, bytes], sectors: Iterable[int]) -> bytes:
    return b"".join(shown[index] for index in sectors)
