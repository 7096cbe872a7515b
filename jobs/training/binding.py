"""A network whose numbers live in flat buffers that others own.

Binding sets where parameters, buffers and gradients are; nothing is copied. So a state is trained on, hashed and sent
in one piece, and a miner trains on the very bytes it was handed. Afterwards the memory is let go of, for its owner to
free.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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
        self._gaps = _gaps(self._trainable, layout.boundary)
        self._parameters: list[nn.Parameter] = []
        self._gradients: dict[int, torch.Tensor] = {}
        self._is_missing: set[int] = set()

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

        Without `gradient` the network can only be evaluated. With it, what all backward passes meanwhile come to is in
        `gradient` at the end, whatever was there before; zeros where no pass went and between the tensors.
        """
        self._bind_parameters(parameters)
        if gradient is not None:
            self._gradients = {place: view_of(gradient, tensor) for place, tensor in enumerate(self._trainable)}
            self._is_missing = set(self._gradients)
            for gap in self._gaps:
                gradient[gap] = 0.0
        for tensor in self._fixed:
            _place(self.module, tensor.name, view_of(buffers, tensor, self.layout.boundary))
        try:
            yield
            for place in self._is_missing:
                self._gradients[place].zero_()
        finally:
            self._release()

    def _bind_parameters(self, flat: torch.Tensor) -> None:
        views = [view_of(flat, tensor) for tensor in self._trainable]
        if self._parameters:
            for parameter, view in zip(self._parameters, views, strict=True):
                parameter.data = view
            return
        for place, (tensor, view) in enumerate(zip(self._trainable, views, strict=True)):
            parameter = nn.Parameter(view)
            parameter.register_post_accumulate_grad_hook(partial(self._collect, place))  # type: ignore[no-untyped-call]
            self._parameters.append(parameter)
            _place(self.module, tensor.name, parameter)

    def _collect(self, place: int, parameter: torch.Tensor) -> None:
        """Move a gradient to the bound memory as soon as it is there, while it is in the processor's cache.

        Adding to gradients that are there beforehand would take a pass to clear them and one more to read them.
        """
        gradient = parameter.grad
        if gradient is None:
            return
        parameter.grad = None
        if place in self._is_missing:
            self._is_missing.remove(place)
            self._gradients[place].copy_(gradient)
        else:
            self._gradients[place].add_(gradient)

    def _release(self) -> None:
        self._gradients, self._is_missing = {}, set()
        for parameter in self._parameters:
            parameter.grad = None
            parameter.data = parameter.data.new_empty(0)
        for tensor in self._fixed:
            _place(self.module, tensor.name, torch.empty(0))


def view_of(flat: torch.Tensor, tensor: TensorSpec, base: int = 0) -> torch.Tensor:
    """One tensor of a flat buffer that starts at number `base` of the state."""
    start = tensor.offset - base
    return flat[start : start + tensor.count].view(tensor.shape)


def _gaps(tensors: list[TensorSpec], end: int) -> list[slice]:
    """What lies between tensors of a flat buffer, up to the number `end`."""
    starts = [tensor.offset for tensor in tensors[1:]] + [end]
    ends = [tensor.offset + tensor.count for tensor in tensors]
    return [slice(gap, start) for gap, start in zip(ends, starts, strict=False) if gap < start]


def _place(module: nn.Module, name: str, value: torch.Tensor) -> None:
    prefix, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(prefix), leaf, value)
