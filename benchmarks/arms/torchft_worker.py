"""One replica of the torchft side: DDP through torchft's manager over gloo, every step agreed with the other replicas.

python -m benchmarks.arms.torchft_worker PROGRESS_FILE NUMBER WORKERS
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch
import torchft  # type: ignore[import-not-found, unused-ignore]
from torch.distributed import TCPStore

from benchmarks.plain_training import PlainBatches, build_network, run_backward
from benchmarks.workloads import Workload, chaos_job

_TIMEOUT: Final = timedelta(seconds=5)
_HOST: Final = "127.0.0.1"


def main(progress: Path, number: int, workers: int) -> None:
    """Train until killed."""
    torch.set_num_threads(1)
    workload = Workload.of(chaos_job(workers))
    network = build_network(workload)
    inner = torch.optim.AdamW(network.parameters(), lr=0.001, fused=True)

    def load_state(state: dict[str, Any]) -> None:
        network.load_state_dict(state["network"])
        inner.load_state_dict(state["optimizer"])

    store = TCPStore(_HOST, 0, is_master=True, wait_for_workers=False)
    manager = torchft.Manager(
        pg=torchft.ProcessGroupGloo(timeout=_TIMEOUT),
        load_state_dict=load_state,
        state_dict=lambda: {"network": network.state_dict(), "optimizer": inner.state_dict()},
        min_replica_size=1,
        timeout=_TIMEOUT,
        quorum_timeout=_TIMEOUT,
        connect_timeout=_TIMEOUT,
        replica_id=f"replica-{number}",
        store_addr=_HOST,
        store_port=store.port,
        hostname=_HOST,
        rank=0,
        world_size=1,
    )
    model = torchft.DistributedDataParallel(manager, network)
    optimizer = torchft.Optimizer(manager, inner)
    batches, partial = PlainBatches(workload, worker=number), progress.with_suffix(".tmp")
    while True:
        optimizer.zero_grad()
        run_backward(model, batches.draw())
        optimizer.step()
        partial.write_text(str(manager.batches_committed()))
        partial.rename(progress)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
