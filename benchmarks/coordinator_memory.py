"""The coordinator's own memory: what a miner costs it, and whether it grows with the rounds that have passed.

Measured: Python's own count (tracemalloc) of what the real coordinator in a `simulated_job` has allocated. Its peak,
from 1 to 256 miners, gives the kibibytes that each further miner costs (its slot, assignment, report and task). What
it still holds after all rounds, with eight times as many rounds compared with as many, gives the bytes that a finished
and settled round leaves behind: whoever keeps anything of it shows here. Tracing costs time, so this is another run
than that for the time.
"""

import gc
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.simulated_job import SimulatedJob

_MINERS: Final = (1, 4, 16, 64, 256)
_LONGER: Final = 8
_FEW: Final = 4
"""Miners of the comparison between few and many rounds."""


def measure(arguments: Mapping[str, Value]) -> Results:
    """Kibibytes a miner, bytes a round."""
    quick = bool(arguments["quick"])
    peaks = {miners: _measure(SimulatedJob(miners=miners, rounds=3)).peak_bytes for miners in _MINERS}
    least, most = min(_MINERS), max(_MINERS)
    rounds = 64 if quick else 512
    held = {count: _measure(SimulatedJob(miners=_FEW, rounds=count)).held_bytes for count in (rounds, _LONGER * rounds)}
    details: Results = {f"coordinator_kib_per_miner.peak_kib_{m}": value / 1024 for m, value in peaks.items()}
    details |= {f"coordinator_bytes_per_round.held_kib_{count}": value / 1024 for count, value in held.items()}
    grown_bytes = held[_LONGER * rounds] - held[rounds]
    return {
        "coordinator_kib_per_miner": (peaks[most] - peaks[least]) / 1024 / (most - least),
        "coordinator_bytes_per_round": max(0, grown_bytes) / ((_LONGER - 1) * rounds),
        **details,
    }


@dataclass(slots=True)
class _Memory:
    """Bytes since the coordinator was made."""

    looks: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        gc.collect()
        self.looks.append(tracemalloc.get_traced_memory())
        tracemalloc.reset_peak()

    @property
    def held_bytes(self) -> int:
        return self.looks[-1][0] - self.looks[0][0]

    @property
    def peak_bytes(self) -> int:
        return self.looks[-1][1] - self.looks[0][0]


def _measure(job: SimulatedJob) -> _Memory:
    memory = _Memory()
    tracemalloc.start()
    try:
        job.run(memory.look)
    finally:
        tracemalloc.stop()
    return memory
