"""Pieces and their sealed copies in memory."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from consensus.primitives.digest import CHUNK_BYTES, leaf_digests
from consensus.primitives.integers import Digest, PublicKey
from consensus.storage.seal import Opening, Seal, seal_key
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import SealingStore, SealProgress, seal_replica
from tests.kit.genesis import public_key
from tests.kit.work import word

DEAL = word("deal")
PROVIDER = public_key("provider")


def random_bytes(size: int, seed: int = 0) -> bytes:
    """The same bytes for the same seed."""
    return np.random.default_rng(seed).bytes(size)


def make_seal(size: int, *, passes: int = 1, piece: int = 0, provider: PublicKey = PROVIDER) -> Seal:
    """The seal of a piece of the test deal, with as many passes as wanted."""
    return Seal(size=size, passes=passes, key=seal_key(DEAL, piece, provider))


@dataclass
class MemoryReplica:
    """Implements `SealingStore` over a dictionary, and lets tests damage what is in it."""

    chunks: dict[int, bytes] = field(default_factory=dict)
    groups: dict[int, Digest] = field(default_factory=dict)
    progress: SealProgress | None = None

    @classmethod
    def sealed(cls, seal: Seal, piece: bytes) -> Self:
        store = cls()
        for _ in seal_replica(seal, lambda index: chunk_of(piece, index), store):
            pass
        return store

    def load_progress(self) -> SealProgress | None:
        return self.progress

    def load(self, index: int) -> bytes:
        return self.chunks[index]

    def store(self, index: int, chunk: bytes, group: Digest | None, progress: SealProgress) -> None:
        self.chunks[index] = chunk
        self.progress = progress
        if group is not None:
            self.groups[index] = group

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks[index] for index in sorted(self.chunks))

    @property
    def tree(self) -> ReplicaTree:
        return ReplicaTree(len(self.data), [self.groups[index] for index in sorted(self.groups)])

    def open(self, seal: Seal, index: int) -> Opening:
        return self.tree.open(seal, index, self.load)


def chunk_of(piece: bytes, index: int) -> bytes:
    """One chunk of a piece."""
    return piece[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]


def leaf_of(piece: bytes, index: int) -> Digest:
    """One leaf of a piece's manifest."""
    return leaf_digests(piece)[index]


def _conforms(replica: MemoryReplica) -> SealingStore:
    return replica
