"""Proofs of sectors and openings of sealed chunks: all that is there can be shown, and no bit of it can be changed."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest
from consensus.storage.errors import SealError
from consensus.storage.multiproof import sibling_positions, verify_multiproof
from consensus.storage.seal import MAX_PASSES, Opening, check_opening, unseal_chunk
from consensus.storage.sectors import GROUP_SECTORS, group_root, replica_root, sector_count, sector_leaves
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import unseal_at, unseal_replica
from tests.kit.replicas import MemoryReplica, chunk_of, leaf_of, make_seal, random_bytes

DATA = random_bytes(2 * CHUNK_BYTES + 5000)
SIZES = st.one_of(st.integers(1, 40 * 1024), st.integers(CHUNK_BYTES - 2048, len(DATA)))


class Case(NamedTuple):
    """A replica, some of its sectors and their proof."""

    root: Digest
    size: int
    indices: tuple[int, ...]
    sectors: tuple[bytes, ...]
    siblings: tuple[Digest, ...]

    def holds(self) -> bool:
        return verify_multiproof(self.root, self.size, self.indices, self.sectors, self.siblings)


@st.composite
def proofs(draw: st.DrawFn) -> Case:
    size = draw(SIZES)
    data = DATA[:size]
    count = sector_count(size)
    indices = tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=20))))
    tree = ReplicaTree(size, [group_root(chunk_of(data, index)) for index in range(-(-count // GROUP_SECTORS))])
    sectors, siblings = tree.prove(indices, lambda index: chunk_of(data, index))
    return Case(tree.root, size, indices, sectors, siblings)


def flipped(data: bytes, bit: int) -> bytes:
    """One bit changed; `bit` is taken modulo the bits there are."""
    bit %= 8 * len(data)
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


@settings(deadline=None, max_examples=60)
@given(case=proofs())
def test_any_choice_of_sectors_proves(case: Case) -> None:
    assert case.holds()
    assert case.root == replica_root(sector_leaves(DATA[: case.size]), case.size)


@settings(deadline=None, max_examples=60)
@given(case=proofs(), data=st.data())
def test_a_flipped_bit_anywhere_in_a_proof_is_refused(case: Case, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 2**20))
    place = data.draw(st.integers(0, len(case.sectors) - 1))
    sectors = list(case.sectors)
    sectors[place] = flipped(sectors[place], bit)
    assert not case._replace(sectors=tuple(sectors)).holds()
    assert not case._replace(root=Digest(flipped(case.root, bit))).holds()
    assert not case._replace(size=case.size ^ 1 << bit % 40).holds()
    indices = list(case.indices)
    indices[place] ^= 1 << bit % 20
    assert not case._replace(indices=tuple(indices)).holds()
    if case.siblings:
        siblings = list(case.siblings)
        siblings[bit % len(siblings)] = Digest(flipped(siblings[bit % len(siblings)], bit))
        assert not case._replace(siblings=tuple(siblings)).holds()


@settings(deadline=None, max_examples=100)
@given(count=st.integers(1, 10**7), data=st.data())
def test_one_proof_of_many_is_no_larger_than_many_proofs_of_one(count: int, data: st.DataObject) -> None:
    indices = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=30)))
    together = sibling_positions(count, indices)
    alone = [position for index in indices for position in sibling_positions(count, [index])]
    assert len(together) == len(set(together))
    assert set(together) <= set(alone)
    if len(indices) > 1:
        assert len(together) < len(alone)


@settings(deadline=None, max_examples=12)
@given(size=st.integers(1, 12_000), passes=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_a_sealed_piece_unseals_and_every_opening_checks(size: int, passes: int, seed: int) -> None:
    piece, seal = random_bytes(size, seed), make_seal(size, passes=passes if size > 64 else 1)
    replica = MemoryReplica.sealed(seal, piece)
    assert b"".join(unseal_replica(seal, replica.load)) == piece
    check_opening(replica.open(seal, 0), seal, replica.tree.root, 0, leaf_of(piece, 0))


@settings(deadline=None, max_examples=10)
@given(blocks=st.integers(2, 40), floor=st.integers(1, 200_000))
def test_more_passes_than_blocks_are_no_exception(blocks: int, floor: int) -> None:
    passes = min(floor // (64 * blocks) + 1, MAX_PASSES, 400 // blocks)
    piece, seal = random_bytes(64 * blocks, floor), make_seal(64 * blocks, passes=passes)
    replica = MemoryReplica.sealed(seal, piece)
    assert b"".join(unseal_replica(seal, replica.load)) == piece


def replica_of_random_bytes(blocks: int) -> MemoryReplica:
    """Any bytes are the seal of some piece, so the work of sealing can be spared where only openings matter."""
    data = DATA[: 64 * blocks]
    chunks = {index: chunk_of(data, index) for index in range(-(-len(data) // CHUNK_BYTES))}
    return MemoryReplica(chunks, {index: group_root(chunk) for index, chunk in chunks.items()})


@settings(deadline=None, max_examples=8)
@given(blocks=st.integers(4090, len(DATA) // 64), passes=st.integers(1, 100), data=st.data())
def test_every_opening_of_a_replica_checks_and_no_bit_of_it_can_be_changed(
    blocks: int, passes: int, data: st.DataObject
) -> None:
    replica, seal = replica_of_random_bytes(blocks), make_seal(64 * blocks, passes=passes)
    index = data.draw(st.integers(0, seal.chunk_count - 1))
    opening, root = replica.open(seal, index), replica.tree.root
    piece = b"".join(unseal_replica(seal, replica.load))
    leaf = leaf_of(piece, index)
    check_opening(opening, seal, root, index, leaf)
    assert decode(encode(opening), Opening) == opening
    bit = data.draw(st.integers(0, 2**31))
    for changed in changes(opening, bit):
        with pytest.raises(SealError):
            check_opening(changed, seal, root, index, leaf)


def changes(opening: Opening, bit: int) -> list[Opening]:
    """The opening with one bit changed in each of its parts."""
    found = [replace(opening, index=opening.index ^ 1 << bit % 40), replace(opening, chunk=flipped(opening.chunk, bit))]
    if opening.before:
        found.append(replace(opening, before=flipped(opening.before, bit)))
    if opening.siblings:
        place = bit % len(opening.siblings)
        node = Digest(flipped(opening.siblings[place], bit))
        found.append(replace(opening, siblings=(*opening.siblings[:place], node, *opening.siblings[place + 1 :])))
    return found


@settings(deadline=None, max_examples=8)
@given(blocks=st.integers(4096, len(DATA) // 64), passes=st.integers(1, 60), bit=st.integers(0, 2**31))
def test_a_flipped_bit_of_a_sealed_chunk_changes_what_it_unseals_to(blocks: int, passes: int, bit: int) -> None:
    """So a replica that is damaged anywhere is not the piece any more, whatever root was committed to."""
    replica, seal = replica_of_random_bytes(blocks), make_seal(64 * blocks, passes=passes)
    before = unseal_at(seal, 0, replica.load)
    replica.chunks[0] = flipped(replica.chunks[0], bit)
    assert unseal_at(seal, 0, replica.load) != before


@settings(deadline=None, max_examples=10)
@given(start=st.integers(0, 4095), passes=st.integers(1, 30))
def test_unsealing_reads_the_blocks_before_the_chunk_and_no_others(start: int, passes: int) -> None:
    """Sectors are shown whole; what is in them before the blocks that are needed does not matter to unsealing."""
    seal = make_seal(2 * CHUNK_BYTES, passes=passes)
    before = DATA[: -(-passes // 16) * 1024]
    spare = len(before) - 64 * passes
    changed = bytes(spare) + before[spare:]
    chunk = DATA[start : start + CHUNK_BYTES]
    assert unseal_chunk(seal, 1, chunk, before) == unseal_chunk(seal, 1, chunk, changed)
