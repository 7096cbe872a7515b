"""One proof for several sectors: the nodes that they need from the rest of the tree, each once, in one fixed order.

Which nodes these are follows from the number of sectors and the indices alone, so a proof carries no positions that
could be forged, and two proofs of the same sectors are the same bytes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from consensus.primitives.integers import Digest
from consensus.storage.sectors import bind_size, sector_count, sector_leaf, sector_node, sector_size

_DIGEST_BYTES = 32


class Position(NamedTuple):
    """Where a node is in the tree. Level 0 are the sectors."""

    level: int
    place: int


def sibling_positions(count: int, indices: Sequence[int]) -> list[Position]:
    """The nodes a proof of these sectors carries, of a replica with `count` sectors: upwards, and from left to right.

    Raises:
        ValueError: `indices` are not distinct, ascending, at least one and below `count`.
    """
    if not _are_sectors(indices, count):
        raise ValueError(f"not an ascending choice among {count} sectors: {list(indices)}")
    positions: list[Position] = []
    row, width, level = list(indices), count, 0
    while width > 1:
        known = set(row)
        positions += [Position(level, i ^ 1) for i in row if i ^ 1 not in known and i ^ 1 < width]
        row, width, level = _parents(row), (width + 1) // 2, level + 1
    return positions


def verify_multiproof(
    root: Digest,
    size: int,
    indices: Sequence[int],
    sectors: Sequence[bytes],
    siblings: Sequence[Digest],
) -> bool:
    """Whether `sectors` are those with these `indices` of the replica of `size` bytes under `root`.

    False for indices that are not distinct and ascending, sectors of another length, siblings too many or too few.
    """
    count = sector_count(size)
    if not _are_sectors(indices, count) or len(sectors) != len(indices):
        return False
    if any(len(sector) != sector_size(size, index) for index, sector in zip(indices, sectors, strict=True)):
        return False
    positions = sibling_positions(count, indices)
    if len(siblings) != len(positions) or any(len(node) != _DIGEST_BYTES for node in siblings):
        return False
    nodes = dict(zip(positions, siblings, strict=True))
    nodes.update((Position(0, i), sector_leaf(sector)) for i, sector in zip(indices, sectors, strict=True))
    return bind_size(_top_node(nodes, list(indices), count), size) == root


def _top_node(nodes: dict[Position, Digest], row: list[int], width: int) -> Digest:
    """Compute upwards from the sectors in `row`; `nodes` has them and every sibling they need."""
    level = 0
    while width > 1:
        last, row = width - 1, _parents(row)
        for parent in row:
            left = nodes[Position(level, 2 * parent)]
            is_carried = 2 * parent == last
            above = left if is_carried else sector_node(left, nodes[Position(level, 2 * parent + 1)])
            nodes[Position(level + 1, parent)] = above
        width, level = (width + 1) // 2, level + 1
    return nodes[Position(level, 0)]


def _parents(row: list[int]) -> list[int]:
    return list(dict.fromkeys(index // 2 for index in row))


def _are_sectors(indices: Sequence[int], count: int) -> bool:
    is_ascending = all(before < after for before, after in pairwise(indices))
    return len(indices) > 0 and is_ascending and indices[0] >= 0 and indices[-1] < count
