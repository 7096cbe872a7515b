"""A job's network for its data. It is built on the meta device: shapes without memory, until a state is bound to it."""

import torch
from torch import nn

from jobs.data.manifest import DatasetManifest
from jobs.errors import ModelError
from jobs.layout import Layout, derive_layout
from jobs.models.convnet import Convnet
from jobs.models.gpt import Gpt
from jobs.models.mlp import Mlp
from jobs.models.resnet import Resnet
from jobs.spec.model import ConvnetSpec, GptSpec, MlpSpec, ModelSpec, ResnetSpec


def build_model(spec: ModelSpec, manifest: DatasetManifest) -> nn.Module:
    """The network without its numbers (parameters on the meta device).

    Raises:
        ModelError: the data does not have the shape this model needs, or a tensor would be impossibly large.
    """
    try:
        with torch.device("meta"):
            return _build(spec, manifest)
    except RuntimeError as error:
        raise ModelError(f"the model {spec.name} cannot be built: {error}") from error


def model_layout(model: nn.Module) -> Layout:
    """Where the network's tensors lie in the flat state."""
    parameters = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    buffers = {name: tuple(buffer.shape) for name, buffer in model.named_buffers()}
    return derive_layout(parameters, buffers)


def _build(spec: ModelSpec, manifest: DatasetManifest) -> nn.Module:
    outputs = manifest.classes if manifest.target_kind == "class" else 1
    match spec:
        case MlpSpec():
            _require(manifest.kind == "table", "mlp learns from tables, not from text; use gpt")
            return Mlp(spec, manifest.header.inputs_per_row, outputs)
        case ConvnetSpec():
            return Convnet(spec, _image_shape(spec, manifest), outputs)
        case ResnetSpec():
            return Resnet(spec, _image_shape(spec, manifest), outputs)
        case GptSpec():
            _require(manifest.kind == "tokens", "gpt learns from text; use mlp, convnet or resnet for a table")
            row = manifest.feature_shape[0]
            _require(row == spec.context + 1, f"gpt has context {spec.context}, but the data has rows of {row} tokens")
            return Gpt(spec, manifest.classes)


def _image_shape(spec: ModelSpec, manifest: DatasetManifest) -> tuple[int, int, int]:
    match manifest.feature_shape:
        case (channels, height, width) if manifest.kind == "table":
            return channels, height, width
        case shape:
            raise ModelError(
                f"{spec.name} needs images, but an example of this data has the shape {list(shape)}; "
                "set data.shape to [channels, height, width], or use mlp"
            )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ModelError(message)
