"""What storage providers, the gateway and people ask of a supervisor about kept artifacts: a part of its actor."""

import asyncio
from contextlib import suppress
from typing import Final

from cluster.actors.storage_duties import StorageDuties
from cluster.node.storage_answers import RetrievalPlan
from cluster.node.storage_views import deal_views, provider_views, storage_view
from cluster.node.storage_work import PieceSources, ProviderWork
from cluster.views import DealView, ProbeView, ProviderView, StorageView
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

    async def retrieval(self, job: bytes) -> RetrievalPlan | None:
        """How the weights of a job are read from providers; None while the site itself has to give them."""
        return self._storage.answers.retrieval(Digest(job))

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
