"""Fully connected layers. B: examples, F: inputs of an example, O: outputs."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import torch
from torch import nn

from jobs.spec.model import MlpSpec

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class Mlp(nn.Module):
    """Linear layers with an activation, and dropout if asked for, between them."""

    def __init__(self, spec: MlpSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = dense_layers([inputs, *spec.hidden, outputs], ACTIVATIONS[spec.activation], spec.dropout)

    def forward(self, inputs_BF: torch.Tensor) -> torch.Tensor:
        outputs_BO: torch.Tensor = self.layers(inputs_BF.flatten(start_dim=1))
        return outputs_BO


def dense_layers(widths: list[int], activation: Callable[[], nn.Module], dropout: float) -> nn.Sequential:
    """Linear layers from each width to the next; the last one is bare."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths[:-1]):
        layers += [nn.Linear(width_in, width_out), activation()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
