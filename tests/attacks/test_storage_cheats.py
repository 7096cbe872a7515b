"""Providers who do not keep what they are paid for, against the rules that judge them. All bytes are made from seeds.

Two kinds of rules: a challenge finds sectors that are gone (the root was committed to), and an opening, made when the
replica was fresh, finds a root over anything else than the piece sealed for this very provider.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from msgspec.structs import replace

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.integers import Digest
from consensus.storage.challenge import draw_chunks, draw_sectors
from consensus.storage.errors import SealError, SealFault
from consensus.storage.multiproof import sibling_positions, verify_multiproof
from consensus.storage.permutation import seal_blocks
from consensus.storage.seal import NO_BLOCK, Seal, check_opening
from consensus.storage.sectors import SECTOR_BYTES, group_root, replica_root, sector_count, sector_leaves, tree_levels
from storage.proofs.errors import ReplicaCorruptError
from storage.proofs.sealing import unseal_replica
from tests.kit.genesis import public_key
from tests.kit.replicas import DEAL, PROVIDER, MemoryReplica, chunk_of, leaf_of, make_seal, random_bytes
from tests.kit.work import word

SECTORS, ASKED, CHALLENGES = 1024, 16, 400
SIZE = SECTORS * SECTOR_BYTES
OTHER = public_key("miner")


def replica_of(data: bytes) -> MemoryReplica:
    """Bytes as a replica, whatever they are."""
    chunks = {index: chunk_of(data, index) for index in range(-(-len(data) // CHUNK_BYTES))}
    return MemoryReplica(chunks, {index: group_root(chunk) for index, chunk in chunks.items()})


@dataclass
class Provider:
    """Keeps the whole tree, which is a sixteenth of the replica, and whatever sectors it likes."""

    data: bytes
    kept: frozenset[int]

    def __post_init__(self) -> None:
        self.levels = tree_levels(sector_leaves(self.data))
        self.root = replica_root(self.levels[0], len(self.data))

    def answer(self, indices: tuple[int, ...]) -> tuple[list[bytes], list[Digest]]:
        """The sectors as far as they are there, zeros for those that are not, and every sibling."""
        sectors = [self._sector(index) if index in self.kept else bytes(SECTOR_BYTES) for index in indices]
        return sectors, [self.levels[level][place] for level, place in sibling_positions(SECTORS, indices)]

    def passes(self, indices: tuple[int, ...]) -> bool:
        return verify_multiproof(self.root, len(self.data), indices, *self.answer(indices))

    def _sector(self, index: int) -> bytes:
        return self.data[index * SECTOR_BYTES : (index + 1) * SECTOR_BYTES]


def challenge(number: int, provider: bytes = PROVIDER) -> tuple[int, ...]:
    return draw_sectors(word("beacon", number), DEAL, 0, provider, SECTORS, ASKED)  # type: ignore[arg-type]


def share_caught(provider: Provider) -> float:
    return sum(not provider.passes(challenge(number)) for number in range(CHALLENGES)) / CHALLENGES


@pytest.mark.parametrize("where", ["anywhere", "at the end"])
@pytest.mark.parametrize("percent", [1, 10, 50])
def test_dropped_sectors_are_found_as_often_as_the_arithmetic_says(percent: int, where: str) -> None:
    """1 - (1 - f)^c, within five standard deviations. Which sectors are dropped makes no difference."""
    dropped = round(SECTORS * percent / 100)
    order = np.random.default_rng(percent).permutation(SECTORS) if where == "anywhere" else np.arange(SECTORS)
    kept = frozenset(order[: SECTORS - dropped].tolist())
    expected = 1 - (1 - dropped / SECTORS) ** ASKED
    spread = math.sqrt(expected * (1 - expected) / CHALLENGES)
    caught = share_caught(Provider(random_bytes(SIZE), kept))
    assert abs(caught - expected) <= 5 * spread + 1e-3


def test_who_keeps_everything_is_never_caught() -> None:
    assert share_caught(Provider(random_bytes(SIZE), frozenset(range(SECTORS)))) == 0


def test_an_old_proof_does_not_answer_a_new_challenge() -> None:
    honest = Provider(random_bytes(SIZE), frozenset(range(SECTORS)))
    old = honest.answer(challenge(0))
    assert verify_multiproof(honest.root, SIZE, challenge(0), *old)
    assert not any(verify_multiproof(honest.root, SIZE, challenge(number), *old) for number in range(1, 50))


def test_a_proof_does_not_answer_for_another_provider() -> None:
    """Even of one and the same root: the other is asked for other sectors."""
    honest = Provider(random_bytes(SIZE), frozenset(range(SECTORS)))
    assert not any(
        verify_multiproof(honest.root, SIZE, challenge(number, OTHER), *honest.answer(challenge(number)))
        for number in range(50)
    )


def test_sectors_of_another_tree_do_not_prove() -> None:
    honest = Provider(random_bytes(SIZE), frozenset(range(SECTORS)))
    forger = Provider(random_bytes(SIZE, 1), frozenset(range(SECTORS)))
    drawn = challenge(0)
    sectors, siblings = forger.answer(drawn)
    assert not verify_multiproof(honest.root, SIZE, drawn, sectors, siblings)
    assert not verify_multiproof(honest.root, SIZE, drawn, sectors, honest.answer(drawn)[1])
    assert not verify_multiproof(honest.root, SIZE, drawn, honest.answer(drawn)[0], siblings)


def test_random_siblings_do_not_prove() -> None:
    honest, rng = Provider(random_bytes(SIZE), frozenset(range(SECTORS))), np.random.default_rng(3)
    drawn = challenge(0)
    sectors, siblings = honest.answer(drawn)
    for place in range(len(siblings)):
        forged = [*siblings[:place], Digest(rng.bytes(32)), *siblings[place + 1 :]]
        assert not verify_multiproof(honest.root, SIZE, drawn, sectors, forged)


def test_one_kept_sector_does_not_stand_for_others() -> None:
    honest = Provider(random_bytes(SIZE), frozenset(range(SECTORS)))
    drawn = challenge(0)
    sectors, siblings = honest.answer(drawn)
    assert not verify_multiproof(honest.root, SIZE, drawn, [sectors[0]] * len(sectors), siblings)
    alone = honest.answer(drawn[:1])
    assert not verify_multiproof(honest.root, SIZE, drawn, *alone)
    assert not verify_multiproof(honest.root, SIZE, drawn[:1] * ASKED, *alone)


def test_a_replica_that_was_cut_short_does_not_prove_its_end() -> None:
    """Nor does a root over the rest, as the ledger knows the size that the piece has."""
    data = random_bytes(SIZE)
    honest, short = Provider(data, frozenset(range(SECTORS))), replica_of(data[: SIZE // 2])
    drawn = tuple(index for index in challenge(0) if index < SECTORS // 2)
    sectors, siblings = short.tree.prove(drawn, short.load)
    assert verify_multiproof(short.tree.root, SIZE // 2, drawn, sectors, siblings)
    assert not verify_multiproof(short.tree.root, SIZE, drawn, sectors, siblings)
    assert not verify_multiproof(honest.root, SIZE, drawn, sectors, siblings)


def test_a_truncated_chunk_is_noticed_by_its_own_provider() -> None:
    replica = replica_of(random_bytes(2 * CHUNK_BYTES))
    replica.chunks[1] = replica.chunks[1][:-SECTOR_BYTES]
    with pytest.raises(ReplicaCorruptError, match="chunk 1"):
        replica.tree.prove((300,), replica.load)


# What follows is found when the supervisor opens chunks of a fresh replica.

CHUNKS = 6
PASSES = 2


def sealed_for(
    provider: bytes, data: bytes | None = None, *, passes: int = PASSES
) -> tuple[Seal, MemoryReplica, bytes]:
    """A seal, its replica and its piece. The replica comes first: random bytes are the seal of what they unseal to."""
    seal = make_seal(CHUNKS * CHUNK_BYTES, passes=passes, provider=provider)  # type: ignore[arg-type]
    replica = replica_of(random_bytes(seal.size) if data is None else data)
    return seal, replica, b"".join(unseal_replica(seal, replica.load))


def faults(seal: Seal, replica: MemoryReplica, piece: bytes) -> list[SealFault | None]:
    """What opening each chunk of a replica against the piece says, None for a chunk that is as it should be."""
    return [_fault(seal, replica, piece, index) for index in range(seal.chunk_count)]


def _fault(seal: Seal, replica: MemoryReplica, piece: bytes, index: int) -> SealFault | None:
    try:
        check_opening(replica.open(seal, index), seal, replica.tree.root, index, leaf_of(piece, index))
    except SealError as error:
        return error.fault
    return None


def test_an_honest_replica_passes_everywhere() -> None:
    assert faults(*sealed_for(PROVIDER)) == [None] * CHUNKS


def test_another_providers_replica_fails_wherever_it_is_opened() -> None:
    seal, replica, piece = sealed_for(PROVIDER)
    mine = make_seal(seal.size, passes=PASSES, provider=OTHER)
    assert faults(mine, replica, piece) == [SealFault.LEAF] * CHUNKS


def test_one_copy_under_two_identities_fails_for_one_of_them() -> None:
    """With its own first chunk in front, too: every chunk shows by itself for whom it was sealed."""
    seal, replica, piece = sealed_for(PROVIDER, passes=1)
    twin = make_seal(seal.size, passes=1, provider=OTHER)
    own_chunk = seal_blocks(piece[:CHUNK_BYTES], NO_BLOCK, twin.key)
    mixed = replica_of(own_chunk + replica.data[CHUNK_BYTES:])
    assert faults(twin, mixed, piece) == [None, *[SealFault.LEAF] * (CHUNKS - 1)]


@pytest.mark.parametrize("piece_number", [1, 2])
def test_a_replica_of_one_piece_does_not_pass_for_another_of_the_same_bytes(piece_number: int) -> None:
    seal, replica, piece = sealed_for(PROVIDER)
    other = make_seal(seal.size, passes=PASSES, piece=piece_number)
    assert faults(other, replica, piece) == [SealFault.LEAF] * CHUNKS


def test_plain_data_does_not_pass_for_a_seal() -> None:
    seal, _, piece = sealed_for(PROVIDER)
    assert faults(seal, replica_of(piece), piece) == [SealFault.LEAF] * CHUNKS


@pytest.mark.parametrize("passes", [1, 2, 4])
def test_too_few_or_too_many_passes_fail_everywhere(passes: int) -> None:
    seal, replica, piece = sealed_for(PROVIDER, passes=passes)
    asked = make_seal(seal.size, passes=3)
    assert faults(asked, replica, piece) == [SealFault.LEAF] * CHUNKS


def test_garbage_does_not_pass_for_a_seal() -> None:
    seal, _, piece = sealed_for(PROVIDER)
    assert faults(seal, replica_of(random_bytes(seal.size, 9)), piece) == [SealFault.LEAF] * CHUNKS


def test_a_chunk_in_another_place_fails() -> None:
    seal, replica, piece = sealed_for(PROVIDER)
    opening = replica.open(seal, 2)
    moved = replace(opening, index=3)
    with pytest.raises(SealError) as caught:
        check_opening(moved, seal, replica.tree.root, 3, leaf_of(piece, 3))
    assert caught.value.fault is SealFault.PROOF
    with pytest.raises(SealError) as caught:
        check_opening(opening, seal, replica.tree.root, 3, leaf_of(piece, 3))
    assert caught.value.fault is SealFault.CHUNK


def test_a_chain_begun_anew_to_seal_in_parallel_fails_at_the_seam() -> None:
    """Who seals on several cores puts one chunk at risk for each. Blocks kept of an honest chain would give as much."""
    piece = random_bytes(CHUNK_BYTES + 2 * SECTOR_BYTES)
    seal = make_seal(len(piece))
    parts = [seal_blocks(chunk_of(piece, index), NO_BLOCK, seal.key) for index in range(2)]
    assert faults(seal, replica_of(b"".join(parts)), piece) == [None, SealFault.LEAF]


@pytest.mark.parametrize("percent", [10, 50])
def test_badly_sealed_chunks_are_opened_as_often_as_the_arithmetic_says(percent: int) -> None:
    """Of 1000 chunks, of which so many are not sealed, with 16 drawn from a beacon after the root is committed to."""
    chunks, bad = 1000, frozenset(np.random.default_rng(percent).permutation(1000)[: 10 * percent].tolist())
    caught = sum(
        not bad.isdisjoint(draw_chunks(word("beacon", number), DEAL, 0, PROVIDER, chunks, ASKED))
        for number in range(CHALLENGES)
    )
    expected = 1 - (1 - percent / 100) ** ASKED
    spread = math.sqrt(CHALLENGES * expected * (1 - expected))
    assert abs(caught - CHALLENGES * expected) <= 5 * spread + 1


def test_keeping_the_chain_at_intervals_and_the_plain_data_does_answer_challenges() -> None:
    """The known limit (docs/adr/0015): who has plain data and every hundredth sealed block can make a sector again.

    What it costs is all the roots since the last block that was kept: the test counts them.
    """
    interval, blocks = 100, 600
    piece, seal = random_bytes(64 * blocks), make_seal(64 * blocks)
    replica = MemoryReplica.sealed(seal, piece)
    kept = {place: replica.data[64 * (place - 1) : 64 * place] for place in range(interval, blocks, interval)}
    sector = 25  # blocks 400 to 415
    start = max(place for place in kept if place <= 16 * sector)
    again = seal_blocks(piece[64 * start : 64 * 16 * (sector + 1)], kept[start], seal.key)
    assert again[-SECTOR_BYTES:] == replica.data[SECTOR_BYTES * sector : SECTOR_BYTES * (sector + 1)]
    assert len(again) // 64 <= interval + 16
    assert sector_count(len(replica.data)) > sector
