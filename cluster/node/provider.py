"""A storage provider: receives pieces, seals them, proves that it has them, and hands them out.

It signs what it says and believes nobody: what it receives is held to the piece's root. What it is to keep, the ledger
says; everything else it drops.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from cluster.node.storage_work import PieceTask
from consensus.crypto.keys import Signer
from consensus.crypto.signing import sign
from consensus.ledger.entries import ReplicaStatus
from consensus.params import ConsensusParams
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.storage import CommitReplica, ProveStorage
from consensus.storage.challenge import draw_sectors
from consensus.storage.seal import Opening, Seal
from consensus.storage.sectors import sector_count
from storage.artifact_manifest import Manifest
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import SealProgress, seal_replica, unseal_at
from storage.replica_record import PieceName, Replica, ReplicaState
from storage.replica_sealing import ReplicaSealing
from storage.replica_store import ReplicaStore


class ProviderNode:
    """One provider with its store."""

    def __init__(self, *, key: Signer, chain_id: Digest, params: ConsensusParams, store: ReplicaStore) -> None:
        self._key, self._chain_id, self._params, self._store = key, chain_id, params, store

    @property
    def public_key(self) -> PublicKey:
        """Its account."""
        return self._key.public_key

    def sign(self, message: Record) -> bytes:
        """A transaction of this provider."""
        return encode(sign(self._key, self._chain_id, message))

    # what it keeps

    def keep_only(self, wanted: Collection[PieceName]) -> tuple[PieceName, ...]:
        """Drop what the ledger does not ask this provider to keep any more; returns what was dropped."""
        return self._store.retain(wanted)

    def drop(self, task: PieceTask) -> None:
        """Keep a piece no longer: it is not what was sealed."""
        self._store.delete(task.deal, task.piece)

    def drop_damaged(self) -> tuple[PieceName, ...]:
        """Drop what cannot even be read any more; returns what was dropped."""
        return self._store.drop_damaged()

    def sealed_pieces(self) -> tuple[PieceName, ...]:
        """What it could prove now, whether or not the ledger asks for it."""
        return tuple((each.deal, each.piece) for each in self._store.list_replicas() if each.replica is not None)

    def progress(self, task: PieceTask) -> Replica | None:
        """How far a piece is received and sealed; None before it was begun."""
        return self._store.load(task.deal, task.piece) if self._store.has(task.deal, task.piece) else None

    def begin(self, task: PieceTask, manifest: Manifest) -> Replica:
        """Reserve the room of a piece. Raises as `ReplicaStore.begin`."""
        seal = self._seal(task.deal, task.piece, task.size)
        return self._store.begin(task.deal, task.piece, manifest, seal.passes)

    def receive(self, task: PieceTask, chunks: Iterable[bytes]) -> Replica:
        """Keep the piece's bytes from where receiving stopped. Raises as `ReplicaStore.put_chunks`."""
        return self._store.put_chunks(task.deal, task.piece, chunks)

    def seal(self, task: PieceTask) -> Iterator[SealProgress]:
        """Seal step by step, each of them stored; when the iterator ends the replica has its root."""
        store = ReplicaSealing(self._store, task.deal, task.piece)
        yield from seal_replica(self._seal(task.deal, task.piece, task.size), store.load_piece, store)
        self._store.finish(task.deal, task.piece, self._tree(task.deal, task.piece).root)

    # what it says

    def commit(self, task: PieceTask) -> bytes | None:
        """The transaction that names the replica's root; None while it is not sealed."""
        replica = self.progress(task)
        if replica is None or replica.replica is None:
            return None
        message = CommitReplica(deal=task.deal, piece=task.piece, term=task.term, replica=replica.replica)
        return self.sign(message)

    def prove(self, task: PieceTask) -> bytes:
        """The transaction that answers the open challenge of a piece.

        Raises:
            ReplicaMissingError, ReplicaDamagedError, ReplicaCorruptError: it has not what it should keep.
            ValueError: no challenge is open.
        """
        if task.challenge is None or task.beacon is None or task.status != ReplicaStatus.ACTIVE.value:
            raise ValueError("no challenge is open")
        seal = self._seal(task.deal, task.piece, task.size)
        count, wanted = sector_count(seal.replica_size), self._params.challenge_sectors
        drawn = draw_sectors(task.beacon, task.deal, task.piece, self.public_key, count, wanted)
        sectors, siblings = self._tree(task.deal, task.piece).prove(drawn, self._loader(task.deal, task.piece))
        message = ProveStorage(
            deal=task.deal, piece=task.piece, height=Height(task.challenge), sectors=sectors, siblings=siblings
        )
        return self.sign(message)

    def open_chunks(self, deal: Digest, piece: int, indices: Sequence[int]) -> tuple[Opening, ...]:
        """What shows a supervisor that these chunks are sealed as they must be. Raises as `prove`."""
        seal, load = self._seal_of(deal, piece), self._loader(deal, piece)
        tree = self._tree(deal, piece)
        return tuple(tree.open(seal, index, load) for index in indices)

    # what it hands out

    def load_plain(self, deal: Digest, piece: int, first: int, count: int) -> list[bytes]:
        """Up to `count` chunks of the piece from `first` on, unsealed. Who asks checks them.

        Raises:
            ReplicaMissingError, ReplicaDamagedError, SealError: it has not what it should keep.
        """
        replica = self._store.load(deal, piece)
        if replica.state is not ReplicaState.SEALED:
            raise replica.refuse("it is not ready to be handed out")
        seal, load = self._seal_of(deal, piece), self._loader(deal, piece)
        return [unseal_at(seal, index, load) for index in range(first, min(first + count, seal.chunk_count))]

    def _seal_of(self, deal: Digest, piece: int) -> Seal:
        return self._seal(deal, piece, self._store.load(deal, piece).size)

    def _seal(self, deal: Digest, piece: int, size: int) -> Seal:
        floor = self._params.seal_floor_bytes
        return Seal.for_piece(deal, piece, self.public_key, size=size, floor_bytes=floor)

    def _tree(self, deal: Digest, piece: int) -> ReplicaTree:
        seal = self._seal_of(deal, piece)
        return ReplicaTree(seal.replica_size, self._store.load_group_roots(deal, piece))

    def _loader(self, deal: Digest, piece: int) -> Callable[[int], bytes]:
        return partial(self._store.load_chunk, deal, piece)
