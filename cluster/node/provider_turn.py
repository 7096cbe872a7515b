"""A storage provider's turns: it asks for its work, answers what is challenged, and goes on with what it is to keep.

Challenges have deadlines, so they are answered before anything else, and nothing else takes more than a moment before
the provider asks again. Whatever goes wrong with one piece leaves the others as they are.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from cluster.node.piece_reader import BATCH_CHUNKS, NoSourceError, PieceReader, PieceSource
from cluster.node.provider import ProviderNode
from cluster.node.storage_work import PieceSources, PieceTask, ProviderWork
from consensus.errors import ConsensusError
from consensus.ledger.entries import ReplicaStatus
from consensus.primitives.integers import Credits, Digest, PublicKey, Sequence
from consensus.records.storage import LeavePiece, OfferStorage, Stake
from storage.artifact_manifest import Manifest
from storage.erasure import ErasureCode
from storage.errors import ReplicaDamagedError, StorageError
from storage.proofs.errors import ReplicaCorruptError
from storage.replica_record import PieceName, ReplicaState

_BUSY_S: Final = 1.0
"""So long it receives or seals before it asks again whether a challenge is open."""
_REOFFER_S: Final = 30.0

_log = logging.getLogger("pouw.provider")


class StorageSite(Protocol):
    """The site as a provider sees it. Every method raises OSError if nobody answers."""

    def work(self, provider: PublicKey, held: int, sealed: tuple[PieceName, ...]) -> ProviderWork:
        """What there is to do for a provider that has sealed so much.

        Waits a little for a block after height `held`, -1 for not at all.
        """
        ...

    def manifest(self, root: Digest) -> Manifest:
        """What a piece is made of. Raises StorageError."""
        ...

    def sources(self, deal: Digest) -> PieceSources:
        """Where the pieces of a deal can be read."""
        ...

    def submit(self, transaction: bytes) -> None:
        """Hand in a transaction. Raises ConsensusError."""
        ...

    def origin(self, root: Digest) -> PieceSource:
        """The supervisor's own copy of a piece."""
        ...

    def holder(self, name: str, deal: Digest, piece: int) -> PieceSource:
        """Another provider's copy of a piece."""
        ...


