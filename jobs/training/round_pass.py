"""One round's passes over its buffers, chunk by chunk: average the updates, move the state, take the leaves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from consensus.primitives.integers import Digest
from jobs.layout import Layout
from jobs.training.chunks import chunk_count, chunk_range, leaf_of
from jobs.training.memory import FloatArray, as_tensor
from jobs.training.optimizers import Update


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundBuffers:
    """What a round reads and writes, as flat arrays."""

    state: FloatArray
    optimizer: FloatArray
    updates: Sequence[FloatArray]
    state_out: FloatArray
    optimizer_out: FloatArray


@dataclass(slots=True)
class RoundPass:
    """The work on single chunks. Different chunks may be worked on at the same time."""

    layout: Layout
    buffers: RoundBuffers
    update: Update
    leaves: list[Digest] = field(init=False)
    """Of the next state's bulk digest, filled in chunk by chunk."""
    _state: torch.Tensor = field(init=False)
    _state_out: torch.Tensor = field(init=False)
    _moments: list[torch.Tensor] = field(init=False)
    _moments_out: list[torch.Tensor] = field(init=False)
    _updates: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        buffers, chunks = self.buffers, chunk_count(self.layout.total)
        self._state, self._state_out = as_tensor(buffers.state), as_tensor(buffers.state_out)
        self._updates = [as_tensor(update) for update in buffers.updates]
        self._moments = self._split(buffers.optimizer)
        self._moments_out = self._split(buffers.optimizer_out)
        self.leaves = [Digest(b"")] * chunks

    def average(self, chunk: int, mean: torch.Tensor) -> torch.Tensor:
        """The updates' mean over a chunk, added in slot order, in the first numbers of `mean`."""
        start, end = chunk_range(chunk, self.layout.total)
        mean, share = mean[: end - start], 1.0 / len(self._updates)
        first, *others = (update[start:end] for update in self._updates)
        if not others:
            return mean.copy_(first)
        torch.add(first, others[0], out=mean)
        for other in others[1:]:
            mean.add_(other)
        return mean.mul_(share)

    def advance(self, chunk: int, mean: torch.Tensor) -> None:
        """Move a chunk of parameters by the outer optimizer and one of buffers by their mean change; take its leaf."""
        start, end = chunk_range(chunk, self.layout.total)
        middle = min(max(start, self.layout.boundary), end)
        if start < middle:
            self._advance_parameters(slice(start, middle), mean[: middle - start])
        if middle < end:
            torch.add(self._state[middle:end], mean[middle - start :], out=self._state_out[middle:end])
        self.leaves[chunk] = leaf_of(self.buffers.state_out, chunk)

    def trainable(self, chunk: int, mean: torch.Tensor) -> torch.Tensor:
        """The part of a chunk's mean that belongs to parameters."""
        start, _ = chunk_range(chunk, self.layout.total)
        return mean[: max(0, self.layout.boundary - start)]

    def _advance_parameters(self, where: slice, gradient: torch.Tensor) -> None:
        parameters = self._state_out[where]
        if self.buffers.state_out is not self.buffers.state:
            parameters.copy_(self._state[where])
        moments = [moment[where] for moment in self._moments_out]
        if self.buffers.optimizer_out is not self.buffers.optimizer:
            for moment, before in zip(moments, self._moments, strict=True):
                moment.copy_(before[where])
        self.update(parameters, gradient, moments)

    def _split(self, optimizer: FloatArray) -> list[torch.Tensor]:
        return list(torch.split(as_tensor(optimizer), self.layout.boundary)) if optimizer.size else []
