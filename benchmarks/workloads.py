"""The jobs that benchmarks train: a GPT of 5 million parameters whose step takes about 0.3 s, and small ones."""

import json
from dataclasses import dataclass
from typing import Final

from jobs.data.arrays import PartArrays
from jobs.data.prepare import PreparedDataset, prepare_dataset
from jobs.spec.job import JobSpec, MinersSpec

GPT_SEQUENCES: Final = 4
"""Sequences of one step of one worker."""
_GPT: Final[dict[str, object]] = {"name": "gpt", "layers": 6, "heads": 8, "width": 256, "context": 128}
_SMALL_GPT: Final[dict[str, object]] = {"name": "gpt", "layers": 2, "heads": 2, "width": 128, "context": 64}
_TEXT: Final[dict[str, object]] = {"source": "python-text", "max_bytes": 2_000_000}
_ENDLESS: Final = 1_000_000


def gpt_job(local_steps: int, *, workers: int = 2, sequences: int = GPT_SEQUENCES) -> JobSpec:
    """4.9 million parameters, a slot for each worker; adamw throughout, 5 % of the slots audited."""
    return _job("gpt-5m", _GPT, _TEXT, local_steps, batch_size=workers * sequences, slots=workers)


def one_sequence_job(layers: int, width: int) -> JobSpec:
    """One sequence a step, merged after every step: the model outweighs its activations."""
    model: dict[str, object] = {"name": "gpt", "layers": layers, "heads": width // 64, "width": width, "context": 128}
    return _job(f"gpt-{layers}x{width}", model, _TEXT, 1, batch_size=1, slots=1)


def small_gpt_job(local_steps: int, *, workers: int = 2) -> JobSpec:
    """0.5 million parameters: slots of a fraction of a second."""
    return _job("gpt-small", _SMALL_GPT, _TEXT, local_steps, batch_size=workers * 8, slots=workers)


def digits_job(local_steps: int, *, slots: int = 4) -> JobSpec:
    """A small fully connected network: thousands of slots a minute."""
    data: dict[str, object] = {"source": "digits", "split": {"train": 0.7, "validation": 0.1, "test": 0.2}}
    return _job("digits", {"name": "mlp", "hidden": [128, 64]}, data, local_steps, batch_size=256, slots=slots)


def tiny_slots_job(miners: int, rounds: int, *, slots: int, examples: int) -> JobSpec:
    """The small network with slots of a few examples, for exactly so many miners; it ends after `rounds`."""
    data: dict[str, object] = {"source": "digits", "split": {"train": 0.7, "validation": 0.1, "test": 0.2}}
    model: dict[str, object] = {"name": "mlp", "hidden": [32]}
    spec = _job(f"tiny-{miners}", model, data, 1, batch_size=slots * examples, slots=slots)
    train = spec.train.model_copy(update={"rounds": rounds, "eval_every": rounds, "checkpoint_every": rounds})
    return spec.model_copy(update={"train": train, "miners": MinersSpec(min=miners, max=miners)})


def fixed_length_job(miners: int, rounds: int, local_steps: int = 8) -> JobSpec:
    """0.5 million parameters (2 MB a state), two slots a miner; ends after `rounds`, checkpoints on the way."""
    spec = small_gpt_job(local_steps, workers=2 * miners)
    often = max(1, rounds // 10)
    train = spec.train.model_copy(update={"rounds": rounds, "eval_every": rounds, "checkpoint_every": often})
    return spec.model_copy(update={"name": "fixed-length", "train": train})


def chaos_job(workers: int) -> JobSpec:
    """The small GPT, 8 local steps, with a checkpoint every ten rounds: what a killed coordinator goes back to."""
    spec = small_gpt_job(8, workers=workers)
    train = spec.train.model_copy(update={"checkpoint_every": 10})
    return spec.model_copy(update={"name": "chaos", "train": train})


def _job(
    name: str, model: dict[str, object], data: dict[str, object], local_steps: int, *, batch_size: int, slots: int
) -> JobSpec:
    """Neither evaluations nor checkpoints fall into a measurement: what they are compared with has none."""
    train: dict[str, object] = {
        "loss": "cross_entropy",
        "batch_size": batch_size,
        "slots": slots,
        "local_steps": local_steps,
        "rounds": _ENDLESS,
    }
    inner = {"name": "adamw", "lr": 0.001}
    train |= {"optimizer": inner} if local_steps == 1 else {"inner_optimizer": inner}
    job = {"name": name, "model": model, "data": data, "train": train, "verify": {"sample": 0.05}, "seed": 7}
    return JobSpec.model_validate_json(json.dumps(job | {"reward": 1000}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A job with its prepared data."""

    spec: JobSpec
    prepared: PreparedDataset

    @classmethod
    def of(cls, spec: JobSpec) -> "Workload":
        return cls(spec=spec, prepared=prepare_dataset(spec))

    def train_rows(self) -> PartArrays:
        """The training part."""
        segments = self.prepared.segments.by_digest()
        return PartArrays.open(self.prepared.manifest, "train", segments.__getitem__)
