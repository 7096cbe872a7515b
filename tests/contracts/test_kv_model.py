"""Any sequence of operations leaves LMDB, the memory backend and a plain dict with the same entries."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore

KEYS = st.binary(min_size=1, max_size=3)
VALUES = st.binary(max_size=4) | st.integers(0, 200_000).map(bytes)
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=6)


class _PlannedError(Exception):
    pass


class BackendsAgree(RuleBasedStateMachine):
    @initialize()
    def open_stores(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kv-model-"))
        self.lmdb = self.open_lmdb()
        self.memory = MemoryStore()
        self.model: dict[bytes, bytes] = {}

    def open_lmdb(self) -> LmdbStore:
        return LmdbStore.open(self.folder, initial_size_bytes=64 * 1024)

    @property
    def stores(self) -> tuple[KeyValueStore, KeyValueStore]:
        return self.lmdb, self.memory

    @rule(key=KEYS, value=VALUES)
    def put(self, key: bytes, value: bytes) -> None:
        self.model[key] = value
        for store in self.stores:
            store.put(key, value)

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.model.pop(key, None)
        for store in self.stores:
            store.delete(key)

    @rule(changes=CHANGES)
    def commit_batch(self, changes: dict[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value
        for store in self.stores:
            self.write(store, changes, lambda: None)

    @rule(changes=CHANGES)
    def abandon_batch(self, changes: dict[bytes, bytes | None]) -> None:
        def fail() -> None:
            raise _PlannedError

        for store in self.stores:
            try:
                self.write(store, changes, fail)
            except _PlannedError:
                continue
            raise AssertionError("the error was swallowed")

    def write(self, store: KeyValueStore, changes: dict[bytes, bytes | None], end: Callable[[], None]) -> None:
        with store.atomic_batch() as batch:
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
                assert batch.get(key) == value
            end()

    @rule()
    def reopen(self) -> None:
        self.lmdb.close()
        self.lmdb = self.open_lmdb()

    @rule(prefix=st.binary(max_size=2))
    def scan(self, prefix: bytes) -> None:
        expected = sorted((key, value) for key, value in self.model.items() if key.startswith(prefix))
        for store in self.stores:
            assert list(store.scan(prefix)) == expected
            with store.snapshot() as reader:
                assert list(reader.scan(prefix)) == expected

    @invariant()
    def entries_are_those_of_the_model(self) -> None:
        for store in self.stores:
            assert dict(store.scan()) == self.model

    def teardown(self) -> None:
        self.lmdb.close()
        shutil.rmtree(self.folder)


TestBackendsAgree = BackendsAgree.TestCase
TestBackendsAgree.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
