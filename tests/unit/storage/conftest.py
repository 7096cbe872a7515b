from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.chain_store import ChainStore
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore
from tests.kit.stored_chain import GENESIS


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueStore]:
    opened = MemoryStore() if request.param == "memory" else LmdbStore.open(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def chain(store: KeyValueStore) -> ChainStore:
    created = ChainStore(store)
    created.create(GENESIS, [(b"t", b"totals")])
    return created
