"""A site over the hosts of `benchmarks.namespaces`: head here, one miner on each other host, which joins as users do.

Runs on the first host (`pouw up` with its address); each other host has a home of its own, joins with `pouw join` and
gets one miner. A job of fixed length is trained. If asked, the last host is cut off in mid-run, and after a while its
cable is plugged in again; if the site had given it up by then, it leaves and joins anew, as its operator would.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.child import ROOT, Results, Value
from benchmarks.namespaces import Host, NamespaceError, Network
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import fixed_length_job
from cluster.config import read_site_file
from cluster.launch.join import RAY_TOKEN_VARIABLE
from cluster.settings import SiteSettings
from cluster.views import JobView

_BEACON: Final = "5e" * 32
_READY: Final = ("idle", "working")
_POLL_S: Final = 0.1
_START_S: Final = 240.0
_LATER: Final = "ended with status 3"
_RUN_S: Final = 400.0


def measure(arguments: Mapping[str, Value]) -> Results:
    """`owner` and `hosts` of the network, `rounds`, `cut_s` (0: none is cut off)."""
    network = Network.of(int(str(arguments["owner"])), int(str(arguments["hosts"])))
    head, *others = network.hosts
    rounds, cut_s = int(str(arguments["rounds"])), float(str(arguments["cut_s"]))
    with temporary_home() as home:
        settings = SiteSettings(miners=0, port=0, node_ip=head.address, beacon=_BEACON)
        with running_site(home, settings) as site:
            members = [_Member.of(site, host) for host in others]
            try:
                return _train(site, members, rounds, cut_s)
            finally:
                for member in members:
                    member.leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A host with its home."""

    host: Host
    address: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, site: Site, host: Host) -> "_Member":
        """Join the site."""
        record = read_site_file(site.home)
        assert record is not None
        variables = {
            "POUW_HOME": str(site.home.root.parent / host.name),
            RAY_TOKEN_VARIABLE: site.home.ray_token.read_text().strip(),
            "PYTHONPATH": str(ROOT),
        }
        member = cls(host=host, address=record.ray_address, environment=variables)
        member.join()
        return member

    def join(self) -> None:
        """`pouw join`, one core; once more if the answer is to try again, as on a machine that is very busy."""
        command = ["join", self.address, "--node-ip", self.host.address, "--cpus", "1", "--json"]
        try:
            self._pouw(*command)
        except NamespaceError as error:
            if _LATER not in str(error):
                raise
            self._pouw(*command)

    def leave(self) -> None:
        """`pouw down`; a node that is gone already is no error."""
        self._pouw("down", "--json")

    def _pouw(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).with_name("pouw")), *arguments]
        self.host.run(command, environment={**os.environ, **self.environment}, timeout_s=_START_S)


@dataclass(slots=True)
class _Rounds:
    """When each round was first seen."""

    seen: list[tuple[int, float]] = field(default_factory=list)

    def look(self, job: JobView) -> JobView:
        if not self.seen or self.seen[-1][0] != job.round:
            self.seen.append((job.round, time.monotonic()))
        return job

    def longest_s(self) -> float:
        """The longest time without a new round."""
        return max(after[1] - before[1] for before, after in zip(self.seen, self.seen[1:], strict=False))

    def rounds_per_s(self) -> float:
        (first, began), (last, ended) = self.seen[0], self.seen[-1]
        return (last - first) / (ended - began)


def _train(site: Site, members: list[_Member], rounds: int, cut_s: float) -> Results:
    count = len(members)
    site.client.scale(count)
    _wait(lambda: sum(m.state in _READY for m in site.client.miners()) == count, "the miners start")
    where = sorted(miner.node for miner in site.client.miners())
    watched = _Rounds()
    job = site.submit(fixed_length_job(count, rounds))
    site.wait_for(job, lambda view: watched.look(view).round >= 2 and view.miners == count, timeout_s=_START_S)
    watched.seen = watched.seen[-1:]
    rejoined = 0
    if cut_s:
        site.wait_for(job, lambda view: watched.look(view).round >= rounds // 4, timeout_s=_RUN_S)
        rejoined = _cut(site, members[-1], job, watched, cut_s)
    site.wait_for(job, lambda view: watched.look(view).round >= rounds - 1, timeout_s=_RUN_S)
    last = site.wait_for(job, lambda view: view.state == "completed", timeout_s=_RUN_S)
    assert last.state_digest is not None
    return {
        "state_digest": last.state_digest,
        "rounds_per_s": watched.rounds_per_s(),
        "longest_s": watched.longest_s(),
        "nodes": where,
        "rejoined": rejoined,
        "worked": [f"{miner.name} on {miner.node}: {miner.slots_run}" for miner in site.client.miners()],
    }


def _cut(site: Site, member: _Member, job: str, watched: _Rounds, cut_s: float) -> int:
    """Cut a host off, mend it, and see to it that it takes part again; 1 if it had to join anew."""
    member.host.cut()
    _watch(site, job, watched, cut_s)
    member.host.mend()
    nodes = site.client.status().cluster.nodes
    _watch(site, job, watched, cut_s / 2)
    print(f"  nodes after {cut_s:g} s without a cable: {nodes}, later {site.client.status().cluster.nodes}", flush=True)
    try:
        member.join()
    except NamespaceError as error:
        if "already a node" not in str(error):
            raise
        return 0
    return 1


def _watch(site: Site, job: str, watched: _Rounds, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        watched.look(site.job(job))
        time.sleep(_POLL_S)


def _wait(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_S
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {_START_S:g} s: {what}")
        time.sleep(_POLL_S)
