"""The seal against its definition, block by block, and every reason to refuse an opening."""

import pytest
from msgspec.structs import replace

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest
from consensus.storage.errors import SealError, SealFault
from consensus.storage.seal import (
    MAX_PASSES,
    Opening,
    Seal,
    check_opening,
    opening_sectors,
    seal_key,
    seal_passes,
    unseal_chunk,
)
from consensus.storage.sectors import group_root, replica_root
from tests.kit.genesis import public_key
from tests.kit.replicas import DEAL, PROVIDER, MemoryReplica, leaf_of, make_seal, random_bytes
from tests.kit.work import word

PRIME = 2**512 - 569
MIB = 1 << 20


def seal_by_definition(seal: Seal, piece: bytes) -> bytes:
    """The seal as the design writes it down: one value at a time, nothing clever."""
    padded = piece + bytes(-len(piece) % 64)
    row = [int.from_bytes(padded[at : at + 64], "little") for at in range(0, len(padded), 64)]
    key, before = int.from_bytes(seal.key, "little"), 0
    for number in range(1, seal.passes + 1):
        before = row[-1] if number > 1 else before
        for place, value in enumerate(row):
            before = row[place] = _permuted(value ^ before ^ key)
    return b"".join(value.to_bytes(64, "little") for value in row)


