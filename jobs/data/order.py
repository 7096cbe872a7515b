"""Which examples a step sees: an endless stream fixed by the job's seed, read at any position without any memory.

Epoch e is a keyed permutation of the rows: a Feistel network over the smallest even number of bits that holds them,
walked until it lands on a row. Every example comes exactly once an epoch, nobody chooses the order, and the bits do not
depend on the machine: all arithmetic is on unsigned 64-bit integers.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from consensus.primitives.digest import sha256
from jobs.program import JobProgram
from jobs.spec.job import JobSpec

Indices = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

_FEISTEL_ROUNDS: Final = 8
_MULTIPLY_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2: Final = np.uint64(0x94D049BB133111EB)


def batch_indices(seed: bytes, rows: int, start: int, count: int) -> Indices:
    """Examples number `start` up to `start + count` of the endless stream over `rows` rows, as int64 [count].

    Raises:
        ValueError: there are no rows, or a negative position or count.
    """
    if rows < 1 or start < 0 or count < 0:
        raise ValueError(f"no stream of {rows} rows from {start} for {count}")
    pieces, end = [np.empty(0, np.int64)], start + count
    while start < end:
        epoch, offset = divmod(start, rows)
        taken = min(rows - offset, end - start)
        places = np.arange(offset, offset + taken, dtype=np.uint64)
        pieces.append(permute(_epoch_key(seed, epoch), rows, places))
        start += taken
    return np.concatenate(pieces)


def stream_position(round_number: int, slot: int, step: int, spec: JobSpec) -> int:
    """Where in the stream the batch of a step starts: rounds, slots within them, steps within those, batch by batch."""
    train = spec.train
    return ((round_number * train.slots + slot) * train.local_steps + step) * train.slot_batch


def step_indices(program: JobProgram, round_number: int, slot: int, step: int) -> Indices:
    """The examples of one step of a job, as int64 [slot_batch]: numbers of rows of the training part."""
    start = stream_position(round_number, slot, step, program.spec)
    return batch_indices(program.seed, program.manifest.rows("train"), start, program.slot_batch)


def permute(key: bytes, rows: int, places: _Words) -> Indices:
    """Where a keyed permutation of [0, rows) sends `places`, uint64 [n]; as int64 [n]."""
    half = np.uint64(max(1, ((rows - 1).bit_length() + 1) // 2))
    keys = _round_keys(key)
    walked = _feistel(places, half, keys)
    outside = np.flatnonzero(walked >= rows)
    while outside.size:
        walked[outside] = _feistel(walked[outside], half, keys)
        outside = outside[walked[outside] >= rows]
    return walked.astype(np.int64)


@lru_cache(maxsize=64)
def _epoch_key(seed: bytes, epoch: int) -> bytes:
    return sha256("pouw/epoch/1", seed, epoch.to_bytes(16, "big"))


@lru_cache(maxsize=64)
def _round_keys(key: bytes) -> tuple[np.uint64, ...]:
    digests = (sha256("pouw/feistel/1", key, bytes([number])) for number in range(_FEISTEL_ROUNDS))
    return tuple(np.uint64(int.from_bytes(digest[:8], "big")) for digest in digests)


def _feistel(places: _Words, half: np.uint64, keys: tuple[np.uint64, ...]) -> _Words:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = places >> half, places & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << half) | right


def _mix(words: _Words) -> _Words:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014): every bit in reaches every bit out. Overflow wraps."""
    words = (words ^ (words >> np.uint64(30))) * _MULTIPLY_1
    words = (words ^ (words >> np.uint64(27))) * _MULTIPLY_2
    return words ^ (words >> np.uint64(31))
