"""The limit: as many processes as workers, each runs forward and backward of the same network, and nothing else.

No communication, no optimizer, no digests. Nothing that trains with this network, batch and processor is faster.
"""

import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from benchmarks.child import Results, Value
from benchmarks.workloads import Workload, gpt_job

_START_S = 120.0


def measure(arguments: Mapping[str, Value]) -> Results:
    """`workers`, `warm_s`, `window_s`."""
    workers = int(str(arguments["workers"]))
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=_work, args=(number, dict(arguments), barrier, found), daemon=True)
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        speeds = [found.get(timeout=_START_S + float(str(arguments["window_s"]))) for _ in processes]
    finally:
        for process in processes:
            process.join(timeout=5)
            process.kill()
    return {"samples_per_s": sum(speeds)}


def _work(number: int, arguments: dict[str, Value], barrier: Barrier, found: "Queue[float]") -> None:
    """Warm up, wait for the others, then count for a while, and go on until the others have counted too."""
    import torch

    from benchmarks.plain_training import PlainBatches, build_network, run_backward

    torch.set_num_threads(1)
    workload = Workload.of(gpt_job(1, workers=int(str(arguments["workers"]))))
    network, batches = build_network(workload), PlainBatches(workload, worker=number)

    def run_for(seconds: float) -> float:
        steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            network.zero_grad(set_to_none=True)
            run_backward(network, batches.draw())
            steps += 1
        return steps * workload.spec.train.slot_batch / (time.perf_counter() - started)

    run_for(float(str(arguments["warm_s"])))
    barrier.wait(_START_S)
    found.put(run_for(float(str(arguments["window_s"]))))
    barrier.wait(_START_S)
