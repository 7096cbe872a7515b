"""The two digests a step is held to: which examples it was given, and what bytes they were."""

import numpy as np
import numpy.typing as npt

from consensus.primitives.digest import bulk_digest, sha256
from consensus.primitives.integers import Digest
from jobs.data.segment import Inputs, Targets


def indices_digest(indices: npt.NDArray[np.int64]) -> Digest:
    """SHA-256 of example numbers, each as a big-endian unsigned 64-bit integer."""
    return sha256("pouw/indices/1", indices.astype(">u8").tobytes())


def batch_digest(inputs: Inputs, targets: Targets | None) -> Digest:
    """Bulk digest of a batch: the bytes of its inputs, then those of its targets, row by row."""
    return bulk_digest(inputs.tobytes() + (b"" if targets is None else targets.tobytes()))


def batch_bytes(inputs: Inputs, targets: Targets | None) -> int:
    """Size of a batch in bytes."""
    return inputs.nbytes + (0 if targets is None else targets.nbytes)
