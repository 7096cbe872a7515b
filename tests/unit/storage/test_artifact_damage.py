"""Damaged chunks are named and repaired; what a killed process left is cleared; folders open like any other store."""

import threading
from pathlib import Path

import pytest

from consensus.primitives.digest import CHUNK_BYTES, bulk_digest, leaf_digest
from consensus.primitives.encoding import encode
from storage import schema
from storage.artifact_manifest import Manifest
from storage.artifacts import ArtifactStore
from storage.chunk_counts import stage_hold
from storage.errors import ArtifactCorruptError, ArtifactMissingError, StorageMissingError
from storage.kv import KeyValueStore

CHUNKS = [bytes([number]) * CHUNK_BYTES for number in range(3)]
DATA = b"".join(CHUNKS)
ROOT = bulk_digest(DATA)


def damage_chunk(store: KeyValueStore, index: int, stored: bytes | None) -> None:
    key = schema.chunk_key(leaf_digest(CHUNKS[index]))
    if stored is None:
        store.delete(key)
    else:
        store.put(key, stored)


@pytest.mark.parametrize(
    "stored",
    [None, b"", CHUNKS[1][:-1], CHUNKS[1] + b"\x01", b"\x00" + CHUNKS[1][1:], CHUNKS[2]],
    ids=["gone", "empty", "short", "long", "one byte", "another chunk"],
)
def test_damaged_chunk_is_named_and_put_again_repairs_it(store: KeyValueStore, stored: bytes | None) -> None:
    artifacts = ArtifactStore(store)
    artifacts.put(DATA)
    before = dict(store.scan())
    damage_chunk(store, 1, stored)
    reader = artifacts.open_reader(ROOT)
    assert next(reader) == CHUNKS[0]
    with pytest.raises(ArtifactCorruptError) as caught:
        next(reader)
    assert (caught.value.root, caught.value.chunk) == (ROOT, 1)
    with pytest.raises(ArtifactCorruptError):
        artifacts.load_artifact(ROOT)
    artifacts.put(DATA)
    assert artifacts.load_artifact(ROOT) == DATA
    assert dict(store.scan()) == before


def forged_manifests() -> list[bytes]:
    leaves = tuple(leaf_digest(chunk) for chunk in CHUNKS)
    honest = Manifest(root=ROOT, size=len(DATA), binding=bytes(32), leaves=leaves)
    other = Manifest(root=bulk_digest(CHUNKS[0]), size=CHUNK_BYTES, binding=bytes(32), leaves=leaves[:1])
    swapped = Manifest(root=ROOT, size=len(DATA), binding=bytes(32), leaves=leaves[::-1])
    shorter = Manifest(root=ROOT, size=len(DATA) - 1, binding=bytes(32), leaves=leaves)
    return [b"", encode(honest)[:-1], encode(other), encode(swapped), encode(shorter)]


@pytest.mark.parametrize("stored", forged_manifests(), ids=["empty", "cut", "other", "swapped", "shorter"])
def test_damaged_manifest_is_named_and_put_again_repairs_it(store: KeyValueStore, stored: bytes) -> None:
    artifacts = ArtifactStore(store)
    artifacts.put(DATA)
    before = dict(store.scan())
    store.put(schema.manifest_key(ROOT), stored)
    for read in (artifacts.load_manifest, artifacts.load_artifact, artifacts.delete):
        with pytest.raises(ArtifactCorruptError, match="manifest"):
            read(ROOT)
    with pytest.raises(ArtifactCorruptError, match="manifest"):
        list(artifacts.list_artifacts())
    artifacts.put(DATA)
    assert dict(store.scan()) == before


def test_chunks_of_a_killed_put_are_cleared_when_the_folder_is_opened(tmp_path: Path) -> None:
    artifacts = ArtifactStore.open(tmp_path)
    artifacts.put(CHUNKS[0])
    with artifacts._store.atomic_batch() as batch:  # what a put has written before it is complete
        for chunk in CHUNKS:
            stage_hold(batch, leaf_digest(chunk), chunk)
    assert artifacts.total_bytes() == 3 * CHUNK_BYTES
    artifacts.close()
    artifacts = ArtifactStore.open(tmp_path)
    assert artifacts.total_bytes() == CHUNK_BYTES
    assert artifacts.load_artifact(bulk_digest(CHUNKS[0])) == CHUNKS[0]
    assert artifacts.discard_unfinished() == 0
    artifacts.close()


def test_folder_is_read_without_owning_it(tmp_path: Path) -> None:
    with pytest.raises(StorageMissingError):
        ArtifactStore.open_read_only(tmp_path)
    artifacts = ArtifactStore.open(tmp_path)
    artifacts.put(DATA)
    artifacts.close()
    reader = ArtifactStore.open_read_only(tmp_path)
    assert reader.load_artifact(ROOT) == DATA
    reader.close()


def test_puts_and_deletes_in_threads_leave_exactly_what_is_complete(store: KeyValueStore) -> None:
    artifacts = ArtifactStore(store)
    kept = artifacts.put(DATA)

    def churn(number: int) -> None:
        for turn in range(5):
            root = artifacts.put([CHUNKS[number], CHUNKS[(number + turn) % 3], bytes([number])])
            assert artifacts.load_chunk(root, 0) == CHUNKS[number]
            artifacts.delete(root)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [manifest.root for manifest in artifacts.list_artifacts()] == [kept]
    assert artifacts.load_artifact(kept) == DATA
    assert artifacts.total_bytes() == len(DATA)
    assert list(store.scan(schema.HOLDS)) == []


def test_manifest_that_is_damaged_or_goes_after_it_was_checked_is_noticed(store: KeyValueStore) -> None:
    artifacts = ArtifactStore(store)
    artifacts.put(DATA)
    other = artifacts.put(DATA + b"x")  # shares the chunks, so they stay
    assert artifacts.load_chunk(ROOT, 0) == CHUNKS[0]
    whole = store.get(schema.manifest_key(ROOT)) or b""
    store.put(schema.manifest_key(ROOT), whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtifactCorruptError, match="manifest"):
        artifacts.load_chunk(ROOT, 0)
    store.put(schema.manifest_key(ROOT), whole)
    assert artifacts.load_chunk(ROOT, 0) == CHUNKS[0]
    artifacts.delete(ROOT)
    with pytest.raises(ArtifactMissingError):
        artifacts.load_chunk(ROOT, 0)
    assert artifacts.load_chunk(other, 0) == CHUNKS[0]


def test_manifests_of_many_artifacts_are_read_in_turns(store: KeyValueStore) -> None:
    artifacts = ArtifactStore(store)
    contents = [bytes([number]) * 10 for number in range(20)]
    roots = [artifacts.put(content) for content in contents]
    for _ in range(2):
        assert [artifacts.load_chunk(root, 0) for root in roots] == contents
