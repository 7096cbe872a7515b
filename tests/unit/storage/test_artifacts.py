from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.primitives.digest import CHUNK_BYTES, bulk_digest, leaf_digest
from consensus.primitives.integers import ZERO_DIGEST
from storage.artifacts import ArtifactStore
from storage.chunking import cut_chunks, groups_of
from storage.errors import ArtifactMissingError, ArtifactQuotaError, ArtifactRootError, StorageFullError
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore
from tests.kit.work import word


def content(chunks: float, salt: int = 0) -> bytes:
    """Bytes of which no two chunks are the same."""
    size = int(chunks * CHUNK_BYTES)
    first = salt * 1_000_000
    numbers = range(first, first + -(-size // CHUNK_BYTES))
    return b"".join(number.to_bytes(8, "big") * (CHUNK_BYTES // 8) for number in numbers)[:size]


class _PlannedError(Exception):
    pass


@pytest.fixture
def artifacts(store: KeyValueStore) -> ArtifactStore:
    return ArtifactStore(store)


SMALL, WHOLE, LARGE = content(0.01), content(2), content(3.5)


@pytest.mark.parametrize("data", [b"", b"x", SMALL, WHOLE, LARGE], ids=["empty", "byte", "small", "whole", "large"])
def test_artifact_comes_back_under_its_bulk_digest(artifacts: ArtifactStore, data: bytes) -> None:
    root = artifacts.put(data, binding=word("layout"))
    assert root == bulk_digest(data, word("layout"))
    assert artifacts.has(root)
    assert artifacts.load_artifact(root) == data
    assert b"".join(artifacts.open_reader(root)) == data
    buffer = bytearray(len(data))
    artifacts.load_into(root, buffer)
    assert buffer == data
    assert artifacts.total_bytes() == len(data)


def test_stream_and_buffer_have_one_root(artifacts: ArtifactStore) -> None:
    pieces = [LARGE[start : start + 70_001] for start in range(0, len(LARGE), 70_001)]
    roots = {artifacts.put(iter(pieces)), artifacts.put(memoryview(LARGE)), artifacts.put(bytearray(LARGE))}
    assert roots == {bulk_digest(LARGE)}
    assert artifacts.total_bytes() == len(LARGE)


def test_artifact_of_many_batches_comes_back(artifacts: ArtifactStore) -> None:
    data = content(70.5)
    root = artifacts.put(data)
    assert artifacts.load_artifact(root) == data
    assert artifacts.delete(root)
    assert artifacts.total_bytes() == 0


def test_chunks_are_read_one_by_one(artifacts: ArtifactStore) -> None:
    root = artifacts.put(LARGE)
    assert artifacts.load_chunk(root, 3) == LARGE[3 * CHUNK_BYTES :]
    for index in (-1, 4):
        with pytest.raises(IndexError):
            artifacts.load_chunk(root, index)


def test_manifest_says_what_the_artifact_is_made_of(artifacts: ArtifactStore) -> None:
    root = artifacts.put(WHOLE)
    manifest = artifacts.load_manifest(root)
    assert (manifest.root, manifest.size, manifest.binding) == (root, len(WHOLE), ZERO_DIGEST)
    assert manifest.leaves == (leaf_digest(WHOLE[:CHUNK_BYTES]), leaf_digest(WHOLE[CHUNK_BYTES:]))


def test_list_shows_complete_artifacts_by_root(artifacts: ArtifactStore) -> None:
    roots = [artifacts.put(data) for data in (SMALL, WHOLE, LARGE)]
    assert [manifest.root for manifest in artifacts.list_artifacts()] == sorted(roots)


def test_absent_artifact_is_said(artifacts: ArtifactStore) -> None:
    root = word("unknown")
    assert not artifacts.has(root)
    assert not artifacts.delete(root)
    for read in (artifacts.load_artifact, artifacts.open_reader, artifacts.load_manifest):
        with pytest.raises(ArtifactMissingError, match=root.hex()):
            read(root)


def test_buffer_of_another_size_is_refused(artifacts: ArtifactStore) -> None:
    root = artifacts.put(SMALL)
    with pytest.raises(ValueError, match=f"{len(SMALL)} bytes"):
        artifacts.load_into(root, bytearray(len(SMALL) + 1))


def test_shared_chunks_are_kept_once_and_as_long_as_needed(artifacts: ArtifactStore) -> None:
    other = WHOLE[:CHUNK_BYTES] + content(1, salt=1)
    first, second = artifacts.put(WHOLE), artifacts.put(other)
    assert artifacts.total_bytes() == 3 * CHUNK_BYTES
    artifacts.delete(first)
    assert artifacts.total_bytes() == 2 * CHUNK_BYTES
    assert artifacts.load_artifact(second) == other
    artifacts.delete(second)
    assert artifacts.total_bytes() == 0


def test_repeated_chunk_in_one_artifact_is_kept_once(artifacts: ArtifactStore) -> None:
    data = bytes(5 * CHUNK_BYTES)
    root = artifacts.put(data)
    assert artifacts.total_bytes() == CHUNK_BYTES
    assert artifacts.load_artifact(root) == data
    artifacts.delete(root)
    assert artifacts.total_bytes() == 0


def test_same_bytes_with_another_meaning_are_another_artifact(artifacts: ArtifactStore) -> None:
    roots = {artifacts.put(WHOLE, binding=word(name)) for name in ("model", "optimizer")}
    assert len(roots) == 2
    artifacts.delete(roots.pop())
    assert artifacts.load_artifact(roots.pop()) == WHOLE


def test_put_again_changes_nothing(artifacts: ArtifactStore, store: KeyValueStore) -> None:
    root = artifacts.put(LARGE)
    before = dict(store.scan())
    assert artifacts.put(LARGE, expected_root=root) == root
    assert dict(store.scan()) == before


def test_other_bytes_than_expected_leave_nothing(artifacts: ArtifactStore, store: KeyValueStore) -> None:
    with pytest.raises(ArtifactRootError) as caught:
        artifacts.put(LARGE, expected_root=bulk_digest(WHOLE))
    assert (caught.value.expected, caught.value.actual) == (bulk_digest(WHOLE), bulk_digest(LARGE))
    assert list(store.scan()) == []


def test_stream_that_fails_leaves_nothing_and_shows_nothing(artifacts: ArtifactStore, store: KeyValueStore) -> None:
    kept = artifacts.put(WHOLE)
    before = dict(store.scan())

    def stream() -> Iterator[bytes]:
        yield WHOLE
        yield content(66, salt=1)
        assert [manifest.root for manifest in artifacts.list_artifacts()] == [kept]
        assert artifacts.total_bytes() > len(WHOLE)
        raise _PlannedError

    with pytest.raises(_PlannedError):
        artifacts.put(stream())
    assert dict(store.scan()) == before


def test_artifact_deleted_while_a_put_shares_its_chunks_loses_none(artifacts: ArtifactStore) -> None:
    root = artifacts.put(content(64))

    def stream() -> Iterator[bytes]:
        yield content(64)
        yield content(1, salt=1)
        artifacts.delete(root)
        yield content(1, salt=2)

    other = artifacts.put(stream())
    assert artifacts.load_artifact(other) == content(64) + content(1, salt=1) + content(1, salt=2)
    assert artifacts.total_bytes() == 66 * CHUNK_BYTES


def test_artifact_deleted_while_it_is_read_is_said(artifacts: ArtifactStore) -> None:
    root = artifacts.put(LARGE)
    reader = artifacts.open_reader(root)
    next(reader)
    artifacts.delete(root)
    with pytest.raises(ArtifactMissingError):
        next(reader)


def test_quota_is_kept_and_shared_chunks_are_free(store: KeyValueStore) -> None:
    artifacts = ArtifactStore(store, quota_bytes=3 * CHUNK_BYTES)
    artifacts.put(WHOLE)
    artifacts.put(WHOLE, binding=word("other"))
    before = dict(store.scan())
    with pytest.raises(ArtifactQuotaError) as caught:
        artifacts.put(content(2, salt=1))
    assert (caught.value.needed_bytes, caught.value.quota_bytes) == (4 * CHUNK_BYTES, 3 * CHUNK_BYTES)
    assert dict(store.scan()) == before
    artifacts.put(content(1, salt=1))
    assert artifacts.total_bytes() == 3 * CHUNK_BYTES


def test_full_store_keeps_nothing_of_what_did_not_fit(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20, max_size_bytes=32 << 20)
    artifacts = ArtifactStore(store)
    kept = artifacts.put(LARGE)
    with pytest.raises(StorageFullError):
        artifacts.put(content(192, salt=1))
    assert artifacts.total_bytes() == len(LARGE)
    assert artifacts.load_artifact(kept) == LARGE
    assert artifacts.load_artifact(artifacts.put(WHOLE)) == WHOLE
    store.close()


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * CHUNK_BYTES), max_size=6))
def test_pieces_of_any_size_make_the_same_chunks(sizes: list[int]) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    whole = b"".join(pieces)
    chunks = list(cut_chunks(pieces))
    assert chunks == list(cut_chunks(whole))
    assert b"".join(chunks) == whole
    assert all(len(chunk) == CHUNK_BYTES for chunk in chunks[:-1])
    assert [chunk for group in groups_of(iter(chunks), 4) for chunk in group] == chunks


SHARED = [bytes([number]) * CHUNK_BYTES for number in range(4)]


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 3), max_size=3)), max_size=10))
def test_store_holds_exactly_the_chunks_of_its_artifacts(steps: list[tuple[bool, list[int]]]) -> None:
    artifacts = ArtifactStore(MemoryStore())
    model: dict[bytes, bytes] = {}
    for is_put, numbers in steps:
        data = b"".join(SHARED[number] for number in numbers)
        if is_put:
            model[artifacts.put(data)] = data
        else:
            assert artifacts.delete(bulk_digest(data)) == (model.pop(bulk_digest(data), None) is not None)
    used = {data[start] for data in model.values() for start in range(0, len(data), CHUNK_BYTES)}
    assert artifacts.total_bytes() == len(used) * CHUNK_BYTES
    assert {root: artifacts.load_artifact(root) for root in model} == model