@dataclass(slots=True, kw_only=True)
class ProviderTurns:
    """What one provider does over and over."""

    node: ProviderNode
    site: StorageSite
    name: str
    """Of its actor."""
    address: str
    """Of its machine."""
    capacity: int
    """Bytes."""
    clock_s: Callable[[], float]
    is_leaving: bool = False
    _is_busy: bool = True
    _height: int = -1
    _offered_s: float = float("-inf")
    _turn: int = 0
    _readers: dict[tuple[Digest, int], PieceReader] = field(default_factory=dict)
    """Of the pieces that it receives now."""
    _leaves: dict[Digest, tuple[Digest, ...]] = field(default_factory=dict)
    """Of the pieces that they are made from."""

    def leave(self) -> None:
        """Give everything away to others, and take nothing more."""
        self.is_leaving = True
        self._offered_s = float("-inf")

    def step(self) -> None:
        """Do what is due. Raises OSError if the supervisor does not answer."""
        self.node.drop_damaged()
        sealed = self.node.sealed_pieces()
        work = self.site.work(self.node.public_key, -1 if self._is_busy else self._height, sealed)
        self._is_busy, self._height = False, work.height
        self.is_leaving |= any(task.leaving for task in work.tasks)  # as it said before it was started again
        self._offer(work)
        self.node.keep_only({(task.deal, task.piece) for task in work.tasks} | set(work.spare))
        for task in work.tasks:
            self._try(task, self._answer)
        for task in work.tasks:
            self._is_busy |= self._try(task, self._tend)
        self._forget(work)

    def _try(self, task: PieceTask, do: Callable[[PieceTask], bool]) -> bool:
        try:
            return do(task)
        except (ReplicaDamagedError, ReplicaCorruptError) as error:
            _log.error("piece %d is dropped: %s", task.piece, error, extra={"deal": task.deal.hex()})
            self.node.drop(task)
        except (StorageError, NoSourceError, ValueError) as error:
            _log.warning("piece %d: %s", task.piece, error, extra={"deal": task.deal.hex()})
        return False

    def _answer(self, task: PieceTask) -> bool:
        if task.challenge is not None:
            self._submit(self.node.prove(task))
        return False

    def _tend(self, task: PieceTask) -> bool:
        """Go on with a piece; whether there is more to do on it at once."""
        if task.status == ReplicaStatus.ASSIGNED.value:
            return self._take(task)
        if self.is_leaving and task.status == ReplicaStatus.ACTIVE.value and not task.leaving:
            self._submit(self.node.sign(LeavePiece(deal=task.deal, piece=task.piece, term=task.term)))
        return False

    def _offer(self, work: ProviderWork) -> None:
        """Stake what it has and offer its room; after a failure, or to leave, offer again."""
        capacity = 0 if self.is_leaving else self.capacity
        is_as_wanted = work.offered_bytes == capacity and not work.suspended
        if is_as_wanted or (capacity != 0 and not (work.balance or work.stake)):
            return
        if self.clock_s() - self._offered_s < _REOFFER_S or (work.offered_bytes is None and not capacity):
            return
        self._offered_s, sequence = self.clock_s(), work.sequence
        if work.balance and capacity:
            self._submit(self.node.sign(Stake(sequence=Sequence(sequence), amount=Credits(work.balance))))
            sequence += 1
        self._submit(self.node.sign(OfferStorage(sequence=Sequence(sequence), node=self.address, capacity=capacity)))

    def _take(self, task: PieceTask) -> bool:
        """Receive a piece, then seal it for a while, then say so."""
        replica = self.node.progress(task)
        if replica is None:
            replica = self.node.begin(task, self.site.manifest(task.root))
        if replica.state is ReplicaState.RECEIVING:
            self.node.receive(task, self._for_a_while(self._chunks(task, replica.received)))
            return True
        if replica.state is ReplicaState.SEALING:
            until_s = self.clock_s() + _BUSY_S
            for _ in self.node.seal(task):
                if self.clock_s() > until_s:
                    return True
        commitment = self.node.commit(task)
        if commitment is not None:
            self._submit(commitment)
        return False

    def _chunks(self, task: PieceTask, received: int) -> Iterator[bytes]:
        """The rest of a piece."""
        sources = self.site.sources(task.deal)
        reader = self._readers.setdefault((task.deal, task.piece), PieceReader())
        self._turn += 1
        others = {
            number: self.site.holder(name, task.deal, number) for number, name in sources.holders if name != self.name
        }
        try:
            if sources.has_origin:
                yield from reader.read_copy([self.site.origin(task.root)], self._leaves_of(task.root), received, 0)
            elif task.data_pieces == 1:
                leaves = self._leaves_of(task.root)
                yield from reader.read_copy(list(others.values()), leaves, received, self._turn)
            else:
                code = ErasureCode.of(task.data_pieces, task.total_pieces)
                known = {number: self._leaves_of(sources.roots[number]) for number in others}
                yield from reader.rebuild_shard(code, task.piece, task.artifact_size, others, known, first=received)
        except NoSourceError:
            reader.failed.clear()  # whoever failed may do better the next time
            raise

    def _for_a_while(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks, until enough time has passed; some come always."""
        until_s = self.clock_s() + _BUSY_S
        for number, chunk in enumerate(chunks, 1):
            yield chunk
            if number % BATCH_CHUNKS == 0 and self.clock_s() > until_s:
                return

    def _leaves_of(self, root: Digest) -> tuple[Digest, ...]:
        if root not in self._leaves:
            self._leaves[root] = self.site.manifest(root).leaves
        return self._leaves[root]

    def _forget(self, work: ProviderWork) -> None:
        """What is needed only while pieces are received."""
        coming = {(task.deal, task.piece) for task in work.tasks if task.status == ReplicaStatus.ASSIGNED.value}
        self._readers = {name: reader for name, reader in self._readers.items() if name in coming}
        if not coming:
            self._leaves.clear()

    def _submit(self, transaction: bytes) -> None:
        try:
            self.site.submit(transaction)
        except ConsensusError as error:
            _log.info("a transaction was not taken: %s", error)
