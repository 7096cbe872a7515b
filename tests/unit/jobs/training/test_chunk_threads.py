"""Threads that share work run on cores of their own, and are let go of afterwards."""

import os
import time

import pytest

from jobs.training.chunks import ChunkPool


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core only")
def test_sharing_threads_keep_apart_for_as_long_as_they_share() -> None:
    pool, before, cores = ChunkPool(2), os.sched_getaffinity(0), dict[int, set[int]]()

    def work(worker: int, _chunk: int) -> None:
        cores[worker] = os.sched_getaffinity(0)
        time.sleep(0.005)

    pool.for_each(8, work)
    assert [len(cores[worker]) for worker in (0, 1)] == [1, 1]
    assert cores[0].isdisjoint(cores[1])
    assert os.sched_getaffinity(0) == pool.submit(os.sched_getaffinity, 0).result() == before


def test_a_thread_is_let_go_of_after_a_failure() -> None:
    before = os.sched_getaffinity(0)

    def fail(_worker: int, _chunk: int) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        ChunkPool(2).for_each(8, fail)
    assert os.sched_getaffinity(0) == before
