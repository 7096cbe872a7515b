"""Ray Train's side of the chaos comparison: an elastic TorchTrainer whose workers are killed on the given schedule.

`ScalingConfig(num_workers=(1, workers))`, unlimited restarts, DDP over gloo, a checkpoint of model and optimizer from
rank 0 every few seconds, taken up again after a failure, as Ray's documentation advises for elastic training; the
interval at which it looks for more resources is a second instead of its 60. Progress is the number of examples that
the surviving training has behind it: what was trained after the last checkpoint before a kill is trained again.
"""

import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model

from benchmarks.arms.worker_kills import kill_on_schedule
from benchmarks.child import Results, Value
from benchmarks.plain_training import PlainBatches, build_network, run_backward
from benchmarks.workloads import Workload, chaos_job

_POLL_S: Final = 0.1
_START_S: Final = 240.0
_CHECKPOINT_S: Final = 5.0
_STATE: Final = "state.pt"
_PROGRESS: Final = "progress"
_STOP: Final = "stop"


def measure(arguments: Mapping[str, Value]) -> Results:
    """`window_s`, `seed`, `workers`, `blows`."""
    workers = int(str(arguments["workers"]))
    with tempfile.TemporaryDirectory(prefix="pouw-bench-ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=workers + 2,
            object_store_memory=512 * 1024**2,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=f"{folder}/ray",
        )
        training = threading.Thread(target=_fit, args=(workers, folder), daemon=True)
        try:
            training.start()
            return _shake(Path(folder), arguments)
        finally:
            Path(folder, _STOP).touch()
            training.join(30)
            ray.shutdown()


def _shake(folder: Path, arguments: Mapping[str, Value]) -> Results:
    deadline = time.monotonic() + _START_S
    while len(_pids(folder)) < int(str(arguments["workers"])) or _progress(folder) == 0:
        if time.monotonic() > deadline:
            raise TimeoutError("training did not start")
        time.sleep(_POLL_S)
    time.sleep(_CHECKPOINT_S)
    return kill_on_schedule(arguments, examples=lambda: _progress(folder), pids=lambda: _pids(folder))


def _pids(folder: Path) -> list[int]:
    """The workers that are alive."""
    return sorted(pid for path in folder.glob("worker-*") if psutil.pid_exists(pid := int(path.suffix[1:])))


def _progress(folder: Path) -> int:
    """Examples that are trained; falls back at a restart."""
    path = folder / _PROGRESS
    return int(path.read_text() or 0) if path.exists() else 0


def _fit(workers: int, folder: str) -> None:
    TorchTrainer(
        _train,
        train_loop_config={"folder": folder, "workers": workers},
        scaling_config=ray.train.ScalingConfig(
            num_workers=(1, workers), resources_per_worker={"CPU": 1}, elastic_resize_monitor_interval_s=1.0
        ),
        torch_config=TorchConfig(backend="gloo"),
        run_config=ray.train.RunConfig(
            name="chaos",
            storage_path=f"{folder}/storage",
            failure_config=ray.train.FailureConfig(max_failures=-1),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    ).fit()


def _train(config: dict[str, Any]) -> None:
    """One worker: as many steps as it takes until somebody stops it."""
    torch.set_num_threads(1)
    folder, context = Path(config["folder"]), ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    Path(folder, f"worker-{rank}.{os.getpid()}").touch()
    workload = Workload.of(chaos_job(config["workers"]))
    network = build_network(workload)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.001, fused=True)
    examples = _load(network, optimizer)
    model = prepare_model(network, parallel_strategy_kwargs={"gradient_as_bucket_view": True})
    batches, saved_s = PlainBatches(workload, worker=rank), time.monotonic()
    while True:
        optimizer.zero_grad(set_to_none=True)
        run_backward(model, batches.draw())
        optimizer.step()
        examples += size * workload.spec.train.slot_batch
        if rank == 0:
            _write(folder, examples)
        stop, save = _agree(Path(folder, _STOP).exists(), time.monotonic() - saved_s > _CHECKPOINT_S)
        if stop:
            return
        if save:
            saved_s = time.monotonic()
            _save(network, optimizer, examples, is_first=rank == 0)


def _write(folder: Path, examples: int) -> None:
    partial = folder / f"{_PROGRESS}.tmp"
    partial.write_text(str(examples))
    partial.rename(folder / _PROGRESS)


def _agree(*flags: bool) -> tuple[bool, ...]:
    """Rank 0's flags, on every rank."""
    shared = torch.tensor([int(flag) for flag in flags])
    torch.distributed.broadcast(shared, src=0)
    return tuple(bool(flag) for flag in shared.tolist())


def _save(network: torch.nn.Module, optimizer: torch.optim.Optimizer, examples: int, *, is_first: bool) -> None:
    if not is_first:
        ray.train.report({})
        return
    with tempfile.TemporaryDirectory() as folder:
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "examples": examples}
        torch.save(state, Path(folder, _STATE))
        ray.train.report({"examples": examples}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _load(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder, _STATE), weights_only=True)  # noqa: TID251 - the other side's own file
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["examples"])
