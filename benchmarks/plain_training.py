"""The same network and batches in plain PyTorch: parameters, gradients and activations of its own, and nothing else.

The other side of every comparison. It is given every advantage that a user of plain PyTorch has: default kernels
without the deterministic switches, gradients set to None between steps, no loss read back, batches gathered from
memory.
"""

import numpy as np
import torch
from torch import nn

from benchmarks.workloads import Workload
from consensus.primitives.integers import ZERO_DIGEST
from jobs.models.build import build_model, model_layout
from jobs.program import JobProgram
from jobs.training.losses import LOSSES, Examples, to_examples
from jobs.training.state import initial_state


def build_network(workload: Workload) -> nn.Module:
    """The job's network, with weights of its own that start where the job's do.

    Numbers below the smallest normal one count as zero, as they do in a job: computing with them takes many times as
    long, and plain PyTorch does so unless it is told not to.
    """
    torch.set_flush_denormal(True)
    program = JobProgram(spec=workload.spec, manifest=workload.prepared.manifest, beacon=ZERO_DIGEST)
    network = build_model(workload.spec.model, workload.prepared.manifest).to_empty(device="cpu")
    state, layout = initial_state(program), model_layout(network)
    tensors = network.state_dict()
    for tensor in layout.tensors:
        values = state[tensor.offset : tensor.offset + tensor.count].reshape(tensor.shape)
        tensors[tensor.name].copy_(torch.from_numpy(values))
    return network.train()


class PlainBatches:
    """Random rows of the training part."""

    def __init__(self, workload: Workload, *, worker: int) -> None:
        self._rows = workload.train_rows()
        self._count = workload.spec.train.slot_batch
        self._generator = np.random.default_rng(worker)

    def draw(self) -> Examples:
        """The next batch."""
        inputs, targets = self._rows.gather(self._generator.integers(0, self._rows.rows, self._count))
        return to_examples(inputs, targets, "cpu")


def run_backward(network: nn.Module, examples: Examples, loss: str = "cross_entropy") -> None:
    """One forward and one backward pass."""
    torch.autograd.backward([LOSSES[loss](network(examples.inputs), examples.targets)])
