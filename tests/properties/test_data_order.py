"""The example stream: every epoch a permutation, read alike at any position and in any pieces."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.digests import indices_digest
from jobs.data.order import batch_indices, permute, step_indices, stream_position
from tests.kit.training import DIGITS, MLP, make_spec, make_study

GOLDEN = [852, 745, 640, 913, 534, 122, 606, 72, 886, 444, 610, 340, 960, 11, 737, 895, 208, 130, 117, 688]
GOLDEN_DIGEST = "2545308185c40630dec4535b61975f51e25cd81b86bab47304a22df063e750c8"

seeds = st.binary(min_size=32, max_size=32)
rows = st.integers(1, 3000)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, rows=rows, epoch=st.integers(0, 2**40))
def test_every_example_comes_exactly_once_an_epoch(seed: bytes, rows: int, epoch: int) -> None:
    indices = batch_indices(seed, rows, epoch * rows, rows)
    assert (np.sort(indices) == np.arange(rows)).all()


@settings(deadline=None, max_examples=60)
@given(seed=seeds, rows=rows, start=st.integers(0, 2**50), counts=st.lists(st.integers(0, 300), max_size=6))
def test_batches_compose_to_the_stream(seed: bytes, rows: int, start: int, counts: list[int]) -> None:
    whole = batch_indices(seed, rows, start, sum(counts))
    position, pieces = start, [np.empty(0, np.int64)]
    for count in counts:
        pieces.append(batch_indices(seed, rows, position, count))
        position += count
    assert (np.concatenate(pieces) == whole).all()


@settings(deadline=None, max_examples=30)
@given(key=seeds, rows=st.integers(1, 2**40), places=st.lists(st.integers(0, 2**40 - 1), min_size=1, max_size=50))
def test_a_permutation_of_any_size_stays_inside_and_apart(key: bytes, rows: int, places: list[int]) -> None:
    distinct = sorted({place % rows for place in places})
    sent = permute(key, rows, np.array(distinct, np.uint64))
    assert len(set(sent.tolist())) == len(distinct)
    assert sent.min() >= 0
    assert sent.max() < rows


@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_epochs_and_seeds_differ(seed: bytes) -> None:
    first, second = (batch_indices(seed, 500, start, 500) for start in (0, 500))
    other = batch_indices(bytes(32) if seed != bytes(32) else b"\1" * 32, 500, 0, 500)
    assert (first != second).any()
    assert (first != other).any()


@settings(deadline=None, max_examples=40)
@given(
    slots=st.integers(1, 8),
    slot_batch=st.integers(1, 8),
    local_steps=st.integers(1, 6),
    place=st.tuples(st.integers(0, 50), st.integers(0, 7), st.integers(0, 5)),
)
def test_steps_take_consecutive_batches(
    slots: int, slot_batch: int, local_steps: int, place: tuple[int, int, int]
) -> None:
    spec = make_spec(MLP, DIGITS, batch_size=slots * slot_batch, slots=slots, local_steps=local_steps)
    round_number, slot, step = place[0], place[1] % slots, place[2] % local_steps
    here = stream_position(round_number, slot, step, spec)
    following = [(round_number, slot, step + 1), (round_number, slot + 1, 0), (round_number + 1, 0, 0)]
    exists = [step + 1 < local_steps, slot + 1 < slots, True]
    next_place = following[exists.index(True)]
    assert stream_position(*next_place, spec) == here + slot_batch


def test_the_slots_of_a_round_share_one_global_batch() -> None:
    program = make_study(batch_size=32, slots=4).program
    whole = batch_indices(program.seed, program.manifest.rows("train"), 3 * 32, 32)
    pieces = [step_indices(program, 3, slot, 0) for slot in range(4)]
    assert (np.concatenate(pieces) == whole).all()


def test_the_bits_of_the_order_never_change() -> None:
    indices = batch_indices(bytes(32), 1000, 990, 20)
    assert indices.tolist() == GOLDEN
    assert indices_digest(indices).hex() == GOLDEN_DIGEST
