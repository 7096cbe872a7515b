"""Ray Train's side: TorchTrainer with DistributedDataParallel over gloo, two workers of one thread each.

The same network, batch and environment on the same cores, torch's fastest AdamW (fused), gradients as views of DDP's
buckets. It runs on a private local cluster. Warm-up is not counted; both workers then make the same number of steps,
about as many as fit into the window, and rank 0's clock counts.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model

from benchmarks.child import Results, Value
from benchmarks.plain_training import PlainBatches, build_network, run_backward
from benchmarks.workloads import Workload, gpt_job

_FOUND = "rank-0.json"


def measure(arguments: Mapping[str, Value]) -> Results:
    """`workers`, `warm_s`, `window_s`."""
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
        try:
            _fit(workers, {**arguments, "folder": folder})
        finally:
            ray.shutdown()
        found: Results = json.loads(Path(folder, _FOUND).read_text())
        return found


def _fit(workers: int, config: dict[str, Any]) -> None:
    trainer = TorchTrainer(
        _train,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 1}),
        torch_config=TorchConfig(backend="gloo"),
        run_config=ray.train.RunConfig(name="bench", storage_path=f"{config['folder']}/storage"),
    )
    trainer.fit()


def _train(config: dict[str, Any]) -> None:
    """One worker."""
    torch.set_num_threads(1)
    rank = ray.train.get_context().get_world_rank()
    workload = Workload.of(gpt_job(1, workers=config["workers"]))
    network = prepare_model(build_network(workload), parallel_strategy_kwargs={"gradient_as_bucket_view": True})
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.001, fused=True)
    batches = PlainBatches(workload, worker=rank)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        run_backward(network, batches.draw())
        optimizer.step()

    step()
    warm, warm_s = _run_for(step, config["warm_s"])
    steps = _agree(max(1, round(warm / warm_s * config["window_s"])))
    started = time.perf_counter()
    for _ in range(steps):
        step()
    elapsed_s = time.perf_counter() - started
    if rank == 0:
        examples = steps * workload.spec.train.batch_size
        found = {"samples_per_s": examples / elapsed_s, "steps": steps, "threads": torch.get_num_threads()}
        Path(config["folder"], _FOUND).write_text(json.dumps(found))


def _run_for(step: Any, seconds: float) -> tuple[int, float]:
    """Whole steps until rank 0 says that the time is over."""
    started, steps = time.perf_counter(), 0
    while True:
        step()
        steps += 1
        elapsed_s = time.perf_counter() - started
        if not _agree(int(elapsed_s < seconds)):
            return steps, elapsed_s


def _agree(number: int) -> int:
    """Rank 0's number, on every rank."""
    shared = torch.tensor([number])
    torch.distributed.broadcast(shared, src=0)
    return int(shared)
