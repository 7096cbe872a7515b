"""Which replay classes a processor can run, by what Linux says of it. torch is asked later and has the last word."""

from pathlib import Path
from typing import Final

from cluster.errors import UsageError
from jobs.determinism import AVX512, PORTABLE

CPUINFO: Final = Path("/proc/cpuinfo")
_NEEDED: Final = {
    PORTABLE: frozenset({"avx2"}),
    AVX512: frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}),
}


def can_run(replay_class: str, cpuinfo: Path = CPUINFO) -> bool | None:
    """Whether the processor has the kernels of a class; None where nothing is said of it."""
    flags = _flags(cpuinfo)
    return None if flags is None else _NEEDED.get(replay_class, frozenset()) <= flags


def check_can_run(replay_class: str, cpuinfo: Path = CPUINFO) -> None:
    """Raises UsageError: not on this processor. The default is left to those who use it all the same."""
    if replay_class != PORTABLE and can_run(replay_class, cpuinfo) is False:
        hint = f"start the site with --replay-class {PORTABLE}, in which machines of different age train alike"
        words = f"this processor cannot run the replay class {replay_class}"
        raise UsageError(words, hint=hint, code="replay-class")


def _flags(cpuinfo: Path) -> frozenset[str] | None:
    if not cpuinfo.exists():
        return None
    line = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    return frozenset(line.split())
