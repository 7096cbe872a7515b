"""torchft's side of the chaos comparison: a lighthouse, and one replica group of one process for each worker.

Each replica runs `torchft_worker` under the interpreter that TORCHFT_PYTHON names: this project's torch with torchft
beside it. One that was killed is started again at once, as torchelastic would. Progress is the number of batches that
the replicas have committed together.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.arms.worker_kills import kill_on_schedule
from benchmarks.child import ROOT, Results, Value
from benchmarks.workloads import chaos_job

_POLL_S: Final = 0.1
_START_S: Final = 240.0
_WARM_S: Final = 5.0
_LIGHTHOUSE: Final = """
import sys, time
from torchft.coordination import LighthouseServer
server = LighthouseServer(bind="127.0.0.1:0", min_replicas=1, join_timeout_ms=100, heartbeat_timeout_ms=1000)
print(server.address(), flush=True)
sys.stdin.read()
"""


def measure(arguments: Mapping[str, Value]) -> Results:
    """`window_s`, `seed`, `workers`, `blows`."""
    python, workers = os.environ["TORCHFT_PYTHON"], int(str(arguments["workers"]))
    with tempfile.TemporaryDirectory(prefix="pouw-bench-torchft-") as folder:
        command = [python, "-c", _LIGHTHOUSE]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lighthouse:
            assert lighthouse.stdout is not None
            replicas = _Replicas(python, Path(folder), lighthouse.stdout.readline().strip(), workers)
            try:
                replicas.keep()
                return _shake(replicas, arguments)
            finally:
                replicas.end()
                lighthouse.kill()


class _Replicas:
    """Processes, one for each group; the dead are started again."""

    def __init__(self, python: str, folder: Path, lighthouse: str, count: int) -> None:
        self._python, self._folder, self._lighthouse, self._count = python, folder, lighthouse, count
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def keep(self) -> None:
        """Start those that do not run."""
        for number in range(self._count):
            if number not in self.running or self.running[number].poll() is not None:
                self.running[number] = self._start(number)

    def alive(self) -> list[int]:
        """Their processes."""
        self.keep()
        return [process.pid for _, process in sorted(self.running.items())]

    def end(self) -> None:
        """Kill all."""
        for process in self.running.values():
            process.kill()
            process.wait()

    def progress(self) -> int:
        """Batches that were committed, after a look at who is dead."""
        self.keep()
        files = [self._folder / str(number) for number in range(self._count)]
        return max((int(path.read_text() or 0) for path in files if path.exists()), default=0)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        variables = {
            **os.environ,
            "TORCHFT_LIGHTHOUSE": self._lighthouse,
            "RANK": "0",
            "WORLD_SIZE": "1",
            "PYTHONPATH": str(ROOT),
        }
        arguments = [str(self._folder / str(number)), str(number), str(self._count)]
        with Path(self._folder, f"log-{number}").open("ab") as log:
            return subprocess.Popen(
                [self._python, "-m", "benchmarks.arms.torchft_worker", *arguments],
                cwd=ROOT,
                env=variables,
                stdout=log,
                stderr=log,
            )


def _shake(replicas: _Replicas, arguments: Mapping[str, Value]) -> Results:
    slot_batch, workers = chaos_job(int(str(arguments["workers"]))).train.slot_batch, int(str(arguments["workers"]))
    deadline = time.monotonic() + _START_S
    while replicas.progress() < 4 * workers:
        if time.monotonic() > deadline:
            raise TimeoutError("training did not start")
        replicas.keep()
        time.sleep(_POLL_S)
    time.sleep(_WARM_S)
    return kill_on_schedule(arguments, examples=lambda: replicas.progress() * slot_batch, pids=replicas.alive)
