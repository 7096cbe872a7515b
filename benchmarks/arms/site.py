"""This project's side: a real site trains the job with everything on.

Two miners, the coordinator, a supervisor with its chain in LMDB, a verifier that replays the blocks' slots and 5 %
of all, the gateway. The job is submitted by the real client. Speed is the coordinator's own meter: examples of the
rounds that were finished in the last ten seconds, read every ten seconds from the time on that training is warm: rounds
are being settled, so the object store reuses memory that it has touched before.
"""

import time
from collections.abc import Mapping
from statistics import mean

from benchmarks.child import Results, Value
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import gpt_job
from cluster.settings import SiteSettings
from jobs.determinism import configured_class

_METER_S = 10.0


def measure(arguments: Mapping[str, Value]) -> Results:
    """`local_steps`, `warm_s`, `window_s` (rounded up to whole readings of ten seconds). In this process's class."""
    spec = gpt_job(int(str(arguments["local_steps"])))
    with temporary_home() as home, running_site(home, _settings(spec.train.slots)) as site:
        job = site.submit(spec)
        site.wait_for(job, lambda view: view.rounds_settled >= 1 and view.miners == spec.train.slots)
        time.sleep(float(str(arguments["warm_s"])))
        return _watch(site, job, float(str(arguments["window_s"])))


def _settings(miners: int) -> SiteSettings:
    return SiteSettings(miners=miners, port=0, replay_class=configured_class())


def _watch(site: Site, job: str, window_s: float) -> Results:
    """Nothing is asked of the site between two readings."""
    first, readings = site.job(job), []
    for _ in range(max(1, round(window_s / _METER_S))):
        time.sleep(min(_METER_S, window_s))
        readings.append(site.job(job))
    last = readings[-1]
    speeds = [view.samples_per_s for view in readings if view.samples_per_s is not None]
    return {
        "samples_per_s": mean(speeds),
        "rounds": last.round - first.round,
        "blocks": last.blocks - first.blocks,
        "audits": last.audits_matched - first.audits_matched,
        "rounds_settled": last.rounds_settled - first.rounds_settled,
    }
