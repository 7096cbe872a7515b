"""What every backend promises, in executable form."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.errors import StorageClosedError, StorageUsageError
from storage.kv import MAX_KEY_BYTES, KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore

BACKENDS: dict[str, Callable[[Path], KeyValueStore]] = {
    "memory": lambda _: MemoryStore(),
    "lmdb": lambda path: LmdbStore.open(path / "store", initial_size_bytes=1 << 20),
}


class _PlannedError(Exception):
    pass


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueStore]:
    opened = BACKENDS[request.param](tmp_path)
    yield opened
    opened.close()


def test_get_returns_what_was_put(store: KeyValueStore) -> None:
    store.put(b"key", b"value")
    assert store.get(b"key") == b"value"


def test_get_of_absent_key_is_none(store: KeyValueStore) -> None:
    assert store.get(b"key") is None


def test_put_replaces(store: KeyValueStore) -> None:
    store.put(b"key", b"old")
    store.put(b"key", b"new")
    assert list(store.scan()) == [(b"key", b"new")]


def test_empty_value_is_not_absent(store: KeyValueStore) -> None:
    store.put(b"key", b"")
    assert store.get(b"key") == b""


def test_delete_removes_and_forgives_absence(store: KeyValueStore) -> None:
    store.put(b"key", b"value")
    store.delete(b"key")
    store.delete(b"key")
    assert store.get(b"key") is None
    assert list(store.scan()) == []


def test_scan_is_in_key_order_within_prefix(store: KeyValueStore) -> None:
    for key in (b"b/2", b"a/9", b"b/10", b"b", b"c/1", b"b/\xff\xff", b"b0"):
        store.put(key, key)
    assert [key for key, _ in store.scan(b"b/")] == [b"b/10", b"b/2", b"b/\xff\xff"]


def test_scan_of_everything_and_of_nothing(store: KeyValueStore) -> None:
    store.put(b"\x00", b"first")
    store.put(b"\xff" * MAX_KEY_BYTES, b"last")
    assert [value for _, value in store.scan()] == [b"first", b"last"]
    assert list(store.scan(b"missing")) == []


def test_scan_reaches_past_one_page(store: KeyValueStore) -> None:
    keys = [b"k%04d" % number for number in range(1000)]
    with store.atomic_batch() as batch:
        for key in keys:
            batch.put(key, b"")
    assert [key for key, _ in store.scan(b"k")] == keys


def test_store_may_be_written_while_a_scan_is_consumed(store: KeyValueStore) -> None:
    with store.atomic_batch() as batch:
        for number in range(600):
            batch.put(b"k%04d" % number, b"")
    for key, _ in store.scan(b"k"):
        store.delete(key)
    assert list(store.scan()) == []


def test_batch_lands_completely(store: KeyValueStore) -> None:
    store.put(b"old", b"1")
    with store.atomic_batch() as batch:
        batch.put(b"new", b"2")
        batch.delete(b"old")
    assert list(store.scan()) == [(b"new", b"2")]


def test_batch_that_raises_leaves_no_trace(store: KeyValueStore) -> None:
    store.put(b"old", b"1")
    with pytest.raises(_PlannedError), store.atomic_batch() as batch:  # noqa: PT012  # the block is what is tested
        batch.put(b"new", b"2")
        batch.delete(b"old")
        raise _PlannedError
    assert list(store.scan()) == [(b"old", b"1")]


def test_batch_sees_its_own_changes_and_nobody_else_does(store: KeyValueStore) -> None:
    store.put(b"old", b"1")
    with store.atomic_batch() as batch:
        batch.put(b"new", b"2")
        batch.delete(b"old")
        assert (batch.get(b"new"), batch.get(b"old"), batch.get(b"other")) == (b"2", None, None)
        assert (store.get(b"new"), store.get(b"old")) == (None, b"1")
    assert store.get(b"new") == b"2"


def test_last_change_of_a_key_in_a_batch_counts(store: KeyValueStore) -> None:
    with store.atomic_batch() as batch:
        batch.put(b"key", b"1")
        batch.delete(b"key")
        batch.put(b"key", b"2")
    assert store.get(b"key") == b"2"


def test_batch_refuses_to_nest(store: KeyValueStore) -> None:
    with store.atomic_batch(), pytest.raises(StorageUsageError), store.atomic_batch():
        pytest.fail("nested batch was allowed")


def test_write_past_the_batch_of_this_thread_is_refused(store: KeyValueStore) -> None:
    with store.atomic_batch() as batch:
        batch.put(b"key", b"batch")
        with pytest.raises(StorageUsageError):
            store.put(b"key", b"past")
    assert store.get(b"key") == b"batch"


def test_finished_batch_refuses_use(store: KeyValueStore) -> None:
    with store.atomic_batch() as batch:
        pass
    with pytest.raises(StorageUsageError):
        batch.put(b"key", b"late")
    assert store.get(b"key") is None


def test_batch_after_a_failed_one_works(store: KeyValueStore) -> None:
    with pytest.raises(_PlannedError), store.atomic_batch():
        raise _PlannedError
    store.put(b"key", b"value")
    assert store.get(b"key") == b"value"


@pytest.mark.parametrize("key", [b"", b"k" * (MAX_KEY_BYTES + 1)])
def test_key_out_of_bounds_is_refused(store: KeyValueStore, key: bytes) -> None:
    with pytest.raises(StorageUsageError):
        store.put(key, b"value")
    with pytest.raises(StorageUsageError):
        store.get(key)
    with store.snapshot() as reader, pytest.raises(StorageUsageError):
        reader.get(key)


def test_snapshot_keeps_one_state(store: KeyValueStore) -> None:
    store.put(b"key", b"old")
    with store.snapshot() as reader:
        store.put(b"key", b"new")
        store.put(b"other", b"new")
        assert reader.get(b"key") == b"old"
        assert list(reader.scan()) == [(b"key", b"old")]
        assert store.get(b"key") == b"new"


def test_ended_snapshot_refuses_use(store: KeyValueStore) -> None:
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    with store.snapshot() as reader:
        entries = reader.scan()
        next(entries)
    with pytest.raises(StorageUsageError):
        reader.get(b"a")
    with pytest.raises(StorageUsageError):
        next(entries)


def test_closed_store_refuses_use(store: KeyValueStore) -> None:
    store.put(b"key", b"value")
    store.close()
    store.close()
    with pytest.raises(StorageClosedError):
        store.get(b"key")
    with pytest.raises(StorageClosedError):
        list(store.scan())
    with pytest.raises(StorageClosedError):
        store.put(b"key", b"late")
    with pytest.raises(StorageClosedError), store.snapshot():
        pytest.fail("snapshot of a closed store")


def test_writers_in_threads_take_turns_and_readers_see_whole_batches(store: KeyValueStore) -> None:
    def count_up(rounds: int = 100) -> None:
        for _ in range(rounds):
            with store.atomic_batch() as batch:
                number = int(batch.get(b"left") or b"0") + 1
                batch.put(b"left", b"%d" % number)
                batch.put(b"right", b"%d" % number)

    torn: list[tuple[bytes | None, bytes | None]] = []
    writers = [threading.Thread(target=count_up) for _ in range(3)]

    def watch() -> None:
        while any(writer.is_alive() for writer in writers):
            time.sleep(0.0002)
            with store.snapshot() as reader:
                pair = (reader.get(b"left"), reader.get(b"right"))
            if pair[0] != pair[1]:
                torn.append(pair)

    for writer in writers:
        writer.start()
    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for thread in watchers:
        thread.start()
    for thread in (*writers, *watchers):
        thread.join()
    assert torn == []
    assert store.get(b"left") == b"300"
