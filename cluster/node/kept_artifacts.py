"""The site's own bytes of what deals are about: pieces are made here once, and read here until providers have them."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from cluster.node.node_stores import NodeStores
from cluster.node.supervisor import SupervisorNode
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.primitives.digest import sha256
from consensus.primitives.integers import Credits, Digest, PublicKey
from consensus.records.storage import DealId, KeepWeights, PieceRoot
from consensus.records.transactions import JobId, Transfer
from storage.artifact_manifest import Manifest
from storage.artifacts import ArtifactStore
from storage.erasure import ErasureCode
from storage.errors import ArtifactCorruptError, StorageError

_SHARD: Final = sha256("pouw/shard/1")
"""What a shard's root is bound to: it is never the root of anything that was uploaded, though it has the same bytes."""
_RESERVED_S: Final = 3_600.0
"""How long shards are kept that were made for a deal which nobody opens."""

_log = logging.getLogger("pouw.supervisor")


@dataclass(slots=True, kw_only=True)
class KeptArtifacts:
    """Makes the pieces of deals, and opens those about finished weights."""

    node: SupervisorNode
    stores: NodeStores
    artifacts: ArtifactStore
    clock_s: Callable[[], float]
    """A clock that only runs forward."""
    is_withheld: Callable[[Digest], bool]
    """Whether an artifact must not leave the site yet."""
    _ready: dict[JobId, tuple[Manifest, tuple[Manifest, ...]]] = field(default_factory=dict)
    _failed: set[JobId] = field(default_factory=set)
    _damaged: set[Digest] = field(default_factory=set)
    _shards: set[Digest] = field(init=False)
    """Those that are here."""
    _reserved_s: dict[Digest, float] = field(default_factory=dict)
    """When shards were made that no deal names yet."""
    _making: threading.Lock = field(default_factory=threading.Lock)
    """Held while shards are made: until all are, none of them is deleted."""

    def __post_init__(self) -> None:
        self._shards = set(self.artifacts.list_bound_to(_SHARD))

    def sponsor(self, provider: PublicKey, amount: Credits) -> None:
        """Give a provider of this site what it needs to stake, if it has nothing and never offered storage."""
        state, own = self.node.pool.state, self.node.public_key
        account, sponsor = state.account(provider), state.account(own)
        if account.balance or account.stake or account.sequence or provider in state.providers:
            return
        if amount and sponsor.balance >= amount:
            self.node.try_own(Transfer(sequence=sponsor.sequence, recipient=provider, amount=amount))

    @property
    def has_work(self) -> bool:
        """Whether some deal is to be opened."""
        return any(job not in self._failed for job, _ in self._due())

    def prepare_pieces(self) -> None:
        """Make the pieces of weights whose deal is to be opened. Takes as long as reading them for every shard."""
        for job, account in self._due():
            if job in self._ready or job in self._failed or account.state is None or account.storage is None:
                continue
            try:
                terms = account.storage
                whole, pieces = self.make_pieces(account.state, terms.data_pieces, terms.total_pieces)
            except StorageError:
                _log.exception("the pieces of a job's weights cannot be made", extra={"job": job.hex()})
                self._failed.add(job)
                continue
            for manifest in {whole.root: whole, **{piece.root: piece for piece in pieces}}.values():
                self.stores.deals.put_manifest(manifest)
            self._ready[job] = whole, pieces

    def make_pieces(self, root: Digest, data_pieces: int, total_pieces: int) -> tuple[Manifest, tuple[Manifest, ...]]:
        """An artifact that is here, and the pieces of a deal about it: itself so often, or shards that are made now.

        Shards stay until providers keep them, or for an hour if nobody opens the deal.

        Raises:
            StorageError: the artifact is missing or damaged, or there is no room for its shards.
        """
        whole = self.artifacts.load_manifest(root)
        if data_pieces == 1:
            return whole, (whole,) * total_pieces
        code = ErasureCode.of(data_pieces, total_pieces)
        with self._making:
            return whole, tuple(self._make_shard(code, root, shard) for shard in range(total_pieces))

    def _make_shard(self, code: ErasureCode, root: Digest, shard: int) -> Manifest:
        made = self.artifacts.put(code.encode_shard(self.artifacts.open_reader(root), shard), binding=_SHARD)
        self._shards.add(made)
        self._reserved_s[made] = self.clock_s()
        return self.artifacts.load_manifest(made)

    def open_deals(self) -> None:
        """Open the deals whose pieces are there."""
        for job, account in self._due():
            if account.state is not None and job in self._ready:
                whole, manifests = self._ready.pop(job)
                pieces = tuple(PieceRoot(root=piece.root, size=piece.size) for piece in manifests)
                self.node.try_own(KeepWeights(job=job, size=whole.size, binding=whole.binding, pieces=pieces))

    def adopt_deals(self) -> None:
        """Know what the pieces of clients' own deals are made of, as far as they are about artifacts that are here."""
        deals = self.stores.deals
        for deal in self.node.pool.state.deals.values():
            for root in {piece.root for piece in deal.pieces} if deal.is_open else ():
                if root in self._damaged or deals.has_manifest(root) or not self.artifacts.has(root):
                    continue
                if not self.is_withheld(root):
                    with self._noting_damage(root):
                        deals.put_manifest(self.artifacts.load_manifest(root))

    def drop_placed_shards(self, was_placed: Callable[[DealId], bool]) -> None:
        """Shards that providers keep are not needed here any more, nor are those of deals that are over or never came.

        Only shards that were made here: a client's own deal may name anything, such as the weights of others.
        """
        if not self._making.acquire(blocking=False):
            return
        try:
            for root in self._unneeded_shards(was_placed):
                with self._noting_damage(root):
                    self.artifacts.delete(root)
                    self._shards.discard(root)
                    self._reserved_s.pop(root, None)
        finally:
            self._making.release()

    def _unneeded_shards(self, was_placed: Callable[[DealId], bool]) -> list[Digest]:
        if not self._shards:
            return []
        deals = self.node.pool.state.deals.items()
        waiting = [deal for key, deal in deals if deal.is_open and not was_placed(key)]
        wanted = {piece.root for deal in waiting for piece in deal.pieces}
        for root in wanted:
            self._reserved_s.pop(root, None)
        wanted.update(piece.root for _, pieces in self._ready.values() for piece in pieces)
        return [root for root in self._shards - wanted - self._damaged if not self._is_reserved(root)]

    def _is_reserved(self, shard: Digest) -> bool:
        return self.clock_s() - self._reserved_s.get(shard, float("-inf")) < _RESERVED_S

    @contextmanager
    def _noting_damage(self, root: Digest) -> Iterator[None]:
        """A damaged artifact is left alone: nothing else has to wait for it."""
        try:
            yield
        except ArtifactCorruptError as error:
            self._damaged.add(root)
            _log.error("%s", error)

    def load_chunks(self, root: Digest, first: int, count: int) -> list[bytes]:
        """Some chunks of an artifact, in order. Raises StorageError."""
        total = len(self.artifacts.load_manifest(root).leaves)
        return [self.artifacts.load_chunk(root, index) for index in range(first, min(first + count, total))]

    def _due(self) -> list[tuple[JobId, JobAccount]]:
        jobs = self.node.pool.state.jobs.items()
        return [
            (job, account)
            for job, account in jobs
            if account.status is JobStatus.COMPLETED and account.storage is not None and account.deal is None
        ]
