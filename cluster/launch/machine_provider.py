"""The machines of a cluster file for Ray's autoscaler: it says how many are needed, here they join and leave over ssh.

Runs in Ray's monitor, a process of the head (cluster/launch/autoscaling). A machine joins as with `pouw up`, by its
user's ssh, with the token on standard input, compared with the site before it counts; and nothing else there is ended.
"""

import logging
import math
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
from ray.autoscaler.batching_node_provider import BatchingNodeProvider, NodeData, ScaleRequest

from cluster.config import HomeLayout, read_site_file
from cluster.errors import ClusterError, NotFoundError
from cluster.launch.autoscaling import FIRST, HEAD, WORKER
from cluster.launch.fleet import end_worker, join_worker, joined_workers, look_at
from cluster.launch.ssh import Machine
from cluster.settings import WorkerHosts

UP: Final = "up-to-date"
JOINING: Final = "joining"
_AT_ONCE: Final = 32
_PAUSE_S: Final = 60.0
"""After a machine did not join, others are taken first."""
_FIRST_S: Final = 300.0
"""By then the first machines have joined, by `pouw up`; one that has not is joined from here."""

_log = logging.getLogger("pouw.machines")


class MachineProvider(BatchingNodeProvider):  # type: ignore[misc]
    """Ray's view of the machines. Its threads join and end them; which, the autoscaler decides.

    The first ones belong to it from the start, though `pouw up` joins them: they are not joined twice.
    """

    def __init__(self, provider_config: Mapping[str, object], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._home = HomeLayout(root=Path(str(provider_config["home"])))
        self._hosts = msgspec.json.decode(self._home.machines_file.read_bytes(), type=WorkerHosts)
        self._head_ip = str(provider_config["head_ip"])
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
        self._lock = threading.Lock()
        self._taken = {*self._hosts.first, *joined_workers(self._home)}
        self._joining: set[str] = set()
        self._ending: set[str] = set()
        self._failed_s: dict[str, float] = {}
        self._first_until_s = time.monotonic() + _FIRST_S

    def get_node_data(self) -> dict[str, NodeData]:
        """The head, the machines that have joined, and those that are about to."""
        joined = {*joined_workers(self._home)}
        with self._lock:
            if time.monotonic() > self._first_until_s:
                self._taken &= joined | self._joining
            states = {address: UP if address in joined - self._joining else JOINING for address in sorted(self._taken)}
        workers = {
            address: NodeData(kind="worker", type=self._type_of(address), ip=address, status=state)
            for address, state in states.items()
        }
        return {self._head_ip: NodeData(kind="head", type=HEAD, ip=self._head_ip, status=UP), **workers}

    def submit_scale_request(self, scale_request: ScaleRequest) -> None:
        """Begin to end the machines that are not needed, and to join as many as are missing."""
        with self._lock:
            ending = self._taken & scale_request.workers_to_delete
            self._taken -= ending
            self._ending |= ending
            chosen = [
                address
                for kind, count in scale_request.desired_num_workers.items()
                for address in self._choose(kind, count)
            ]
            self._taken |= set(chosen)
            self._joining |= set(chosen)
        for act, addresses in ((self._end, ending), (self._join, chosen)):
            for address in addresses:
                self._pool.submit(act, address).add_done_callback(_report)

    def _type_of(self, address: str) -> str:
        return FIRST if address in self._hosts.first else WORKER

    def _choose(self, kind: str, count: int) -> list[str]:
        """Machines of a kind that are to join, so that there are `count`; those last that failed lately."""
        now_s = time.monotonic()
        missing = count - sum(1 for address in self._taken if self._type_of(address) == kind)
        spare = [
            address
            for address in self._hosts.addresses
            if self._type_of(address) == kind and address not in self._taken | self._ending
        ]
        spare.sort(key=lambda address: now_s - self._failed_s.get(address, -math.inf) < _PAUSE_S)
        return spare[: max(0, missing)]

    def _join(self, address: str) -> None:
        site, machine = read_site_file(self._home), Machine(address=address, hosts=self._hosts)
        has_joined = False
        try:
            if site is None:
                raise NotFoundError("the site is not ready yet")
            look_at(machine)
            _log.info("%s is made a node, as miners have no place", address)
            join_worker(self._home, site, machine)
            has_joined = True
        except ClusterError as error:
            _log.warning("a machine did not join: %s", error)
        finally:
            with self._lock:
                self._joining.discard(address)
                if not has_joined:
                    self._failed_s[address] = time.monotonic()
                    self._taken -= {address} - {*joined_workers(self._home)}

    def _end(self, address: str) -> None:
        """One that does not answer stays noted, and is one of ours again: it is tried again when it stays silent."""
        _log.info("%s is ended as a node: no miner needs it, or it is not heard of", address)
        has_ended = False
        try:
            end_worker(self._home, address)
            has_ended = True
        except ClusterError as error:
            _log.warning("a machine was not told to leave: %s", error)
        finally:
            with self._lock:
                self._ending.discard(address)
                if not has_ended:
                    self._taken.add(address)


def _report(work: Future[None]) -> None:
    if work.exception() is not None:
        _log.error("a machine could not be joined or ended", exc_info=work.exception())
