"""How much shared memory a node gives to Ray's objects: states and updates pass through it."""

import shutil
from pathlib import Path
from typing import Final

_SHARE: Final = 0.3
_FREE_SHARE: Final = 0.9
_LIMIT_BYTES: Final = 8 * 1024**3
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where Ray keeps objects


def object_store_bytes() -> int:
    """A share of this machine's memory, never more than what its shared memory has free."""
    import psutil

    shared = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else _LIMIT_BYTES
    return int(min(_LIMIT_BYTES, _SHARE * psutil.virtual_memory().total, _FREE_SHARE * shared))
