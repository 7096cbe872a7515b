"""What a replica is made of, and the tree that commits to it.

A replica has whole 64-byte blocks, which is what sealing works on. Challenges ask for sectors of 1 KiB, the leaves of
an RFC 6962 shaped BLAKE3 tree. The root binds the size, so the number of sectors and the length of the last are part of
it. 256 sectors are a chunk of 256 KiB and, 256 being a power of two, a whole subtree: a provider keeps one 32-byte node
a chunk and makes the rest again from the chunks it is asked about.
"""

from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.integers import Digest

BLOCK_BYTES: Final = 64
SECTOR_BYTES: Final = 1024
GROUP_SECTORS: Final = CHUNK_BYTES // SECTOR_BYTES
GROUP_LEVEL: Final = GROUP_SECTORS.bit_length() - 1
"""The level of the tree at which each node stands for one chunk; the leaves are level 0."""
_LEAF_CONTEXT: Final = "pouw 2026 sector leaf"
_NODE_CONTEXT: Final = "pouw 2026 sector node"
_ROOT_CONTEXT: Final = "pouw 2026 sector root"


def replica_size(piece_bytes: int) -> int:
    """Bytes of a replica of a piece of `piece_bytes` bytes: whole blocks, the last padded with zeros."""
    return -(-piece_bytes // BLOCK_BYTES) * BLOCK_BYTES


def sector_count(size: int) -> int:
    """How many sectors a replica of `size` bytes has."""
    return -(-size // SECTOR_BYTES)


def sector_size(size: int, index: int) -> int:
    """Bytes of sector `index` of a replica of `size` bytes; only the last can have less than `SECTOR_BYTES`."""
    return min(SECTOR_BYTES, size - index * SECTOR_BYTES)


def sector_leaf(sector: bytes | memoryview) -> Digest:
    """The leaf of one sector."""
    return Digest(blake3(sector, derive_key_context=_LEAF_CONTEXT).digest())


def sector_node(left: Digest, right: Digest) -> Digest:
    """The node above two others."""
    return Digest(blake3(left + right, derive_key_context=_NODE_CONTEXT).digest())


def sector_leaves(chunk: bytes | memoryview) -> list[Digest]:
    """The leaves of a run of sectors, the last of which may be short."""
    view = memoryview(chunk)
    return [sector_leaf(view[start : start + SECTOR_BYTES]) for start in range(0, len(view), SECTOR_BYTES)]


def level_above(nodes: Sequence[Digest]) -> list[Digest]:
    """The next level of the tree: nodes in pairs, an odd last one carried upwards."""
    paired = [sector_node(nodes[i], nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)]
    return paired + list(nodes[len(nodes) & ~1 :])


def tree_levels(nodes: Sequence[Digest]) -> list[list[Digest]]:
    """All levels from `nodes` (not empty) up to the one node above them all."""
    levels = [list(nodes)]
    while len(levels[-1]) > 1:
        levels.append(level_above(levels[-1]))
    return levels


def group_root(chunk: bytes | memoryview) -> Digest:
    """The node that stands for one chunk of a replica (1 to `CHUNK_BYTES` bytes)."""
    return tree_levels(sector_leaves(chunk))[-1][0]


def replica_root(nodes: Sequence[Digest], size: int) -> Digest:
    """The root of a replica of `size` bytes, from the leaves of all its sectors or from the nodes of all its chunks.

    Raises:
        ValueError: as many nodes as neither the sectors nor the chunks of so many bytes, or no bytes.
    """
    sectors = sector_count(size)
    if not nodes or len(nodes) not in (sectors, -(-sectors // GROUP_SECTORS)):
        raise ValueError(f"{len(nodes)} nodes do not make a replica of {size} bytes")
    return bind_size(tree_levels(nodes)[-1][0], size)


def bind_size(tree: Digest, size: int) -> Digest:
    """The root of a replica of `size` bytes whose tree has the top node `tree`."""
    return Digest(blake3(tree + size.to_bytes(8, "big"), derive_key_context=_ROOT_CONTEXT).digest())
