"""How long a job stands still for each fault, on a site of four nodes; and whether it comes to the same weights.

Measured: a site whose head has no miners (127.0.0.2) and three nodes that joined it (127.0.0.3 to .5), a miner on each,
trains a small GPT twice from the same beacon. The first time nothing happens. The second time every fault comes in
turn: kill -9 and SIGSTOP of each role, the loss of a node (kill -9 of its raylet and all its workers), of Ray's control
service, of the head's raylet, and of every process of the site, which is then started again with `pouw up`. A stall is
the longest time without a new round, less a usual round, as the API shows it (looked at every 50 ms); while the gateway
is gone nothing is shown, and the rounds that went by meanwhile are counted in its favour. A job that goes back repeats
rounds before it shows a new one: that is part of the stall. The weights must be the same to the bit.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks.child import Results, Value
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import fixed_length_job
from cluster.api.client import GatewayClient
from cluster.client.connection import connect
from cluster.config import HomeLayout, read_site_file
from cluster.errors import ClusterError
from cluster.launch.join import NodeOptions, join_site, leave_site, load_ray_token, read_worker_file
from cluster.launch.up import start_site
from cluster.settings import SiteSettings
from cluster.views import JobView
from jobs.spec.job import JobSpec

_POLL_S: Final = 0.05
_BEACON: Final = "5e" * 32
_NODES: Final = ("127.0.0.3", "127.0.0.4", "127.0.0.5")
_AFTER: Final = 4
"""Rounds watched after a fault."""
_CHECKPOINT_EVERY: Final = 10
_TIMEOUT_S: Final = 180.0
_ENDED: Final = ("completed", "failed", "cancelled")
_SETTINGS: Final = SiteSettings(
    miners=3,
    port=0,
    node_ip="127.0.0.2",
    head_miners="never",
    beacon=_BEACON,
    block_interval_s=1.0,
    gcs_storage="rocksdb",
)


def measure(arguments: Mapping[str, Value]) -> Results:
    """Seconds of standstill for each fault."""
    quick = bool(arguments["quick"])
    rounds, faults = (60, _QUICK) if quick else (600, _FAULTS)
    with temporary_home() as home, running_site(home, _SETTINGS) as site, _joined(site) as nodes:
        undisturbed = _Run(site, nodes, rounds)
        undisturbed.wait_for_miners()
        expected = undisturbed.wait_for_end()
        disturbed = _Run(site, nodes, rounds)
        disturbed.wait_for_miners()
        disturbed.pass_rounds(_AFTER)
        lines = [_inflict(disturbed, name, fault) for name, fault in faults.items()]
        ended = disturbed.wait_for_end()
    same = ended.state == "completed" and ended.state_digest == expected.state_digest
    print("\n".join(["fault                  stall", *lines, f"same weights: {same}"]), file=sys.stderr)
    stalls = {f"{name}_stall_s": stall for name, stall in disturbed.stalls.items()}
    return {
        **stalls,
        "faults_same_digest": float(same),
        "faults_same_digest.rounds": rounds,
        "faults_same_digest.usual_round_s": disturbed.usual_round_s,
        "faults_same_digest.table": lines,
    }


@contextmanager
def _joined(site: Site) -> Iterator[dict[str, HomeLayout]]:
    """The other nodes, each with a home of its own."""
    with ExitStack() as leaving:
        nodes = {}
        for address in _NODES:
            nodes[address] = HomeLayout(root=Path(site.home.root.parent, address))
            leaving.callback(leave_site, nodes[address])
            _join(site, nodes[address], address)
        yield nodes


def _join(site: Site, home: HomeLayout, address: str) -> None:
    record = read_site_file(site.home)
    assert record is not None
    token = load_ray_token(site.home, {})
    leave_site(home)
    join_site(home, record.ray_address, token, NodeOptions(node_ip=address, cpus=1), timeout_s=_TIMEOUT_S)


def _spec(rounds: int) -> JobSpec:
    spec = fixed_length_job(_SETTINGS.miners, rounds, 1)
    train = spec.train.model_copy(update={"checkpoint_every": _CHECKPOINT_EVERY})
    return spec.model_copy(update={"train": train})


@dataclass
class _Run:
    """One job, watched."""

    site: Site
    nodes: Mapping[str, HomeLayout]
    rounds: int
    stalls: dict[str, float] = field(default_factory=dict)
    usual_round_s: float = 0.0
    _job: str = ""
    _seen: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._job = self.site.submit(_spec(self.rounds))

    @property
    def client(self) -> GatewayClient:
        return connect(self.site.home, {})

    def client_answers(self) -> bool:
        """Whether the site is there and has a gateway that serves."""
        record = read_site_file(self.site.home)
        try:
            return record is not None and record.is_alive and self.client.is_healthy()
        except ClusterError:
            return False

    def look(self) -> JobView | None:
        """The job, or None while nobody answers."""
        try:
            job = self.client.status(self._job).jobs[0]
        except ClusterError:
            return None
        if not self._seen or self._seen[-1][0] != job.round:
            self._seen.append((job.round, time.monotonic()))
        return job

    def wait_until(self, is_there: Callable[[JobView], bool]) -> JobView:
        deadline = time.monotonic() + _TIMEOUT_S
        while (job := self.look()) is None or not (is_there(job) or job.state in _ENDED):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job stands still: {job}")
            time.sleep(_POLL_S)
        return job

    def wait_for_miners(self) -> None:
        """Until the job has as many as it gets."""
        self.wait_until(lambda job: job.miners >= _SETTINGS.miners)

    def wait_for_end(self) -> JobView:
        deadline = time.monotonic() + _TIMEOUT_S * 5
        while (job := self.look()) is None or job.state not in _ENDED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job does not end: {job}")
            time.sleep(_POLL_S)
        return job

    def pass_rounds(self, count: int) -> None:
        """Watch so many rounds, and learn what a usual one takes."""
        first = self.wait_until(lambda _job: True).round
        self._seen.clear()
        self.wait_until(lambda job: job.round >= first + count)
        spans = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(self._seen, self._seen[1:], strict=False)]
        self.usual_round_s = median(spans) if spans else self.usual_round_s

    def stall_since(self, began_s: float) -> float:
        """The longest wait for a new round from that moment on, less what its rounds usually take."""
        number = self._seen[-1][0]
        self._seen[:] = [(number, began_s)]
        self.wait_until(lambda job: job.round >= number + _AFTER)
        pairs = zip(self._seen, self._seen[1:], strict=False)
        return max(max(0.0, b[1] - a[1] - (b[0] - a[0]) * self.usual_round_s) for a, b in pairs)

    def pid_of(self, role: str) -> int:
        """The process of a role; of a miner, one that works."""
        if role == "miner":
            return next(m.pid for m in self.client.miners() if m.state == "working")
        return next(p.pid for p in self.client.status().processes if p.role == role and p.pid)


Fault = Callable[[_Run], Callable[[], None] | None]
"""Inflicts itself; may return what an operator would do about it afterwards."""


def _signal(role: str, number: signal.Signals) -> Fault:
    def inflict(run: _Run) -> None:
        os.kill(run.pid_of(role), number)

    return inflict


def _lose_node(run: _Run) -> Callable[[], None]:
    """Every process of a joined node that a working miner runs on."""
    address = next(m.node for m in run.client.miners() if m.state == "working")
    _kill(_node_processes(run.nodes[address]))
    return lambda: _join(run.site, run.nodes[address], address)


def _lose_control_service(run: _Run) -> None:
    _kill([p for p in _site_processes(run.site.home) if p.name() == "gcs_server"])


def _lose_head_raylet(run: _Run) -> None:
    """The other nodes end with it. An operator has them join again as soon as the site answers."""
    _kill([p for p in _site_processes(run.site.home) if p.name() == "raylet"])
    _rejoin_all(run)


def _lose_everything(run: _Run) -> None:
    """Power is back at once, and an operator types `pouw up` here and `pouw join` there."""
    _kill(_site_processes(run.site.home) + [p for node in run.nodes.values() for p in _node_processes(node)])
    start_site(run.site.home, _SETTINGS)
    _rejoin_all(run)


def _site_processes(home: HomeLayout) -> list[psutil.Process]:
    record = read_site_file(home)
    assert record is not None
    return _with_descendants(record.pid)


def _node_processes(home: HomeLayout) -> list[psutil.Process]:
    worker = read_worker_file(home)
    return [] if worker is None or not worker.is_alive else _with_descendants(worker.pid)


def _with_descendants(pid: int) -> list[psutil.Process]:
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _rejoin_all(run: _Run) -> None:
    """All at the same time, once there is a site to join."""
    for home in run.nodes.values():
        leave_site(home)
    deadline = time.monotonic() + _TIMEOUT_S
    while not run.client_answers():
        if time.monotonic() > deadline:
            raise TimeoutError("the site does not come back")
        time.sleep(_POLL_S)
    with ThreadPoolExecutor(len(run.nodes)) as joining:
        list(joining.map(lambda item: _join(run.site, item[1], item[0]), run.nodes.items()))


def _inflict(run: _Run, name: str, fault: Fault) -> str:
    run.pass_rounds(_AFTER)
    began_s = time.monotonic()
    repair = fault(run)
    run.stalls[name] = stall_s = run.stall_since(began_s)
    if repair is not None:
        repair()
    line = f"{name:<20} {stall_s:>6.1f} s"
    print(line, file=sys.stderr, flush=True)
    run.wait_for_miners()
    return line


_ROLES: Final = ("miner", "coordinator", "supervisor", "verifier", "gateway")
_FAULTS: Final[dict[str, Fault]] = {
    **{f"{role}_kill": _signal(role, signal.SIGKILL) for role in _ROLES},
    **{f"frozen_{role}": _signal(role, signal.SIGSTOP) for role in _ROLES},
    "node_loss": _lose_node,
    "gcs_kill": _lose_control_service,
    "head_raylet_kill": _lose_head_raylet,
    "power_loss": _lose_everything,
}
_QUICK: Final = {name: _FAULTS[name] for name in ("frozen_miner", "node_loss", "coordinator_kill")}
