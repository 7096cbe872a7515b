"""Whether a machine has enough memory and disk to be a node; the one place with the least amounts."""

import os
import shutil
from pathlib import Path
from typing import Final

from cluster.config import HomeLayout
from cluster.control.capacity import MOST_MINERS, Room, check_scale
from cluster.errors import ConflictError

GIGABYTE: Final = 1_000_000_000
LEAST_MEMORY: Final = 2 * GIGABYTE
"""Ray, a miner and a small model."""
LEAST_DISK: Final = 2 * GIGABYTE
"""Ray's logs and spilled objects, and on the head chain and artifacts."""


def available_memory() -> int:
    """Bytes that programs can have without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def disk_place(home: HomeLayout) -> Path:
    """The folder whose disk the home is, or will be, on."""
    return next(folder for folder in (home.root, *home.root.parents) if folder.exists())


def check_enough_memory(least: int = LEAST_MEMORY) -> None:
    """Raises ConflictError: less memory is available than a node needs."""
    available = available_memory()
    if available < least:
        raise ConflictError(
            f"too little memory: {available / GIGABYTE:.1f} GB available, a node needs {least / GIGABYTE:.1f} GB",
            hint="end other programs, or use a machine with more memory",
            code="memory",
        )


def check_enough_for_miners(miners: int) -> None:
    """Raises ConflictError: this machine alone has no room for so many."""
    room = Room(
        address="this machine",
        miners=0,
        places=MOST_MINERS,
        cores=os.cpu_count() or 1,
        free_bytes=available_memory(),
    )
    if miners:
        check_scale(miners, 0, [room])


def check_enough_disk(home: HomeLayout, least: int = LEAST_DISK) -> None:
    """Raises ConflictError: the home's disk has less free than a node needs."""
    place = disk_place(home)
    free = shutil.disk_usage(place).free
    if free < least:
        raise ConflictError(
            f"too little disk: {free / GIGABYTE:.1f} GB free at {place}, a node needs {least / GIGABYTE:.1f} GB",
            hint="make room, or set POUW_HOME to a folder on a larger disk",
            code="disk",
        )
