"""The supervisor's dealings with storage providers: opens deals of finished jobs, checks seals, probes who serves.

Providers may answer anything, late or never. Each is asked in a task of its own, so that none of them keeps the others'
challenges from being settled, and whatever it answers is its own fault alone.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

import ray

from cluster.actors.remote import Handle, cause_of, find_actor
from cluster.credits import parse_credits
from cluster.metrics import STORAGE_PIECES, STORAGE_PROOFS, Meters
from cluster.node.job_artifacts import JobArtifacts
from cluster.node.kept_artifacts import KeptArtifacts
from cluster.node.piece_reader import checked_chunks
from cluster.node.storage_answers import StorageAnswers
from cluster.node.storage_desk import SealCheck, StorageDesk, find_fault
from cluster.node.storage_views import storage_view
from cluster.views import ProbeView
from cluster.wiring import SupervisorParts, wall_clock_ms
from consensus.errors import EncodingError
from consensus.ledger.entries import Deal
from consensus.primitives.digest import leaf_digest, sha256
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.storage import DealId
from consensus.storage.seal import Opening

_TURN_S: Final = 0.5
_PROBE_EVERY_S: Final = 10.0
_ANSWER_S: Final = 10.0
_OPENING_S: Final = 60.0

_log = logging.getLogger("pouw.supervisor")


class StorageDuties:
    """Holds the desk, and asks providers for it."""

    def __init__(self, parts: SupervisorParts, provider_stake: str, meters: Meters) -> None:
        self.of_jobs = JobArtifacts(node=parts.node, stores=parts.stores, artifacts=parts.artifacts)
        self.kept = KeptArtifacts(
            node=parts.node,
            stores=parts.stores,
            artifacts=parts.artifacts,
            clock_s=time.monotonic,
            is_withheld=self.of_jobs.is_withheld,
        )
        self.desk = StorageDesk(
            node=parts.node,
            deals=parts.stores.deals,
            clock_s=time.monotonic,
            clock_ms=wall_clock_ms,
            has_artifact=parts.artifacts.has,
        )
        self.answers = StorageAnswers(desk=self.desk, kept=self.kept, stake=parse_credits(provider_stake))
        self._meters = meters
        self._probes = itertools.count()
        self._began_s = self._probed_s = time.monotonic()
        self._asking: dict[object, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(_TURN_S)
            if self.kept.has_work:
                await asyncio.to_thread(self.kept.prepare_pieces)
                self.kept.open_deals()
            self.kept.adopt_deals()
            self.desk.tend()
            self._measure()
            self.kept.drop_placed_shards(self.desk.deals.was_placed)
            for check in self.desk.checks_due():
                self._ask(check, self._check(check))
            if time.monotonic() - self._probed_s > _PROBE_EVERY_S:
                self._probed_s = time.monotonic()
                self._ask("probe", self._probe())

    def _ask(self, what: object, work: Coroutine[Any, Any, None]) -> None:
        """In a task, unless the last one about this is still under way."""
        if what in self._asking:
            work.close()
            return
        task = self._asking[what] = asyncio.create_task(work)
        task.add_done_callback(lambda done: self._asked(what, done))

    def _asked(self, what: object, task: asyncio.Task[None]) -> None:
        del self._asking[what]
        if not task.cancelled() and task.exception() is not None:
            _log.error("asking a provider failed", exc_info=task.exception())

    def _measure(self) -> None:
        view = storage_view(self.desk)
        self._meters.set(STORAGE_PIECES, view.pieces_active, state="active")
        self._meters.set(STORAGE_PIECES, view.pieces_wanted - view.pieces_active, state="missing")
        self._meters.set(STORAGE_PROOFS, view.proofs_passed, outcome="passed")
        self._meters.set(STORAGE_PROOFS, view.proofs_failed, outcome="missed")

    async def _check(self, check: SealCheck) -> None:
        handle = find_actor(self.answers.name_of(check.provider))
        if handle is None:
            return  # it may come back; in the end it is dropped
        try:
            answer = await asyncio.wait_for(
                handle.open_chunks.remote(check.deal, check.piece, check.indices), _OPENING_S
            )
            openings = [decode(data, Opening) for data in checked_chunks(answer)]
        except EncodingError as error:
            self.desk.refuse(check, str(error))
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.info("a seal could not be checked yet: %s", cause_of(error))
        except OSError as error:
            self.desk.refuse(check, str(error))
        else:
            fault = await asyncio.to_thread(find_fault, check, openings)
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
        name = self.answers.name_of(holder.provider)
        if not name and time.monotonic() - self._began_s < self.desk.limits.alive_s:
            return "it was not heard of since the supervisor started"  # it had no time yet, so it is not reported
        leaves = self.desk.deals.load_manifest(piece.root).leaves
        index = drawn % len(leaves)
        for _ in range(2):
            fault = await self._ask_for(find_actor(name), key, number, index, leaves[index])
            if not fault:
                return ""
        self.desk.report_service(key, number, holder.term, fault)
        return fault

    async def _ask_for(self, handle: Handle | None, key: DealId, number: int, index: int, leaf: Digest) -> str:
        if handle is None:
            return "it is not there"
        try:
            chunks = checked_chunks(await asyncio.wait_for(handle.load_plain.remote(key, number, index, 1), _ANSWER_S))
        except (ray.exceptions.RayError, TimeoutError, OSError) as error:
            return f"chunk {index}: {cause_of(error) or 'no answer'}"
        return "" if len(chunks) == 1 and leaf_digest(chunks[0]) == leaf else f"chunk {index} is not the piece's"
