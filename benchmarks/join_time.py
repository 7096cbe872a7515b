"""How soon a new miner works: from the start of its process to its first slot, and from 2 miners to 8.

Measured: a real site trains a small GPT (8 local steps a slot, 8 slots a round) with two miners. A third one is asked
for, and sent away again: `join_s` runs from the start of its process to the first sight of a slot that it ran and the
coordinator took, `.settled_s` to the first one that is audited, settled and paid. Then eight are asked for:
`scale_up_s` runs from the request until each of the eight has run a slot. The site shows a miner's slots with a
resolution of a second.

Compared with what cannot be avoided: `.bare_actor_s` is the time from process start to the first answer of a Ray actor
that imports torch and does nothing else, on a private cluster of its own while nothing else of this benchmark runs.
Both load the same libraries from a warm page cache.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final

import psutil
import ray

from benchmarks.child import Results, Value
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import small_gpt_job
from cluster.settings import SiteSettings
from cluster.views import MinerView

_BEFORE: Final = 2
_AFTER: Final = 8
_POLL_S: Final = 0.1
_TIMEOUT_S: Final = 200.0


class _BareActor:
    """Imports torch."""

    def answer(self) -> tuple[int, float]:
        """Its process, and when it answered."""
        import os

        import torch

        assert torch.get_num_threads()
        return os.getpid(), time.time()  # noqa: TID251 - compared with the start of a process


def measure(arguments: Mapping[str, Value]) -> Results:
    """Seconds."""
    repetitions = 1 if arguments["quick"] else 3
    bare_s = _bare_actor_s()
    with temporary_home() as home, running_site(home, SiteSettings(miners=_BEFORE, port=0)) as site:
        job = site.submit(small_gpt_job(8, workers=_AFTER))
        site.wait_for(job, lambda view: view.round >= 1 and view.miners == _BEFORE)
        joined = [_join(site) for _ in range(repetitions)]
        started = time.monotonic()
        _wait_for(site, _AFTER, lambda miner: miner.slots_run > 0)
        scale_up_s = time.monotonic() - started
        _wait_for(site, _AFTER, lambda miner: miner.slots_verified > 0)
    return {
        "join_s": median(first_s for first_s, _ in joined),
        "join_s.each": [f"{first_s:.1f}" for first_s, _ in joined],
        "join_s.settled_s": [f"{settled_s:.1f}" for _, settled_s in joined],
        "join_s.bare_actor_s": bare_s,
        "scale_up_s": scale_up_s,
        "scale_up_s.miners": [str(_BEFORE), str(_AFTER)],
    }


def _join(site: Site) -> tuple[float, float]:
    """Seconds from the start of a third miner's process to its first slot, and to its first settled one."""
    before, count = {miner.name for miner in site.client.miners()}, _BEFORE + 1
    newest = [miner for miner in _wait_for(site, count, lambda miner: miner.slots_run > 0) if miner.name not in before]
    first = time.time()  # noqa: TID251 - compared with the start of a process
    _wait_for(site, count, lambda miner: miner.slots_verified > 0)
    settled = time.time()  # noqa: TID251 - compared with the start of a process
    born = min(psutil.Process(miner.pid).create_time() for miner in newest)
    _wait_for(site, _BEFORE, lambda miner: miner.slots_run > 0)
    return first - born, settled - born


def _wait_for(site: Site, count: int, is_there: Callable[[MinerView], bool]) -> tuple[MinerView, ...]:
    """Ask for so many miners and wait until a condition holds for every one of them."""
    site.client.scale(count)
    deadline = time.monotonic() + _TIMEOUT_S
    while not (len(miners := site.client.miners()) == count and all(is_there(miner) for miner in miners)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {count} miners: {miners}")
        time.sleep(_POLL_S)
    return tuple(miners)


def _bare_actor_s() -> float:
    with tempfile.TemporaryDirectory(prefix="pouw-bench-ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=256 * 1024**2,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=f"{folder}/ray",
        )
        try:
            pid, answered = ray.get(ray.remote(max_restarts=0)(_BareActor).remote().answer.remote())
            return float(answered - psutil.Process(pid).create_time())
        finally:
            ray.shutdown()
