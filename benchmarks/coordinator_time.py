"""The coordinator's own time for a slot, from 1 to 256 miners.

Measured: the real coordinator in a `simulated_job`; its time, without the simulated miners', divided by the slots.
What counts is the worst of all numbers of miners: a coordinator that scales badly shows at 256.
"""

from collections.abc import Mapping
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.simulated_job import SimulatedJob

_MINERS: Final = (1, 4, 16, 64, 256)


def measure(arguments: Mapping[str, Value]) -> Results:
    """Milliseconds a slot."""
    slots = 512 if arguments["quick"] else 4096
    times_ms = {miners: _own_ms_per_slot(miners, slots) for miners in _MINERS}
    details: Results = {f"coordinator_ms_per_slot.miners_{miners}": value for miners, value in times_ms.items()}
    return {"coordinator_ms_per_slot": max(times_ms.values()), **details}


def _own_ms_per_slot(miners: int, least_slots: int) -> float:
    slots = SimulatedJob(miners=miners, rounds=1).slots
    job = SimulatedJob(miners=miners, rounds=-(-least_slots // slots))
    return 1000 * job.run() / (job.rounds * slots)
