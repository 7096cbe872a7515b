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
from cluster.launch.autoscaling import HEAD, WORKER
from cluster.launch.fleet import end_worker, join_worker, joined_workers, note_joined, note_left
from cluster.launch.ssh import Machine
from cluster.settings import WorkerHosts

UP: Final = "up-to-date"
JOINING: Final = "joining"
_AT_ONCE: Final = 32
_PAUSE_S: Final = 60.0
"""After a machine did not join, others are taken first."""

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
        self._ending: set[str] = set()
        self._failed_s: dict[str, float] = {}

    def get_node_data(self) -> dict[str, NodeData]:
        """The head, the machines that have joined, and those that are about to."""
        with self._lock:
            taken = sorted(self._taken)
        joined = joined_workers(self._home)
        workers = {
            address: NodeData(kind="worker", type=WORKER, ip=address, status=UP if address in joined else JOINING)
            for address in taken
        }
        return {self._head_ip: NodeData(kind="head", type=HEAD, ip=self._head_ip, status=UP), **workers}

    def submit_scale_request(self, scale_request: ScaleRequest) -> None:
        """Begin to end the machines that are not needed, and to join as many as are missing."""
        with self._lock:
            ending = self._taken & scale_request.workers_to_delete
            self._taken -= ending
            self._ending |= ending
            missing = scale_request.desired_num_workers.get(WORKER, 0) - len(self._taken)
            chosen = self._spare()[: max(0, missing)]
            self._taken |= set(chosen)
        for act, addresses in ((self._end, ending), (self._join, chosen)):
            for address in addresses:
                work = self._pool.submit(act, Machine(address=address, hosts=self._hosts))
                work.add_done_callback(_report)

    def _spare(self) -> list[str]:
        """Machines that could join, those last that failed lately."""
        now_s = time.monotonic()
        spare = [address for address in self._hosts.addresses if address not in self._taken | self._ending]
        return sorted(spare, key=lambda address: now_s - self._failed_s.get(address, -math.inf) < _PAUSE_S)

    def _join(self, machine: Machine) -> None:
        site = read_site_file(self._home)
        try:
            if site is None:
                raise NotFoundError("the site is not ready yet")
            _log.info("%s is made a node, as miners have no place", machine.address)
            join_worker(self._home, site, machine, is_on_demand=True)
            note_joined(self._home, machine)
        except ClusterError as error:
            _log.warning("a machine did not join: %s", error)
            with self._lock:
                self._failed_s[machine.address] = time.monotonic()
                self._taken.discard(machine.address)

    def _end(self, machine: Machine) -> None:
        _log.info("%s is ended as a node: no miner needs it, or it is not heard of", machine.address)
        try:
            end_worker(machine)
        except ClusterError as error:
            _log.warning("a machine was not told to leave: %s", error)
        note_left(self._home, machine)
        with self._lock:
            self._ending.discard(machine.address)


def _report(work: Future[None]) -> None:
    if work.exception() is not None:
        _log.error("a machine could not be joined or ended", exc_info=work.exception())
