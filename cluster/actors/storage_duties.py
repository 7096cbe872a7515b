"""The supervisor's dealings with storage providers: opens deals of finished jobs, checks seals, probes, tells work."""

import asyncio
import itertools
import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import ray

from cluster.actors.remote import Handle, cause_of, find_actor
from cluster.credits import parse_credits
from cluster.node.kept_artifacts import KeptArtifacts
from cluster.node.storage_desk import SealCheck, StorageDesk
from cluster.node.storage_work import ProviderWork, provider_work
from cluster.views import ProbeView
from cluster.wiring import SupervisorParts, wall_clock_ms
from consensus.errors import EncodingError
from consensus.ledger.entries import Deal
from consensus.primitives.digest import leaf_digest, sha256
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.storage import DealId
from consensus.records.transactions import JobId
from consensus.storage.seal import Opening
from storage.errors import StorageError

_TURN_S: Final = 0.5
_PROBE_EVERY_S: Final = 10.0
_ANSWER_S: Final = 10.0
_OPENING_S: Final = 60.0

_log = logging.getLogger("pouw.supervisor")


class PieceSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes of a deal can be read now."""

    has_origin: bool
    """The supervisor itself hands out every piece by its root."""
    holders: tuple[tuple[int, str], ...]
    """Pieces, and the actors that keep them."""


class RetrievalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How an artifact under a deal is read from its holders."""

    deal: Digest
    data_pieces: int
    total_pieces: int
    size: int
    holders: tuple[tuple[int, int, str], ...]
    """Piece, term of its assignment, actor."""
    leaves: dict[int, tuple[Digest, ...]]
    """Of the chunks of each piece."""
    missing: tuple[str, ...] = ()
    """Pieces that cannot be read now, and why, in words."""


