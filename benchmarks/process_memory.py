"""What a process holds in memory, as Linux counts it."""

from pathlib import Path
from typing import Final

_KIB_PER_MIB: Final = 1024


def private_mib(pid: int) -> float:
    """Pages of the process that no other one has (anonymous memory and what it changed of mapped files)."""
    return _smaps(pid, "Private_Clean") + _smaps(pid, "Private_Dirty")


def proportional_mib(pid: int) -> float:
    """The same, with each shared page (libraries, the object store) divided among those who have it."""
    return _smaps(pid, "Pss")


def _smaps(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / _KIB_PER_MIB
    raise LookupError(f"/proc/{pid}/smaps_rollup has no {key}")
