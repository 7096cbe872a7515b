from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import schema
from storage.errors import RecordCorruptError, RecordMissingError
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore
from storage.mempool_store import MempoolStore
from tests.kit.stored_chain import transfer
from tests.kit.work import word

TRANSFERS = [transfer(number) for number in range(12)]


def test_transactions_wait_in_order_of_arrival(store: KeyValueStore) -> None:
    mempool = MempoolStore(store)
    assert mempool.add(TRANSFERS[2])
    assert mempool.add_many([TRANSFERS[0], TRANSFERS[1]]) == [TRANSFERS[0].digest, TRANSFERS[1].digest]
    assert mempool.load_waiting() == [TRANSFERS[2], TRANSFERS[0], TRANSFERS[1]]
    assert mempool.load_waiting(limit=2) == [TRANSFERS[2], TRANSFERS[0]]
    assert mempool.load_waiting(limit=0) == []
    assert mempool.count() == 3


def test_transaction_waits_once(store: KeyValueStore) -> None:
    mempool = MempoolStore(store)
    assert mempool.add_many([TRANSFERS[0], TRANSFERS[0], TRANSFERS[1]]) == [TRANSFERS[0].digest, TRANSFERS[1].digest]
    assert not mempool.add(TRANSFERS[0])
    assert mempool.load_waiting() == TRANSFERS[:2]


def test_waiting_transaction_is_found_by_digest(store: KeyValueStore) -> None:
    mempool = MempoolStore(store)
    mempool.add(TRANSFERS[0])
    assert mempool.has(TRANSFERS[0].digest)
    assert mempool.load(TRANSFERS[0].digest) == TRANSFERS[0]
    assert not mempool.has(word("unknown"))
    with pytest.raises(RecordMissingError):
        mempool.load(word("unknown"))


def test_removed_transactions_are_gone_and_may_come_again(store: KeyValueStore) -> None:
    mempool = MempoolStore(store)
    mempool.add_many(TRANSFERS[:3])
    mempool.remove([TRANSFERS[0].digest, word("unknown")])
    assert mempool.load_waiting() == TRANSFERS[1:3]
    mempool.add(TRANSFERS[0])
    assert mempool.load_waiting() == [TRANSFERS[1], TRANSFERS[2], TRANSFERS[0]]


def test_order_continues_after_reopening(tmp_path: Path) -> None:
    for number in range(3):
        store = LmdbStore.open(tmp_path)
        MempoolStore(store).remove([TRANSFERS[number - 1].digest])
        MempoolStore(store).add(TRANSFERS[number])
        store.close()
    store = LmdbStore.open_read_only(tmp_path)
    assert MempoolStore(store).load_waiting() == [TRANSFERS[2]]
    store.close()


def test_damaged_transaction_is_named(store: KeyValueStore) -> None:
    mempool = MempoolStore(store)
    mempool.add(TRANSFERS[0])
    store.put(schema.waiting_key(0), b"\xa5")
    with pytest.raises(RecordCorruptError, match="waiting transaction"):
        mempool.load_waiting()
    with pytest.raises(RecordCorruptError):
        mempool.load(TRANSFERS[0].digest)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 11), max_size=5)), max_size=12))
def test_mempool_behaves_like_an_ordered_set(steps: list[tuple[bool, list[int]]]) -> None:
    mempool = MempoolStore(MemoryStore())
    model: dict[bytes, int] = {}
    for is_addition, numbers in steps:
        for number in numbers:
            if is_addition:
                model.setdefault(TRANSFERS[number].digest, number)
            else:
                model.pop(TRANSFERS[number].digest, None)
        if is_addition:
            mempool.add_many(TRANSFERS[number] for number in numbers)
        else:
            mempool.remove(TRANSFERS[number].digest for number in numbers)
    assert mempool.load_waiting() == [TRANSFERS[number] for number in model.values()]
    assert mempool.count() == len(model)
