"""A round's end: updates in slot order, bits that no thread can change, digests of just the bytes that were read."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jobs.errors import ModelError
from jobs.layout import optimizer_digest, state_digest
from jobs.training.memory import FloatArray, aligned_empty, bytes_of
from jobs.training.round import AppliedRound, RoundApplier
from jobs.training.state import initial_state
from tests.kit.training import CONVNET, DIGITS, MLP, Study, make_study, read_only

WIDE = {"name": "mlp", "hidden": [1200, 300]}
CLIPPED = {"name": "adamw", "lr": 0.01, "clip_norm": 0.5}
PLAIN = {"name": "adamw", "lr": 0.01}


def random_updates(study: Study, count: int) -> list[FloatArray]:
    generator = np.random.default_rng(3)
    size = initial_state(study.program).size
    return [read_only(generator.normal(size=size).astype(np.float32)) for _ in range(count)]


@pytest.mark.parametrize("optimizer", [PLAIN, CLIPPED], ids=["plain", "clipped"])
def test_bits_do_not_depend_on_threads(optimizer: dict[str, object]) -> None:
    study = make_study(WIDE, DIGITS, slots=4, optimizer=optimizer)
    state, updates = read_only(initial_state(study.program)), random_updates(study, 4)
    results = []
    for threads in (1, 2, 5):
        applier = RoundApplier(study.program, threads=threads)
        applied = applier.apply(state, applier.initial_optimizer(), updates, 0, digest_optimizer=True)
        results.append((applied.state_digest, applied.optimizer_digest))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("optimizer", [PLAIN, CLIPPED], ids=["plain", "clipped"])
def test_numbers_near_zero_give_the_same_bits_in_every_thread(optimizer: dict[str, object]) -> None:
    """A processor may take them for zero or not, as each thread was told."""
    study = make_study(WIDE, DIGITS, optimizer=optimizer)
    state, tiny = read_only(initial_state(study.program)), [update * 1e-39 for update in random_updates(study, 2)]

    def apply(threads: int) -> AppliedRound:
        applier = RoundApplier(study.program, threads=threads)
        return applier.apply(state, applier.initial_optimizer(), tiny, 0, digest_optimizer=True)

    with ThreadPoolExecutor() as elsewhere:
        results = [apply(1), apply(5), elsewhere.submit(apply, 1).result(), elsewhere.submit(apply, 5).result()]
    assert len({(result.state_digest, result.optimizer_digest) for result in results}) == 1
    assert not results[0].optimizer.any()


def test_updates_are_added_in_slot_order() -> None:
    study = make_study(MLP, DIGITS, slots=4, optimizer={"name": "sgd", "lr": 1.0})
    applier = RoundApplier(study.program)
    state, updates = initial_state(study.program), random_updates(study, 4)
    applied = applier.apply(state, applier.initial_optimizer(), updates, 0)
    mean = (((updates[0] + updates[1]) + updates[2]) + updates[3]) * np.float32(0.25)
    assert np.array_equal(applied.state, state - mean)


def test_another_slot_order_may_give_other_bits() -> None:
    study = make_study(WIDE, DIGITS, slots=4)
    applier = RoundApplier(study.program)
    state, updates = initial_state(study.program), random_updates(study, 4)
    one = applier.apply(state, applier.initial_optimizer(), updates, 0)
    other = applier.apply(state, applier.initial_optimizer(), updates[::-1], 0)
    assert one.state_digest != other.state_digest
    assert np.allclose(one.state, other.state, atol=1e-4)


def test_digests_are_those_of_the_bytes() -> None:
    study = make_study(WIDE, DIGITS)
    applier = RoundApplier(study.program, threads=2)
    state, updates = initial_state(study.program), random_updates(study, 2)
    applied = applier.apply(state, applier.initial_optimizer(), updates, 0, digest_optimizer=True)
    assert applied.state_digest == state_digest(bytes_of(applied.state), applier.layout)
    assert applied.optimizer_digest == optimizer_digest(bytes_of(applied.optimizer), applier.layout)


@pytest.mark.parametrize("optimizer", [PLAIN, CLIPPED], ids=["plain", "clipped"])
def test_given_memory_is_used_and_gives_the_same_bits(optimizer: dict[str, object]) -> None:
    study = make_study(CONVNET, DIGITS, optimizer=optimizer)
    applier = RoundApplier(study.program)
    state, updates = read_only(initial_state(study.program)), random_updates(study, 2)
    fresh = applier.apply(state, read_only(applier.initial_optimizer()), updates, 0, digest_optimizer=True)
    moments, memory = applier.initial_optimizer(), aligned_empty(state.size)
    reused = applier.apply(state, moments, updates, 0, state_out=memory, optimizer_out=moments, digest_optimizer=True)
    assert reused.state is memory
    assert reused.optimizer is moments
    assert reused.state_digest == fresh.state_digest
    assert reused.optimizer_digest == fresh.optimizer_digest


def test_a_fresh_result_leaves_the_inputs_alone() -> None:
    study = make_study(CONVNET, DIGITS)
    applier = RoundApplier(study.program)
    state, moments = initial_state(study.program), applier.initial_optimizer()
    before = state.copy(), moments.copy()
    applier.apply(state, moments, random_updates(study, 2), 0)
    assert np.array_equal(state, before[0])
    assert np.array_equal(moments, before[1])


def test_buffers_move_by_their_mean_change() -> None:
    study = make_study(CONVNET, DIGITS)
    applier = RoundApplier(study.program)
    state, updates = initial_state(study.program), random_updates(study, 2)
    applied = applier.apply(state, applier.initial_optimizer(), updates, 0)
    buffers = slice(applier.layout.boundary, None)
    expected = state[buffers] + (updates[0][buffers] + updates[1][buffers]) * np.float32(0.5)
    assert np.array_equal(applied.state[buffers], expected)


def test_gaps_between_tensors_stay_zero() -> None:
    study = make_study(CONVNET, DIGITS)
    applier = RoundApplier(study.program)
    state = initial_state(study.program)
    used = np.zeros(state.size, dtype=bool)
    for tensor in applier.layout.tensors:
        used[tensor.offset : tensor.offset + tensor.count] = True
    updates = [np.where(used, update, np.float32(0)) for update in random_updates(study, 2)]
    applied = applier.apply(state, applier.initial_optimizer(), updates, 0)
    assert not used.all()
    assert not applied.state[~used].any()


def test_rejects_buffers_of_another_size() -> None:
    study = make_study(MLP, DIGITS)
    applier = RoundApplier(study.program)
    state, moments, updates = initial_state(study.program), applier.initial_optimizer(), random_updates(study, 2)
    with pytest.raises(ModelError, match="update of slot 1"):
        applier.apply(state, moments, [updates[0], updates[1][:-1]], 0)
    with pytest.raises(ModelError, match="the state has"):
        applier.apply(state[:-1], moments, updates, 0)
    with pytest.raises(ModelError, match="optimizer state"):
        applier.apply(state, moments[:-1], updates, 0)
    with pytest.raises(ModelError, match="at least one update"):
        applier.apply(state, moments, [], 0)


def test_rejects_result_memory_that_must_not_be_written() -> None:
    study = make_study(MLP, DIGITS)
    applier = RoundApplier(study.program)
    state, updates = initial_state(study.program), random_updates(study, 2)
    with pytest.raises(ModelError, match="read-only"):
        applier.apply(state, applier.initial_optimizer(), updates, 0, state_out=read_only(aligned_empty(state.size)))
