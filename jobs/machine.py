"""What of a machine decides the bits of training on it: for comparing nodes before they work together.

A job adds to this what only it knows (its micro-batch, for convolutions the caches): that is its replay class, and the
reports of every slot are held against it. Here stands what can be compared before there is a job.
"""

import os
import platform
import sys

from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest
from jobs import determinism
from jobs.errors import DeterminismError


class MachineClass(Record, frozen=True, tag="pouw/machine-class/1"):
    """Two machines with equal records train alike, as far as can be known without a job."""

    python: str
    """Major and minor version."""
    torch: str
    """With its build, such as `2.13.0+cpu`."""
    replay_class: str
    """`portable`, `avx512` or `native`."""
    processor: str
    capability: str
    """Instruction set of torch's own kernels."""
    libc: str
    settings: tuple[str, ...]
    """Variables that kernels obey, as NAME=value."""
    self_test: Digest
    """What a few kernels compute here."""


def describe_machine(replay_class: str) -> MachineClass:
    """The machine of this process in a replay class. Imports torch and runs a few kernels.

    Raises:
        DeterminismError: this process was started in another class, the processor has no such kernels, or two runs of
            the same kernels differ.
    """
    determinism.configure(replay_class)
    determinism.check_started_in(replay_class)
    import torch

    first, second = determinism.self_test(), determinism.self_test()
    if first != second:
        raise DeterminismError("two runs of the same kernels differ: memory or processor may be faulty")
    return MachineClass(
        python=".".join(str(part) for part in sys.version_info[:2]),
        torch=str(torch.__version__),
        replay_class=replay_class,
        processor=determinism.processor_maker(),
        capability=torch.backends.cpu.get_cpu_capability(),
        libc=" ".join(platform.libc_ver()),
        settings=tuple(f"{name}={os.environ.get(name, '')}" for name in determinism.VARIABLES),
        self_test=first,
    )


def describe_gpus() -> tuple[str, ...]:
    """The GPUs that torch can use here, with the CUDA version of torch; none is no error."""
    import torch

    if not torch.cuda.is_available():
        return ()
    names = (torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return tuple(f"{name}, CUDA {torch.version.cuda}" for name in names)
