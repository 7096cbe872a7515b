"""Keeps a site as it should be: a coordinator for the running job, as many miners as asked for, the dead replaced.

What to do is decided by cluster.control; here it is done, a little at every turn, and what fails is tried again at the
next one.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final

import msgspec
import ray

from cluster.actors.coordinator import Coordinator, CoordinatorStatus
from cluster.actors.miner import Miner
from cluster.actors.names import SUPERVISOR, coordinator_name
from cluster.actors.remote import Handle, cause_of, require_actor, spawn
from cluster.control.membership import MinerState, plan_membership
from cluster.control.scheduling import choose_jobs
from cluster.views import AccountView, JobView, MinerView, ProcessView, ScaleView
from consensus.params import ConsensusParams

_ANSWER_S: Final = 10.0
_START_S: Final = 120.0
_CHECK_S: Final = 1.0
_FORGOTTEN_S: Final = 3.0

_log = logging.getLogger("pouw.gateway")

Tallies = dict[bytes, tuple[int, int, AccountView]]


@dataclass(slots=True, kw_only=True)
class MinerRecord:
    """One miner as the gateway knows it."""

    name: str
    handle: Handle
    state: MinerState = MinerState.STARTING
    key: bytes | None = None
    pid: int = 0
    node: str = ""
    slots_run: int = 0
    job: str | None = None
    """The job whose coordinator has taken it on."""
    joined_s: float = 0.0
    """When that was, on the monotonic clock."""
    starting: asyncio.Task[None] | None = None

    @property
    def is_counted(self) -> bool:
        """Whether it is one of those that were asked for."""
        return self.state in (MinerState.STARTING, MinerState.IDLE, MinerState.WORKING)

    def view(self, tallies: Tallies) -> MinerView:
        """The miner for people."""
        slots, blocks, account = tallies.get(self.key or b"", (0, 0, None))
        return MinerView(
            miner="" if self.key is None else self.key.hex(),
            name=self.name,
            pid=self.pid,
            node=self.node,
            device="cpu",
            state=self.state.value,
            reason=_REASONS.get(self.state, ""),
            slots_verified=slots,
            slots_run=self.slots_run,
            blocks=blocks,
            credits=account.balance if account else "0",
        )


_REASONS: Final = {
    MinerState.STARTING: "loads torch",
    MinerState.IDLE: "no job needs it now",
    MinerState.DRAINING: "finishes its slots and leaves",
    MinerState.LOST: "its process ended",
    MinerState.EXCLUDED: "a replay proved fraud: it is not paid and gets no more work",
}


@dataclass(slots=True, kw_only=True)
class SiteCare:
    """The site's jobs and miners."""

    home: str
    chain_id: bytes
    params: ConsensusParams
    desired: int
    miners: dict[str, MinerRecord] = field(default_factory=dict)
    statuses: dict[str, CoordinatorStatus] = field(default_factory=dict)
    _coordinators: dict[str, Handle] = field(default_factory=dict)
    _checked_s: float = 0.0
    _joining: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def scale(self, desired: int) -> None:
        """So many miners are wanted from now on."""
        self.desired = desired

    def scale_view(self) -> ScaleView:
        """Wanted and present miners."""
        running = sum(1 for m in self.miners.values() if m.state in (MinerState.IDLE, MinerState.WORKING))
        draining = sum(1 for m in self.miners.values() if m.state is MinerState.DRAINING)
        return ScaleView(desired=self.desired, running=running, draining=draining)

    def freshen(self, job: JobView) -> JobView:
        """A job's view with what its coordinator knows."""
        status = self.statuses.get(job.job_id)
        if status is None or job.state != "running":
            return job
        digest = None if status.state_digest is None else status.state_digest.hex()
        return msgspec.structs.replace(
            job,
            round=max(job.round, status.round),
            loss=job.loss if status.loss is None else status.loss,
            metrics={**job.metrics, **status.metrics},
            samples_per_s=status.samples_per_s,
            state_digest=digest or job.state_digest,
            reason=job.reason or self._explain(job, status),
            miners=len(status.miners),
        )

    def _explain(self, job: JobView, status: CoordinatorStatus) -> str:
        """Why a running job does not train, in words; empty if it does."""
        if status.miners or not status.waiting:
            return status.waiting
        starting = sum(1 for miner in self.miners.values() if miner.state is MinerState.STARTING)
        present = sum(1 for miner in self.miners.values() if miner.is_counted)
        if present < job.miners_min:
            return f"waits for {job.miners_min} miners, {present} are there: start some with 'pouw scale N'"
        return "miners are being prepared" if starting or present else status.waiting

    def processes(self, node: str) -> list[ProcessView]:
        """Processes of coordinators and miners."""
        coordinators = [
            ProcessView(role="coordinator", pid=status.pid, node=node, state="running")
            for status in self.statuses.values()
        ]
        miners = [
            ProcessView(role="miner", pid=miner.pid, node=miner.node, state=miner.state.value)
            for miner in self.miners.values()
            if miner.pid
        ]
        return [*coordinators, *miners]

    @property
    def is_settled(self) -> bool:
        """Whether the site is as it should be, so that looking again can wait."""
        steady = (MinerState.IDLE, MinerState.WORKING, MinerState.EXCLUDED)
        are_steady = all(miner.state in steady for miner in self.miners.values())
        have_jobs = all(miner.job is not None for miner in self.miners.values()) or not self._coordinators
        are_running = all(status.is_running and status.miners for status in self.statuses.values())
        return are_steady and have_jobs and are_running and bool(self._coordinators) and not self._joining

    async def tend(self) -> None:
        """One turn."""
        supervisor = require_actor(SUPERVISOR)
        jobs: tuple[JobView, ...] = await supervisor.jobs.remote()
        self._note_excluded(await supervisor.excluded.remote())
        await self._tend_coordinators(jobs)
        await self._tend_membership()
        for job in jobs:
            if job.job_id in self._coordinators:
                await self._tend_miners_of(job, self._coordinators[job.job_id])

    # coordinators

    async def _tend_coordinators(self, jobs: tuple[JobView, ...]) -> None:
        chosen = choose_jobs(jobs)
        for job in chosen:
            if job.job_id not in self._coordinators:
                self._coordinators[job.job_id] = self._coordinator(job.job_id)
        for job_id in [job_id for job_id in self._coordinators if job_id not in {job.job_id for job in chosen}]:
            await self._end_coordinator(job_id)
        for job_id, handle in self._coordinators.items():
            await self._look_at(job_id, handle)

    def _coordinator(self, job_id: str) -> Handle:
        return spawn(
            Coordinator,
            coordinator_name(job_id),
            options=Coordinator.OPTIONS,
            is_detached=True,
            home=self.home,
            job=bytes.fromhex(job_id),
            chain_id=self.chain_id,
        )

    async def _look_at(self, job_id: str, handle: Handle) -> None:
        """Note how a coordinator is doing; have it run if it does not (any more)."""
        try:
            status: CoordinatorStatus = await asyncio.wait_for(handle.status.remote(), _ANSWER_S)
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.warning("the coordinator of %s does not answer: %s", job_id[:16], cause_of(error))
            self._forget_miners_of(job_id)
            return
        before = self.statuses.get(job_id)
        if before is not None and before.pid != status.pid:
            self._forget_miners_of(job_id)
        self.statuses[job_id] = status
        if not status.is_running:
            handle.run.remote()

    async def _end_coordinator(self, job_id: str) -> None:
        handle = self._coordinators.pop(job_id)
        self.statuses.pop(job_id, None)
        self._forget_miners_of(job_id)
        ray.kill(handle, no_restart=True)

    def _forget_miners_of(self, job_id: str) -> None:
        for miner in self.miners.values():
            if miner.job == job_id:
                miner.job = None
                if miner.state is MinerState.WORKING:
                    miner.state = MinerState.IDLE

    # miners

    async def _tend_membership(self) -> None:
        plan = plan_membership({name: miner.state for name, miner in self.miners.items()}, self.desired)
        for name in plan.start:
            self._start_miner(name)
        for name in plan.drain:
            await self._drain(self.miners[name])
        for miner in [m for m in self.miners.values() if m.state is MinerState.DRAINING and m.job is None]:
            self._remove(miner)
        if time.monotonic() - self._checked_s > _CHECK_S:
            self._checked_s = time.monotonic()
            await asyncio.gather(*(self._check(miner) for miner in list(self.miners.values())))

    def _start_miner(self, name: str) -> None:
        handle = spawn(
            Miner,
            name,
            options=Miner.OPTIONS,
            is_detached=True,
            is_at_home=False,
            home=self.home,
            chain_id=self.chain_id,
            params=self.params,
        )
        record = MinerRecord(name=name, handle=handle)
        record.starting = asyncio.create_task(self._await_start(record))
        self.miners[name] = record

    async def _await_start(self, record: MinerRecord) -> None:
        try:
            record.key, record.pid, record.node, _ = await asyncio.wait_for(record.handle.hello.remote(), _START_S)
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.warning("%s did not start: %s", record.name, cause_of(error))
            record.state = MinerState.LOST
        else:
            record.state = MinerState.IDLE

    async def _check(self, miner: MinerRecord) -> None:
        """Find dead miners."""
        if miner.state in (MinerState.STARTING, MinerState.LOST, MinerState.EXCLUDED):
            return
        try:
            _, _, _, miner.slots_run = await asyncio.wait_for(miner.handle.hello.remote(), _ANSWER_S)
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.warning("%s is gone: %s", miner.name, cause_of(error))
            miner.state = MinerState.LOST
            await self._tell(miner.job, "lose_miner", miner.key)

    async def _drain(self, miner: MinerRecord) -> None:
        if miner.state is MinerState.STARTING and miner.starting is not None:
            miner.starting.cancel()
        miner.state = MinerState.DRAINING
        await self._tell(miner.job, "drain_miner", miner.key)

    async def _tell(self, job_id: str | None, method: str, miner: bytes | None) -> None:
        handle = self._coordinators.get(job_id or "")
        if handle is None or miner is None:
            return
        try:
            await getattr(handle, method).remote(miner)
        except ray.exceptions.RayError as error:
            _log.warning("the coordinator of %s does not answer: %s", job_id, cause_of(error))

    async def _tend_miners_of(self, job: JobView, handle: Handle) -> None:
        job_id, status = job.job_id, self.statuses.get(job.job_id)
        held = {} if status is None else status.miners
        present = sum(1 for m in self.miners.values() if m.state in (MinerState.IDLE, MinerState.WORKING))
        taken = sum(1 for m in self.miners.values() if m.job == job_id or m.name in self._joining)
        room = job.miners_max - taken if held or present >= job.miners_min else 0
        for miner in list(self.miners.values()):
            if miner.state is MinerState.DRAINING and miner.job == job_id and status and miner.key not in held:
                self._remove(miner)
            elif miner.job == job_id and miner.key is not None:
                miner.state = _state_in(miner.state, held.get(miner.key))
                if miner.key not in held and time.monotonic() - miner.joined_s > _FORGOTTEN_S:
                    miner.job = None  # the coordinator lost it or began anew: it joins again
            elif room > 0 and miner.job is None and miner.state is MinerState.IDLE and miner.name not in self._joining:
                room -= 1
                self._joining.add(miner.name)
                task = asyncio.create_task(self._join(miner, job_id, handle))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _join(self, miner: MinerRecord, job_id: str, handle: Handle) -> None:
        try:
            taken = await handle.add_miner.remote(miner.key, [miner.handle])
        except ray.exceptions.RayError as error:
            _log.warning("%s could not join: %s", miner.name, cause_of(error))
            return
        else:
            if taken and miner.state is MinerState.IDLE:
                miner.job, miner.joined_s = job_id, time.monotonic()
        finally:
            self._joining.discard(miner.name)

    def _note_excluded(self, keys: tuple[bytes, ...]) -> None:
        for miner in self.miners.values():
            if miner.key in keys:
                miner.state = MinerState.EXCLUDED

    def _remove(self, miner: MinerRecord) -> None:
        ray.kill(miner.handle, no_restart=True)
        self.miners.pop(miner.name, None)


def _state_in(state: MinerState, held: int | None) -> MinerState:
    """A miner's state by the number of slots it holds in its job."""
    if state not in (MinerState.IDLE, MinerState.WORKING):
        return state
    return MinerState.WORKING if held else MinerState.IDLE
