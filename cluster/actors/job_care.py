"""Jobs and their miners: a coordinator for each job that runs, and miners moved between them.

Which jobs run and how many miners each gets is decided by cluster.control.scheduling. A miner changes jobs whole and
only when it holds nothing: its coordinator gives it no more slots, and when it no longer lists it the miner is free.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import ray

from cluster.actors.coordinator import Coordinator, CoordinatorStatus
from cluster.actors.miner_record import MinerRecord
from cluster.actors.names import coordinator_name
from cluster.actors.remote import Handle, cause_of, spawn
from cluster.config import HomeLayout
from cluster.control.job_needs import JobPulse, derive_needs
from cluster.control.membership import MinerState
from cluster.control.scheduling import Moves, Placed, admit, explain_waiting, plan_moves, share_miners
from cluster.views import JobView

_ANSWER_S: Final = 10.0
_FORGOTTEN_S: Final = 3.0

_log = logging.getLogger("pouw.gateway")

Miners = Mapping[str, MinerRecord]


@dataclass(slots=True, kw_only=True)
class JobCare:
    """The coordinators of a site's jobs."""

    home: str
    chain_id: bytes
    changed: asyncio.Event
    """Set when something happened that asks for another turn."""
    statuses: dict[str, CoordinatorStatus] = field(default_factory=dict)
    coordinators: dict[str, Handle] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)
    """How many miners each job that can take some is to have."""
    _moves: Moves = field(default_factory=Moves)
    _reasons: dict[str, str] = field(default_factory=dict)
    _joining: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    """Jobs whose coordinators answered in this turn."""
    _running: set[str] = field(default_factory=set)
    """Jobs whose rounds are waited for."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_settled(self) -> bool:
        """Whether every coordinator runs, of the jobs there are, and no miner is on its way."""
        are_running = all(status.is_ready for status in self.statuses.values())
        have_answered = self._seen == self.coordinators.keys()
        is_placed = not self._joining and self._moves == Moves()
        return are_running and have_answered and is_placed

    def reason(self, job: JobView) -> str:
        """Why a job waits for its turn or for miners, in words."""
        return self._reasons.get(job.job_id, "")

    # coordinators

    async def tend_coordinators(self, jobs: Sequence[JobView], miners: Miners) -> None:
        """Start the coordinators of running and admitted jobs, end those of closed ones, look how the others do."""
        counted = sum(1 for miner in miners.values() if miner.is_counted)
        needs = derive_needs(jobs, self._pulses())
        wanted = {*admit(needs, counted), *(need.job for need in needs if need.is_running)}
        names = {job.job_id: job.name for job in jobs}
        self._reasons = {job.job_id: "is being started" for job in jobs if job.job_id in self.coordinators}
        self._reasons.update(
            {need.job: explain_waiting(need, needs, counted, names) for need in needs if not need.is_running}
        )
        for job_id in wanted - self.coordinators.keys():
            self.coordinators[job_id] = self._start(job_id)
        self._seen.clear()
        open_jobs = {need.job for need in needs}
        for job_id in self.coordinators.keys() - open_jobs:
            self._end(job_id, miners)
        await asyncio.gather(*(self._look_at(job_id, miners) for job_id in list(self.coordinators)))

    def _pulses(self) -> dict[str, JobPulse]:
        """Of every job that has a coordinator."""
        return {job_id: _pulse(self.statuses.get(job_id)) for job_id in self.coordinators}

    def _start(self, job_id: str) -> Handle:
        return spawn(
            Coordinator,
            coordinator_name(job_id),
            options=Coordinator.OPTIONS,
            is_detached=True,
            home=self.home,
            job=bytes.fromhex(job_id),
            chain_id=self.chain_id,
        )

    async def _look_at(self, job_id: str, miners: Miners) -> None:
        """Note how a coordinator is doing; have it run if it does not (any more)."""
        handle = self.coordinators[job_id]
        try:
            status: CoordinatorStatus = await asyncio.wait_for(handle.status.remote(), _ANSWER_S)
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.warning("the coordinator does not answer: %s", cause_of(error), extra={"job": job_id})
            self.forget_miners_of(job_id, miners)
            return
        before = self.statuses.get(job_id)
        if before is not None and before.pid != status.pid:
            self.forget_miners_of(job_id, miners)
        self.statuses[job_id] = status
        self._seen.add(job_id)
        if job_id not in self._running:
            self._running.add(job_id)
            self._begin(self._run(job_id, handle))

    async def _run(self, job_id: str, handle: Handle) -> None:
        try:
            await handle.run.remote()
        except ray.exceptions.RayTaskError as error:
            _log.warning("the rounds ended: %s", cause_of(error), extra={"job": job_id})
        except ray.exceptions.RayError:  # it died: another turn at once finds out what became of it
            self.changed.set()
        finally:
            self._running.discard(job_id)

    def _end(self, job_id: str, miners: Miners) -> None:
        handle = self.coordinators.pop(job_id)
        self.statuses.pop(job_id, None)
        self.forget_miners_of(job_id, miners)
        for miner in miners.values():
            miner.refusals.pop(job_id, None)
        ray.kill(handle, no_restart=True)
        shutil.rmtree(HomeLayout(root=Path(self.home)).rounds / job_id, ignore_errors=True)

    def forget_miners_of(self, job_id: str, miners: Miners) -> None:
        """A coordinator is gone, and with it what it knew of its miners."""
        for miner in miners.values():
            if miner.job == job_id:
                miner.release()

    async def tell(self, job_id: str | None, method: str, miner: bytes | None) -> None:
        """Tell a job's coordinator about one of its miners."""
        handle = self.coordinators.get(job_id or "")
        if handle is None or miner is None:
            return
        try:
            await getattr(handle, method).remote(miner)
        except ray.exceptions.RayError as error:
            _log.warning("the coordinator does not answer: %s", cause_of(error), extra={"job": job_id})

    # miners

    async def place_miners(self, jobs: Sequence[JobView], miners: Miners) -> tuple[MinerRecord, ...]:
        """Move miners towards their jobs' shares. Returns those that drained and hold nothing any more."""
        for job_id in self._seen:
            await self._reconcile(job_id, miners)
        drained = tuple(miner for miner in list(miners.values()) if self._note_held(miner))
        pulses = self._pulses()
        needs = [need for need in derive_needs(jobs, pulses) if need.job in pulses and pulses[need.job].is_ready]
        present = [m for m in miners.values() if m.is_present and m not in drained]
        staying = [m for m in present if not m.is_leaving]
        where = {m.name: self._joining.get(m.name, m.job) for m in staying}
        current = {need.job: sum(job == need.job for job in where.values()) for need in needs}
        self.shares = share_miners(needs, len(present), current)
        for need in needs:
            if need.has_work and need.least > self.shares.get(need.job, 0):
                words = f"waits for {need.least} miners, {len(present)} are there"
                others = sum(self.shares.values()) - self.shares.get(need.job, 0)
                taken = f" and other jobs have {others} of them" if others else ""
                self._reasons[need.job] = f"{words}{taken}: start some with 'pouw scale N'"
        self._moves = plan_moves([self._placed(m, where[m.name]) for m in staying], self.shares)
        for name in self._moves.leave:
            await self._leave(miners[name])
        for name, job_id in self._moves.join:
            self._begin_join(miners[name], job_id)
        return drained

    async def _reconcile(self, job_id: str, miners: Miners) -> None:
        """A coordinator may list miners that this process does not know to be there: of before it was started again."""
        for miner in miners.values():
            if miner.key is None or miner.key not in self.statuses[job_id].miners or miner.name in self._joining:
                continue
            if miner.job is None:
                miner.job, miner.joined_s = job_id, time.monotonic()
            elif miner.job != job_id:
                await self.tell(job_id, "drain_miner", miner.key)

    def _placed(self, miner: MinerRecord, job_id: str | None) -> Placed:
        status = self.statuses.get(job_id or "")
        held = status.miners.get(miner.key or b"", 0) if status else 0
        return Placed(name=miner.name, job=job_id, held=held, refused=frozenset(miner.refusals))

    def _note_held(self, miner: MinerRecord) -> bool:
        """Note what a miner holds in its job. Whether it was draining and is done."""
        if miner.job is not None and miner.job not in self.coordinators:
            miner.release()  # the job ended while it joined
        status = self.statuses.get(miner.job or "")
        if status is None or miner.key is None or miner.job is None:
            return False
        if miner.key in status.excluded:
            miner.refusals[miner.job] = status.excluded[miner.key]
        held = status.miners.get(miner.key)
        if miner.state in (MinerState.IDLE, MinerState.WORKING):
            miner.state = MinerState.WORKING if held else MinerState.IDLE
        if held is not None:
            return False
        if miner.state is MinerState.DRAINING:
            return True
        if miner.is_leaving or miner.job in miner.refusals or time.monotonic() - miner.joined_s > _FORGOTTEN_S:
            miner.release()  # it holds nothing, or the coordinator lost it or began anew: it joins again
        return False

    async def _leave(self, miner: MinerRecord) -> None:
        if miner.name in self._joining:
            return  # it is not there yet: when it is, the plan sees it
        miner.is_leaving = True
        _log.info("%s leaves the job", miner.name, extra={"job": miner.job})
        await self.tell(miner.job, "drain_miner", miner.key)

    def _begin_join(self, miner: MinerRecord, job_id: str) -> None:
        self._joining[miner.name] = job_id
        self._begin(self._join(miner, job_id))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, miner: MinerRecord, job_id: str) -> None:
        try:
            taken = await self.coordinators[job_id].add_miner.remote(miner.key, [miner.handle])
        except (ray.exceptions.RayError, KeyError) as error:
            _log.warning("%s could not join: %s", miner.name, cause_of(error), extra={"job": job_id})
            return
        else:
            if taken and miner.state is MinerState.IDLE:
                miner.job, miner.joined_s, miner.is_leaving = job_id, time.monotonic(), False
        finally:
            self._joining.pop(miner.name, None)


def _pulse(status: CoordinatorStatus | None) -> JobPulse:
    if status is None:
        return JobPulse()
    return JobPulse(slot_s=status.slot_s, has_work=status.has_work, is_ready=status.is_ready)
