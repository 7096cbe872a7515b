"""A miner's memory beyond that of plain training, in sizes of the model's state.

Measured on two Ray actors of one private cluster, with GPTs of 43 and of 14 million parameters, one sequence a step:

 - plain: own parameters and gradients, forward and backward, nothing else (`plain_training`)
 - miner: the real `Miner` actor, one local step a slot. It reads the state in Ray's object store, trains on it in
   place, hashes it, signs its report and leaves its update in memory that it shares with its coordinator, for several
   slots with a new state each

Taken of each: the peak of the process's private memory (RssAnon, from /proc every few milliseconds) while it trains.
Libraries, threads and what allocators hold back differ between the two and outweigh a small model, so no process's size
is used as it is: what counts is how much more it needs for the large network than for the small one, over how much
larger the state is. What does not grow with the model cancels out.

Shared memory that is there because of the miner is added. It is not read off the process's RSS: Linux counts a shared
page for every process that touched it, long after the object store has given it to another object. It is known: the
state in the object store and the buffer for updates. That is one, as the benchmark checks, for a miner that runs one
slot a round; one that runs several keeps as many. So a miner's need is

    the larger of its private peak and its private memory when it returns, + 2 states

and the share is that less plain training's. 0: no memory beyond parameters, gradients and activations, although the
state is being kept for others too. 1: a full copy of the model more.
"""

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray

from benchmarks.child import Results, Value
from benchmarks.local_job import CHAIN_ID, LocalJob
from benchmarks.workloads import Workload, one_sequence_job
from cluster.actors.miner import Miner
from cluster.actors.nodes import own_node
from cluster.actors.remote import spawn
from cluster.config import HOME_VARIABLE, HomeLayout
from cluster.node.shared_updates import Board, UpdatePlace, read_update
from cluster.wallet.keystore import site_keystore
from consensus.primitives.integers import PublicKey

_LAYERS: Final = (2, 6)
_SAMPLE_S: Final = 0.004
_KIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """Bytes for one size of network."""

    state: int
    plain: int
    training: int
    returning: int


def measure(arguments: Mapping[str, Value]) -> Results:
    """Growth in states."""
    width, slots = (256, 3) if arguments["quick"] else (768, 8)
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
            small, large = (_needs(layers, width, slots, Path(folder)) for layers in _LAYERS)
        finally:
            ray.shutdown()
    growth = large.state - small.state
    plain = (large.plain - small.plain) / growth
    training = (large.training - small.training) / growth
    returning = (large.returning - small.returning) / growth
    return {
        "miner_extra_bytes_share": max(training, returning) + 2 - plain,
        "miner_extra_bytes_share.while_training": training + 2 - plain,
        "miner_extra_bytes_share.handing_over": returning + 2 - plain,
        "miner_extra_bytes_share.plain_states": plain,
        "miner_extra_bytes_share.miner_private_states": training,
        "miner_extra_bytes_share.miner_private_at_return_states": returning,
        "miner_extra_bytes_share.large_state_mb": large.state / 1e6,
        "miner_extra_bytes_share.large_plain_mb": large.plain / 1e6,
        "miner_extra_bytes_share.large_miner_private_mb": large.training / 1e6,
    }


def _needs(layers: int, width: int, slots: int, folder: Path) -> _Need:
    job = LocalJob.of(Workload.of(one_sequence_job(layers, width)))
    training, returning = _measure_miner(job, folder / f"home-{layers}", slots)
    return _Need(
        state=job.start_state().nbytes, plain=_measure_plain(job, slots), training=training, returning=returning
    )


def _measure_plain(job: LocalJob, steps: int) -> int:
    plain = ray.remote(num_cpus=1)(PlainActor).remote(job.workload)
    with _peak_of(ray.get(plain.start.remote())) as peak:
        ray.get(plain.train.remote(steps))
    ray.kill(plain)
    return peak[0]


def _measure_miner(job: LocalJob, home: Path, slots: int) -> tuple[int, int]:
    """Private peak, and private memory when a slot's result is returned."""
    layout = HomeLayout(root=home)
    layout.create()
    name = home.name
    public_key = site_keystore(layout).load_or_create(name).public_key
    options = {**Miner.OPTIONS, "runtime_env": {"env_vars": {HOME_VARIABLE: str(home)}}}
    miner = spawn(WatchedMiner, name, options=options, chain_id=CHAIN_ID, params=job.params)
    board = Board()
    taken, _ = ray.get(miner.prepare.remote(job.opening, job.segments("train"), own_node(), board.place))
    places: set[int] = set()
    with _peak_of(ray.get(miner.pid.remote())) as peak:
        for number in range(slots):
            place = _run_slot(job, miner, public_key, number, taken)
            taken = place.number
            places.add(place.descriptor)
    if len(places) != 1:
        raise RuntimeError(f"the miner kept {len(places)} buffers for updates")
    returning: int = ray.get(miner.largest_at_return.remote())
    ray.kill(miner)
    return peak[0], returning


def _run_slot(job: LocalJob, miner: Any, public_key: PublicKey, number: int, taken: int) -> UpdatePlace:
    """A state that the miner has not seen, then a slot on it, whose update is read."""
    state = job.start_state()
    state[: job.parameters] += number * 1e-3
    message = job.assignment(public_key, job.digest_of(state), number)
    place: UpdatePlace
    _, place = ray.get(miner.run_slot.remote(message, ray.put(state), taken))
    if read_update(place).size != state.size:
        raise RuntimeError("the update has another size than the state")
    return place


class PlainActor:
    """Plain training in an actor."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def start(self) -> int:
        """Build the network and load the data; the process id."""
        import torch

        from benchmarks.plain_training import PlainBatches, build_network

        torch.set_num_threads(1)
        self._batches = PlainBatches(self._workload, worker=0)
        self._network = build_network(self._workload)
        return os.getpid()

    def train(self, steps: int) -> None:
        """Run the network; gradients are freed between steps, which is torch's default."""
        from benchmarks.plain_training import run_backward

        for _ in range(steps):
            self._network.zero_grad(set_to_none=True)
            run_backward(self._network, self._batches.draw())


class WatchedMiner(Miner):
    """The miner, looked at when it returns."""

    _largest_at_return = 0

    def pid(self) -> int:
        """The process id."""
        return os.getpid()

    def run_slot(self, assignment: bytes, state: Any, taken: int | None) -> tuple[bytes, Any]:
        """As the miner does it."""
        returned = Miner.run_slot(self, assignment, state, taken)
        self._largest_at_return = max(self._largest_at_return, private_bytes(os.getpid()))
        return returned

    def largest_at_return(self) -> int:
        """Private bytes; the update is in shared memory."""
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
