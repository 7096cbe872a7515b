"""A network whose numbers live in flat buffers that others own.

Binding sets where parameters, buffers and gradients are; nothing is copied. So a state is trained on, hashed and sent
in one piece, and a miner trains on the very bytes it was handed. Afterwards the memory is let go of, for its owner to
free.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import nn

from jobs.layout import Layout, TensorSpec
from jobs.models.build import build_model, model_layout
from jobs.program import JobProgram


class ModelBinding:
    """The network of a program, to be bound to memory before it runs."""

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        self.module, self.layout = module, layout
        self._trainable = [tensor for tensor in layout.tensors if tensor.offset < layout.boundary]
        self._fixed = [tensor for tensor in layout.tensors if tensor.offset >= layout.boundary]
        self._parameters: list[nn.Parameter] = []

    @classmethod
    def of(cls, program: JobProgram) -> Self:
        """The network of a program, not bound to any memory yet."""
        module = build_model(program.spec.model, program.manifest)
        return cls(module, model_layout(module))

    @contextmanager
    def bound(
        self, parameters: torch.Tensor, buffers: torch.Tensor, gradient: torch.Tensor | None = None
    ) -> Iterator[None]:
        """Bind memory for a while, then let go of it. `parameters` and `gradient` start where the state starts.

        Without `gradient` the network can only be evaluated.
        """
        self._bind_parameters(parameters)
        if gradient is not None:
            for parameter, tensor in zip(self._parameters, self._trainable, strict=True):
                parameter.grad = view_of(gradient, tensor)
        for tensor in self._fixed:
            _place(self.module, tensor.name, view_of(buffers, tensor, self.layout.boundary))
        try:
            yield
        finally:
            self._release()

    def _bind_parameters(self, flat: torch.Tensor) -> None:
        views = [view_of(flat, tensor) for tensor in self._trainable]
        if self._parameters:
            for parameter, view in zip(self._parameters, views, strict=True):
                parameter.data = view
            return
        for tensor, view in zip(self._trainable, views, strict=True):
            self._parameters.append(nn.Parameter(view))
            _place(self.module, tensor.name, self._parameters[-1])

    def _release(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
            parameter.data = parameter.data.new_empty(0)
        for tensor in self._fixed:
            _place(self.module, tensor.name, torch.empty(0))


def view_of(flat: torch.Tensor, tensor: TensorSpec, base: int = 0) -> torch.Tensor:
    """One tensor of a flat buffer that starts at number `base` of the state."""
    start = tensor.offset - base
    return flat[start : start + tensor.count].view(tensor.shape)


def _place(module: nn.Module, name: str, value: torch.Tensor) -> None:
    prefix, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(prefix), leaf, value)