class StorageDuties:
    """Holds the desk, and asks and answers providers for it."""

    def __init__(self, parts: SupervisorParts, provider_stake: str) -> None:
        self.kept = KeptArtifacts(key=parts.key, node=parts.node, stores=parts.stores, artifacts=parts.artifacts)
        self.desk = StorageDesk(
            key=parts.key,
            node=parts.node,
            deals=parts.stores.deals,
            clock_s=time.monotonic,
            clock_ms=wall_clock_ms,
            has_artifact=parts.artifacts.has,
        )
        self._stake = parse_credits(provider_stake)
        self._names: dict[PublicKey, str] = {}
        self._probes = itertools.count()
        self._probed_s = time.monotonic()

    # what providers and fetchers ask

    def work(self, provider: PublicKey, name: str) -> ProviderWork:
        """What a provider is to do. One that has nothing is given what it needs to stake, once."""
        self._names[provider] = name
        self.desk.heard(provider)
        self.kept.sponsor(provider, self._stake)
        chain = self.desk.node.chain
        return provider_work(self.desk.state, provider, chain.height, chain.beacon)

    def sources(self, key: DealId) -> PieceSources:
        """Where a deal's bytes can be read."""
        deal = self.desk.state.deals[key]
        holders = (
            (number, self._names[piece.holder.provider])
            for number, piece in enumerate(deal.pieces)
            if piece.holder is not None and piece.holder.is_active and piece.holder.provider in self._names
        )
        return PieceSources(has_origin=self.desk.has_origin(key, deal), holders=tuple(holders))

    def retrieval(self, job: JobId) -> RetrievalPlan | None:
        """How a job's weights are read from providers. None while the site itself has to give them."""
        account = self.desk.state.jobs.get(job)
        deal = None if account is None or account.deal is None else self.desk.state.deals.get(account.deal)
        if account is None or account.deal is None or deal is None or not deal.is_open:
            return None
        if not self.desk.deals.was_placed(account.deal):
            return None
        holders, missing = [], []
        for number, piece in enumerate(deal.pieces):
            holder = piece.holder
            if holder is None or not holder.is_active:
                missing.append(f"piece {number} is {'vacant' if holder is None else holder.status.value}")
            elif self.desk.silent_s(holder.provider) > self.desk.limits.alive_s:
                missing.append(f"piece {number} on {self.desk.state.providers[holder.provider].node} is silent")
            else:
                holders.append((number, holder.term, self.name_of(holder.provider)))
        leaves = {number: self.desk.deals.load_manifest(deal.pieces[number].root).leaves for number, _, _ in holders}
        return RetrievalPlan(
            deal=account.deal,
            data_pieces=deal.data_pieces,
            total_pieces=len(deal.pieces),
            size=deal.size,
            holders=tuple(holders),
            leaves=leaves,
            missing=tuple(missing),
        )

    def name_of(self, provider: PublicKey) -> str:
        """The actor of a provider, as far as it was heard of; else nothing."""
        return self._names.get(provider, "")

    # its own loop

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(_TURN_S)
            if self.kept.has_work:
                await asyncio.to_thread(self.kept.prepare_pieces)
                self.kept.open_deals()
            self.desk.tend()
            self.kept.drop_placed_shards(self.desk.deals.was_placed)
            for check in self.desk.checks_due():
                await self._check(check)
            if time.monotonic() - self._probed_s > _PROBE_EVERY_S:
                self._probed_s = time.monotonic()
                await self._probe()

    async def _check(self, check: SealCheck) -> None:
        handle = find_actor(self.name_of(check.provider))
        if handle is None:
            return  # it may come back; in the end it is dropped
        try:
            encoded: Sequence[bytes] = await asyncio.wait_for(
                handle.open_chunks.remote(check.deal, check.piece, check.indices), _OPENING_S
            )
            openings = [decode(data, Opening) for data in encoded]
        except (StorageError, EncodingError) as error:
            self.desk.refuse(check, str(error))
        except ray.exceptions.RayTaskError as error:
            self.desk.refuse(check, str(cause_of(error)))
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.info("a seal could not be checked yet: %s", cause_of(error))
        else:
            fault = await asyncio.to_thread(self.desk.find_fault, check, openings)
            self.desk.judge(check, fault)
            what = f"refused: {fault}" if fault else "accepted"
            _log.info("piece %d of deal %s is %s", check.piece, check.deal.hex()[:16], what)

    async def _probe(self) -> None:
        """Ask one provider for one chunk that it keeps, as somebody would who fetches."""
        chain = self.desk.node.chain
        beacon = chain.beacon(chain.height)
        active = [
            (key, deal, number)
            for key, deal in self.desk.state.deals.items()
            for number, piece in enumerate(deal.pieces)
            if deal.is_open and piece.holder is not None and piece.holder.is_active
        ]
        if not active or beacon is None:
            return
        drawn = int.from_bytes(sha256("pouw/probe/1", beacon, next(self._probes).to_bytes(8, "big"))[:8], "big")
        key, deal, number = active[drawn % len(active)]
        await self.probe(key, deal, number, drawn // len(active))

    async def probe_all(self, prefix: str) -> tuple[ProbeView, ...]:
        """Ask every holder of the deals whose id begins with `prefix` for a chunk."""
        views = []
        for key, deal in list(self.desk.state.deals.items()):
            for number, piece in enumerate(deal.pieces):
                holder = piece.holder
                if key.hex().startswith(prefix) and holder is not None and holder.is_active:
                    fault = await self.probe(key, deal, number, next(self._probes))
                    views.append(
                        ProbeView(
                            deal_id=key.hex(),
                            piece=number,
                            provider=holder.provider.hex(),
                            served=not fault,
                            reason=fault,
                        )
                    )
        return tuple(views)

    async def probe(self, key: DealId, deal: Deal, number: int, drawn: int) -> str:
        """Ask the holder of a piece for a chunk, twice if need be; returns what was wrong, or nothing."""
        piece = deal.pieces[number]
        holder = piece.holder
        if holder is None or not holder.is_active:
            return "nobody keeps this piece"
        leaves = self.desk.deals.load_manifest(piece.root).leaves
        index = drawn % len(leaves)
        for _ in range(2):
            fault = await self._ask_for(find_actor(self.name_of(holder.provider)), key, number, index, leaves[index])
            if not fault:
                return ""
        self.desk.report_service(key, number, holder.term, fault)
        return fault

    async def _ask_for(self, handle: Handle | None, key: DealId, number: int, index: int, leaf: Digest) -> str:
        if handle is None:
            return "it is not there"
        try:
            chunks: list[bytes] = await asyncio.wait_for(handle.load_plain.remote(key, number, index, 1), _ANSWER_S)
        except (ray.exceptions.RayError, TimeoutError) as error:
            return f"chunk {index}: {cause_of(error) or 'no answer'}"
        return "" if len(chunks) == 1 and leaf_digest(chunks[0]) == leaf else f"chunk {index} is not the piece's"
