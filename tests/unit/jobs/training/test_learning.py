"""Every model learns, with one local step and with several; every kind of data and loss does."""

from pathlib import Path

import numpy as np
import pytest

from tests.kit.training import CONVNET, DIGITS, GPT, MLP, RESNET, TEXT, make_study, run_rounds

FAST = {"name": "adamw", "lr": 0.01}


@pytest.mark.parametrize(
    ("model", "data"),
    [(MLP, DIGITS), (CONVNET, DIGITS), (RESNET, DIGITS), (GPT, TEXT)],
    ids=lambda part: str(part)[:20],
)
@pytest.mark.parametrize("local_steps", [1, 4])
def test_the_loss_falls(model: dict[str, object], data: dict[str, object], local_steps: int) -> None:
    rounds = 24 // local_steps
    optimizers = {"optimizer": FAST} if local_steps == 1 else {"inner_optimizer": FAST}
    study = make_study(model, data, local_steps=local_steps, rounds=rounds, **optimizers)
    losses = run_rounds(study, rounds).losses
    assert losses[-1] < 0.9 * losses[0]


def test_regression_learns_from_a_table(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(400, 3)).astype(np.float32)
    values = inputs @ np.array([1.0, -2.0, 0.5], dtype=np.float32) + 3.0
    np.savez(tmp_path / "table.npz", x=inputs, y=values.astype(np.float32))
    data = {"path": str(tmp_path / "table.npz"), "target": "y", "features": ["x"], "kind": "regression"}
    study = make_study({"name": "mlp", "hidden": []}, data, loss="mse", optimizer={"name": "adamw", "lr": 0.1})
    losses = run_rounds(study, 40).losses
    assert losses[-1] < 0.1 * losses[0]


def test_every_activation_learns() -> None:
    finals = set()
    for activation in ("relu", "tanh", "gelu"):
        run = run_rounds(make_study(MLP | {"activation": activation}, DIGITS, optimizer=FAST), 12)
        assert run.losses[-1] < run.losses[0]
        finals.add(run.digests[-1])
    assert len(finals) == 3
