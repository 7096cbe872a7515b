"""Keeps a site as it should be: its jobs run, there are as many miners as asked for, the dead are replaced.

What to do is decided by cluster.control; here it is done, a little at every turn, and what fails is tried again at the
next one.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Final

import msgspec
import ray

from cluster.actors.capacity import measure_miner_bytes, measure_rooms
from cluster.actors.coordinator import CoordinatorStatus
from cluster.actors.job_care import JobCare
from cluster.actors.miner import Miner
from cluster.actors.miner_record import MinerRecord
from cluster.actors.names import SUPERVISOR, VERIFIER, coordinator_name, job_of
from cluster.actors.nodes import Places, own_address
from cluster.actors.remote import Handle, cause_of, require_actor, spawn
from cluster.actors.site_meters import SiteMeters
from cluster.actors.storage_care import StorageCare
from cluster.actors.vigil import Change, Gone, Vigil
from cluster.control.capacity import check_scale
from cluster.control.heartbeats import Died, FellSilent, Heard, Patience
from cluster.control.membership import MinerState, is_miner_name, plan_membership
from cluster.metrics import HEARTBEATS_MISSED, Meters, NoMeters
from cluster.views import JobView, ProcessView, ScaleView
from consensus.params import ConsensusParams
from consensus.primitives.integers import Digest, PublicKey

_START_S: Final = 120.0
_MINERS: Final = Patience(silent_s=2.5, dead_s=6.0)
_ROLES: Final = Patience(silent_s=2.5, dead_s=8.0)
_VERIFIER: Final = Patience(silent_s=10.0, dead_s=30.0)
"""It runs only where nothing else does, so on a busy machine it answers late."""
_DRAWN_BYTES: Final = 32
_CARE_S: Final = 0.2
_SETTLED_CARE_S: Final = 2.0

_log = logging.getLogger("pouw.gateway")


@dataclass(slots=True, kw_only=True)
class SiteCare:
    """The site's jobs and miners."""

    home: str
    chain_id: bytes
    params: ConsensusParams
    desired: int
    storage_gb: float | None
    places: Places
    miners: dict[str, MinerRecord] = field(default_factory=dict)
    jobs: JobCare = field(init=False)
    vigil: Vigil = field(init=False)
    storage: StorageCare = field(init=False)
    meters: Meters = field(default_factory=NoMeters)
    _has_adopted: bool = False
    _coordinators: set[str] = field(default_factory=set)
    """Names of those that are watched over."""
    _gauges: SiteMeters = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        watch = Digest(secrets.token_bytes(_DRAWN_BYTES))
        self.vigil = Vigil(chain_id=Digest(self.chain_id), watch=watch, on_change=self._on_change)
        self.storage = StorageCare(
            chain_id=self.chain_id,
            params=self.params,
            storage_gb=self.storage_gb,
            places=self.places,
        )
        self.jobs = JobCare(home=self.home, chain_id=self.chain_id, changed=self._changed)
        self._gauges = SiteMeters(meters=self.meters)

    def check_scale(self, desired: int) -> None:
        """Whether the machines have room for so many. Raises UsageError, ConflictError."""
        counted = [miner for miner in list(self.miners.values()) if miner.is_counted]
        home = [miner.pid for miner in counted if miner.pid and miner.node == own_address()]
        size = measure_miner_bytes(home)
        rooms = measure_rooms(self.places, [miner.node for miner in counted], size)
        check_scale(desired, max(len(counted), self.desired, self.places.autoscaled), rooms, size)

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
        status = self.jobs.statuses.get(job.job_id)
        if status is None or job.state != "running":
            reason = self.jobs.reason(job) if job.state == "queued" else ""
            return msgspec.structs.replace(job, reason=job.reason or reason)
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
        if starting or (present >= job.miners_min and not self.jobs.reason(job)):
            return "miners are being prepared"
        return self.jobs.reason(job) or status.waiting

    def processes(self, node: str) -> list[ProcessView]:
        """Processes of coordinators and miners."""
        coordinators = [
            ProcessView(role="coordinator", pid=status.pid, node=node, state="running")
            for status in self.jobs.statuses.values()
        ]
        miners = [
            ProcessView(role="miner", pid=miner.pid, node=miner.node, state=miner.state.value)
            for miner in self.miners.values()
            if miner.pid
        ]
        return [*coordinators, *miners, *self.storage.processes()]

    def look_soon(self) -> None:
        """Somebody asked for something: the next turn comes at once."""
        self._changed.set()

    async def wait(self) -> None:
        """Until it is time for another turn: at once when a miner comes or goes, or somebody asks for something."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _SETTLED_CARE_S if self._is_settled else _CARE_S)
        self._changed.clear()

    @property
    def _is_settled(self) -> bool:
        """Whether the site is as it should be, so that looking again can wait."""
        steady = (MinerState.IDLE, MinerState.WORKING, MinerState.EXCLUDED)
        return all(miner.state in steady for miner in self.miners.values()) and self.jobs.is_settled

    async def tend(self) -> None:
        """One turn."""
        if not self._has_adopted:
            self._adopt()
        supervisor = require_actor(SUPERVISOR)
        jobs, excluded = await supervisor.news.remote()
        self._note_excluded(excluded)
        await self.jobs.tend_coordinators(jobs, self.miners)
        self._watch_roles()
        await self._tend_membership()
        self.storage.tend()
        for miner in await self.jobs.place_miners(jobs, self.miners):
            self._remove(miner)
        self._gauges.measure(jobs, [miner.state for miner in self.miners.values()], self.jobs.statuses)

    # miners

    async def _tend_membership(self) -> None:
        self.places.ask_for(self.desired)
        plan = plan_membership({name: miner.state for name, miner in self.miners.items()}, self.desired)
        for name in plan.start:
            self._start_miner(name)
        for name in plan.drain:
            await self._drain(self.miners[name])
        if not plan.start:  # nobody takes the places of these any more
            for name in [name for name, miner in self.miners.items() if miner.state is MinerState.LOST]:
                del self.miners[name]
        for miner in [m for m in self.miners.values() if m.state is MinerState.DRAINING and m.job is None]:
            self._remove(miner)

    def _start_miner(self, name: str) -> None:
        node = self.places.choose(miner.node for miner in self.miners.values() if miner.state is not MinerState.LOST)
        if node is None:
            return  # until a machine joins, or a place becomes free
        handle = spawn(
            Miner,
            name,
            options=Miner.OPTIONS,
            is_detached=True,
            node_id=node.node_id,
            chain_id=self.chain_id,
            params=self.params,
        )
        self._enlist(MinerRecord(name=name, handle=handle, node=node.address))

    def _enlist(self, record: MinerRecord) -> None:
        record.starting = asyncio.create_task(self._await_start(record))
        self.miners[record.name] = record

    def _adopt(self) -> None:
        """Miners and coordinators outlive the gateway: one that is started again takes over those that are there."""
        for name in ray.util.list_named_actors():
            if is_miner_name(name):
                self._enlist(MinerRecord(name=name, handle=require_actor(name)))
            elif (job_id := job_of(name)) is not None:
                self.jobs.coordinators[job_id] = require_actor(name)
        self._has_adopted = True

    async def _await_start(self, record: MinerRecord) -> None:
        try:
            record.key, record.pid, record.node, _ = await asyncio.wait_for(record.handle.hello.remote(), _START_S)
        except (ray.exceptions.RayError, TimeoutError) as error:
            _log.warning("%s did not start: %s", record.name, cause_of(error))
            ray.kill(record.handle, no_restart=True)  # or the next one of this name would be the same process
            record.state = MinerState.LOST
        else:
            record.state = MinerState.IDLE
            is_here = record.node == own_address()
            self.vigil.begin(record.name, record.handle, _MINERS, key=PublicKey(record.key), is_here=is_here)
            self._changed.set()

    async def _drain(self, miner: MinerRecord) -> None:
        if miner.state is MinerState.STARTING and miner.starting is not None:
            miner.starting.cancel()
        miner.state = MinerState.DRAINING
        await self.jobs.tell(miner.job, "drain_miner", miner.key)

    def _note_excluded(self, keys: tuple[bytes, ...]) -> None:
        """Their processes end, and their places are free. The records stay, to say why."""
        for miner in self.miners.values():
            if miner.key in keys and miner.state is not MinerState.EXCLUDED:
                self.vigil.end(miner.name)
                ray.kill(miner.handle, no_restart=True)
                miner.state, miner.pid, miner.node = MinerState.EXCLUDED, 0, ""

    def _remove(self, miner: MinerRecord) -> None:
        self.vigil.end(miner.name)
        ray.kill(miner.handle, no_restart=True)
        self.miners.pop(miner.name, None)

    # who answers

    def _watch_roles(self) -> None:
        """Watch over the site's own roles and over the coordinators that are there now."""
        coordinators = {coordinator_name(job_id): handle for job_id, handle in self.jobs.coordinators.items()}
        for name, handle in coordinators.items():
            self._watch(name, handle, _ROLES)
        for name in self._coordinators - coordinators.keys():
            self.vigil.end(name)
        self._coordinators = set(coordinators)
        self._watch(SUPERVISOR, require_actor(SUPERVISOR), _ROLES)
        self._watch(VERIFIER, require_actor(VERIFIER), _VERIFIER)
        for miner in self.miners.values():
            miner.slots_run = self.vigil.work.get(miner.name, miner.slots_run)

    def _watch(self, name: str, handle: Handle, patience: Patience) -> None:
        if not self.vigil.is_watched(name):
            self.vigil.begin(name, handle, patience, is_at_home=True)

    def _on_change(self, change: Change) -> None:
        """What follows for a miner. Every other role is killed by the vigil and started again by Ray."""
        if isinstance(change, FellSilent):
            self.meters.add(HEARTBEATS_MISSED, role=change.role.partition("-")[0])
        miner = self.miners.get(change.role)
        if miner is None or miner.state in (MinerState.LOST, MinerState.EXCLUDED):
            return
        match change:
            case FellSilent():
                miner.state = MinerState.SILENT if miner.is_present else miner.state
                self._begin(self.jobs.tell(miner.job, "silent_miner", miner.key))
            case Heard():
                miner.state = MinerState.IDLE if miner.state is MinerState.SILENT else miner.state
                self._begin(self.jobs.tell(miner.job, "heard_miner", miner.key))
            case Died() | Gone():
                self._lose(miner)

    def _lose(self, miner: MinerRecord) -> None:
        """Its slots go to others, and its name is free. A frozen process is ended by its node."""
        _log.warning("%s is gone, process %d", miner.name, miner.pid)
        self.vigil.end(miner.name)
        ray.kill(miner.handle, no_restart=True)
        miner.state = MinerState.LOST
        self._changed.set()
        self._begin(self.jobs.tell(miner.job, "lose_miner", miner.key))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
