"""The supervisor as a Ray actor: forwards to SupervisorNode, fetches states and verdicts, keeps its loops going."""

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import ray

from cluster.actors.loops import run_always
from cluster.actors.meters import RayMeters
from cluster.actors.names import VERIFIER, coordinator_name
from cluster.actors.remote import Handle, cause_of, find_actor
from cluster.actors.storage_duties import StorageDuties
from cluster.actors.storage_front import StorageFront
from cluster.actors.vigil import Heart
from cluster.api.service import ChainFacts
from cluster.config import HomeLayout
from cluster.errors import NotFoundError
from cluster.logs import about, configure_logging
from cluster.metrics import AUDITS, AUDITS_WAITING, BLOCKS, CHAIN_HEIGHT, TRANSACTIONS_WAITING
from cluster.node.disputes import Disputes
from cluster.node.job_files import JobFiles
from cluster.node.ports import Checkpoint, FlatState, JobOpening, JobProgress
from cluster.node.site_views import account_view, block_view, job_view, miner_tallies, ordered_jobs, tip_view
from cluster.node.supervisor import Fraud
from cluster.node.training import Segments
from cluster.settings import SiteSettings
from cluster.views import (
    AccountView,
    BlockView,
    ChainTipView,
    JobView,
    MinerTally,
)
from cluster.wiring import open_supervisor
from consensus.chain.acceptance import Candidate
from consensus.crypto.signing import decode_signed
from consensus.errors import InvalidBlockError, Reject, RejectedError
from consensus.ledger.entries import JobStatus
from consensus.mechanisms.base import ReplayRequest
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.transactions import JobId
from consensus.records.work import Metric, SlotReport
from consensus.replay.verdict import Outcome, Verdict
from jobs.data.manifest import PartName
from jobs.determinism import configured_class
from jobs.errors import DivergedStateError
from jobs.mining.templates import Template
from storage.errors import StorageError

_DUTY_S: Final = 0.1
_RETRY_S: Final = 0.3
_START_TIMEOUT_S: Final = 60.0
_TEMPLATE_S: Final = 2.0
"""A template is renewed this often, for the transactions that came since."""
_PATIENCE: Final = 20

_log = logging.getLogger("pouw.supervisor")


