"""Work over a buffer chunk by chunk, on a few threads. Which thread takes which chunk never changes a bit.

The chunks are those of the bulk digest (256 KiB): small enough to stay in a core's cache while several passes go over.
Torch and the hash function release the interpreter lock, so Python threads are enough. While they share work, each
stays on a core of its own: Linux wakes a thread where the thread that woke it runs, so that handing the interpreter
lock to and fro would hold all on one core, in turns, with the next one idle.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from consensus.primitives.digest import CHUNK_BYTES, leaf_digest
from consensus.primitives.integers import Digest
from jobs.determinism import flush_denormals
from jobs.layout import FLOAT_BYTES
from jobs.training.memory import FloatArray, bytes_of

CHUNK_FLOATS: Final = CHUNK_BYTES // FLOAT_BYTES

_C: Final = ctypes.CDLL(None)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ChunkPool:
    """The calling thread and `threads - 1` others share the chunks; a background thread runs what is submitted."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(
            max(1, threads - 1), thread_name_prefix="pouw-chunks", initializer=flush_denormals
        )

    def submit(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> "Future[Result]":
        """Run `work` in the background."""
        return self._executor.submit(work, *args, **kwargs)

    def for_each(self, count: int, work: Callable[[int, int], None]) -> None:
        """Call `work(worker, chunk)` for every chunk below `count`; `worker` is below `threads`, for scratch memory."""
        waiting, cores, helpers = deque(range(count)), os.sched_getaffinity(0), min(self.threads, count) - 1
        if not helpers or len(cores) == 1:
            _drain(waiting, 0, work)
            return
        core = _C.sched_getcpu()
        os.sched_setaffinity(0, {core})
        others = sorted(cores - {core})
        helping = [
            self._executor.submit(_help, {others[number % len(others)]}, cores, waiting, 1 + number, work)
            for number in range(helpers)
        ]
        try:
            _drain(waiting, 0, work)
        finally:
            waiting.clear()
            os.sched_setaffinity(0, cores)
            for helper in helping:
                helper.result()

    def leaf_digests(self, array: FloatArray) -> list[Digest]:
        """The bulk digest's leaves of a buffer."""
        leaves: list[Digest] = [Digest(b"")] * chunk_count(array.size)

        def hash_chunk(_worker: int, chunk: int) -> None:
            leaves[chunk] = leaf_of(array, chunk)

        self.for_each(len(leaves), hash_chunk)
        return leaves


def _help(core: set[int], cores: set[int], waiting: deque[int], worker: int, work: Callable[[int, int], None]) -> None:
    """Work on one core, and go back to all of them."""
    os.sched_setaffinity(0, core)
    try:
        _drain(waiting, worker, work)
    finally:
        os.sched_setaffinity(0, cores)


def _drain(waiting: deque[int], worker: int, work: Callable[[int, int], None]) -> None:
    while True:
        try:
            chunk = waiting.popleft()
        except IndexError:
            return
        work(worker, chunk)


def chunk_count(floats: int) -> int:
    """How many chunks a buffer of this many numbers has."""
    return -(-floats // CHUNK_FLOATS)


def chunk_range(chunk: int, floats: int) -> tuple[int, int]:
    """First number of a chunk and the one after its last, in a buffer of `floats` numbers."""
    start = chunk * CHUNK_FLOATS
    return start, min(start + CHUNK_FLOATS, floats)


def leaf_of(array: FloatArray, chunk: int) -> Digest:
    """The bulk digest's leaf of one chunk of a buffer."""
    start, end = chunk_range(chunk, array.size)
    return leaf_digest(bytes_of(array[start:end]))