def _permuted(value: int) -> int:
    if value >= PRIME:
        return value
    root = pow(value, (PRIME + 1) // 4, PRIME)
    if root * root % PRIME == value:
        return root if root % 2 == 0 else PRIME - root
    return root if root % 2 == 1 else PRIME - root


@pytest.mark.parametrize(
    ("size", "passes"),
    [(1, 1), (64, 1), (65, 1), (65, 7), (128, 40), (1000, 1), (1000, 2), (1000, 16), (1000, 17), (6400, 3)],
)
def test_seals_as_defined_and_opens_again(size: int, passes: int) -> None:
    piece, seal = random_bytes(size), make_seal(size, passes=passes)
    replica = MemoryReplica.sealed(seal, piece)
    assert replica.data == seal_by_definition(seal, piece)
    check_opening(replica.open(seal, 0), seal, replica.tree.root, 0, leaf_of(piece, 0))


@pytest.mark.parametrize("size", [CHUNK_BYTES + 64, CHUNK_BYTES + 1984, CHUNK_BYTES + 4032])
@pytest.mark.parametrize("passes", [1, 2, 3, 33])
def test_opens_chunks_on_both_sides_of_the_seam(size: int, passes: int) -> None:
    """Any bytes are the seal of something, so they can stand for a replica without the work of sealing them."""
    seal, replica = make_seal(size, passes=passes), _unsealed_from(size)
    plain = _plain(seal, replica)
    assert len(plain) == seal.size
    root = replica.tree.root
    for index in range(2):
        check_opening(replica.open(seal, index), seal, root, index, leaf_of(plain, index))


def _unsealed_from(size: int) -> MemoryReplica:
    data = random_bytes(-(-size // 64) * 64)
    replica = MemoryReplica({0: data[:CHUNK_BYTES], 1: data[CHUNK_BYTES:]})
    replica.groups = {index: group_root(chunk) for index, chunk in replica.chunks.items()}
    return replica


def _plain(seal: Seal, replica: MemoryReplica) -> bytes:
    """What random bytes unseal to, one value at a time; the piece is taken to fill its blocks."""
    data = replica.data
    row = [int.from_bytes(data[at : at + 64], "little") for at in range(0, len(data), 64)]
    key = int.from_bytes(seal.key, "little")
    for number in range(seal.passes, 0, -1):
        squares = [value * value % PRIME * (1 if value % 2 == 0 else -1) % PRIME for value in row]
        rest = [square ^ value ^ key for square, value in zip(squares[1:], row[:-1], strict=True)]
        row = [squares[0] ^ key ^ (rest[-1] if number > 1 else 0), *rest]
    return b"".join(value.to_bytes(64, "little") for value in row)


@pytest.mark.parametrize(
    ("size", "floor", "passes"),
    [
        (1, 32 * MIB, 1),
        (64, 32 * MIB, 1),
        (65, 32 * MIB, MAX_PASSES),
        (32 * 1024, 32 * MIB, 1024),
        (32 * 1024 + 1, 32 * MIB, 1024),
        (MIB, 32 * MIB, 32),
        (MIB - 1, 32 * MIB, 33),
        (32 * MIB, 32 * MIB, 1),
        (2048 * MIB, 32 * MIB, 1),
        (1000, 0, 1),
    ],
)
def test_small_pieces_get_more_passes(size: int, floor: int, passes: int) -> None:
    assert seal_passes(size, floor) == passes


def test_nothing_cannot_be_sealed() -> None:
    with pytest.raises(ValueError, match="cannot be sealed"):
        seal_passes(0, MIB)


def test_deal_piece_and_provider_all_change_the_seal() -> None:
    keys = {
        seal_key(DEAL, 0, PROVIDER),
        seal_key(word("other"), 0, PROVIDER),
        seal_key(DEAL, 1, PROVIDER),
        seal_key(DEAL, 0, public_key("miner")),
    }
    assert len(keys) == 4
    assert {len(key) for key in keys} == {64}


@pytest.mark.parametrize(
    ("size", "passes", "index", "before", "chunk"),
    [
        (1000, 5, 0, range(0), range(1)),
        (CHUNK_BYTES, 1024, 0, range(0), range(256)),
        (2 * CHUNK_BYTES, 1, 0, range(0), range(256)),
        (2 * CHUNK_BYTES, 1, 1, range(255, 256), range(256, 512)),
        (2 * CHUNK_BYTES, 16, 0, range(511, 512), range(256)),
        (2 * CHUNK_BYTES, 17, 0, range(510, 512), range(256)),
        (2 * CHUNK_BYTES, 17, 1, range(254, 256), range(256, 512)),
        (CHUNK_BYTES + 64, 17, 0, range(256, 257), range(256)),
        (2 * CHUNK_BYTES + 64, 2, 0, range(511, 513), range(256)),
    ],
)
def test_an_opening_shows_the_blocks_before_its_chunk(
    size: int, passes: int, index: int, before: range, chunk: range
) -> None:
    shown = opening_sectors(make_seal(size, passes=passes), index)
    assert [list(part) for part in shown] == [list(before), list(chunk)]


@pytest.mark.parametrize("index", [-1, 2])
def test_there_is_no_opening_of_a_chunk_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        opening_sectors(make_seal(2 * CHUNK_BYTES), index)


class Sealed:
    """One replica of two chunks that all faults are tried on."""

    seal = make_seal(CHUNK_BYTES + 1024, passes=3)
    replica = _unsealed_from(CHUNK_BYTES + 1024)
    piece = _plain(seal, replica)
    root = replica.tree.root

    @classmethod
    def refuses(cls, opening: Opening, fault: SealFault, *, index: int = 1, seal: Seal | None = None) -> None:
        with pytest.raises(SealError) as caught:
            check_opening(opening, seal or cls.seal, cls.root, index, leaf_of(cls.piece, index))
        assert (caught.value.fault, caught.value.chunk) == (fault, index)
        assert str(fault) in str(caught.value)


def test_refuses_another_chunk() -> None:
    Sealed.refuses(Sealed.replica.open(Sealed.seal, 0), SealFault.CHUNK)


@pytest.mark.parametrize("name", ["chunk", "before"])
def test_refuses_other_lengths(name: str) -> None:
    opening = Sealed.replica.open(Sealed.seal, 1)
    data: bytes = getattr(opening, name)
    for other in (data[:-1], data[64:], data + bytes(64), b""):
        Sealed.refuses(replace(opening, **{name: other}), SealFault.LENGTH)


def test_refuses_bytes_that_are_not_in_the_replica() -> None:
    opening = Sealed.replica.open(Sealed.seal, 1)
    for name in ("chunk", "before"):
        data: bytes = getattr(opening, name)
        Sealed.refuses(replace(opening, **{name: bytes([data[0] ^ 1]) + data[1:]}), SealFault.PROOF)
    Sealed.refuses(replace(opening, siblings=opening.siblings[1:]), SealFault.PROOF)
    Sealed.refuses(replace(opening, siblings=(*opening.siblings, Digest(bytes(32)))), SealFault.PROOF)


def test_refuses_what_unseals_to_something_else() -> None:
    opening = Sealed.replica.open(Sealed.seal, 1)
    with pytest.raises(SealError) as caught:
        check_opening(opening, Sealed.seal, Sealed.root, 1, leaf_of(Sealed.piece, 0))
    assert caught.value.fault is SealFault.LEAF


def test_refuses_anything_but_zeros_behind_the_piece() -> None:
    shorter = Seal(size=Sealed.seal.size - 3, passes=3, key=Sealed.seal.key)
    Sealed.refuses(Sealed.replica.open(Sealed.seal, 1), SealFault.PADDING, seal=shorter)


def test_unsealing_refuses_other_lengths_by_itself() -> None:
    chunk = Sealed.replica.chunks[1]
    with pytest.raises(SealError) as caught:
        unseal_chunk(Sealed.seal, 1, chunk, b"")
    assert caught.value.fault is SealFault.LENGTH


def test_an_opening_has_one_encoding() -> None:
    opening = Sealed.replica.open(Sealed.seal, 1)
    assert decode(encode(opening), Opening) == opening


def test_the_root_of_a_replica_is_that_of_its_chunks() -> None:
    groups = [group_root(chunk) for chunk in Sealed.replica.chunks.values()]
    assert replica_root(groups, Sealed.seal.replica_size) == Sealed.root