class Supervisor(StorageFront):
    """One committee member."""

    OPTIONS: Final[dict[str, Any]] = {
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 3,
        "concurrency_groups": {"control": 1},
    }

    def __init__(self, *, home: str, name: str) -> None:
        layout = HomeLayout(root=Path(home))
        configure_logging(layout, name)
        parts = open_supervisor(layout)
        self._node = parts.node
        self._heart = Heart(parts.key, parts.node.chain.chain_id, name)
        self._files = JobFiles(node=parts.node, stores=parts.stores, artifacts=parts.artifacts)
        self._disputes = Disputes(node=parts.node, stores=parts.stores)
        self._chain = parts.stores.chain
        settings = msgspec.json.decode(layout.settings_file.read_bytes(), type=SiteSettings)
        self._meters = RayMeters(role="supervisor")
        self._storage = StorageDuties(parts, settings.provider_stake, self._meters)
        self._deciding = asyncio.Lock()
        self._next_tip = asyncio.Event()
        self._closing: dict[JobId, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []

    @ray.method(concurrency_group="control", max_task_retries=0)
    async def beat(self, watch: bytes, question: int) -> bytes:
        """A signed word that this process answers."""
        return self._heart.beat(watch, question)

    async def start(self) -> None:
        """Start the loops; every method that somebody calls regularly does so too, so a restart needs no help."""
        if not self._loops:
            loops = {"audits": self._audit_loop(), "duties": self._duty_loop(), "storage": self._storage.run()}
            self._loops = [run_always(loop, name) for name, loop in loops.items()]

    # transactions, rounds, blocks

    async def submit(self, data: bytes) -> bytes:
        """Acknowledge a transaction; returns its digest."""
        return self._node.submit(data)

    async def commit_round(self, data: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        """Acknowledge a finished round."""
        await self.start()
        return self._node.commit_round(data, reports)

    async def progress(self, job: bytes) -> JobProgress:
        """How far a job is."""
        return self._node.progress(Digest(job))

    async def updates(self, job: bytes, round_number: int) -> tuple[Digest, ...]:
        """What a committed round's slots came to."""
        return self._disputes.committed_updates(Digest(job), round_number)

    async def dispute(self, data: bytes) -> Outcome:
        """A committed slot was run again and came to another update: a replay says which is false."""
        report = decode(decode_signed(data).body, SlotReport)
        verdict = await self._replay(report)
        if verdict is None:
            return Outcome.INCONCLUSIVE
        fraud = self._disputes.decide(report, verdict)
        if fraud is not None:
            await self._tell_coordinator(fraud)
        return verdict.outcome

    async def template(self, producer: bytes, held: bytes = b"") -> Template | None:
        """A block template for a miner. One that holds a template on the tip, `held`, waits a little for the next."""
        await self.start()
        if held == self._node.chain.view.tip_hash:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._next_tip.wait(), _TEMPLATE_S)
        return self._node.template(PublicKey(producer))

    async def offer_block(self, data: bytes) -> str:
        """Judge a mined block, replay included. Returns its hash once it is final. Raises InvalidBlockError."""
        async with self._deciding:
            candidate = await self._judge(data)
            verdict = None if candidate.replay is None else await self._replay_winner(candidate.replay)
            try:
                self._node.accept(candidate, verdict)
            except InvalidBlockError:
                await self._pursue(candidate, verdict)
                raise
        block = candidate.block
        self._note_block(block.header.mechanism)
        won = None if candidate.replay is None else decode(decode_signed(candidate.replay.report).body, SlotReport)
        where = {} if won is None else about(won.job, won.round, won.slot)
        _log.info("block %d by %s is final", block.header.height, block.header.producer.hex()[:16], extra=where)
        return block.hash.hex()

    def _note_block(self, kind: str) -> None:
        self._meters.add(BLOCKS, kind=kind)
        self._next_tip.set()  # whoever waits asks again: each template stands on one tip
        self._next_tip = asyncio.Event()

    async def _judge(self, data: bytes) -> Candidate:
        """Judge a mined block; one that came faster than the round it stands on waits for that a little."""
        for _ in range(_PATIENCE):
            try:
                return self._node.offer(data)
            except InvalidBlockError as error:
                if error.code is not Reject.STATE_UNKNOWN:
                    raise
            await asyncio.sleep(_DUTY_S)
        return self._node.offer(data)

    async def _pursue(self, candidate: Candidate, verdict: Verdict | None) -> None:
        if candidate.replay is None or verdict is None or verdict.outcome is not Outcome.MISMATCH:
            return
        fraud = self._node.prove_fraud(decode_signed(candidate.replay.report), verdict)
        if fraud is not None:
            await self._tell_coordinator(fraud)

    # replays

    async def _replay_winner(self, request: ReplayRequest) -> Verdict | None:
        report = decode(decode_signed(request.report).body, SlotReport)
        return await self._replay(report)

    async def _replay(self, report: SlotReport) -> Verdict | None:
        """The verdict on a slot; None if its start state is not to be had at the moment."""
        coordinator = find_actor(coordinator_name(report.job.hex()))
        if coordinator is None:
            return None
        try:
            found = await coordinator.state_handle.remote(report.round)
            if found is None:
                return None
            verifier = await self._verifier(report.job)
            verdict: Verdict = await verifier.replay.remote(report, found[0])
        except ray.exceptions.RayError as error:
            where = about(report.job, report.round, report.slot)
            _log.warning("a replay could not be done: %s", cause_of(error), extra=where)
            return None
        return verdict

    async def _verifier(self, job: JobId) -> Handle:
        """The verifier, prepared for a job."""
        verifier = find_actor(VERIFIER)
        if verifier is None:
            raise ray.exceptions.RayError("there is no verifier")
        if not await verifier.is_prepared.remote(job):
            parts = [await asyncio.to_thread(self._files.load_part, job, part) for part in ("train", "validation")]
            await verifier.prepare.remote(self._files.opening(job), *parts)
        return verifier

    async def verifier_for(self, job: bytes) -> None:
        """Have the verifier prepared for a job before the first evaluation."""
        await self._verifier(Digest(job))

    async def _audit_loop(self) -> None:
        while True:
            due = self._node.next_audit()
            if due is None:
                await asyncio.sleep(_DUTY_S)
                continue
            slot, report = due
            verdict = await self._replay(report)
            outcome = "impossible" if verdict is None else verdict.outcome.value
            self._meters.add(AUDITS, outcome=outcome)
            if verdict is None or verdict.outcome is Outcome.INCONCLUSIVE:
                why = "its state or the verifier is not there" if verdict is None else f"inconclusive: {verdict.detail}"
                _log.warning("a drawn slot is not replayed yet: %s", why, extra=about(slot.job, slot.round, slot.slot))
                self._node.postpone_audit(slot, why)
                await asyncio.sleep(_RETRY_S)
                continue
            fraud = self._node.record_audit(slot, verdict)
            if fraud is not None:
                await self._tell_coordinator(fraud)

    async def _tell_coordinator(self, fraud: Fraud) -> None:
        coordinator = find_actor(coordinator_name(fraud.job.hex()))
        if coordinator is None:
            return
        try:
            await coordinator.go_back.remote(fraud.miner)
        except ray.exceptions.RayError as error:  # one that starts again learns of the fraud from the chain
            _log.warning("the coordinator was not told of a fraud: %s", cause_of(error), extra={"job": fraud.job.hex()})

    # duties

    async def _duty_loop(self) -> None:
        while True:
            await asyncio.sleep(_DUTY_S)
            if not self._deciding.locked() and self._node.append_quiet_block():
                self._note_block("authority")
            self._meters.set(AUDITS_WAITING, self._node.audits.backlog)
            self._meters.set(CHAIN_HEIGHT, self._node.chain.height)
            self._meters.set(TRANSACTIONS_WAITING, len(self._node.pool))
            for job, outcome, reason in self._node.closable():
                if job not in self._closing:  # beside the other duties: a test takes long while other jobs train
                    self._closing[job] = asyncio.create_task(self._close(job, outcome, reason))
                    self._closing[job].add_done_callback(partial(self._note_closed, job))

    def _note_closed(self, job: JobId, task: asyncio.Task[None]) -> None:
        del self._closing[job]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a job could not be closed", exc_info=error, extra=about(job))

    async def _close(self, job: JobId, outcome: JobStatus, reason: str) -> None:
        try:
            metrics = await self._test(job) if outcome is JobStatus.COMPLETED else ()
            self._node.close_job(job, outcome, reason, metrics)
        except (RejectedError, ray.exceptions.RayError, StorageError) as error:
            cause = cause_of(error)
            if isinstance(cause, DivergedStateError):
                self._node.close_job(job, JobStatus.FAILED, str(cause), ())
                return
            _log.warning("the job could not be closed yet: %s", cause, extra=about(job))
            await asyncio.sleep(_RETRY_S)

    async def _test(self, job: JobId) -> tuple[Metric, ...]:
        """Figures of the final state on the part that was withheld until now."""
        segments = await asyncio.to_thread(self._files.load_part, job, "test")
        if not segments:
            return ()
        verifier = await self._verifier(job)
        await verifier.open_test.remote(job, segments)
        state = await asyncio.to_thread(self._files.load_final_state, job)
        metrics: tuple[Metric, ...] = await verifier.evaluate.remote(job, "test", state)
        await verifier.forget.remote(job)
        return metrics

    # jobs

    async def submit_job(self, transaction: bytes, spec: bytes, manifest: bytes) -> JobView:
        """Take up a job whose data is here: all of it or nothing."""
        job = await asyncio.to_thread(self._files.check_submission, transaction, spec, manifest)
        self._node.submit(transaction)
        account = self._node.job(job)
        if account is None:
            raise NotFoundError(f"job {job.hex()[:16]} is not on the ledger")
        return job_view(self._node, job, account)

    async def open_job(self, job: bytes, coordinator: bytes) -> JobOpening:
        """Have a job started on chain under this coordinator; returns when that is final."""
        await self.start()
        self._node.start_job(Digest(job), PublicKey(coordinator))
        deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
        while not self._node.is_started(Digest(job), PublicKey(coordinator)):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"job {job.hex()[:16]} was not started within {_START_TIMEOUT_S:g} s")
            await asyncio.sleep(_DUTY_S)
        return self._files.opening(Digest(job))

    async def load_part(self, job: bytes, part: PartName) -> Segments:
        """Segments of one part as arrays, which the object store shares without copies."""
        return await asyncio.to_thread(self._files.load_part, Digest(job), part)

    async def fail_job(self, job: bytes, reason: str) -> None:
        """A coordinator cannot go on."""
        self._node.fail_job(Digest(job), reason)

    async def save_checkpoint(
        self, job: bytes, round_number: int, state: FlatState, optimizer: FlatState, layout: bytes
    ) -> None:
        """Store a state that the job can be resumed from, and what its tensors are called."""
        checkpoint = Checkpoint(round=round_number, state=state, optimizer=optimizer)
        await asyncio.to_thread(self._files.save_checkpoint, Digest(job), checkpoint, layout)

    async def load_checkpoint(self, job: bytes, at_most: int) -> Checkpoint | None:
        """The newest stored checkpoint that is not after a round."""
        return await asyncio.to_thread(self._files.load_checkpoint, Digest(job), at_most)

    # artifacts

    async def has_artifact(self, digest: bytes) -> bool:
        """Whether an artifact is here."""
        return self._files.artifacts.has(Digest(digest))

    async def put_artifact(self, digest: bytes, data: bytes) -> None:
        """Store bytes under their bulk digest."""
        await asyncio.to_thread(self._files.artifacts.put, data, expected_root=Digest(digest))

    async def weights_info(self, job: bytes) -> tuple[bytes, int, bytes]:
        """State digest, size and encoded layout of a finished job's weights."""
        return await asyncio.to_thread(self._files.weights_info, Digest(job))

    # views

    async def pid(self) -> int:
        """The id of this process."""
        return os.getpid()

    async def tip(self) -> ChainTipView:
        """The end of the chain."""
        await self.start()
        return tip_view(self._node)

    async def facts(self) -> ChainFacts:
        """What a wallet must know to sign."""
        view = self._node.chain.view
        return ChainFacts(
            chain_id=view.chain_id.hex(),
            replay_class=configured_class(),
            min_audit_ppm=view.params.min_audit_ppm,
            supervisors=tuple(key.hex() for key in view.committee),
        )

    async def jobs(self) -> tuple[JobView, ...]:
        """All jobs in the order they came."""
        views = [job_view(self._node, job, account) for job, account in ordered_jobs(self._node)]
        return tuple(self._files.with_limits(view) for view in views)

    async def news(self) -> tuple[tuple[JobView, ...], tuple[bytes, ...]]:
        """What the gateway looks at again and again, in one call: all jobs, and the keys of miners that were caught."""
        return await self.jobs(), self._node.excluded

    async def account(self, address: bytes) -> AccountView:
        """One account."""
        return account_view(self._node, PublicKey(address))

    async def tallies(self, miners: Sequence[bytes]) -> dict[bytes, MinerTally]:
        """Verified and unpaid slots, blocks and balance of each miner."""
        return miner_tallies(self._node, [PublicKey(miner) for miner in miners])

    async def blocks(self, start: int, count: int) -> tuple[BlockView, ...]:
        """Final blocks from a height on."""
        end = min(self._node.chain.height, start + count - 1)
        return tuple(block_view(self._chain.load_block(Height(h))) for h in range(max(1, start), end + 1))
