"""How fast weights, updates and data are hashed: the bulk digest of 256 MB on one core.

Measured: `consensus.primitives.digest.bulk_digest`, the function every state, update and artifact goes through, on
random bytes in memory, pinned to one core. Beside it, for scale, plain BLAKE3 and SHA-256 of the same bytes with the
same libraries, in the same process: what the tree of 256 KiB leaves costs, and what it saves over the chain's hash.
"""

import hashlib
import os
from collections.abc import Mapping

from blake3 import blake3

from benchmarks.child import Results, Value
from benchmarks.machine import pinned_cores
from benchmarks.repetition import median_time_s
from consensus.primitives.digest import bulk_digest


def measure(arguments: Mapping[str, Value]) -> Results:
    """GB/s, a GB being 10^9 bytes."""
    os.sched_setaffinity(0, pinned_cores(1))
    size, repetitions = (32_000_000, 3) if arguments["quick"] else (256_000_000, 9)
    data = os.urandom(size)
    gigabytes = size / 1e9
    return {
        "digest_gb_s": gigabytes / median_time_s(lambda: bulk_digest(data), repetitions),
        "digest_gb_s.plain_blake3": gigabytes / median_time_s(lambda: blake3(data).digest(), repetitions),
        "digest_gb_s.sha256": gigabytes / median_time_s(lambda: hashlib.sha256(data).digest(), repetitions),
    }
