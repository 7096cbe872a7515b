"""This project's side of the chaos comparison: a real site trains while its processes are killed and frozen.

Two miners, all roles. A process is found through the status, as an operator would find it; of a role with several one
is drawn. A blow whose role shows no process just then (it is being replaced) waits until there is one, or is left out
at the end. A frozen process stays frozen until the site ends it. Progress is the number of finished rounds, read from
the status; while the gateway is being replaced nothing can be read, the site trains on.
"""

import os
import signal
from collections.abc import Mapping
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.fault_schedule import Blow, choose, parse_blows
from benchmarks.progress import Progress
from benchmarks.stored_run import read_state_digests
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import chaos_job
from cluster.client.connection import connect
from cluster.errors import ClusterError
from cluster.settings import SiteSettings

_BEACON: Final = "5e" * 32
_POLL_S: Final = 0.2
AFTER_S: Final = 10.0
"""For so long after each blow the examples are counted: no other one comes before."""
_START_S: Final = 240.0


def measure(arguments: Mapping[str, Value]) -> Results:
    """`window_s`, `seed`, `workers`, `blows` (as `fault_schedule` writes them)."""
    window_s, workers, seed = (float(str(arguments[key])) for key in ("window_s", "workers", "seed"))
    blows = parse_blows(str(arguments["blows"]))
    with temporary_home() as home:
        with running_site(home, SiteSettings(miners=int(workers), port=0, beacon=_BEACON)) as site:
            job = site.submit(chaos_job(int(workers)))
            site.wait_for(job, lambda view: view.rounds_settled >= 1 and view.miners == workers, timeout_s=_START_S)
            shaken = _Shaken(site, job, int(seed))
            try:
                shaken.run(window_s, blows)
            finally:
                shaken.end_frozen()
        digests = read_state_digests(home)
    train = chaos_job(int(workers)).train
    examples = train.batch_size * train.local_steps
    return {
        "samples_per_s": shaken.progress.per_s() * examples,
        "after": [
            f"{role}: {shaken.progress.per_s_between(at_s, at_s + AFTER_S) * examples:.1f}"
            for role, at_s in shaken.moments
        ],
        "longest_s": shaken.progress.longest_s(),
        "blows": shaken.dealt,
        "left_out": len(blows) - len(shaken.dealt),
        "digests": [digest.hex() for _, digest in sorted(digests.items())],
    }


class _Shaken:
    """A running job, looked at and beaten."""

    def __init__(self, site: Site, job: str, seed: int) -> None:
        self._site, self._job, self._seed = site, job, seed
        self._client = site.client
        self.progress = Progress()
        self.dealt: list[str] = []
        self.moments: list[tuple[str, float]] = []
        self._frozen: set[int] = set()

    def run(self, window_s: float, blows: list[Blow]) -> None:
        waiting = list(enumerate(blows))

        def look(now_s: float) -> int | None:
            if waiting and waiting[0][1].at_s <= now_s and self._deal(*waiting[0], now_s):
                waiting.pop(0)
            return self._round()

        self.progress.run(window_s, look, _POLL_S)

    def end_frozen(self) -> None:
        """What the site has not ended itself."""
        for pid in self._frozen:
            _send(pid, signal.SIGKILL)

    def _deal(self, number: int, blow: Blow, now_s: float) -> bool:
        pids = self._pids(blow.role)
        if not pids:
            return False
        pid = pids[choose(self._seed, number, len(pids))]
        if not _send(pid, blow.number):
            return False
        if blow.number is signal.SIGSTOP:
            self._frozen.add(pid)
        self.dealt.append(f"{now_s:.1f} s {blow.role} {blow.number.name}")
        self.moments.append((f"{blow.role} {blow.number.name}", now_s))
        print(f"    {self.dealt[-1]}: process {pid}", flush=True)
        return True

    def _pids(self, role: str) -> list[int]:
        try:
            processes = self._client.status(self._job).processes
        except (ClusterError, OSError):
            return []
        return sorted(p.pid for p in processes if p.role == role and p.pid and p.pid not in self._frozen)

    def _round(self) -> int | None:
        """The round the job is in; a gateway that was replaced may answer elsewhere."""
        try:
            job = self._client.status(self._job).jobs[0]
        except (ClusterError, OSError):
            self._client = connect(self._site.home, {})
            return None
        if job.state not in ("queued", "running"):
            raise RuntimeError(f"the job is {job.state}: {job.reason}")
        return job.round


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
