"""Batch-norm statistics and dropout: part of the state the one, seeded by the place in the job the other."""

import numpy as np
import torch

from jobs.determinism import seed_step
from jobs.models.build import build_model, model_layout
from jobs.training.slot import SlotRunner
from jobs.training.state import initial_state
from tests.kit.training import CONVNET, DIGITS, make_study, run_rounds

NORMED = {"name": "convnet", "channels": [4], "hidden": [8]}


def test_batch_norm_statistics_are_part_of_the_state() -> None:
    study = make_study(CONVNET, DIGITS)
    layout = model_layout(build_model(study.program.spec.model, study.program.manifest))
    buffers = [tensor.name for tensor in layout.tensors if tensor.offset >= layout.boundary]
    assert [name.rpartition(".")[2] for name in buffers] == ["running_mean", "running_var"] * 2
    run = run_rounds(study, 2)
    first = initial_state(study.program)
    assert not np.array_equal(run.state[layout.boundary :], first[layout.boundary :])


def test_the_update_holds_the_change_of_the_statistics() -> None:
    study = make_study(NORMED, DIGITS)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    update = runner.run(state, None, 0, 0).update
    inputs = runner.batches.load(0, 0, 0).micro_batches[0].inputs
    tensors = {tensor.name: tensor for tensor in runner.layout.tensors}
    kernel, mean = tensors["blocks.0.0.weight"], tensors["blocks.0.1.running_mean"]
    weights = torch.from_numpy(state[kernel.offset : kernel.offset + kernel.count]).view(kernel.shape)
    convolved = torch.nn.functional.conv2d(inputs, weights, padding=1)
    expected = 0.1 * convolved.mean(dim=(0, 2, 3)).numpy()
    assert np.allclose(update[mean.offset : mean.offset + mean.count], expected, atol=1e-6)


def test_dropout_is_seeded_by_round_slot_and_step() -> None:
    study = make_study(CONVNET, DIGITS)
    draws = {}
    for place in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        seed_step(study.program, *place)
        draws[place] = tuple(torch.rand(4).tolist())
    assert len(set(draws.values())) == 4
    seed_step(study.program, 0, 0, 0)
    assert tuple(torch.rand(4).tolist()) == draws[0, 0, 0]


def test_random_state_is_never_carried_over() -> None:
    study = make_study(CONVNET, DIGITS)
    runner = SlotRunner(study.program, study.train)
    state = initial_state(study.program)
    first = runner.run(state, None, 0, 0).update_digest
    torch.rand(1000)
    assert runner.run(state, None, 0, 0).update_digest == first


def test_dropout_takes_part() -> None:
    study, undropped = make_study(CONVNET, DIGITS), make_study(CONVNET | {"dropout": 0.0}, DIGITS)
    assert run_rounds(study, 1).losses != run_rounds(undropped, 1).losses
