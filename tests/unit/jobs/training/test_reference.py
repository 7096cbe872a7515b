"""Training here is the training everyone knows: compared with loops in plain PyTorch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from jobs.data.order import step_indices
from jobs.training.memory import FloatArray, as_tensor
from jobs.training.slot import SlotRunner
from jobs.training.state import initial_state
from tests.kit.training import DIGITS, MLP, Study, make_study, run_rounds

ROUNDS = 6

OPTIMIZERS: dict[str, tuple[dict[str, object], Callable[[list[nn.Parameter]], torch.optim.Optimizer]]] = {
    "adamw": (
        {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
        lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1),
    ),
    "sgd": (
        {"name": "sgd", "lr": 0.1, "weight_decay": 0.01},
        lambda weights: torch.optim.SGD(weights, lr=0.1, weight_decay=0.01),
    ),
    "momentum": (
        {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
    ),
    "nesterov": (
        {"name": "nesterov", "lr": 0.1},
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True),
    ),
}


def plain_mlp(study: Study) -> nn.Sequential:
    """The same network with the same first weights."""
    layout = SlotRunner(study.program, study.train).layout
    flat = as_tensor(initial_state(study.program))
    named = {t.name.removeprefix("layers."): flat[t.offset : t.offset + t.count].view(t.shape) for t in layout.tensors}
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    model.load_state_dict({name: tensor.clone() for name, tensor in named.items()})
    return model


def flat_weights(study: Study, model: nn.Module) -> FloatArray:
    layout = SlotRunner(study.program, study.train).layout
    flat = np.zeros(layout.total, dtype=np.float32)
    named = dict(model.named_parameters())
    for t in layout.tensors:
        flat[t.offset : t.offset + t.count] = named[t.name.removeprefix("layers.")].detach().numpy().ravel()
    return flat


def loss_on(study: Study, model: nn.Module, places: list[tuple[int, int, int]]) -> torch.Tensor:
    indices = np.concatenate([step_indices(study.program, *place) for place in places])
    inputs, targets = study.train.gather(indices)
    assert targets is not None
    logits = model(torch.from_numpy(inputs).flatten(start_dim=1))
    return nn.functional.cross_entropy(logits, torch.from_numpy(targets))


@pytest.mark.parametrize("micro_batch", [16, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_local_step_is_large_batch_training(name: str, micro_batch: int) -> None:
    spec, make_optimizer = OPTIMIZERS[name]
    study = make_study(MLP, DIGITS, optimizer=spec, micro_batch=micro_batch)
    model = plain_mlp(study)
    optimizer = make_optimizer(list(model.parameters()))
    for number in range(ROUNDS):
        optimizer.zero_grad()
        loss_on(study, model, [(number, slot, 0) for slot in range(2)]).backward()
        optimizer.step()
    assert np.allclose(run_rounds(study, ROUNDS).state, flat_weights(study, model), atol=2e-5)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    spec = {"name": "sgd", "lr": 0.5, "clip_norm": 0.1}
    study = make_study(MLP, DIGITS, optimizer=spec)
    model = plain_mlp(study)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for number in range(ROUNDS):
        optimizer.zero_grad()
        loss_on(study, model, [(number, slot, 0) for slot in range(2)]).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        assert norm > 0.1
        optimizer.step()
    assert np.allclose(run_rounds(study, ROUNDS).state, flat_weights(study, model), atol=2e-5)


@pytest.mark.parametrize("clip_norm", [None, 0.2])
def test_eight_local_steps_are_diloco(clip_norm: float | None) -> None:
    inner_spec = {"name": "adamw", "lr": 0.003, "clip_norm": clip_norm}
    study = make_study(MLP, DIGITS, local_steps=8, inner_optimizer=inner_spec)
    shared = plain_mlp(study)
    outer = torch.optim.SGD(shared.parameters(), lr=0.7, momentum=0.9, nesterov=True)
    for number in range(3):
        changes = [local_change(study, shared, number, slot, clip_norm) for slot in range(2)]
        for parameter, *deltas in zip(shared.parameters(), *changes, strict=True):
            parameter.grad = sum(deltas, torch.zeros_like(parameter)) / 2
        outer.step()
    assert np.allclose(run_rounds(study, 3).state, flat_weights(study, shared), atol=5e-5)


def local_change(
    study: Study, shared: nn.Module, number: int, slot: int, clip_norm: float | None
) -> list[torch.Tensor]:
    local = plain_mlp(study)
    local.load_state_dict(shared.state_dict())
    inner = torch.optim.AdamW(local.parameters(), lr=0.003)
    for step in range(8):
        inner.zero_grad()
        loss_on(study, local, [(number, slot, step)]).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(local.parameters(), clip_norm)
        inner.step()
    pairs = zip(shared.parameters(), local.parameters(), strict=True)
    return [(start - end).detach() for start, end in pairs]
