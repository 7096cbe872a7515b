"""What storage providers, the gateway and people ask of a supervisor about kept artifacts: a part of its actor."""

import asyncio
from contextlib import suppress
from typing import Final

from cluster.actors.storage_duties import StorageDuties
from cluster.node.storage_answers import RetrievalPlan
from cluster.node.storage_views import deal_views, provider_views, storage_view
from cluster.node.storage_work import PieceSources, ProviderWork
from cluster.views import ArtifactView, DealView, PiecesView, ProbeView, ProviderView, StorageView
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, PublicKey
from storage.replica_record import PieceName

_WAIT_S: Final = 5.0


class StorageFront:
    """Forwards to StorageDuties. The actor that has this part sets what it needs."""

    _storage: StorageDuties
    _next_tip: asyncio.Event
    """Set, and replaced, with each block."""

    async def storage_work(self, provider: bytes, name: str, known: int, sealed: tuple[PieceName, ...]) -> ProviderWork:
        """What a storage provider is to do; `name` is its actor, `sealed` what it has.

        One that knows what there is at height `known` waits a little for the next block.
        """
        if known == self._storage.desk.node.chain.height:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._next_tip.wait(), _WAIT_S)
        return self._storage.answers.work(PublicKey(provider), name, sealed)

    async def storage_sources(self, deal: bytes) -> PieceSources:
        """Where the pieces of a deal can be read."""
        return self._storage.answers.sources(Digest(deal))

    async def piece_manifest(self, root: bytes) -> bytes:
        """What a piece is made of, encoded."""
        return encode(self._storage.desk.deals.load_manifest(Digest(root)))

    async def load_chunks(self, root: bytes, first: int, count: int) -> list[bytes]:
        """Some chunks of an artifact that is here."""
        return await asyncio.to_thread(self._storage.kept.load_chunks, Digest(root), first, count)

    async def retrieval(self, root: bytes) -> RetrievalPlan | None:
        """How an artifact is read from providers; None while the site itself has to give it."""
        return self._storage.answers.retrieval(Digest(root))

    async def job_artifacts(self, job: bytes) -> tuple[ArtifactView, ...]:
        """What a job has here that can be kept."""
        return await asyncio.to_thread(self._storage.of_jobs.list, Digest(job))

    async def artifact_info(self, root: bytes) -> PiecesView:
        """Size and binding of an artifact that is under a deal, or here."""
        self._storage.of_jobs.check_released(Digest(root))
        deals = self._storage.desk.state.deals.values()
        deal = next((deal for deal in deals if deal.is_open and deal.root == root), None)
        if deal is not None:
            return PiecesView(root=deal.root.hex(), bytes=deal.size, binding=deal.binding.hex())
        found = await asyncio.to_thread(self._storage.of_jobs.manifest, Digest(root))
        return PiecesView(root=found.root.hex(), bytes=found.size, binding=found.binding.hex())

    async def make_pieces(self, root: bytes, data_pieces: int, total_pieces: int) -> PiecesView:
        """The pieces of a deal about an artifact that is here; shards are made now."""
        whole = await asyncio.to_thread(self._storage.of_jobs.manifest, Digest(root))
        _, pieces = await asyncio.to_thread(self._storage.kept.make_pieces, whole.root, data_pieces, total_pieces)
        return PiecesView(
            root=whole.root.hex(),
            bytes=whole.size,
            binding=whole.binding.hex(),
            pieces=tuple((piece.root.hex(), piece.size) for piece in pieces),
        )

    async def report_source(self, deal: bytes, piece: int, term: int, reason: str) -> None:
        """A holder did not hand out what it keeps."""
        self._storage.desk.report_service(Digest(deal), piece, term, reason)

    async def probe_storage(self, deal: str) -> tuple[ProbeView, ...]:
        """Ask every holder of the deals whose id begins so for a chunk."""
        return await self._storage.probe_all(deal)

    async def storage_views(self) -> tuple[StorageView, tuple[DealView, ...], tuple[ProviderView, ...]]:
        """Everything about storage."""
        desk = self._storage.desk
        return storage_view(desk), deal_views(desk), provider_views(desk)
