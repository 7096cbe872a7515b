"""Hashing in parts, on any number of threads, gives the one bulk digest; one changed bit gives another."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.primitives.digest import bulk_digest, bulk_root
from jobs.training.chunks import CHUNK_FLOATS, ChunkPool, chunk_count, chunk_range
from jobs.training.memory import aligned_empty, as_tensor, bytes_of
from jobs.training.norm import clip_factor, sum_of_squares

SIZES = st.integers(0, 3 * CHUNK_FLOATS + 5)
POOLS = {threads: ChunkPool(threads) for threads in (1, 2, 4)}


@settings(max_examples=25, deadline=None)
@given(size=SIZES, threads=st.sampled_from(sorted(POOLS)), seed=st.integers(0, 2**32 - 1))
def test_leaves_make_the_bulk_digest(size: int, threads: int, seed: int) -> None:
    array = aligned_empty(size)
    array[:] = np.random.default_rng(seed).random(size, dtype=np.float32)
    leaves = POOLS[threads].leaf_digests(array)
    assert bulk_root(leaves, array.nbytes) == bulk_digest(bytes_of(array))


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 2 * CHUNK_FLOATS), data=st.data())
def test_one_changed_bit_is_seen(size: int, data: st.DataObject) -> None:
    array = aligned_empty(size)
    array[:] = 1.0
    before = POOLS[2].leaf_digests(array)
    place = data.draw(st.integers(0, size - 1))
    array.view(np.uint32)[place] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    after = POOLS[2].leaf_digests(array)
    assert [number for number, leaf in enumerate(after) if leaf != before[number]] == [place // CHUNK_FLOATS]


@given(size=SIZES)
def test_chunks_cover_a_buffer_once(size: int) -> None:
    ranges = [chunk_range(chunk, size) for chunk in range(chunk_count(size))]
    assert [number for start, end in ranges for number in (start, end)] == sorted(
        number for start, end in ranges for number in (start, end)
    )
    assert sum(end - start for start, end in ranges) == size


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 2 * CHUNK_FLOATS), scale=st.floats(1e-3, 1e3), largest=st.floats(0.01, 10.0))
def test_a_clipped_gradient_is_no_longer_than_allowed(size: int, scale: float, largest: float) -> None:
    array = aligned_empty(size)
    array[:] = np.random.default_rng(size).normal(0.0, scale, size)
    sums = [sum_of_squares(as_tensor(array[slice(*chunk_range(chunk, size))])) for chunk in range(chunk_count(size))]
    factor = clip_factor(sums, largest)
    length = float(np.linalg.norm(array.astype(np.float64)))
    assert 0.0 < factor <= 1.0
    assert length * factor <= largest * (1 + 1e-6)
    assert factor == 1.0 or length >= largest * (1 - 1e-4) - 1e-6
