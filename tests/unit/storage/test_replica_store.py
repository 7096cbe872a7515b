"""Replicas are received checked, sealed in place and dropped; whatever does not fit is refused and changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from consensus.primitives.digest import CHUNK_BYTES, bulk_root, leaf_digest, leaf_digests
from consensus.primitives.integers import ZERO_DIGEST, Digest
from storage import schema
from storage.artifact_manifest import Manifest
from storage.errors import (
    RecordCorruptError,
    ReplicaChunkError,
    ReplicaDamagedError,
    ReplicaMissingError,
    ReplicaQuotaError,
    ReplicaStateError,
    StorageFullError,
    StorageUsageError,
)
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore
from storage.replica_record import ReplicaState
from storage.replica_store import ReplicaStore
from tests.kit.work import word

DEAL, OTHER = word("deal"), word("other deal")
DATA = np.random.default_rng(1).bytes(2 * CHUNK_BYTES + 100)


def manifest_of(data: bytes) -> Manifest:
    leaves = tuple(leaf_digests(data))
    return Manifest(root=bulk_root(leaves, len(data)), size=len(data), binding=ZERO_DIGEST, leaves=leaves)


def store_next(replicas: ReplicaStore, deal: Digest, piece: int, sealed: bytes, *, has_root: bool) -> None:
    replica = replicas.load(deal, piece)
    index = replica.next_chunk
    passes, chunks = divmod(replica.passes_done * replica.chunk_count + index + 1, replica.chunk_count)
    root = leaf_digest(sealed) if has_root else None
    replicas.store_sealed(deal, piece, index, sealed, passes_done=passes, chunks_done=chunks, group_root=root)


def seal(replicas: ReplicaStore, deal: Digest, piece: int) -> None:
    """Turns every bit in every pass: enough to see what was replaced."""
    while (replica := replicas.load(deal, piece)).passes_done < replica.passes:
        chunk = replicas.load_chunk(deal, piece, replica.next_chunk)
        sealed = bytes(255 - byte for byte in chunk)
        store_next(replicas, deal, piece, sealed, has_root=replica.passes_done == replica.passes - 1)


@pytest.fixture
def replicas(store: KeyValueStore) -> ReplicaStore:
    return ReplicaStore(store)


def begun(replicas: ReplicaStore, data: bytes = DATA, passes: int = 1) -> ReplicaStore:
    replicas.begin(DEAL, 0, manifest_of(data), passes)
    return replicas


def test_replica_goes_from_receiving_to_sealed(replicas: ReplicaStore) -> None:
    fresh = replicas.begin(DEAL, 3, manifest_of(DATA), 3)
    assert (fresh.state, fresh.stored_bytes, fresh.chunk_count) == (ReplicaState.RECEIVING, len(DATA) + 28, 3)
    assert replicas.put_chunks(DEAL, 3, [DATA[:1000], DATA[1000:]]).state is ReplicaState.SEALING
    assert b"".join(replicas.load_chunk(DEAL, 3, index) for index in range(3)) == DATA + bytes(28)
    seal(replicas, DEAL, 3)
    done = replicas.finish(DEAL, 3, word("replica"))
    assert (done.state, done.replica, done.passes_done) == (ReplicaState.SEALED, word("replica"), 3)
    kept = [replicas.load_chunk(DEAL, 3, index) for index in range(3)]
    assert b"".join(kept) == bytes(255 - byte for byte in DATA + bytes(28))
    assert replicas.load_group_roots(DEAL, 3) == tuple(map(leaf_digest, kept))
    assert replicas.load_manifest(DEAL, 3) == manifest_of(DATA)
    assert done.chain == kept[-1][-64:]
    assert list(replicas.list_replicas()) == [done]


def test_group_roots_come_only_in_the_last_pass(replicas: ReplicaStore) -> None:
    begun(replicas, passes=2).put_chunks(DEAL, 0, [DATA])
    with pytest.raises(ReplicaStateError, match="group roots"):
        store_next(replicas, DEAL, 0, bytes(CHUNK_BYTES), has_root=True)
    for size in (CHUNK_BYTES, CHUNK_BYTES, 128):
        store_next(replicas, DEAL, 0, bytes(size), has_root=False)
    with pytest.raises(ReplicaStateError, match="group roots"):
        store_next(replicas, DEAL, 0, bytes(CHUNK_BYTES), has_root=False)
    assert replicas.load(DEAL, 0).passes_done == 1
    assert replicas.load_group_roots(DEAL, 0) == ()


@pytest.mark.parametrize(
    ("index", "size", "progress"),
    [
        (1, CHUNK_BYTES, (0, 2)),
        (-1, 128, (0, 1)),
        (0, CHUNK_BYTES - 1, (0, 1)),
        (0, CHUNK_BYTES, (0, 0)),
        (0, CHUNK_BYTES, (0, 2)),
        (0, CHUNK_BYTES, (0, 3)),
        (0, CHUNK_BYTES, (1, 0)),
        (0, CHUNK_BYTES, (1, -2)),
    ],
)
def test_only_the_next_step_is_stored(
    replicas: ReplicaStore, store: KeyValueStore, index: int, size: int, progress: tuple[int, int]
) -> None:
    begun(replicas).put_chunks(DEAL, 0, [DATA])
    before = dict(store.scan())
    passes, chunks = progress
    root = word("group")
    with pytest.raises(ReplicaStateError):
        replicas.store_sealed(DEAL, 0, index, bytes(size), passes_done=passes, chunks_done=chunks, group_root=root)
    assert dict(store.scan()) == before


def test_a_single_chunk_may_take_several_passes_at_once(replicas: ReplicaStore) -> None:
    begun(replicas, b"small", passes=10).put_chunks(DEAL, 0, [b"small"])
    with pytest.raises(ReplicaStateError, match="do not follow"):
        replicas.store_sealed(DEAL, 0, 0, bytes(64), passes_done=11, chunks_done=0, group_root=word("group"))
    assert replicas.store_sealed(DEAL, 0, 0, bytes(64), passes_done=7, chunks_done=0).passes_done == 7
    replicas.store_sealed(DEAL, 0, 0, bytes(64), passes_done=10, chunks_done=0, group_root=word("group"))
    assert replicas.finish(DEAL, 0, word("replica")).state is ReplicaState.SEALED


def test_nothing_is_sealed_before_all_has_come_or_after_the_end(replicas: ReplicaStore) -> None:
    begun(replicas).put_chunk(DEAL, 0, 0, DATA[:CHUNK_BYTES])
    with pytest.raises(ReplicaStateError, match="nothing is to be sealed"):
        store_next(replicas, DEAL, 0, bytes(CHUNK_BYTES), has_root=True)
    with pytest.raises(ReplicaStateError, match="0 of 1 passes are done"):
        replicas.finish(DEAL, 0, word("too early"))
    replicas.put_chunks(DEAL, 0, [DATA[CHUNK_BYTES:]])
    seal(replicas, DEAL, 0)
    with pytest.raises(ReplicaStateError, match="nothing is to be sealed"):
        store_next(replicas, DEAL, 0, bytes(CHUNK_BYTES), has_root=True)
    replicas.finish(DEAL, 0, word("replica"))
    with pytest.raises(ReplicaStateError, match="another root"):
        replicas.finish(DEAL, 0, word("another"))
    assert replicas.finish(DEAL, 0, word("replica")).state is ReplicaState.SEALED


def test_begin_again_goes_on_and_another_artifact_is_refused(replicas: ReplicaStore, store: KeyValueStore) -> None:
    begun(replicas).put_chunk(DEAL, 0, 0, DATA[:CHUNK_BYTES])
    assert replicas.begin(DEAL, 0, manifest_of(DATA), 1).received == 1
    before = dict(store.scan())
    for manifest, passes in [(manifest_of(DATA[1:]), 1), (manifest_of(DATA), 2)]:
        with pytest.raises(ReplicaStateError, match="delete it first"):
            replicas.begin(DEAL, 0, manifest, passes)
    assert dict(store.scan()) == before


@pytest.mark.parametrize("passes", [0, -1, 1025])
def test_impossible_passes_are_refused(replicas: ReplicaStore, store: KeyValueStore, passes: int) -> None:
    with pytest.raises(ReplicaStateError, match="passes"):
        begun(replicas, passes=passes)
    assert list(store.scan()) == []


def test_manifest_that_lies_is_refused(replicas: ReplicaStore, store: KeyValueStore) -> None:
    good = manifest_of(DATA)
    fewer = good.leaves[:-1]
    lies = [
        Manifest(root=word("unknown"), size=good.size, binding=good.binding, leaves=good.leaves),
        Manifest(root=good.root, size=good.size - 1, binding=good.binding, leaves=good.leaves),
        Manifest(root=bulk_root(fewer, good.size), size=good.size, binding=good.binding, leaves=fewer),
        manifest_of(b""),
    ]
    for manifest in lies:
        with pytest.raises(ReplicaStateError):
            replicas.begin(DEAL, 0, manifest, 1)
    assert list(store.scan()) == []


def test_chunk_that_is_not_the_artifacts_is_refused(replicas: ReplicaStore, store: KeyValueStore) -> None:
    begun(replicas).put_chunk(DEAL, 0, 0, DATA[:CHUNK_BYTES])
    before = dict(store.scan())
    flipped = bytes([DATA[CHUNK_BYTES] ^ 1]) + DATA[CHUNK_BYTES + 1 :]
    for index, chunk in [(1, DATA[:CHUNK_BYTES]), (1, b""), (3, b"x"), (-1, DATA[-100:])]:
        if chunk:
            with pytest.raises(ReplicaChunkError) as caught:
                replicas.put_chunk(DEAL, 0, index, chunk)
            assert caught.value.chunk == index
    with pytest.raises(ReplicaChunkError):
        replicas.put_chunks(DEAL, 0, [flipped])
    with pytest.raises(ReplicaChunkError):
        replicas.put_chunks(DEAL, 0, [DATA[CHUNK_BYTES:], b"more"])
    with pytest.raises(ReplicaStateError, match="has to wait for chunk 1"):
        replicas.put_chunk(DEAL, 0, 2, DATA[2 * CHUNK_BYTES :])
    assert dict(store.scan()) == before


def test_chunks_stop_being_plain_when_they_are_sealed(replicas: ReplicaStore) -> None:
    begun(replicas).put_chunks(DEAL, 0, [DATA])
    store_next(replicas, DEAL, 0, bytes(CHUNK_BYTES), has_root=True)
    replicas.put_chunks(DEAL, 0, [DATA[CHUNK_BYTES:]], first=1)
    with pytest.raises(ReplicaStateError, match="sealed already"):
        replicas.put_chunk(DEAL, 0, 0, DATA[:CHUNK_BYTES])


def test_damaged_chunk_is_found_and_a_plain_one_mended(replicas: ReplicaStore, store: KeyValueStore) -> None:
    begun(replicas).put_chunks(DEAL, 0, [DATA])
    key = next(key for key, _ in store.scan(schema.REPLICA_CHUNK))
    whole = store.get(key)
    assert whole is not None
    for damaged in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], whole[:-1] + bytes([whole[-1] ^ 1]), b"x"):
        store.put(key, damaged)
        with pytest.raises(ReplicaDamagedError, match="chunk 0") as caught:
            replicas.load_chunk(DEAL, 0, 0)
        assert caught.value.chunk == 0
    store.delete(key)
    with pytest.raises(ReplicaDamagedError):
        replicas.load_chunk(DEAL, 0, 0)
    replicas.put_chunk(DEAL, 0, 0, DATA[:CHUNK_BYTES])
    assert replicas.load_chunk(DEAL, 0, 0) == DATA[:CHUNK_BYTES]


def test_damaged_manifest_is_said(store: KeyValueStore) -> None:
    begun(ReplicaStore(store))
    key = next(key for key, _ in store.scan(schema.REPLICA_MANIFEST))
    for damaged in (b"", (store.get(key) or b"")[:-1]):
        store.put(key, damaged)
        with pytest.raises(ReplicaDamagedError, match="manifest"):
            ReplicaStore(store).put_chunks(DEAL, 0, [DATA])


def test_what_is_not_here_is_said(replicas: ReplicaStore) -> None:
    for call in (
        lambda: replicas.load(DEAL, 0),
        lambda: replicas.load_manifest(DEAL, 0),
        lambda: replicas.load_chunk(DEAL, 0, 0),
        lambda: replicas.load_group_roots(DEAL, 0),
        lambda: replicas.put_chunks(DEAL, 0, [DATA]),
        lambda: replicas.store_sealed(DEAL, 0, 0, b"", passes_done=0, chunks_done=1),
        lambda: replicas.finish(DEAL, 0, word("replica")),
    ):
        with pytest.raises(ReplicaMissingError, match=DEAL.hex()):
            call()
    assert not replicas.has(DEAL, 0)
    assert not replicas.delete(DEAL, 0)
    begun(replicas)
    for index in (0, -1, 3):
        with pytest.raises(ReplicaMissingError, match=f"no chunk {index}"):
            replicas.load_chunk(DEAL, 0, index)


@pytest.mark.parametrize(
    ("deal", "piece"),
    [(b"", 0), (DEAL[:-1], 0), (DEAL + b"/", 0), (b"../" * 11, 0), (DEAL, -1), (DEAL, 1 << 32)],
)
def test_names_of_another_shape_are_refused(
    replicas: ReplicaStore, store: KeyValueStore, deal: Digest, piece: int
) -> None:
    for call in (
        lambda: replicas.begin(deal, piece, manifest_of(DATA), 1),
        lambda: replicas.put_chunks(deal, piece, [DATA]),
        lambda: replicas.load_chunk(deal, piece, 0),
        lambda: replicas.delete(deal, piece),
    ):
        with pytest.raises(StorageUsageError, match="32 bytes"):
            call()
    assert list(store.scan()) == []


def test_quota_is_reserved_at_the_begin(store: KeyValueStore) -> None:
    size = manifest_of(DATA).size + 28
    replicas = ReplicaStore(store, quota_bytes=2 * size)
    begun(replicas)
    replicas.begin(OTHER, 0, manifest_of(DATA), 1)
    assert (replicas.total_bytes(), replicas.free_bytes()) == (2 * size, 0)
    before = dict(store.scan())
    with pytest.raises(ReplicaQuotaError) as caught:
        replicas.begin(OTHER, 1, manifest_of(b"x"), 1)
    assert (caught.value.needed_bytes, caught.value.quota_bytes) == (2 * size + 64, 2 * size)
    assert dict(store.scan()) == before
    replicas.delete(DEAL, 0)
    replicas.begin(OTHER, 1, manifest_of(b"x"), 1)


def test_deleted_replica_leaves_nothing(replicas: ReplicaStore, store: KeyValueStore) -> None:
    begun(replicas).put_chunks(DEAL, 0, [DATA])
    seal(replicas, DEAL, 0)
    assert replicas.delete(DEAL, 0)
    assert list(store.scan()) == []


def test_retain_drops_what_is_not_wanted(replicas: ReplicaStore) -> None:
    for deal in (DEAL, OTHER):
        for piece in (0, 1):
            replicas.begin(deal, piece, manifest_of(DATA), 1)
            replicas.put_chunks(deal, piece, [DATA])
    assert sorted(replicas.retain({(DEAL, 1), (OTHER, 0), (word("elsewhere"), 7)})) == sorted([(DEAL, 0), (OTHER, 1)])
    assert {(each.deal, each.piece) for each in replicas.list_replicas()} == {(DEAL, 1), (OTHER, 0)}
    assert replicas.load_chunk(DEAL, 1, 2) == DATA[2 * CHUNK_BYTES :] + bytes(28)
    assert replicas.retain({(DEAL, 1), (OTHER, 0)}) == ()


def test_full_disk_keeps_the_acknowledged_and_nothing_of_the_rest(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20, max_size_bytes=16 << 20)
    replicas = ReplicaStore(store)
    data = np.random.default_rng(2).bytes(80 * CHUNK_BYTES)
    begun(replicas, data)
    with pytest.raises(StorageFullError):
        replicas.put_chunks(DEAL, 0, [data])
    received = replicas.load(DEAL, 0).received
    assert 0 < received < 80
    kept = b"".join(replicas.load_chunk(DEAL, 0, index) for index in range(received))
    assert kept == data[: received * CHUNK_BYTES]
    assert sum(1 for _ in store.scan(schema.REPLICA_CHUNK)) == received
    replicas.delete(DEAL, 0)
    begun(replicas).put_chunks(DEAL, 0, [DATA])
    store.close()


def test_reopened_store_goes_on(tmp_path: Path) -> None:
    replicas = begun(ReplicaStore.open(tmp_path / "replicas"))
    replicas.put_chunks(DEAL, 0, [DATA[:CHUNK_BYTES]])
    replicas.close()
    again = ReplicaStore.open(tmp_path / "replicas")
    assert again.put_chunks(DEAL, 0, [DATA[CHUNK_BYTES:]]).state is ReplicaState.SEALING
    again.close()


def test_piece_begun_again_while_its_old_replica_is_being_dropped(
    replicas: ReplicaStore, store: KeyValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(replicas).put_chunks(DEAL, 0, [DATA])
    with monkeypatch.context() as killed:
        killed.setattr(replicas, "_purge", lambda dropped: None)
        replicas.delete(DEAL, 0)
    assert not replicas.has(DEAL, 0)
    assert replicas.total_bytes() == len(DATA) + 28
    assert begun(replicas).load(DEAL, 0).received == 0
    assert [key for key, _ in store.scan(schema.REPLICA_CHUNK)] == []
    assert ReplicaStore(store).end_deletions() == 0


def test_a_replica_whose_record_is_damaged_is_dropped_whole_and_alone() -> None:
    memory = MemoryStore()
    replicas = ReplicaStore(memory)
    for number in range(2):
        replicas.begin(DEAL, number, manifest_of(DATA), 1)
        replicas.put_chunks(DEAL, number, [DATA])
    key = next(key for key, _ in memory.scan(schema.REPLICA))
    memory.put(key, b"damage")
    with pytest.raises(RecordCorruptError):
        list(replicas.list_replicas())
    assert replicas.drop_damaged() == ((DEAL, 0),)
    assert [each.piece for each in replicas.list_replicas()] == [1]
    assert not [key for key, _ in memory.scan(b"") if DEAL + schema.number_bytes(0) in key]
    assert replicas.load_chunk(DEAL, 1, 0)
