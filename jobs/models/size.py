"""How much memory training takes, found without taking it: the network runs once on the meta device."""

from dataclasses import dataclass
from typing import Final

import torch

from jobs.data.manifest import DatasetManifest
from jobs.errors import ModelError
from jobs.layout import FLOAT_BYTES
from jobs.models.build import build_model, model_layout
from jobs.spec.job import JobSpec
from jobs.spec.optimizer import AdamwSpec

_GIB: Final = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What one miner of a job holds in memory."""

    parameters: int
    state_bytes: int
    activation_bytes: int
    """What the forward pass of one micro-batch keeps for the backward pass."""
    miner_bytes: int
    """State, update, with several local steps working copy and inner optimizer, and activations."""


def measure_model(spec: JobSpec, manifest: DatasetManifest) -> ModelSize:
    """Sizes of a job's model.

    Raises:
        ModelError: it does not fit the data, or cannot run on a micro-batch of the size the job asks for.
    """
    model = build_model(spec.model, manifest)
    layout = model_layout(model)
    activations = _activation_bytes(model, _meta_batch(spec.train.micro_batch, manifest))
    copies = 2
    if spec.train.inner_optimizer is not None:
        copies += 4 if isinstance(spec.train.inner_optimizer, AdamwSpec) else 3
    return ModelSize(
        parameters=layout.parameters,
        state_bytes=layout.bytes,
        activation_bytes=activations,
        miner_bytes=copies * layout.bytes + activations,
    )


def estimate_bytes(spec: JobSpec, manifest: DatasetManifest) -> int:
    """Memory that one miner of this job needs."""
    return measure_model(spec, manifest).miner_bytes


def check_memory(spec: JobSpec, manifest: DatasetManifest, available_bytes: int) -> None:
    """Refuse a job that does not fit, before anything is built.

    Raises:
        ModelError: the model does not fit the data, or needs more than `available_bytes`.
    """
    size = measure_model(spec, manifest)
    if size.miner_bytes > available_bytes:
        raise ModelError(
            f"training the model {spec.model.name} ({size.parameters:,} parameters) takes about "
            f"{size.miner_bytes / _GIB:.1f} GiB in each miner, {available_bytes / _GIB:.1f} GiB are available; "
            "make the model or train.micro_batch smaller, or use a larger machine"
        )


def _meta_batch(examples: int, manifest: DatasetManifest) -> torch.Tensor:
    if manifest.kind == "tokens":
        shape = (examples, manifest.feature_shape[0] - 1)
        return torch.empty(shape, dtype=torch.int64, device="meta")
    return torch.empty((examples, *manifest.feature_shape), device="meta")


def _activation_bytes(model: torch.nn.Module, inputs: torch.Tensor) -> int:
    own = {id(parameter) for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in own:
            kept[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs: torch.Tensor = model(inputs)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"the model cannot run on micro-batches of {inputs.shape[0]} examples: {error}") from error
    return sum(kept.values()) + outputs.numel() * FLOAT_BYTES
