"""What is minimised, and how a gathered batch becomes what the network sees.

B: examples, T: places, V: tokens or classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss

from jobs.data.segment import Inputs, Targets

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Examples:
    """Some examples as tensors."""

    inputs: torch.Tensor
    targets: torch.Tensor


def to_examples(inputs: Inputs, targets: Targets | None, device: str) -> Examples:
    """A gathered batch as tensors. A row of tokens is its own target, one place further on.

    Torch's own memory is aligned to 64 bytes, numpy's need not be: hence the copies.
    """
    if targets is None:
        tokens_BT = torch.from_numpy(inputs.astype(np.int64)).to(device)
        return Examples(tokens_BT[:, :-1], tokens_BT[:, 1:])
    return Examples(torch.from_numpy(inputs).clone().to(device), torch.from_numpy(targets).clone().to(device))


def split_examples(examples: Examples, size: int) -> list[Examples]:
    """Micro-batches of `size` examples, in order."""
    pairs = zip(torch.split(examples.inputs, size), torch.split(examples.targets, size), strict=True)
    return [Examples(inputs, targets) for inputs, targets in pairs]


def _cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over examples and places: [B, V] with [B], or [B, T, V] with [B, T]."""
    return cross_entropy(outputs.flatten(end_dim=-2), targets.flatten())


def _mean_squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over examples: [B, 1] with [B]."""
    return mse_loss(outputs.squeeze(-1), targets)


LOSSES: Final[dict[str, Loss]] = {"cross_entropy": _cross_entropy, "mse": _mean_squared_error}
