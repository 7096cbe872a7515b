"""Small jobs that train for a second or two."""

import json

from jobs.spec.job import JobSpec

_MODELS: dict[str, dict[str, object]] = {
    "mlp": {"name": "mlp", "hidden": [32]},
    "wide": {"name": "mlp", "hidden": [1024, 512]},  # large enough for updates in shared memory
    "convnet": {"name": "convnet", "channels": [4, 8], "hidden": [16], "dropout": 0.2, "batch_norm": True},
    "gpt": {"name": "gpt", "layers": 2, "heads": 2, "width": 16, "context": 16, "dropout": 0.1},
}


def small_job(kind: str, *, local_steps: int = 1, rounds: int = 30, **changes: object) -> JobSpec:
    """A job of this model on digits, or on text for gpt."""
    text = {"source": "python-text", "max_bytes": 100_000, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    digits = {"source": "digits", "split": {"train": 0.7, "validation": 0.1, "test": 0.2}}
    train = {
        "loss": "cross_entropy",
        "batch_size": 64,
        "slots": 4,
        "local_steps": local_steps,
        "rounds": rounds,
        "eval_every": rounds,
        "checkpoint_every": 10,
    }
    fields: dict[str, object] = {
        "name": f"small-{kind}",
        "model": _MODELS[kind],
        "data": text if kind == "gpt" else digits,
        "train": train,
        "verify": {"sample": 0.1},
        "reward": 12,
        **changes,
    }
    return JobSpec.model_validate_json(json.dumps(fields))
