"""What is lost when a miner is killed: slots that are run again, and how long the job stands still.

Measured: a real site with two miners trains a small GPT (8 local steps a slot, two slots a round). In the middle of
a round one miner gets SIGKILL; the site goes on with the other one and starts a new one by itself. After a few more
rounds the next one is killed. From the chain: how often slots were handed out again, per kill, for every reason.
From the status, with its resolution of a fifth of a second: the longest round at a kill less a usual one, in usual
slots.
"""

import os
import signal
import time
from collections.abc import Mapping
from statistics import median
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.stored_run import read_run
from benchmarks.temporary_site import Site, running_site, temporary_home
from benchmarks.workloads import gpt_job
from cluster.settings import SiteSettings

_POLL_S: Final = 0.1
_ROUNDS_BETWEEN: Final = 4
_TIMEOUT_S: Final = 120.0
_MINERS: Final = 2


def measure(arguments: Mapping[str, Value]) -> Results:
    """Slots a kill."""
    kills = 1 if arguments["quick"] else 3
    with temporary_home() as home:
        with running_site(home, SiteSettings(miners=_MINERS, port=0)) as site:
            watched = _Watch(site, site.submit(gpt_job(1 if arguments["quick"] else 8)))
            for _ in range(kills):
                watched.wait_for_miners()
                watched.pass_rounds(_ROUNDS_BETWEEN)
                watched.kill_in_mid_round()
            watched.pass_rounds(_ROUNDS_BETWEEN)
            last_killed = watched.killed_in[-1]
            site.wait_for(watched.job, lambda view: view.rounds_settled > last_killed, timeout_s=_TIMEOUT_S)
        run = read_run(home)
    lost = sum(run.extra_attempts.values())
    return {
        "miner_kill_lost_slots": lost / kills,
        "miner_kill_lost_slots.kills": kills,
        "miner_kill_lost_slots.rounds": [str(number) for number in run.extra_attempts],
        "miner_kill_lost_slots.killed_in": [str(number) for number in watched.killed_in],
        "miner_kill_lost_slots.stall_in_rounds": watched.stall_in_rounds(),
        "miner_kill_lost_slots.usual_round_s": watched.usual_round_s(),
    }


class _Watch:
    """Follows a job's rounds."""

    def __init__(self, site: Site, job: str) -> None:
        self._site, self.job = site, job
        self._seen: list[tuple[int, float]] = []
        """Rounds with the time at which they were first seen."""
        self.killed_in: list[int] = []

    def wait_for_miners(self) -> None:
        """Until all miners work."""
        self._site.wait_for(self.job, lambda view: view.round >= 1 and view.miners == _MINERS, timeout_s=_TIMEOUT_S)

    def pass_rounds(self, count: int) -> None:
        """Watch until so many more rounds were finished."""
        deadline, first = time.monotonic() + _TIMEOUT_S, self._look()
        while self._look() < first + count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job stands still in round {self._look()}")
            time.sleep(_POLL_S)

    def kill_in_mid_round(self) -> None:
        """SIGKILL for one miner half a round after a round began."""
        self.pass_rounds(1)
        time.sleep(self.usual_round_s() / 2)
        miner = next(miner for miner in self._site.client.miners() if miner.state == "working")
        self.killed_in.append(self._look())
        os.kill(miner.pid, signal.SIGKILL)

    def usual_round_s(self) -> float:
        """The median time of a round, of those that no kill fell into."""
        return median(span / rounds for number, rounds, span in self._spans() if number not in self.killed_in)

    def stall_in_rounds(self) -> float:
        """How much longer than usual the rounds took that a kill fell into, at most."""
        usual_s = self.usual_round_s()
        longest_s = max(span - (rounds - 1) * usual_s for n, rounds, span in self._spans() if n in self.killed_in)
        return longest_s / usual_s - 1

    def _spans(self) -> list[tuple[int, int, float]]:
        """First round, number of rounds and seconds between two looks that saw something new."""
        pairs = zip(self._seen, self._seen[1:], strict=False)
        return [(before[0], after[0] - before[0], after[1] - before[1]) for before, after in pairs]

    def _look(self) -> int:
        number = self._site.job(self.job).round
        if not self._seen or self._seen[-1][0] != number:
            self._seen.append((number, time.monotonic()))
        return number
