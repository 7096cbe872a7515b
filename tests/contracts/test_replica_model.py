"""Any sequence of operations, failing ones and reopening included, leaves what a plain dictionary says."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consensus.primitives.digest import CHUNK_BYTES, bulk_root, leaf_digest, leaf_digests
from consensus.primitives.integers import ZERO_DIGEST, Digest
from storage import schema
from storage.artifact_manifest import Manifest
from storage.chunking import cut_chunks
from storage.errors import ReplicaChunkError, ReplicaMissingError, ReplicaQuotaError, ReplicaStateError
from storage.lmdb_kv import LmdbStore
from storage.replica_store import ReplicaStore

QUOTA = 6 * CHUNK_BYTES
CONTENTS = [
    bytes([number + 1]) * size for number, size in enumerate([1, CHUNK_BYTES, CHUNK_BYTES + 70, 3 * CHUNK_BYTES])
]
NAMES = st.tuples(st.sampled_from([Digest(bytes([number]) * 32) for number in range(2)]), st.integers(0, 2))
Name = tuple[Digest, int]


def manifest_of(data: bytes) -> Manifest:
    leaves = tuple(leaf_digests(data))
    return Manifest(root=bulk_root(leaves, len(data)), size=len(data), binding=ZERO_DIGEST, leaves=leaves)


def padded_bytes(size: int) -> int:
    return -(-size // 64) * 64


@dataclass
class Kept:
    """One replica as it should be."""

    data: bytes
    passes: int
    chunks: list[bytes] = field(default_factory=list)
    roots: list[bytes] = field(default_factory=list)
    steps: int = 0
    root: bytes | None = None

    @property
    def plain(self) -> list[bytes]:
        return list(cut_chunks(self.data))

    @property
    def is_received(self) -> bool:
        return len(self.chunks) == len(self.plain)

    @property
    def is_through(self) -> bool:
        return self.steps == self.passes * len(self.plain)


class ReplicasAreAsTheModel(RuleBasedStateMachine):
    @initialize()
    def open_store(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="replica-model-"))
        self.model: dict[Name, Kept] = {}
        self.reopen(is_first=True)

    @rule()
    def reopen(self, *, is_first: bool = False) -> None:
        if not is_first:
            self.replicas.close()
        self.store = LmdbStore.open(self.folder, initial_size_bytes=1 << 20)
        self.replicas = ReplicaStore(self.store, quota_bytes=QUOTA)
        assert self.replicas.end_deletions() == 0

    @rule(name=NAMES, data=st.sampled_from(CONTENTS), passes=st.integers(1, 2))
    def begin(self, name: Name, data: bytes, passes: int) -> None:
        known = self.model.get(name)
        used = sum(padded_bytes(len(each.data)) for each in self.model.values())
        expected: type[Exception] | None = None
        if known is not None and (known.data, known.passes) != (data, passes):
            expected = ReplicaStateError
        elif known is None and used + padded_bytes(len(data)) > QUOTA:
            expected = ReplicaQuotaError
        if expected is None:
            self.replicas.begin(*name, manifest_of(data), passes)
            self.model.setdefault(name, Kept(data, passes))
        else:
            with pytest.raises(expected):
                self.replicas.begin(*name, manifest_of(data), passes)

    @rule(name=NAMES, most=st.integers(1, 3))
    def receive(self, name: Name, most: int) -> None:
        known = self.model.get(name)
        if known is None:
            with pytest.raises(ReplicaMissingError):
                self.replicas.put_chunks(*name, [b"x"])
            return
        start = len(known.chunks)
        coming = known.plain[start : start + most]
        self.replicas.put_chunks(*name, coming)
        known.chunks += [chunk.ljust(padded_bytes(len(chunk)), b"\0") for chunk in coming]

    @rule(name=NAMES, index=st.integers(0, 3))
    def receive_another(self, name: Name, index: int) -> None:
        with pytest.raises((ReplicaChunkError, ReplicaMissingError)):
            self.replicas.put_chunk(*name, index, b"not that chunk")

    @rule(name=NAMES)
    def seal_one(self, name: Name) -> None:
        known = self.model.get(name)
        if known is None or not known.is_received or known.is_through:
            with pytest.raises((ReplicaStateError, ReplicaMissingError)):
                self.replicas.store_sealed(*name, 0, bytes(64), passes_done=0, chunks_done=1)
            return
        count = len(known.chunks)
        done, index = divmod(known.steps, count)
        assert self.replicas.load_chunk(*name, index) == known.chunks[index]
        sealed = bytes([known.steps + 7]) * len(known.chunks[index])
        root = leaf_digest(sealed) if done == known.passes - 1 else None
        passes, chunks = divmod(known.steps + 1, count)
        self.replicas.store_sealed(*name, index, sealed, passes_done=passes, chunks_done=chunks, group_root=root)
        known.chunks[index] = sealed
        known.steps += 1
        known.roots += [root] if root else []

    @rule(name=NAMES)
    def finish(self, name: Name) -> None:
        known = self.model.get(name)
        root = leaf_digest(name[0])
        if known is not None and known.is_received and known.is_through:
            self.replicas.finish(*name, root)
            known.root = root
        else:
            with pytest.raises((ReplicaStateError, ReplicaMissingError)):
                self.replicas.finish(*name, root)

    @rule(name=NAMES)
    def delete(self, name: Name) -> None:
        assert self.replicas.delete(*name) == (self.model.pop(name, None) is not None)

    @rule(wanted=st.sets(NAMES))
    def retain(self, wanted: set[Name]) -> None:
        dropped = set(self.model) - wanted
        assert set(self.replicas.retain(wanted)) == dropped
        for name in dropped:
            del self.model[name]

    @rule(name=NAMES)
    def die_while_deleting(self, name: Name) -> None:
        """The mark of the deletion is there, its chunks are still: the next start ends it."""
        if name not in self.model:
            return
        purge = self.replicas._purge
        self.replicas._purge = lambda dropped: None  # type: ignore[method-assign]
        self.replicas.delete(*name)
        self.replicas._purge = purge  # type: ignore[method-assign]
        assert not self.replicas.has(*name)
        assert self.replicas.end_deletions() == 1
        del self.model[name]

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        listed = {(each.deal, each.piece): each for each in self.replicas.list_replicas()}
        assert set(listed) == set(self.model)
        for name, known in self.model.items():
            count = len(known.plain)
            found = listed[name]
            assert (found.received, found.passes_done * count + found.next_chunk) == (len(known.chunks), known.steps)
            assert found.replica == known.root
            assert [self.replicas.load_chunk(*name, index) for index in range(found.received)] == known.chunks
            assert list(self.replicas.load_group_roots(*name)) == known.roots
        assert self.replicas.total_bytes() == sum(padded_bytes(len(each.data)) for each in self.model.values())
        chunks = sum(len(each.chunks) for each in self.model.values())
        roots = sum(len(each.roots) for each in self.model.values())
        assert sum(1 for _ in self.store.scan()) == 2 * len(self.model) + chunks + roots
        assert sum(1 for _ in self.store.scan(schema.DROPPED_REPLICA)) == 0

    def teardown(self) -> None:
        self.replicas.close()
        shutil.rmtree(self.folder)


TestReplicas = ReplicasAreAsTheModel.TestCase
TestReplicas.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
