"""What mining needs to know of a finished slot. jobs.training's results fit; torch is not needed to read them."""

from collections.abc import Sequence
from typing import Protocol

from consensus.primitives.integers import Digest


class FinishedStep(Protocol):
    """One step, reduced to digests and integers."""

    @property
    def indices(self) -> Digest: ...
    @property
    def batch(self) -> Digest: ...
    @property
    def batch_bytes(self) -> int: ...
    @property
    def weights_in(self) -> Digest: ...
    @property
    def weights_out(self) -> Digest: ...
    @property
    def weight_bytes(self) -> int: ...
    @property
    def loss_bits(self) -> int: ...


class FinishedSlot(Protocol):
    """A slot's result without its update."""

    @property
    def update_digest(self) -> Digest: ...
    @property
    def steps(self) -> Sequence[FinishedStep]: ...
    @property
    def examples(self) -> int: ...
