"""Several sectors under one root, and every single fault that makes the proof worthless."""

import pytest

from consensus.primitives.integers import ZERO_DIGEST, Digest
from consensus.storage.multiproof import Position, sibling_positions, verify_multiproof
from consensus.storage.sectors import SECTOR_BYTES, group_root, replica_root, sector_leaves
from storage.proofs.replica_tree import ReplicaTree
from tests.kit.replicas import random_bytes

SIZE = 11 * SECTOR_BYTES + 128
DATA = random_bytes(SIZE)
ROOT = replica_root(sector_leaves(DATA), SIZE)
INDICES = (1, 4, 5, 11)
Proof = tuple[tuple[bytes, ...], tuple[Digest, ...]]


@pytest.fixture
def proof() -> Proof:
    return ReplicaTree(SIZE, [group_root(DATA)]).prove(INDICES, lambda _index: DATA)


def test_proves_what_is_there(proof: Proof) -> None:
    assert proof[0][1] == DATA[4 * SECTOR_BYTES : 5 * SECTOR_BYTES]
    assert verify_multiproof(ROOT, SIZE, INDICES, *proof)


def test_carries_no_node_that_follows_from_others() -> None:
    expected = [(0, 0), (0, 10), (1, 1), (1, 3), (1, 4)]
    assert sibling_positions(12, INDICES) == [Position(*place) for place in expected]


def test_all_sectors_need_no_siblings() -> None:
    assert sibling_positions(12, range(12)) == []
    everything = [DATA[start : start + SECTOR_BYTES] for start in range(0, SIZE, SECTOR_BYTES)]
    assert verify_multiproof(ROOT, SIZE, range(12), everything, ())


def test_a_replica_of_one_sector_is_its_own_proof() -> None:
    root = replica_root(sector_leaves(DATA[:64]), 64)
    assert verify_multiproof(root, 64, [0], [DATA[:64]], [])
    assert not verify_multiproof(root, 64, [0], [DATA[:64]], [ZERO_DIGEST])


@pytest.mark.parametrize("indices", [(), (1, 1), (5, 4), (-1, 3), (3, 12), (12,)])
def test_refuses_what_is_no_choice_of_sectors(indices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not an ascending choice"):
        sibling_positions(12, indices)
    assert not verify_multiproof(ROOT, SIZE, indices, [DATA[:SECTOR_BYTES]] * len(indices), ())


def test_refuses_other_indices(proof: Proof) -> None:
    for other in ((0, 4, 5, 11), (1, 4, 6, 11), (1, 4, 5, 10), (1, 4, 5)):
        assert not verify_multiproof(ROOT, SIZE, other, *proof)


def test_refuses_another_size(proof: Proof) -> None:
    for other in (SIZE - 1, SIZE + 1, SIZE - 64, SIZE + SECTOR_BYTES, 0):
        assert not verify_multiproof(ROOT, other, INDICES, *proof)


def test_refuses_siblings_too_many_too_few_swapped_or_cut(proof: Proof) -> None:
    sectors, siblings = proof
    swapped = (siblings[1], siblings[0], *siblings[2:])
    cut = (Digest(siblings[0][:-1]), *siblings[1:])
    for others in ((*siblings, ZERO_DIGEST), siblings[:-1], siblings[1:], (), swapped, cut):
        assert not verify_multiproof(ROOT, SIZE, INDICES, sectors, others)


def test_refuses_sectors_too_many_too_few_swapped_or_of_other_lengths(proof: Proof) -> None:
    sectors, siblings = proof
    swapped = (sectors[0], sectors[2], sectors[1], sectors[3])
    longer, shorter = (*sectors[:3], sectors[3] + b"\0"), (sectors[0][:-1], *sectors[1:])
    for others in ((*sectors, b""), sectors[:-1], (), swapped, longer, shorter):
        assert not verify_multiproof(ROOT, SIZE, INDICES, others, siblings)


def test_an_inner_node_does_not_pass_for_a_sector() -> None:
    """64 bytes of two leaves, in a replica that claims to be that short."""
    leaves = sector_leaves(DATA[: 2 * SECTOR_BYTES])
    root = replica_root(leaves, 2 * SECTOR_BYTES)
    assert not verify_multiproof(root, 64, [0], [leaves[0] + leaves[1]], [])
