"""Sealing goes on where it stopped, asks for each thing once, and unsealing gives the piece back."""

import pickle  # noqa: TID251  # errors cross between processes pickled; that is what is tested

import pytest

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.encoding import decode, encode
from consensus.storage.permutation import seal_blocks
from consensus.storage.seal import NO_BLOCK
from consensus.storage.sectors import group_root, replica_root, sector_leaves
from storage.errors import StorageUsageError
from storage.proofs.errors import ReplicaCorruptError
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import SealProgress, is_sealed, load_sectors, seal_replica, unseal_at, unseal_replica
from tests.kit.replicas import MemoryReplica, chunk_of, make_seal, random_bytes

SIZE = CHUNK_BYTES + 3000
PIECE = random_bytes(SIZE)
SEAL = make_seal(SIZE, passes=2)


@pytest.fixture(scope="module")
def sealed() -> MemoryReplica:
    return MemoryReplica.sealed(SEAL, PIECE)


def test_unsealing_gives_the_piece_back(sealed: MemoryReplica) -> None:
    assert b"".join(unseal_replica(SEAL, sealed.load)) == PIECE
    assert unseal_at(SEAL, 1, sealed.load) == PIECE[CHUNK_BYTES:]


def test_every_pass_begins_with_the_end_of_the_one_before(sealed: MemoryReplica) -> None:
    once = seal_blocks(PIECE + bytes(-SIZE % 64), NO_BLOCK, SEAL.key)
    assert sealed.data == seal_blocks(once, once[-64:], SEAL.key)


def test_keeps_the_nodes_of_the_last_pass_only(sealed: MemoryReplica) -> None:
    assert sealed.groups == {index: group_root(chunk) for index, chunk in sealed.chunks.items()}
    assert sealed.tree.root == replica_root(sector_leaves(sealed.data), len(sealed.data))


class KilledError(Exception):
    pass


class Failing(MemoryReplica):
    """Stores so often, then no more."""

    left = 0

    def store(self, index: int, chunk: bytes, group: object, progress: SealProgress) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1
        super().store(index, chunk, group, progress)  # type: ignore[arg-type]


def test_goes_on_after_being_killed_at_every_step(sealed: MemoryReplica) -> None:
    store = Failing()
    asked: list[int] = []

    def load_piece(index: int) -> bytes:
        asked.append(index)
        return chunk_of(PIECE, index)

    for _ in range(3):
        store.left = 1
        with pytest.raises(KilledError):
            list(seal_replica(SEAL, load_piece, store))
        store.progress = decode(encode(store.progress), SealProgress) if store.progress else None
    store.left = 1
    assert len(list(seal_replica(SEAL, load_piece, store))) == 1
    assert list(seal_replica(SEAL, load_piece, store)) == []
    assert (store.data, store.groups) == (sealed.data, sealed.groups)
    assert set(asked) == {0, 1}


def test_reports_progress_after_each_chunk() -> None:
    store = MemoryReplica()
    steps = [(step.passes, step.chunks) for step in seal_replica(SEAL, lambda index: chunk_of(PIECE, index), store)]
    assert steps == [(0, 1), (1, 0), (1, 1), (2, 0)]
    assert is_sealed(SEAL, store.progress)
    assert not is_sealed(SEAL, None)


def test_a_small_piece_is_stored_once_for_several_passes() -> None:
    seal = make_seal(4000, passes=100)
    steps = list(seal_replica(seal, lambda _index: random_bytes(4000), MemoryReplica()))
    assert [step.passes for step in steps] == [65, 100]


def test_is_sealed_in_the_order_of_the_piece_whatever_the_speed() -> None:
    """The first pass reads the piece chunk by chunk, so it can run while the piece still comes in."""
    seal = make_seal(SIZE)
    iterator = seal_replica(seal, lambda index: chunk_of(PIECE, index), store := MemoryReplica())
    next(iterator)
    assert list(store.chunks) == [0]


@pytest.mark.parametrize("wrong", [b"", bytes(100), bytes(CHUNK_BYTES + 1)])
def test_refuses_a_chunk_of_another_length(wrong: bytes) -> None:
    with pytest.raises(StorageUsageError, match="chunk 0 of the piece"):
        list(seal_replica(SEAL, lambda _index: wrong, MemoryReplica()))


def test_proves_sectors_across_chunks(sealed: MemoryReplica) -> None:
    loaded: list[int] = []

    def load(index: int) -> bytes:
        loaded.append(index)
        return sealed.load(index)

    sectors, siblings = sealed.tree.prove((0, 1, 255, 256, 258), load)
    assert sectors[3] == sealed.data[256 * 1024 : 257 * 1024]
    assert len(sectors[4]) == 3008 - 2048
    assert loaded == [0, 1]
    assert len(siblings) == len(set(siblings))


@pytest.mark.parametrize("damaged", [b"", bytes(CHUNK_BYTES), None])
def test_names_the_damaged_chunk_instead_of_proving_it(sealed: MemoryReplica, damaged: bytes | None) -> None:
    chunk = sealed.load(0)[:-1] if damaged is None else damaged
    with pytest.raises(ReplicaCorruptError, match="chunk 0") as caught:
        sealed.tree.prove((3,), lambda _index: chunk)
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (type(copy), copy.chunk, copy.code) == (ReplicaCorruptError, 0, "replica-corrupt")


def test_a_tree_has_one_node_a_chunk(sealed: MemoryReplica) -> None:
    with pytest.raises(ValueError, match="do not make a replica"):
        _ = ReplicaTree(len(sealed.data), [sealed.groups[0]]).root


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 256), (250, 258), (256, 259), (258, 259)])
def test_loads_runs_of_sectors(sealed: MemoryReplica, start: int, stop: int) -> None:
    assert load_sectors(range(start, stop), sealed.load) == sealed.data[start * 1024 : stop * 1024]
