"""One replica of a store, as sealing wants to see it."""

from typing import TYPE_CHECKING

from consensus.primitives.integers import Digest
from storage.proofs.sealing import SealProgress
from storage.replica_store import ReplicaStore

if TYPE_CHECKING:
    from storage.proofs.sealing import SealingStore


class ReplicaSealing:
    """Implements `proofs.sealing.SealingStore` over a replica that has been received. Raises as `ReplicaStore`."""

    def __init__(self, replicas: ReplicaStore, deal: Digest, piece: int) -> None:
        self._replicas = replicas
        self._deal = deal
        self._piece = piece

    def load_progress(self) -> SealProgress | None:
        replica = self._replicas.load(self._deal, self._piece)
        if not replica.chain:
            return None
        return SealProgress(passes=replica.passes_done, chunks=replica.next_chunk, last=replica.chain)

    def load(self, index: int) -> bytes:
        return self._replicas.load_chunk(self._deal, self._piece, index)

    def load_piece(self, index: int) -> bytes:
        """A chunk of the piece as it came, without padding; only before it is sealed."""
        return self.load(index)[: self._replicas.load(self._deal, self._piece).plain_bytes(index)]

    def store(self, index: int, chunk: bytes, group: Digest | None, progress: SealProgress) -> None:
        self._replicas.store_sealed(
            self._deal,
            self._piece,
            index,
            chunk,
            passes_done=progress.passes,
            chunks_done=progress.chunks,
            group_root=group,
        )


if TYPE_CHECKING:

    def _conforms(store: ReplicaSealing) -> SealingStore:
        return store
