"""A real site on a private local Ray, driven like a user would: through the client, the command and signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from cluster.api.client import GatewayClient
from cluster.cli.starting import ask_to_stop
from cluster.client.connection import connect
from cluster.client.submission import submit_job
from cluster.config import HomeLayout, read_site_file
from cluster.errors import UnreachableError
from cluster.launch.down import stop_site
from cluster.launch.up import start_site
from cluster.settings import SiteSettings
from cluster.views import JobView, SiteView
from cluster.wallet.keystore import client_keystore
from jobs.spec.job import JobSpec

BEACON = "5e" * 32
Value = TypeVar("Value")
_ENDED = ("completed", "failed", "cancelled")


class QuietWatcher:
    """Shows nothing."""

    def preparing(self, what: str, rows: int) -> None: ...

    def uploading(self, done_bytes: int, total_bytes: int) -> None: ...


@dataclass(frozen=True)
class RealSite:
    """A running site."""

    home: HomeLayout
    client: GatewayClient

    @property
    def ray_address(self) -> str:
        """Where nodes join."""
        record = read_site_file(self.home)
        assert record is not None
        return record.ray_address

    def wait_until_it_answers(self, timeout_s: float) -> SiteView:
        """The site once its gateway serves (again)."""

        def ask() -> SiteView | None:
            try:
                return self.client.status()
            except UnreachableError:
                return None

        view = wait_for(ask, lambda view: view is not None, timeout_s)
        assert view is not None
        return view

    def submit(self, spec: JobSpec) -> JobView:
        """Submit a job with the operator's key."""
        return submit_job(self.client, client_keystore(self.home).load("default"), spec, QuietWatcher())

    def job(self, job_id: str) -> JobView:
        """A job now."""
        return self.client.status(job_id).jobs[0]

    def wait(self, job_id: str, timeout_s: float = 90.0) -> JobView:
        """The job once it has ended."""
        return wait_for(lambda: self.job(job_id), lambda job: job.state in _ENDED, timeout_s)

    def wait_for_round(self, job_id: str, number: int, timeout_s: float = 60.0) -> JobView:
        """The job once it trains round `number`."""
        reached: Callable[[JobView], bool] = lambda job: job.round >= number or job.state in _ENDED  # noqa: E731
        return wait_for(lambda: self.job(job_id), reached, timeout_s)

    def run(self, spec: JobSpec) -> JobView:
        """Submit a job and wait for its end."""
        return self.wait(self.submit(spec).job_id)

    def scale(self, desired: int, timeout_s: float = 60.0) -> None:
        """Have so many miners, and wait until they are there."""
        self.client.scale(desired)
        counted = ("idle", "working")
        wait_for(
            self.client.miners,
            lambda miners: sum(m.state in counted for m in miners) == desired and len(miners) == desired,
            timeout_s,
        )

    def pid_of(self, role: str) -> int:
        """The process of a role."""
        return next(p.pid for p in self.client.status().processes if p.role == role and p.pid)

    def kill(self, role: str) -> int:
        """kill -9 a role's process."""
        pid = self.pid_of(role)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pouw(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run the command in this home."""
        return run_pouw(self.home, *arguments, timeout_s=timeout_s)


def run_pouw(
    home: HomeLayout, *arguments: str, timeout_s: float = 120.0, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the installed command, with `given` on its standard input."""
    command = [str(Path(sys.executable).with_name("pouw")), *arguments]
    environment = {**os.environ, "POUW_HOME": str(home.root)}
    return subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def wait_for(load: Callable[[], Value], is_done: Callable[[Value], bool], timeout_s: float) -> Value:
    """What `load` gives once it `is_done`; fails with the last value after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not is_done(value := load()):
        assert time.monotonic() < deadline, f"not after {timeout_s:g} s: {value}"
        time.sleep(0.05)
    return value


@contextmanager
def running_site(
    folder: Path,
    *,
    miners: int,
    beacon: str | None = BEACON,
    head_miners: Literal["alone", "always", "never"] = "alone",
    **settings_given: Any,
) -> Iterator[RealSite]:
    """A site in `folder`, shut down at the end. No storage unless it is asked for: a provider costs memory."""
    home = HomeLayout(root=folder)
    others = {"block_interval_s": 1.0, "storage_gb": 0.0, **settings_given}
    settings = SiteSettings(miners=miners, port=0, beacon=beacon, head_miners=head_miners, **others)
    start_site(home, settings)
    try:
        yield RealSite(home=home, client=connect(home, {}))
    finally:
        stop_site(home, ask_to_stop(home))
