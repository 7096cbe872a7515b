"""What a figure was measured on. Figures of different machines or versions are never put into one file."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("pouw", "torch", "ray", "blake3", "cryptography", "lmdb", "numpy")


def describe_machine() -> dict[str, str | int]:
    """Processor, cores this process may use, memory, system and versions; flat."""
    described: dict[str, str | int] = {
        "machine": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    return described | {package: version(package) for package in _PACKAGES}


def pinned_cores(count: int) -> list[int]:
    """The first cores this process may use: both sides of a comparison get the same ones."""
    return sorted(os.sched_getaffinity(0))[:count]


def load_share() -> float:
    """Running processes a core over the last minute. Well above 0 before a run: others are busy here too."""
    return round(os.getloadavg()[0] / len(os.sched_getaffinity(0)), 2)


def code_version() -> str:
    """The commit that was measured, `-dirty` if files differ from it; `unknown` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
