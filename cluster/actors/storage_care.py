"""One storage provider on each machine of the site: started, watched over, started again."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final

import ray

from cluster.actors.names import provider_name
from cluster.actors.nodes import Places
from cluster.actors.provider import StorageProvider
from cluster.actors.remote import Handle, cause_of, find_actor, spawn
from cluster.errors import NotFoundError
from cluster.views import ProcessView
from consensus.params import ConsensusParams

_START_S: Final = 120.0
_LOOK_S: Final = 3.0
_ASK_S: Final = 15.0
_ANSWER_S: Final = 30.0
"""It seals at low priority, so on a busy machine it answers late. Nobody waits for it but who fetches."""

_log = logging.getLogger("pouw.gateway")


@dataclass(slots=True, kw_only=True)
class ProviderRecord:
    """One provider as the gateway knows it."""

    handle: Handle
    node: str
    pid: int = 0
    watching: asyncio.Task[None] | None = None


@dataclass(slots=True, kw_only=True)
class StorageCare:
    """The providers of a site."""

    chain_id: bytes
    params: ConsensusParams
    storage_gb: float | None
    places: Places
    providers: dict[str, ProviderRecord] = field(default_factory=dict)
    _looked_s: float = float("-inf")

    def tend(self) -> None:
        """Start a provider on every machine that stays and has none. Those of machines that are gone end with them."""
        if self.storage_gb == 0 or time.monotonic() - self._looked_s < _LOOK_S:
            return
        self._looked_s = time.monotonic()
        for name in [name for name, record in self.providers.items() if record.pid and find_actor(name) is None]:
            self._end(name)
        for node in self.places.nodes():
            name = provider_name(node.address)
            can_keep = node.is_head or (node.is_admitted and not node.is_on_demand)
            if name not in self.providers and can_keep:
                self._start(name, node.node_id, node.address)

    def processes(self) -> list[ProcessView]:
        """Those that have started."""
        return [
            ProcessView(role="provider", pid=record.pid, node=record.node, state="running")
            for record in self.providers.values()
            if record.pid
        ]

    async def drain(self, node: str) -> None:
        """Have a machine's provider give away all it keeps. Raises NotFoundError."""
        record = self.providers.get(provider_name(node))
        if record is None:
            known = ", ".join(sorted(record.node for record in self.providers.values())) or "none"
            raise NotFoundError(f"no storage provider is on {node}", hint=f"those there are: {known}")
        await record.handle.leave.remote()

    def _start(self, name: str, node_id: str, address: str) -> None:
        handle = spawn(
            StorageProvider,
            name,
            options=StorageProvider.OPTIONS,
            is_detached=True,
            node_id=node_id,
            chain_id=self.chain_id,
            params=self.params,
            storage_gb=self.storage_gb,
        )
        record = ProviderRecord(handle=handle, node=address)
        record.watching = asyncio.create_task(self._watch(name, record))
        self.providers[name] = record

    async def _watch(self, name: str, record: ProviderRecord) -> None:
        """Ask it now and then; one that does not answer is ended, and started again at the next turn."""
        patience_s = _START_S
        while self.providers.get(name) is record:
            try:
                _, record.pid, _ = await asyncio.wait_for(record.handle.hello.remote(), patience_s)
            except (ray.exceptions.RayError, TimeoutError) as error:
                _log.warning("%s does not answer: %s", name, str(cause_of(error)).partition("\n")[0])
                self._end(name)
                return
            patience_s = _ANSWER_S
            await asyncio.sleep(_ASK_S)

    def _end(self, name: str) -> None:
        record = self.providers.pop(name, None)
        if record is not None:
            _log.warning("%s is gone, process %d", name, record.pid)
            ray.kill(record.handle, no_restart=True)
