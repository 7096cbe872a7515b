"""Eighty miners on one machine, as real actors, against two: what each costs, and that they come to the same weights.

One site, one job of many tiny slots (a small network, 80 slots of 4 examples a round), run twice: with two miners and
then, after scaling up, with eighty (twelve in a quick run). Both runs have the same cores, chain, supervisor and
verifier, so what differs is the number of miners only. With two cores eighty miners cannot be faster than two: the
ratio of the times a round takes says what seventy-eight more of them cost, in handing out slots, switching between
processes and moving states and updates. The states after the last round have to be equal (invariant 1).

Starting is measured from the request until the last miner says that it is ready, everything else of the site going on;
torch is loaded by every one of them. Memory is what Linux counts for the miners' processes while they hold the job:
private, and with each shared page divided among those who share it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.process_memory import private_mib, proportional_mib
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import tiny_slots_job
from cluster.settings import SiteSettings

_FEW: Final = 2
_MANY: Final = 80
_MANY_QUICK: Final = 12
_EXAMPLES: Final = 4
_POLL_S: Final = 0.2
_BEACON: Final = "5e" * 32
"""Fixed, or two jobs would not start from the same weights."""
_READY: Final = ("idle", "working")
_START_S: Final = 600.0
_RUN_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One job from its second round to its end."""

    digest: str
    round_s: float
    worked: int
    """Miners that ran a slot."""


def measure(arguments: Mapping[str, Value]) -> Results:
    """Seconds and MiB a miner, the ratio of the rounds' times, whether the digests are equal."""
    many, rounds = (_MANY_QUICK, 10) if arguments["quick"] else (_MANY, 30)
    with temporary_home() as home, running_site(home, SiteSettings(miners=_FEW, port=0, beacon=_BEACON)) as site:
        _wait_for_miners(site, _FEW)
        few = _run(site, _FEW, rounds, slots=many)
        started = time.monotonic()
        site.client.scale(many)
        _wait_for_miners(site, many)
        start_s = time.monotonic() - started
        crowd = _run(site, many, rounds, slots=many)
        pids = [miner.pid for miner in site.client.miners()]
        private = [private_mib(pid) for pid in pids]
        shared = [proportional_mib(pid) for pid in pids]
    return {
        "many_miners_same_digest": int(few.digest == crowd.digest),
        "many_miners_same_digest.digest": crowd.digest,
        "many_miners_same_digest.miners": many,
        "many_miners_same_digest.worked": crowd.worked,
        "many_miners_start_s": start_s / (many - _FEW),
        "many_miners_start_s.all_s": start_s,
        "many_miners_mib": median(private),
        "many_miners_mib.proportional_mib": median(shared),
        "many_miners_mib.all_mib": sum(shared),
        "many_miners_slowdown": crowd.round_s / few.round_s,
        "many_miners_slowdown.round_s": crowd.round_s,
        "many_miners_slowdown.round_s_of_two": few.round_s,
    }


def _wait_for_miners(site: Site, count: int) -> None:
    deadline = time.monotonic() + _START_S
    while (ready := sum(miner.state in _READY for miner in site.client.miners())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{ready} of {count} miners have started")
        time.sleep(_POLL_S)


def _run(site: Site, miners: int, rounds: int, *, slots: int) -> _Run:
    before = {miner.name: miner.slots_run for miner in site.client.miners()}
    job = site.submit(tiny_slots_job(miners, rounds, slots=slots, examples=_EXAMPLES))
    first = site.wait_for(job, lambda view: view.round >= 1 and view.miners >= miners, timeout_s=_RUN_S)
    started = time.monotonic()
    site.wait_for(job, lambda view: view.round >= rounds - 1, timeout_s=_RUN_S)
    elapsed_s = time.monotonic() - started
    last = site.wait_for(job, lambda view: view.state == "completed", timeout_s=_RUN_S)
    worked = sum(1 for miner in site.client.miners() if miner.slots_run > before.get(miner.name, 0))
    assert last.state_digest is not None
    return _Run(digest=last.state_digest, round_s=elapsed_s / (rounds - 1 - first.round), worked=worked)
