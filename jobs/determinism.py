"""Everything that decides the bits of a replay: the environment torch starts in, its switches, and its random state.

Threads, instruction sets, library builds and batch shapes all change the order in which floats are added. A replay
class names them; within one class a replay is exact, across classes a verdict is `inconclusive`. The default class
`portable` pins one thread and AVX2 kernels, so that machines of different age agree; `avx512` pins wider kernels, which
are up to half as fast again, for machines that all have them; `native` takes what each machine has. `configure` has to
run before torch is imported: torch and its libraries read these variables once.
"""

import os
import platform
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consensus.primitives.digest import bulk_digest, sha256
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, Uint32
from jobs.errors import DeterminismError

if TYPE_CHECKING:
    from jobs.program import JobProgram

PORTABLE: Final = "portable"
AVX512: Final = "avx512"
NATIVE: Final = "native"
_KERNELS: Final[Mapping[str, Mapping[str, str]]] = {
    PORTABLE: {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    AVX512: {"ATEN_CPU_CAPABILITY": "avx512", "MKL_CBWR": "AVX512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    NATIVE: {},
}
_CAPABILITIES: Final = {AVX512: "AVX512"}
"""What torch says of its own kernels in a process of the class, where less would be another class."""
_EVERYWHERE: Final = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
VARIABLES: Final = (*_KERNELS[PORTABLE], *_EVERYWHERE)
"""Variables that kernels obey; their values are part of a class."""
_CONVOLUTIONAL: Final = ("convnet", "resnet")

RANDOM_STATE: Final = threading.RLock()
"""Torch has one generator for the whole process: whoever seeds it and draws from it holds this lock meanwhile."""


class ReplayClass(Record, frozen=True, tag="pouw/replay-class/1"):
    """What has to be equal for two machines to produce equal bits."""

    torch: str
    device: str
    """`cpu` with the maker of the processor, or the name of the GPU."""
    capability: str
    """Instruction set of torch's own kernels; compute capability and CUDA version on a GPU."""
    threads: Uint32
    micro_batch: Uint32
    settings: tuple[str, ...]
    """What else kernels obey, as NAME=value: variables; the C library, whose functions compute the odd elements at the
    end of a vectorised loop; for convolutions the caches, by whose sizes oneDNN cuts its blocks."""

    @property
    def digest(self) -> Digest:
        return sha256("pouw/replay-class-digest/1", encode(self))


def environment(replay_class: str, threads: int = 1) -> dict[str, str]:
    """The variables a process of this class is started with."""
    if replay_class not in _KERNELS:
        raise DeterminismError(f"there is no replay class {replay_class!r}; use {', '.join(_KERNELS)}")
    pinned = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_DYNAMIC": "FALSE"}
    return {**_KERNELS[replay_class], **_EVERYWHERE, **pinned, "MKL_DYNAMIC": "FALSE"}


def configure(replay_class: str, threads: int = 1) -> None:
    """Set this process's variables for a class.

    Raises:
        DeterminismError: torch is imported already and may have read other values.
    """
    wanted = environment(replay_class, threads)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    if "torch" in sys.modules:
        raise DeterminismError(
            f"torch was imported before the replay class {replay_class!r} was set; "
            "call jobs.determinism.configure first, or start the process with jobs.determinism.environment"
        )
    os.environ.update(wanted)


def activate(device: str = "cpu") -> None:
    """Set torch's switches: as many threads as configured (or one), deterministic kernels, full precision.

    The switch of flash attention holds for GPUs and processors alike: on a GPU its backward pass adds in no fixed order
    and is switched off; on a processor it is exact and the fastest by far. Determinism is asked for by the debug mode:
    the usual call also switches torch's compiler, for which it loads it: 70 MB and a second for every process.
    """
    import torch

    threads = configured_threads()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    flush_denormals()
    torch.set_deterministic_debug_mode("error")
    # Filling fresh memory with NaN would find reads of it, but costs a pass over every intermediate result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.enable_flash_sdp(enabled=device == "cpu")
    torch.backends.cuda.enable_mem_efficient_sdp(enabled=False)
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)


def flush_denormals() -> bool:
    """Have the calling thread take numbers below the smallest normal one for zero. False: this processor cannot.

    Processors compute with such numbers a hundred times slower, and trained networks are full of them. Each thread has
    a switch of its own, and threads that it starts begin with its setting: whatever computes must set it.
    """
    import torch

    return bool(torch.set_flush_denormal(True))


def configured_threads() -> int:
    """Threads that one training step uses in this process."""
    value = os.environ.get("OMP_NUM_THREADS", "1")
    return int(value) if value.isdecimal() and int(value) > 0 else 1


def describe(program: "JobProgram") -> ReplayClass:
    """The class this process trains a job in.

    Raises:
        DeterminismError: the job asks for a class, but this process was not started in it.
    """
    train = program.spec.train
    check_started_in(train.replay_class)
    import torch

    on_gpu = train.device == "cuda"
    settings = [f"{name}={os.environ.get(name, '')}" for name in VARIABLES]
    settings.append(f"libc={' '.join(platform.libc_ver())}")
    settings.append(f"denormals={'flushed' if flush_denormals() else 'kept'}")
    if program.spec.model.name in _CONVOLUTIONAL and not on_gpu:
        settings.append(f"caches={' '.join(_cache_sizes())}")
    return ReplayClass(
        torch=str(torch.__version__),
        device=f"cuda {torch.cuda.get_device_name()}" if on_gpu else f"cpu {processor_maker()}",
        capability=_gpu_capability() if on_gpu else torch.backends.cpu.get_cpu_capability(),
        threads=configured_threads(),
        micro_batch=train.micro_batch,
        settings=tuple(settings),
    )


def seed_step(program: "JobProgram", round_number: int, slot: int, step: int) -> None:
    """Seed the random state that one step draws from; nothing is carried over from the step before.

    `torch.manual_seed` would do, but describes its caller to every kind of device first: slower than a small step.
    """
    import torch

    seed = program.slot_seed(round_number, slot, step)
    torch.default_generator.manual_seed(seed)
    if program.spec.train.device == "cuda":
        torch.cuda.manual_seed(seed)


def self_test() -> Digest:
    """A digest of a few kernels forwards and backwards. Machines of one class agree on it; for `pouw doctor`."""
    import torch

    activate()
    count = torch.arange(64 * 96, dtype=torch.float32)
    inputs, images = torch.sin(count).reshape(64, 96), torch.sin(count).reshape(6, 4, 16, 16)
    weights = torch.cos(count[: 96 * 48]).reshape(96, 48).requires_grad_()
    kernels = torch.cos(count[: 8 * 4 * 9]).reshape(8, 4, 3, 3).requires_grad_()
    dense = torch.nn.functional.gelu(torch.softmax(inputs @ weights, dim=-1)).sum()
    convolved = torch.tanh(torch.nn.functional.conv2d(images, kernels)).mean()
    gradients = torch.autograd.grad(dense + convolved, [weights, kernels])
    return bulk_digest(b"".join(gradient.contiguous().numpy().tobytes() for gradient in gradients))


def configured_class() -> str:
    """The class that this process and those it starts are in, by their variables."""
    for name, kernels in _KERNELS.items():
        if kernels and all(os.environ.get(variable) == value for variable, value in kernels.items()):
            return name
    return NATIVE


def check_started_in(replay_class: str) -> None:
    """Raises DeterminismError: this process is not of the class, or its processor has no such kernels."""
    wanted = environment(replay_class, configured_threads())
    wrong = sorted(name for name, value in wanted.items() if os.environ.get(name) != value)
    if wrong:
        raise DeterminismError(
            f"the job asks for the replay class {replay_class}, but this process runs without {', '.join(wrong)}; "
            "call jobs.determinism.configure before torch is imported"
        )
    import torch

    found = torch.backends.cpu.get_cpu_capability()
    if found != _CAPABILITIES.get(replay_class, found):
        raise DeterminismError(f"the replay class {replay_class} needs a processor with it; this one has {found}")


def _gpu_capability() -> str:
    import torch

    major, minor = torch.cuda.get_device_capability()
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{major}.{minor} cuda {torch.version.cuda} cudnn {cudnn}"


def _cache_sizes() -> list[str]:
    """The first core's private caches; a cache that all cores share depends on how many a host gives away."""
    folder = Path("/sys/devices/system/cpu/cpu0/cache")
    return [path.read_text().strip() for path in sorted(folder.glob("index[0-2]/size"))]


def processor_maker() -> str:
    """MKL picks its code path by maker as well as by instruction set."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("vendor_id"):
                return line.partition(":")[2].strip()
    return platform.machine()
