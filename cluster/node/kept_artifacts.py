"""The site's own bytes of what deals are about: pieces are made here once, and read here until providers have them."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster.node.node_stores import NodeStores
from cluster.node.supervisor import SupervisorNode
from consensus.ledger.entries import Deal, JobAccount, JobStatus
from consensus.primitives.integers import Credits, Digest, PublicKey
from consensus.records.storage import DealId, KeepWeights, PieceRoot
from consensus.records.transactions import JobId, Transfer
from storage.artifact_manifest import Manifest
from storage.artifacts import ArtifactStore
from storage.erasure import ErasureCode
from storage.errors import ArtifactCorruptError, StorageError

_log = logging.getLogger("pouw.supervisor")


@dataclass(slots=True, kw_only=True)
class KeptArtifacts:
    """Makes pieces of finished weights and opens the deals about them."""

    node: SupervisorNode
    stores: NodeStores
    artifacts: ArtifactStore
    _ready: dict[JobId, tuple[Manifest, tuple[Manifest, ...]]] = field(default_factory=dict)
    _failed: set[JobId] = field(default_factory=set)
    _damaged: set[Digest] = field(default_factory=set)

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
                whole = self.artifacts.load_manifest(account.state)
                shards = self._make_pieces(whole, account.storage.data_pieces, account.storage.total_pieces)
            except StorageError:
                _log.exception("the pieces of a job's weights cannot be made", extra={"job": job.hex()})
                self._failed.add(job)
                continue
            for manifest in {whole.root: whole, **{shard.root: shard for shard in shards}}.values():
                self.stores.deals.put_manifest(manifest)
            self._ready[job] = whole, shards

    def open_deals(self) -> None:
        """Open the deals whose pieces are there."""
        for job, account in self._due():
            if account.state is not None and job in self._ready:
                whole, shards = self._ready.pop(job)
                pieces = tuple(PieceRoot(root=shard.root, size=shard.size) for shard in shards)
                self.node.try_own(KeepWeights(job=job, size=whole.size, binding=whole.binding, pieces=pieces))

    def adopt_deals(self) -> None:
        """Know what the pieces of clients' own deals are made of, as far as they are about artifacts that are here."""
        deals = self.stores.deals
        for deal in self.node.pool.state.deals.values():
            for root in {piece.root for piece in deal.pieces} if deal.is_open else ():
                if root not in self._damaged and not deals.has_manifest(root) and self.artifacts.has(root):
                    with self._noting_damage(root):
                        deals.put_manifest(self.artifacts.load_manifest(root))

    def drop_placed_shards(self, was_placed: Callable[[DealId], bool]) -> None:
        """Shards that providers keep are not needed here any more, nor are those of deals that are over.

        Only shards that were made here: a client's own deal may name anything, such as the weights of others.
        """
        own = [(key, deal) for key, deal in self.node.chain.view.state.deals.items() if self._is_made_here(key, deal)]
        done = {key for key, deal in own if not deal.is_open or was_placed(key)}
        wanted = {piece.root for key, deal in own if key not in done for piece in deal.pieces}
        for root in {piece.root for key, deal in own if key in done for piece in deal.pieces} - wanted:
            if root not in self._damaged and self.artifacts.has(root):
                with self._noting_damage(root):
                    self.artifacts.delete(root)

    @contextmanager
    def _noting_damage(self, root: Digest) -> Iterator[None]:
        """A damaged artifact is left alone: nothing else has to wait for it."""
        try:
            yield
        except ArtifactCorruptError as error:
            self._damaged.add(root)
            _log.error("%s", error)

    def _is_made_here(self, key: DealId, deal: Deal) -> bool:
        job = None if deal.job is None else self.node.chain.view.state.jobs.get(deal.job)
        return deal.data_pieces > 1 and job is not None and job.deal == key

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

    def _make_pieces(self, whole: Manifest, data_pieces: int, total_pieces: int) -> tuple[Manifest, ...]:
        if data_pieces == 1:
            return (whole,) * total_pieces
        code = ErasureCode.of(data_pieces, total_pieces)
        roots: Iterable[Digest] = (
            self.artifacts.put(code.encode_shard(self.artifacts.open_reader(whole.root), shard))
            for shard in range(total_pieces)
        )
        return tuple(self.artifacts.load_manifest(root) for root in roots)
