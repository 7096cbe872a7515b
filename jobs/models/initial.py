"""First weights. Every number is a constant or uniform between two bounds, drawn without any transcendental function.

So the first state has the same bits on every machine, device and torch build: it is outside all replay classes, and
whoever knows the job's beacon can check it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from torch import nn

from jobs.errors import ModelError

_BITS: Final = 24
_ATTRIBUTE: Final = "initial_bound"

ModuleType = TypeVar("ModuleType", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialValue:
    """`constant` everywhere if `bound` is 0, else uniform in [-bound, bound)."""

    bound: float = 0.0
    constant: float = 0.0


def set_initial_bound(module: ModuleType, bound: float) -> ModuleType:
    """Let a module's weights start uniform up to `bound` instead of the usual bound of its kind."""
    setattr(module, _ATTRIBUTE, bound)
    return module


def initial_values(model: nn.Module) -> dict[str, InitialValue]:
    """How each parameter and buffer starts, by name.

    Linear layers and convolutions start as torch's own do, uniform up to 1/sqrt(inputs of a unit).
    """
    values: dict[str, InitialValue] = {}
    for prefix, module in model.named_modules():
        values.update((f"{prefix}.{name}" if prefix else name, value) for name, value in _own_values(module))
    return values


def _own_values(module: nn.Module) -> Iterator[tuple[str, InitialValue]]:
    names = [name for name, _ in module.named_parameters(recurse=False)]
    names += [name for name, _ in module.named_buffers(recurse=False)]
    for name in names:
        yield name, _value(module, name)


def _value(module: nn.Module, name: str) -> InitialValue:
    match module:
        case nn.Linear() | nn.Conv2d() | nn.Embedding():
            return InitialValue(bound=_bound(module))
        case nn.LayerNorm() | nn.BatchNorm2d():
            return InitialValue(constant=1.0 if name in ("weight", "running_var") else 0.0)
        case _:
            raise ModelError(f"no rule says how {name!r} of a {type(module).__name__} starts")


def _bound(module: nn.Linear | nn.Conv2d | nn.Embedding) -> float:
    given = getattr(module, _ATTRIBUTE, None)
    if isinstance(given, float):
        return given
    return 1.0 / math.sqrt(math.prod(module.weight.shape[1:]))


def draw(generator: np.random.Philox, value: InitialValue, count: int) -> npt.NDArray[np.float32]:
    """`count` first values. A uniform one is 24 random bits, exact in float32, times the bound."""
    if value.bound == 0.0:
        return np.full(count, value.constant, dtype=np.float32)
    bits = (generator.random_raw(count) >> np.uint64(64 - _BITS)).astype(np.float32)
    centred = bits * np.float32(2.0 ** (1 - _BITS)) - np.float32(1.0)
    return centred * np.float32(value.bound)
