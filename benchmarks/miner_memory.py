"""A miner's memory beyond that of plain training, in sizes of the model's state.

Measured on two Ray actors of one private cluster, with a GPT of 43 million parameters (171 MB) and one sequence a
step:

 - plain: own parameters and gradients, forward and backward, nothing else (`plain_training`)
 - miner: the real `Miner` actor, one local step a slot. It reads the state in Ray's object store, trains on it in
   place, hashes it, signs its report and leaves its update in the object store, for several slots with a new state
   each

Counted for each: the peak of its private memory (RssAnon, read from /proc every few milliseconds) over what the
process had when its data was loaded, and for the miner also the pieces of the object store that are there because of
it. Those are not read off the process's RSS: Linux counts a shared page for every process that touched it, long
after the store has given it to another object. They are known: the state while it trains, the state and the update's
copy when it hands over. So a miner's peak is the larger of

    private peak + 1 state                 while it trains
    private memory at its return + 2       when it hands its update over

and the share is that less plain training's peak. 0: no memory beyond parameters, gradients and activations, although
the state is also being kept for others. 1: a full copy of the model more.
"""

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ray

from benchmarks.child import Results, Value
from benchmarks.local_job import CHAIN_ID, LocalJob
from benchmarks.workloads import Workload, gpt_job, large_gpt_job
from cluster.actors.miner import Miner
from cluster.actors.remote import spawn
from cluster.config import HomeLayout
from cluster.wallet.keystore import site_keystore
from consensus.primitives.integers import PublicKey

_SAMPLE_S: Final = 0.004
_KIB: Final = 1024


def measure(arguments: Mapping[str, Value]) -> Results:
    """Sizes in states."""
    job = LocalJob.of(Workload.of(gpt_job(1) if arguments["quick"] else large_gpt_job(1)))
    with tempfile.TemporaryDirectory(prefix="pouw-bench-memory-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            namespace="pouw",
            num_cpus=4,
            object_store_memory=1024**3,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=f"{folder}/ray",
        )
        try:
            slots = 3 if arguments["quick"] else 8
            state_bytes = job.start_state().nbytes
            plain = _measure_plain(job, slots) / state_bytes
            training, returning = (size / state_bytes for size in _measure_miner(job, Path(folder, "home"), slots))
        finally:
            ray.shutdown()
    return {
        "miner_extra_bytes_share": max(training + 1, returning + 2) - plain,
        "miner_extra_bytes_share.plain_peak_states": plain,
        "miner_extra_bytes_share.miner_private_peak_states": training,
        "miner_extra_bytes_share.miner_private_at_return_states": returning,
        "miner_extra_bytes_share.state_mb": state_bytes / 1e6,
    }


def _measure_plain(job: LocalJob, steps: int) -> float:
    plain = ray.remote(num_cpus=1)(PlainActor).remote(job.workload)
    pid, before = ray.get(plain.start.remote())
    with _peak_of(pid) as peak:
        ray.get(plain.train.remote(steps))
    ray.kill(plain)
    return float(peak[0] - before)


def _measure_miner(job: LocalJob, home: Path, slots: int) -> tuple[float, float]:
    """Private peak, and private memory when a slot's result is returned."""
    layout = HomeLayout(root=home)
    layout.create()
    public_key = site_keystore(layout).load_or_create("miner-0").public_key
    miner = spawn(WatchedMiner, "miner-0", options=Miner.OPTIONS, home=str(home), chain_id=CHAIN_ID, params=job.params)
    ray.get(miner.prepare.remote(job.opening, job.segments("train")))
    pid, before = ray.get(miner.start.remote())
    with _peak_of(pid) as peak:
        for number in range(slots):
            _run_slot(job, miner, public_key, number)
    returning: int = ray.get(miner.largest_at_return.remote())
    ray.kill(miner)
    return peak[0] - before, returning - before


def _run_slot(job: LocalJob, miner: Any, public_key: PublicKey, number: int) -> None:
    """A state that the miner has not seen, then a slot on it."""
    state = job.start_state()
    state[: job.parameters] += number * 1e-3
    message = job.assignment(public_key, job.digest_of(state), number)
    report, _update = miner.run_slot.remote(message, ray.put(state))
    ray.get(report)


class PlainActor:
    """Plain training in an actor."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def start(self) -> tuple[int, int]:
        """Load what is not the model; process id and private bytes."""
        import torch

        from benchmarks.plain_training import PlainBatches

        torch.set_num_threads(1)
        self._batches = PlainBatches(self._workload, worker=0)
        return os.getpid(), private_bytes(os.getpid())

    def train(self, steps: int) -> None:
        """Build the network and run it; gradients are freed between steps, which is torch's default."""
        from benchmarks.plain_training import build_network, run_backward

        network = build_network(self._workload)
        for _ in range(steps):
            network.zero_grad(set_to_none=True)
            run_backward(network, self._batches.draw())


class WatchedMiner(Miner):
    """The miner, looked at when it returns."""

    _largest_at_return = 0

    def start(self) -> tuple[int, int]:
        """Process id and private bytes."""
        return os.getpid(), private_bytes(os.getpid())

    @ray.method(num_returns=2)  # type: ignore[untyped-decorator]  # ray has no types
    def run_slot(self, assignment: bytes, state: Any) -> tuple[bytes, Any]:
        """As the miner does it."""
        returned: tuple[bytes, Any] = Miner.run_slot(self, assignment, state)
        self._largest_at_return = max(self._largest_at_return, private_bytes(os.getpid()))
        return returned

    def largest_at_return(self) -> int:
        """Private bytes, update included."""
        return self._largest_at_return


def private_bytes(pid: int) -> int:
    """Memory of a process that no other process shares and no file backs."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * _KIB
    raise LookupError(f"/proc/{pid}/status has no RssAnon")


@contextmanager
def _peak_of(pid: int) -> Iterator[list[int]]:
    """A list whose only number is the peak of a process's private memory so far."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_S):
            peak[0] = max(peak[0], private_bytes(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
