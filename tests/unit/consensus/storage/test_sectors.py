"""The tree over a replica: its shape, what its root binds, and that it can be built from one node a chunk."""

import pytest

from consensus.primitives.digest import CHUNK_BYTES
from consensus.storage.sectors import (
    GROUP_LEVEL,
    SECTOR_BYTES,
    bind_size,
    group_root,
    replica_root,
    replica_size,
    sector_count,
    sector_leaf,
    sector_leaves,
    sector_node,
    sector_size,
)
from tests.kit.replicas import chunk_of, random_bytes

SIZES = (1, 64, 1023, 1024, 1025, 5 * 1024, CHUNK_BYTES - 64, CHUNK_BYTES, CHUNK_BYTES + 64, 5 * CHUNK_BYTES + 3000)


@pytest.mark.parametrize(("piece", "replica"), [(1, 64), (63, 64), (64, 64), (65, 128), (CHUNK_BYTES, CHUNK_BYTES)])
def test_a_replica_has_whole_blocks(piece: int, replica: int) -> None:
    assert replica_size(piece) == replica


@pytest.mark.parametrize("size", SIZES)
def test_sectors_add_up_to_the_replica(size: int) -> None:
    count = sector_count(size)
    assert sum(sector_size(size, index) for index in range(count)) == size
    assert 0 < sector_size(size, count - 1) <= SECTOR_BYTES


@pytest.mark.parametrize("size", SIZES)
def test_one_node_a_chunk_gives_the_same_root_as_all_leaves(size: int) -> None:
    data = random_bytes(size)
    groups = [group_root(chunk_of(data, index)) for index in range(-(-size // CHUNK_BYTES))]
    assert replica_root(groups, size) == replica_root(sector_leaves(data), size)


def test_the_shape_is_that_of_rfc_6962() -> None:
    leaves = sector_leaves(random_bytes(5 * SECTOR_BYTES))
    left = sector_node(sector_node(leaves[0], leaves[1]), sector_node(leaves[2], leaves[3]))
    assert replica_root(leaves, 5 * SECTOR_BYTES) == bind_size(sector_node(left, leaves[4]), 5 * SECTOR_BYTES)


def test_a_group_is_a_chunk() -> None:
    assert SECTOR_BYTES << GROUP_LEVEL == CHUNK_BYTES


def test_the_root_binds_the_size() -> None:
    leaves = sector_leaves(random_bytes(2 * SECTOR_BYTES))
    assert replica_root(leaves, 2 * SECTOR_BYTES) != replica_root(leaves, 2 * SECTOR_BYTES - 64)


def test_leaves_nodes_and_roots_are_hashed_apart() -> None:
    left, right = sector_leaves(random_bytes(2 * SECTOR_BYTES))
    hashes = {sector_leaf(left + right), sector_node(left, right), bind_size(left, int.from_bytes(right[:8], "big"))}
    assert len(hashes) == 3


@pytest.mark.parametrize(("nodes", "size"), [(0, 0), (0, 1024), (2, 1024), (1, 1025), (3, CHUNK_BYTES + 64)])
def test_refuses_a_number_of_nodes_that_the_size_does_not_have(nodes: int, size: int) -> None:
    leaf = sector_leaf(b"")
    if (nodes, size) == (1, 1025):  # two sectors, one chunk: the chunk's node
        assert replica_root([leaf], size) == bind_size(leaf, size)
        return
    with pytest.raises(ValueError, match="nodes do not make a replica"):
        replica_root([leaf] * nodes, size)
